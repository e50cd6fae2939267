use super::algorithm::Algorithm;
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
    index_with(Algorithm::Blake3, archive)
}

fn index_with(algorithm: Algorithm, archive: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(archive).unwrap();
    let (mut builder, mut index) = IndexBuilder::with(algorithm, reader.header());
    while let Some(extent) = reader.next_extent().unwrap() {
        let digest = ExtentDigest::with(algorithm, &extent);
        index.extend(builder.extent(&digest).unwrap().unwrap_or_default());
    }
    index.extend(builder.finish());
    index
}

/// The index of the sample, as earlier versions of this crate wrote it.
const VERSION_1: &[u8] = include_bytes!("../../tests/data/index-1/many-extents.idx");

/// The indexes of the sample that are read.
fn all() -> [Vec<u8>; 3] {
    let (archive, new) = sample();
    let sha256 = index_with(Algorithm::Sha256, &archive);
    [new, sha256, VERSION_1.to_vec()]
}

fn read(index: &[u8]) -> Result<Vec<IndexRecord>> {
    IndexReader::new(index)?.collect()
}

#[test]
fn an_index_tells_every_extent_of_its_archive() {
    let (archive, _) = sample();
    for index in all() {
        let mut reader = Reader::new(&archive[..]).unwrap();
        let mut records = IndexReader::new(&index[..]).unwrap();
        records.check(reader.header()).unwrap();
        while let Some(mut extent) = reader.next_extent().unwrap() {
            let record = records.next_record().unwrap().unwrap();
            assert_eq!(record.offset(), extent.offset());
            assert!(record.digest().fits(&extent));
            assert_eq!(record.digest().damaged(&extent).count(), 0);
            if extent.has_payload() {
                extent.buffer.head(1000)[999] ^= 1;
                assert!(!record.digest().fits(&extent));
                let damaged: Vec<_> = record.digest().damaged(&extent).collect();
                let stored = extent.clusters().find(|cluster| !cluster.is_zero());
                assert_eq!(damaged, [stored.unwrap().entry()]);
            }
        }
        assert_eq!(records.next_record().unwrap(), None);
        assert_eq!(records.offset(), archive.len() as u64);
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_an_index_is_found() {
    for good in all() {
        assert!(read(&good).is_ok());
        let places = (0..64).chain((64..good.len()).step_by(13));
        for place in places.chain(good.len() - 64..good.len()) {
            let mut bad = good.clone();
            bad[place] ^= 1 << (place % 8);
            let error = read(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index, "bit at {place}");
            let error = read(&good[..place]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index, "cut at {place}");
        }
        let longer = [&good[..], b"x"].concat();
        assert_eq!(read(&longer).unwrap_err().kind(), ErrorKind::Index);
    }
}

/// What padding for aligned payload costs: an extent without clusters before each cluster's.
#[test]
fn an_extent_costs_an_index_one_byte() {
    let header = HeaderBuilder::new([3; 16], 0).build().unwrap();
    let size = |extents: u64| {
        let (mut builder, mut index) = IndexBuilder::new(&header);
        let mut extent = crate::extent::Extent::default();
        extent.begin([3; 16]);
        extent.seal();
        for _ in 0..extents {
            let digest = ExtentDigest::of(&extent);
            index.extend(builder.extent(&digest).unwrap().unwrap_or_default());
        }
        index.extend(builder.finish());
        assert_eq!(read(&index).unwrap().len() as u64, extents);
        index.len() as u64
    };
    assert_eq!(size(1001) - size(1), 1000);
    assert!(size(100_000) < 100_000 + 25 * 36 + size(1));
}

#[test]
fn an_index_has_17_bytes_for_each_cluster() {
    let mut builder = HeaderBuilder::new([3; 16], 0);
    let disk = builder.add_device("disk", 580 << 16).unwrap();
    let mut writer = ArchiveWriter::new(Vec::new(), &builder.build().unwrap()).unwrap();
    for cluster in 0..580 {
        writer.write_cluster(disk, cluster, &[5; 65536]).unwrap();
    }
    let index = index(&writer.finish().unwrap().0);
    assert!(index.len() < 580 * 17, "{}", index.len());
}

#[test]
fn checksums_of_another_kind_do_not_go_into_an_index() {
    let (archive, _) = sample();
    let header = Reader::new(&archive[..]).unwrap().header().clone();
    for index in &all()[1..] {
        let record = IndexReader::new(&index[..]).unwrap().next_record();
        let digest = record.unwrap().unwrap().digest().clone();
        let error = IndexBuilder::new(&header).0.extent(&digest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

/// They would never be equal to new ones, which would look as if everything had changed.
#[test]
fn an_archive_whose_index_has_checksums_of_another_kind_is_no_base() {
    let (archive, new) = sample();
    assert!(crate::Base::open(archive.clone(), new).is_ok());
    for index in &all()[1..] {
        let error = crate::Base::open(archive.clone(), index.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.advice(), Some(crate::Advice::MakeIndex));
    }
}

#[test]
fn an_unknown_digest_is_an_error() {
    let (_, mut index) = sample();
    index[16 + 24] = 3;
    let body = index[16..16 + 60].to_vec();
    index[12..16].copy_from_slice(&crc32fast::hash(&body).to_be_bytes());
    assert_eq!(read(&index).unwrap_err().kind(), ErrorKind::Index);
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
