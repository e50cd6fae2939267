//! The VMA archive format of Proxmox VE: one file that holds a guest's configs and disks.
//!
//! An archive is a [`Header`] (identity, configs, device table) followed by extents, each up to
//! 59 clusters of 64 KiB behind a header of 512 bytes, until the end of the file. Blocks of 4 KiB
//! that are zero are not stored. The format is forward-only: it is written to and read from pipes.
//!
//! | to | there is |
//! |---|---|
//! | open any archive | [`open`], [`open_reader`], [`open_read_at`]: an [`Archive`] |
//! | read it in order | [`Archive::reader`]: a [`Reader`], strict about every rule of the format |
//! | read a disk anywhere | [`Archive::device`], or [`RandomAccess`] from many threads |
//! | write all of it somewhere | [`Archive::copy_device`]; [`restore`], on many threads |
//! | make one, cluster by cluster | [`HeaderBuilder`], then [`ArchiveWriter`], or the [`Encoder`] beneath it |
//! | make one of whole disks | [`pack`], on many threads, compressed and indexed by an [`Output`] |
//! | put one into another container or order | [`copy`], [`Repack`] |
//! | look for damage | [`verify`]; [`recover`] restores what is left |
//! | know payload to the bit | [`index`]: checksums, beside or within an archive |
//! | look into zstd, gzip, lzop | [`container`] |
//!
//! The parsers take slices and believe nothing: no input makes them panic, loop, or hold more than
//! a few extents, one header and one bit per cluster.
//!
//! Not here: live guests, storages, image formats.
#![doc = ""]
#![doc = include_str!("../README.md")]

mod advice;
mod aligned;
mod archive;
mod cluster_set;
pub mod container;
mod coverage;
mod diff;
mod encoder;
mod error;
mod extent;
mod extent_writer;
mod foreign;
#[cfg(feature = "full")]
#[doc(hidden)]
pub mod fuzzing;
mod gathered;
mod header;
mod header_walk;
#[cfg(feature = "index")]
pub mod index;
#[cfg(not(feature = "index"))]
#[path = "index/absent.rs"]
mod index;
mod known;
mod layout;
#[cfg(unix)]
pub mod map;
mod ordered;
mod output;
mod pack;
mod random_access;
mod read_at;
mod reader;
pub mod recover;
pub mod restore;
mod reuse;
mod rewrite;
mod scan;
mod survey;
mod take_over;
mod tally;
mod threads;
pub mod verify;
mod writer;
mod zero;

pub use advice::Advice;
#[cfg(any(unix, windows))]
pub use archive::open;
pub use archive::{Archive, ArchivedDevice, DeviceReader, open_read_at, open_reader};
pub use diff::different_clusters;
pub use encoder::{DeviceSummary, Encoder, Summary};
pub use error::{Error, ErrorKind, Result};
pub use extent::run::Run;
pub use extent::{Cluster, ClusterEntry, Extent, ExtentHeader, block_mask};
pub use extent_writer::ExtentWriter;
pub use header::{Config, Device, Header, HeaderBuilder};
pub use known::Known;
pub use layout::{
    BLOCK_SIZE, CLUSTER_SIZE, DeviceId, EXTENT_CLUSTERS, EXTENT_HEADER_SIZE, EXTENT_SLOTS,
    FIXED_HEADER_SIZE, MAX_BLOB_SIZE, MAX_CLUSTERS, MAX_CONFIGS, MAX_DEVICES, MAX_EXTENT_SIZE,
    MAX_HEADER_SIZE, VMSTATE, cluster_count, cluster_length, cluster_offset,
};
pub use output::{Compression, Output};
pub use pack::{Packed, Source, pack};
pub use random_access::{RandomAccess, Stretch};
pub use read_at::{Loan, ReadAt};
pub use reader::Reader;
pub use reuse::Base;
#[cfg(feature = "index")]
pub use rewrite::stable_uuid;
pub use rewrite::{Repack, copy};
pub use survey::Survey;
pub use take_over::TakeOver;
pub use tally::Tally;
pub use writer::ArchiveWriter;
pub use zero::is_zero;
