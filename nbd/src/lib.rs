//! The NBD protocol: a pipelined client, and a server.
//!
//! NBD (network block device) carries reads, writes and block status of disks over a socket.
//! QEMU exports running guests' disks with it. The protocol is specified in doc/proto.md of the
//! NBD project: <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>. Both sides
//! speak the fixed newstyle handshake, structured replies and the metadata context
//! `base:allocation`; neither speaks TLS, extended headers or other contexts.
//!
//! # Client
//!
//! [`Client`] reads one export over several connections with any number of requests under way:
//! submit, keep the [`Pending`]s in a queue, wait for the oldest. It does not write.
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
//! # Server
//!
//! [`Server`] serves any number of [`Export`]s on one socket, to several clients at once.
//!
//! ```
//! use std::sync::Arc;
//! use fleece_nbd::{Address, Export, Server, ServerOptions};
//!
//! /// A disk that is all zeroes.
//! struct Empty;
//!
//! impl Export for Empty {
//!     fn size(&self) -> u64 {
//!         1 << 30
//!     }
//!
//!     fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
//!         buffer.fill(0);
//!         Ok(())
//!     }
//! }
//!
//! let anywhere = Address::Tcp("127.0.0.1:0".to_owned());
//! let server = Server::start(&anywhere, &ServerOptions::default())?;
//! server.add_export("empty", Arc::new(Empty))?;
//! println!("nbd://{}/empty", server.address());
//! server.shutdown(std::time::Duration::from_secs(5))?;
//! # Ok::<(), fleece_nbd::Error>(())
//! ```
//!
//! # Hostile peers
//!
//! Everything that the other side sends is bounded before memory is spent on it, and parsed
//! without I/O in the module `protocol`, which the fuzz targets exercise.

mod client;
mod error;
mod extent;
#[doc(hidden)]
pub mod fuzzing;
mod protocol;
mod server;
mod sizes;
mod stream;

pub use client::{Client, Options, Pending};
pub use error::{Errno, Error, ErrorKind};
pub use extent::Extent;
pub use server::{Export, Server, ServerOptions, Zeroing};
pub use sizes::BlockSizes;
pub use stream::Address;
