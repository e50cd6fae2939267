use super::*;
use crate::error::{ErrorKind, Result};
use crate::header::HeaderBuilder;
use crate::reader::Reader;
use crate::writer::ArchiveWriter;

/// An archive of many extents and its index.
fn sample() -> (Vec<u8>, Vec<u8>) {
    let clusters = 58 * 300 + 7;
    let mut builder = HeaderBuilder::new([3; 16], 0);
    let disk = builder.add_device("disk", clusters * 65536).unwrap();
    let mut writer = ArchiveWriter::new(Vec::new(), &builder.build().unwrap()).unwrap();
    for index in 0..clusters {
        if index % 1000 == 5 {
            writer.write_cluster(disk, index, &[5; 65536]).unwrap();
        } else {
            writer.write_zeroes(disk, index..index + 1).unwrap();
        }
    }
    let archive = writer.finish().unwrap().0;
    let index = index(&archive);
    (archive, index)
}

/// The index of an archive, built as it is read.
pub(crate) fn index(archive: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(archive).unwrap();
    let (mut builder, mut index) = IndexBuilder::new(reader.header());
    while let Some(extent) = reader.next_extent().unwrap() {
        index.extend(
            builder
                .extent(&ExtentDigest::of(&extent))
                .into_iter()
                .flatten(),
        );
    }
    index.extend(builder.finish());
    index
}

fn read(index: &[u8]) -> Result<Vec<IndexRecord>> {
    IndexReader::new(index)?.collect()
}

#[test]
fn an_index_tells_every_extent_of_its_archive() {
    let (archive, index) = sample();
    let mut reader = Reader::new(&archive[..]).unwrap();
    let mut records = IndexReader::new(&index[..]).unwrap();
    records.check(reader.header()).unwrap();
    while let Some(extent) = reader.next_extent().unwrap() {
        let record = records.next_record().unwrap().unwrap();
        assert_eq!(record.offset(), extent.offset());
        assert!(record.digest().fits(&extent));
        assert_eq!(record.digest().damaged(&extent).count(), 0);
        assert_eq!(record.digest(), &ExtentDigest::of(&extent));
    }
    assert_eq!(records.next_record().unwrap(), None);
    assert_eq!(records.offset(), archive.len() as u64);
    assert!(
        index.len() * 20 < archive.len(),
        "an index of {} bytes",
        index.len()
    );
}

#[test]
fn every_flipped_bit_and_every_cut_of_an_index_is_found() {
    let (_, good) = sample();
    assert!(read(&good).is_ok());
    for place in (0..good.len()).step_by(13) {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        assert_eq!(
            read(&bad).unwrap_err().kind(),
            ErrorKind::Index,
            "bit at {place}"
        );
        assert_eq!(
            read(&good[..place]).unwrap_err().kind(),
            ErrorKind::Index,
            "cut at {place}"
        );
    }
    let longer = [&good[..], b"x"].concat();
    assert_eq!(read(&longer).unwrap_err().kind(), ErrorKind::Index);
}

#[test]
fn an_index_of_another_archive_is_refused() {
    let (archive, index) = sample();
    let header = Reader::new(&archive[..]).unwrap().header().clone();
    let mut other = HeaderBuilder::new(*header.uuid(), 1);
    other
        .add_device("disk", header.devices()[0].size())
        .unwrap();
    let error = IndexReader::new(&index[..])
        .unwrap()
        .check(&other.build().unwrap())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IndexMismatch);
}

#[test]
fn after_an_error_an_index_ends() {
    let (_, index) = sample();
    let mut reader = IndexReader::new(&index[..index.len() - 1]).unwrap();
    assert_eq!(reader.by_ref().filter(Result::is_err).count(), 1);
    assert!(reader.next().is_none());
}
