//! The NBD protocol: a pipelined client.
//!
//! NBD (network block device) carries reads, writes and block status of disks over a socket.
//! QEMU exports running guests' disks with it. The protocol is specified in doc/proto.md of the
//! NBD project: <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.
//!
//! [`Client`] reads one export over several connections with any number of requests under way:
//! submit, keep the [`Pending`]s in a queue, wait for the oldest. It speaks the fixed newstyle
//! handshake, structured replies and the metadata context `base:allocation`. It does not speak
//! TLS, extended headers or other contexts, and it does not write.
//!
//! ```no_run
//! use fleece_nbd::{Address, Client, Options};
//!
//! let address = Address::Unix("/run/disk.sock".into());
//! let client = Client::connect(&address, "disk0", &Options::default())?;
//! client.prime()?;
//! for extent in client.block_status(0, client.size())? {
//!     println!("{} bytes, zero: {}", extent.length, extent.zero);
//! }
//! let first = client.submit_read(0, vec![0; 4096])?;
//! let second = client.submit_read(4096, vec![0; 4096])?;
//! let (first, second) = (first.wait()?, second.wait()?);
//! client.disconnect();
//! # drop((first, second));
//! # Ok::<(), fleece_nbd::Error>(())
//! ```
//!
//! Everything that the other side sends is bounded before memory is spent on it, and parsed
//! without I/O in the module `protocol`, which the fuzz targets exercise.

mod client;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod protocol;
mod stream;

pub use client::{BlockSizes, Client, Extent, Options, Pending};
pub use error::{Errno, Error, ErrorKind};
pub use stream::Address;
