//! What the tests share: golden archives, readers that misbehave, archives made to order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests may panic"
)]
#![allow(unreachable_pub, reason = "a module of tests")]
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod damage;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use fleece_vma_format::{
    ArchiveWriter, CLUSTER_SIZE, Header, HeaderBuilder, Reader, Result, cluster_length,
    cluster_offset,
};
use serde::Deserialize;

/// What the reference made of a golden archive (see `tests/data/README.md`).
#[derive(Debug, Deserialize)]
pub struct Golden {
    pub files: BTreeMap<String, File>,
    pub list: String,
    pub verify_verbose_tail: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct File {
    pub sha256: String,
    pub size: u64,
}

pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

pub fn golden_bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

pub fn manifest() -> BTreeMap<String, Golden> {
    serde_json::from_slice(&golden_bytes("manifest.json")).unwrap()
}

pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An archive's header and its devices' contents, in header order.
pub fn contents(input: impl Read) -> Result<(Header, Vec<Vec<u8>>)> {
    let mut reader = Reader::new(input)?;
    let header = reader.header().clone();
    let mut disks: Vec<Vec<u8>> = header
        .devices()
        .iter()
        .map(|device| vec![0xee; device.size() as usize])
        .collect();
    while let Some(extent) = reader.next_extent()? {
        for cluster in extent.clusters() {
            let entry = cluster.entry();
            let place = header
                .devices()
                .iter()
                .position(|d| d.id() == entry.device())
                .unwrap();
            let start = entry.offset() as usize;
            let disk = &mut disks[place];
            let end = (start + CLUSTER_SIZE).min(disk.len());
            cluster.copy_to(&mut disk[start..end]);
        }
        reader.recycle(extent);
    }
    Ok((header, disks))
}

/// A header with one config and devices of these sizes, named `drive-scsi0` and so on.
pub fn header(sizes: &[u64]) -> Header {
    builder(sizes).build().unwrap()
}

/// The same of an aligned archive.
pub fn aligned_header(sizes: &[u64]) -> Header {
    builder(sizes).aligned().build().unwrap()
}

fn builder(sizes: &[u64]) -> HeaderBuilder {
    let mut builder = HeaderBuilder::new(*b"0123456789abcdef", 1_700_000_000);
    builder
        .add_config("qemu-server.conf", "memory: 512\n")
        .unwrap();
    for (number, size) in sizes.iter().enumerate() {
        builder
            .add_device(&format!("drive-scsi{number}"), *size)
            .unwrap();
    }
    builder
}

/// An archive of these disks, in order.
pub fn archive(disks: &[Vec<u8>]) -> Vec<u8> {
    written(&header(&sizes(disks)), disks)
}

pub fn sizes(disks: &[Vec<u8>]) -> Vec<u64> {
    disks.iter().map(|disk| disk.len() as u64).collect()
}

/// The archive that begins with this header, of these disks, in order.
pub fn written(header: &Header, disks: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new(), header).unwrap();
    for (device, disk) in header.devices().iter().zip(disks) {
        for index in 0..device.clusters() {
            let start = cluster_offset(index) as usize;
            let end = start + cluster_length(device.size(), index);
            writer
                .write_cluster(device.id(), index, &disk[start..end])
                .unwrap();
        }
    }
    let (bytes, summary) = writer.finish().unwrap();
    assert_eq!(summary.bytes(), bytes.len() as u64);
    bytes
}

/// Reproducible contents with zero clusters, zero blocks, and data that does not compress.
pub fn disk(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut disk = vec![0; size];
    for cluster in disk.chunks_mut(CLUSTER_SIZE) {
        let kind = next() % 4;
        for block in cluster.chunks_mut(4096) {
            if kind == 0 || kind == 1 && next() % 2 == 0 {
                continue;
            }
            for word in block.chunks_mut(8) {
                let random = next().to_le_bytes();
                word.copy_from_slice(&random[..word.len()]);
            }
        }
    }
    disk
}

/// Gives the input in pieces of changing, mostly tiny, length, with interruptions.
pub struct ShortReads<R> {
    input: R,
    state: u32,
}

impl<R> ShortReads<R> {
    pub fn new(input: R, seed: u32) -> Self {
        Self {
            input,
            state: seed | 1,
        }
    }
}

impl<R: Read> Read for ShortReads<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state = self
            .state
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let random = (self.state >> 16) as usize;
        if random.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = if random.is_multiple_of(3) {
            1 + random % 7
        } else {
            1 + random * 3
        };
        let length = buffer.len().min(most);
        self.input.read(&mut buffer[..length])
    }
}

/// Whether a program is there; if not, says on standard error that the test is skipped.
pub fn have(tool: &str) -> bool {
    let there = std::process::Command::new(tool)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok();
    if !there {
        eprintln!("SKIP: {tool} is not installed");
    }
    there
}
