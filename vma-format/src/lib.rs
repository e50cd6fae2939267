//! The VMA archive format of Proxmox VE: one file that holds a guest's configs and disks.
//!
//! An archive is a [`Header`] (identity, configs, device table) followed by extents, each up to
//! 59 clusters of 64 KiB behind a header of 512 bytes, until the end of the file. Blocks of 4 KiB
//! that are zero are not stored. The format is forward-only: it is written to and read from pipes.
//!
//! - Writing: [`HeaderBuilder`], then [`ArchiveWriter`] for any [`std::io::Write`], or the
//!   [`Encoder`] beneath it, which does no I/O and hands over finished extents.
//! - Reading: [`Reader`] for any [`std::io::Read`], strict about every rule of the format.
//! - [`Archive`]: any device at any offset, from anything that can [`ReadAt`].
//! - [`index`]: checksums over payload and the place of everything, beside or within an archive.
//! - [`container`]: what archives are wrapped in: zstd, gzip, lzop.
//!
//! The parsers take slices and believe nothing: no input makes them panic, loop, or hold more than
//! a few extents, one header and one bit per cluster.
//!
//! Not here: live guests, storages, image formats, places of files.

mod archive;
mod cluster_set;
pub mod container;
mod coverage;
mod encoder;
mod error;
mod extent;
mod extent_writer;
mod foreign;
#[cfg(feature = "full")]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod hop;
#[cfg(feature = "index")]
pub mod index;
#[cfg(not(feature = "index"))]
#[path = "index/absent.rs"]
mod index;
mod layout;
#[cfg(unix)]
pub mod map;
mod ordered;
mod output;
mod pack;
mod read_at;
mod reader;
pub mod recover;
pub mod restore;
mod scan;
mod tally;
pub mod verify;
mod writer;
mod zero;

pub use archive::{Archive, Stretch};
pub use encoder::{DeviceSummary, Encoder, Summary};
pub use error::{Error, ErrorKind, Result};
pub use extent::run::Run;
pub use extent::{Cluster, ClusterEntry, Extent, ExtentHeader, block_mask};
pub use extent_writer::ExtentWriter;
pub use header::{Config, Device, Header, HeaderBuilder};
pub use layout::{
    BLOCK_SIZE, CLUSTER_SIZE, DeviceId, EXTENT_CLUSTERS, EXTENT_HEADER_SIZE, EXTENT_SLOTS,
    FIXED_HEADER_SIZE, MAX_BLOB_SIZE, MAX_CLUSTERS, MAX_CONFIGS, MAX_DEVICES, MAX_EXTENT_SIZE,
    MAX_HEADER_SIZE, VMSTATE, cluster_count, cluster_length, cluster_offset,
};
pub use output::{Compression, Output};
pub use pack::{Packed, Source, pack};
pub use read_at::ReadAt;
pub use reader::Reader;
pub use tally::Tally;
pub use writer::ArchiveWriter;
pub use zero::is_zero;
