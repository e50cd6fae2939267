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
//! [`Client`] reads and writes one export over several connections with any number of requests
//! under way: submit, keep the [`Pending`]s in a queue, wait for the oldest. Where one request
//! after the other is fast enough, [`Client::read_at`], [`Client::write_at`] and their like take
//! ranges of any length and wait.
//!
//! ```no_run
//! use fleece_nbd::{Address, Client, Options, Zeroing};
//!
//! let address = Address::Unix("/run/disk.sock".into());
//! let client = Client::connect(&address, "disk0", &Options::default())?;
//! for extent in client.block_status(0, client.size())? {
//!     println!("{} bytes, zero: {}", extent.length, extent.zero);
//! }
//! let first = client.submit_read(0, vec![0; 4096])?;
//! let second = client.submit_read(4096, vec![0; 4096])?;
//! let (first, second) = (first.wait()?, second.wait()?);
//! client.write_at(0, &second)?;
//! client.write_zeroes(4096, 4096, Zeroing::default())?;
//! client.flush()?;
//! client.disconnect();
//! # drop(first);
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
//! # Threads, async, memory, drop
//!
//! All calls block; each has a time limit, in [`Options`] or [`ServerOptions`]. From async code, call them
//! within `tokio::task::spawn_blocking` or its like. A client has one thread per connection (two by default),
//! which receives replies; a server has one that accepts, and up to [`ServerOptions::workers`] per connection.
//!
//! A client holds the buffers of the reads under way, which are the caller's, and 4 KiB per connection; a block
//! status reply takes 3 MiB from QEMU, and 48 MiB at most. A server's connection holds up to 32 MiB of requests' data.
//!
//! A dropped [`Client`] closes its connections and waits for its threads; requests under way fail.
//! [`Client::disconnect`] takes leave of the server first. Neither flushes. A dropped [`Pending`] abandons the
//! result, not the request. A dropped [`Server`] waits five seconds for requests under way, and removes its socket.
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
mod zeroing;

pub use client::{Client, Options, Pending};
pub use error::{Errno, Error, ErrorKind};
pub use extent::Extent;
pub use server::{Export, Server, ServerOptions};
pub use sizes::BlockSizes;
pub use stream::Address;
pub use zeroing::Zeroing;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
