//! What fuzz targets call: every parser with bytes only, checksums made right first where they
//! would keep a fuzzer out.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use crate::container::{self, Seekable};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::extent;
use crate::extent_writer::ExtentWriter;
use crate::header::Header;
use crate::header::HeaderBuilder;
use crate::header::checksum_without;
use crate::index;
use crate::index::fuzz_pieces;
use crate::layout::{
    CLUSTER_SIZE, DeviceId, EXTENT_HEADER_SIZE, FIXED_HEADER_SIZE, MAX_HEADER_SIZE,
};
#[cfg(unix)]
use crate::map;
use crate::output::{Compression, Output};
use crate::pack::{Source, pack};
use crate::random_access::{RandomAccess, Stretch};
use crate::read_at::ReadAt;
use crate::reader::Reader;
use crate::recover::recover;
use crate::restore::Targets;
use crate::reuse::Base;
use crate::take_over::TakeOver;
use crate::verify::{Watch, verify};
use crate::writer::ArchiveWriter;

/// A header, whatever its checksum.
pub fn header(data: &[u8]) {
    let _ = Header::parse(data.to_vec());
    let _ = Header::declared_size(data);
    if let Ok(header) = Header::parse_damaged(data.to_vec()) {
        for name in header.configs().iter().map(crate::header::Config::name) {
            assert!(!name.contains('/') && !name.starts_with('.') && !name.is_empty());
        }
    }
}

/// An extent header, its checksum made right.
pub fn extent(data: &[u8]) {
    let mut bytes = [0; EXTENT_HEADER_SIZE];
    bytes
        .iter_mut()
        .zip(data)
        .for_each(|(to, from)| *to = *from);
    let _ = extent::parse(&bytes);
    fix(&mut bytes, 24);
    if let Ok(header) = extent::parse(&bytes) {
        // What has been read is written the same way, apart from unused slots.
        let mut again = [0; EXTENT_HEADER_SIZE];
        extent::encode(&header, &mut again);
        assert_eq!(extent::parse(&again).ok(), Some(header));
    }
}

/// A whole archive, as it is and with its checksums made right; all readers must agree on it.
pub fn archive(data: &[u8]) {
    readers(data);
    let mut bytes = data.to_vec();
    let size = bytes.get(56..60).and_then(|field| field.first_chunk::<4>());
    let size = size.map_or(0, |field| u32::from_be_bytes(*field) as usize);
    if !(FIXED_HEADER_SIZE..=MAX_HEADER_SIZE).contains(&size) || size > bytes.len() {
        return;
    }
    let (head, mut rest) = bytes.split_at_mut_checked(size).unwrap_or_default();
    fix(head, 32);
    let uuid = head.get(8..24).unwrap_or_default().to_vec();
    while let Some(extent) = rest.get_mut(..EXTENT_HEADER_SIZE) {
        if let Some(field) = extent.get_mut(8..24) {
            field.copy_from_slice(&uuid);
        }
        fix(extent, 24);
        let blocks = extent.get(6..8).and_then(|field| field.first_chunk::<2>());
        let blocks = blocks.map_or(0, |field| usize::from(u16::from_be_bytes(*field)));
        let size = blocks
            .saturating_mul(4096)
            .saturating_add(EXTENT_HEADER_SIZE);
        rest = rest.get_mut(size..).unwrap_or_default();
    }
    readers(&bytes);
}

fn readers(bytes: &[u8]) {
    let strict = Reader::new(bytes).and_then(Reader::verify);
    let random = RandomAccess::open(bytes.to_vec());
    assert_eq!(strict.is_ok(), random.is_ok());
    if let Ok(verified) = verify(bytes, None, &mut Deaf) {
        assert_eq!(strict.is_ok(), verified.damages == 0);
    }
    let recovered: Result<_> = recover(bytes, None, |_| Ok(Targets::new()), &mut Deaf);
    if let Ok(recovered) = recovered {
        assert_eq!(strict.is_ok(), recovered.damages() == 0);
    }
    if let Ok(archive) = random {
        for device in archive.header().devices() {
            let _ = archive.stretch_at(device.id(), device.size() / 2);
            let _ = archive.read_at(device.id(), 0, &mut [0; 5000]);
        }
    }
}

/// Containers, alone and within each other.
pub fn containers(data: &[u8]) {
    if let Ok(stream) = container::open(data) {
        // Longer output proves nothing more.
        let _ = std::io::copy(&mut stream.take(1 << 24), &mut std::io::sink());
    }
    if let Ok(Some(seekable)) = Seekable::open(data.to_vec()) {
        let _ = std::io::copy(&mut seekable.reader().take(1 << 24), &mut std::io::sink());
    }
}

/// An index: as a whole, and each kind of piece without its checksums.
pub fn index(data: &[u8]) {
    if let Ok(reader) = index::IndexReader::new(data) {
        reader.for_each(drop);
    }
    fuzz_pieces(data);
}

/// A `-r` map.
#[cfg(unix)]
pub fn map(data: &[u8]) {
    let _ = map::read(data);
    let _ = map::parse_line(data);
}

/// Clusters in an order and of contents that `data` chooses, written and read again.
pub fn round_trip(data: &[u8]) {
    let clusters = data.len().clamp(1, 200) as u64;
    let tail = data
        .first()
        .map_or(1, |&byte| u64::from(byte).saturating_mul(257).max(1));
    let size = (clusters.saturating_sub(1))
        .saturating_mul(CLUSTER_SIZE as u64)
        .saturating_add(tail);
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let Ok(disk) = builder.add_device("disk", size) else {
        return;
    };
    let Ok(header) = builder.build() else { return };
    let contents = |index: u64| {
        let kind = usize::try_from(index)
            .ok()
            .and_then(|index| data.get(index))
            .copied()
            .unwrap_or(0);
        let mut cluster = vec![0; crate::layout::cluster_length(size, index)];
        for (block, bit) in cluster.chunks_mut(4096).zip(0_u32..) {
            if kind.wrapping_shr(bit % 8) & 1 == 1 {
                block.fill(kind);
            }
        }
        cluster
    };
    let write = || -> Result<Vec<u8>> {
        let mut writer = ArchiveWriter::new(Vec::new(), &header)?;
        // Odd clusters backwards, then even ones.
        let odd = (0..clusters).rev().filter(|index| index % 2 == 1);
        for index in odd.chain((0..clusters).filter(|index| index % 2 == 0)) {
            writer.write_cluster(disk, index, &contents(index))?;
        }
        Ok(writer.finish()?.0)
    };
    let Ok(bytes) = write() else {
        unreachable!("a complete archive is written")
    };
    let Ok(archive) = RandomAccess::open(bytes) else {
        unreachable!("what is written is read")
    };
    for index in 0..clusters {
        let expected = contents(index);
        let mut there = vec![0xee; expected.len()];
        let read = archive.read_at(disk, crate::layout::cluster_offset(index), &mut there);
        assert!(read.is_ok() && there == expected);
    }
}

/// An older archive and its index, of which `data` has what was done to them, taken for the base of a new one, which
/// must be what it is without a base.
pub fn reuse(data: &[u8]) {
    let disk = Filled(data.first().copied().unwrap_or(0));
    let make = |base: Option<(Base, Vec<u8>)>| -> Result<(Vec<u8>, Vec<u8>)> {
        let mut builder = HeaderBuilder::new([0; 16], 0).aligned();
        builder.add_device("disk", 3 << 16)?;
        let header = builder.build()?;
        let index = Collected::default();
        let mut output = Output::new(
            Vec::new(),
            &Compression::None,
            Some(Box::new(index.clone())),
        )?;
        if let Some((base, bytes)) = base {
            output = output.reusing(base, Box::new(Equal(bytes)));
        }
        let (_, archive, _) = pack(&header, &[&disk], output, &mut |_| Ok(()))?;
        let index = index
            .0
            .lock()
            .map(|index| index.clone())
            .unwrap_or_default();
        Ok((archive, index))
    };
    let Ok((archive, index)) = make(None) else {
        unreachable!("an archive is written")
    };
    let (mut base, mut known) = (archive.clone(), index);
    // Four bytes a change: which file and scale, where, and what comes there.
    for change in data.get(1..).unwrap_or_default().as_chunks::<4>().0 {
        let [which, high, low, value] = *change;
        let file = if which & 1 == 0 {
            &mut base
        } else {
            &mut known
        };
        let place = usize::from(u16::from_be_bytes([high, low]))
            .saturating_mul(usize::from(which / 2).max(1));
        let length = file.len().max(1);
        if let Some(byte) = file.get_mut(place.checked_rem(length).unwrap_or(0)) {
            *byte = value;
        }
    }
    index::mend(&mut known);
    let Ok(opened) = Base::open(base.clone(), known) else {
        return;
    };
    inherit(&opened, &base, &disk);
    assert!(make(Some((opened, base))).is_ok_and(|(again, _)| again == archive));
}

/// Makes an archive of what the index of a base knows, without looking at a byte of it. If the headers bear the index out,
/// the new archive has the disk, or its own index finds the damage.
fn inherit(base: &Base, bytes: &[u8], disk: &Filled) {
    if !base.is_known() || base.archive().check_headers().is_err() {
        return;
    }
    let inherited = || -> Result<(RandomAccess<Vec<u8>>, DeviceId)> {
        let mut builder = HeaderBuilder::new([0; 16], 0).aligned();
        let device = builder.add_device("disk", 3 << 16)?;
        let header = builder.build()?;
        let index = Collected::default();
        let output = Output::new(
            Vec::new(),
            &Compression::None,
            Some(Box::new(index.clone())),
        )?;
        let output = output.reusing(base.clone(), Box::new(Equal(bytes.to_vec())));
        let mut writer = ExtentWriter::new(&header, output)?;
        let mut encoder = Encoder::new(&header);
        let mut read = vec![0; CLUSTER_SIZE];
        for cluster in 0..3 {
            let full = match base.known(device, cluster) {
                Some(known) => encoder.known_cluster(device, cluster, known)?,
                None => {
                    let there = disk.read_at(cluster << 16, &mut read);
                    there.map_err(|error| Error::io("a disk", error))?;
                    encoder.cluster(device, cluster, &read)?
                }
            };
            if let Some(extent) = full {
                writer.write(extent, &mut |_| {})?;
            }
        }
        if let (Some(extent), _) = encoder.finish()? {
            writer.write(extent, &mut |_| {})?;
        }
        let (archive, _) = writer.finish(&mut |_| {})?;
        let index = index.0.lock().map(|index| index.clone());
        let archive = RandomAccess::open_with_index(archive, index.unwrap_or_default())?;
        Ok((archive, device))
    };
    let Ok((archive, device)) = inherited() else {
        return;
    };
    let (mut there, mut expected) = (vec![0; CLUSTER_SIZE], vec![0; CLUSTER_SIZE]);
    for at in (0..3 << 16).step_by(CLUSTER_SIZE) {
        let read = archive.read_at(device, at, &mut there);
        assert!(disk.read_at(at, &mut expected).is_ok());
        assert!(read.is_err() || there == expected, "at {at}");
        // Nor is it taken for what is on a disk already.
        let is_there = archive.is_there(device, at >> 16, &expected);
        assert!(!is_there || read.is_err() || there == expected);
    }
}

/// A disk of one value, and another for each block.
struct Filled(u8);

impl Source for Filled {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        for (block, number) in buffer.chunks_mut(4096).zip(offset / 4096..) {
            block.fill(self.0.wrapping_add(u8::try_from(number % 256).unwrap_or(0)));
        }
        Ok(())
    }

    fn stretch_at(&self, _: u64, length: u64) -> std::io::Result<Stretch> {
        Ok(Stretch::data(length))
    }
}

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<u8>>>);

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let collected = self.0.lock();
        collected.map_or(Ok(0), |mut collected| collected.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Shares what is equal, as any [`TakeOver`] must.
struct Equal(Vec<u8>);

impl TakeOver<Vec<u8>> for Equal {
    fn take_over(&mut self, out: &mut Vec<u8>, place: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut there = vec![0; bytes.len()];
        match self.0.read_exact_at(&mut there, place) {
            Ok(()) if there == bytes => out.write_all(&there),
            _ => out.write_all(bytes),
        }
    }

    fn take_unread(&mut self, out: &mut Vec<u8>, place: u64, length: u64) -> std::io::Result<()> {
        let mut there = vec![0; usize::try_from(length).unwrap_or(0)];
        self.0.read_exact_at(&mut there, place)?;
        out.write_all(&there)
    }

    fn take_frame(&mut self, out: &mut Vec<u8>, place: u64, length: u64) -> std::io::Result<()> {
        self.take_unread(out, place, length)
    }
}

struct Deaf;

impl Watch for Deaf {}

/// Makes the MD5 at `at` right.
fn fix(bytes: &mut [u8], at: usize) {
    let field = at..at.saturating_add(16);
    let md5 = checksum_without(bytes, field.clone());
    if let Some(place) = bytes.get_mut(field) {
        place.copy_from_slice(&md5);
    }
}
