use super::*;
use crate::encoder::Encoder;
use crate::error::ErrorKind;
use crate::header::HeaderBuilder;

#[test]
fn a_mask_has_a_bit_for_each_block_that_is_not_zero() {
    let mut data = vec![0; CLUSTER_SIZE];
    assert_eq!(block_mask(&data), 0);
    data[4096] = 1;
    data[CLUSTER_SIZE - 1] = 1;
    assert_eq!(block_mask(&data), 0x8002);
    assert_eq!(block_mask(&data[..4097]), 2, "a part of a block is a block");
    assert_eq!(block_mask(&[1; CLUSTER_SIZE]), 0xffff);
}

#[test]
fn the_58th_cluster_fills_an_extent_and_all_59_slots_are_read() {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let disk = builder.add_device("disk", 60 << 16).unwrap();
    let header = builder.build().unwrap();
    let mut encoder = Encoder::new(&header);
    let full = (0..60).filter_map(|n| encoder.cluster(disk, n, &[1; CLUSTER_SIZE]).unwrap());
    let sizes: Vec<_> = full.map(|extent| extent.header().entries().len()).collect();
    assert_eq!(sizes, [58]);
    let entries = (0..59).map(|n| ClusterEntry::new(disk, n, 3)).collect();
    let header = ExtentHeader {
        uuid: [1; 16],
        entries,
    };
    let mut bytes = [0; EXTENT_HEADER_SIZE];
    encode(&header, &mut bytes);
    assert_eq!(parse(&bytes).unwrap(), header);
    assert_eq!(header.size(), 512 + 59 * 2 * 4096);
}

#[test]
fn a_cluster_of_the_wrong_length_or_place_is_refused_and_changes_nothing() {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let disk = builder.add_device("disk", 65_536 + 10).unwrap();
    let mut encoder = Encoder::new(&builder.build().unwrap());
    let kind =
        |result: crate::error::Result<_>| result.map(|_: Option<Extent>| ()).unwrap_err().kind();
    assert_eq!(
        kind(encoder.cluster(disk, 0, &[1; 100])),
        ErrorKind::ClusterLength
    );
    assert_eq!(
        kind(encoder.cluster(disk, 1, &[1; CLUSTER_SIZE])),
        ErrorKind::ClusterLength
    );
    assert_eq!(
        kind(encoder.cluster(disk, 2, &[1; 10])),
        ErrorKind::ClusterOutOfRange
    );
    assert_eq!(
        kind(encoder.zero_cluster(disk, 1 << 32)),
        ErrorKind::ClusterOutOfRange
    );
    let other = DeviceId::new(2).unwrap();
    assert_eq!(
        kind(encoder.zero_cluster(other, 0)),
        ErrorKind::UnknownDevice
    );
    encoder.cluster(disk, 1, &[1; 10]).unwrap();
    assert_eq!(
        kind(encoder.cluster(disk, 1, &[1; 10])),
        ErrorKind::DuplicateCluster
    );
    encoder.zero_cluster(disk, 0).unwrap();
    let (last, summary) = encoder.finish().unwrap();
    assert_eq!(last.unwrap().header().entries().len(), 2);
    assert_eq!(summary.devices()[0].bytes(), 65_546);
    assert_eq!(summary.devices()[0].zero_bytes(), 65_536);
}

#[test]
fn runs_of_blocks_are_found() {
    let entry = ClusterEntry::new(DeviceId::new(1).unwrap(), 0, 0b1000_0000_0110_0001);
    let blocks: Vec<u8> = (0..4 * BLOCK_SIZE)
        .map(|i| (i / BLOCK_SIZE) as u8 + 1)
        .collect();
    let cluster = Cluster {
        entry,
        blocks: &blocks,
    };
    let runs: Vec<_> = cluster
        .runs()
        .map(|(at, data)| (at / BLOCK_SIZE, data.len(), data[0]))
        .collect();
    assert_eq!(runs, [(0, 4096, 1), (5, 8192, 2), (15, 4096, 4)]);
    let mut whole = vec![9; CLUSTER_SIZE];
    cluster.copy_to(&mut whole);
    assert_eq!(block_mask(&whole), entry.mask());
    let mut part = vec![9; 5000];
    cluster.copy_to(&mut part);
    assert_eq!(part, whole[..5000]);
}

#[test]
fn a_hole_at_once_makes_the_extents_that_its_clusters_make_one_by_one() {
    let clusters = 58 * 5 + 7;
    for aligned in [false, true] {
        let mut builder = HeaderBuilder::new([3; 16], 0);
        // The last cluster of the disk is a short one, and another disk follows.
        let size = cluster_offset(clusters) - 1000;
        let disk = builder.add_device("disk", size).unwrap();
        let other = builder.add_device("other", cluster_offset(70)).unwrap();
        let builder = if aligned { builder.aligned() } else { builder };
        let header = builder.build().unwrap();
        for data in [0, 1, 57, 58, 100] {
            let archive = |at_once: bool| {
                let mut encoder = Encoder::new(&header);
                let mut extents = Vec::new();
                let mut full = encoder.cluster(disk, data, &[7; CLUSTER_SIZE]).unwrap();
                extents.extend(full.take());
                for (device, clusters) in
                    [(disk, 0..data), (disk, data + 1..clusters), (other, 0..70)]
                {
                    if at_once {
                        extents.extend(encoder.zero_clusters(device, clusters).unwrap());
                    } else {
                        let one = |index| encoder.zero_cluster(device, index).unwrap();
                        extents.extend(clusters.filter_map(one));
                    }
                }
                let (last, summary) = encoder.finish().unwrap();
                extents.extend(last);
                let place = |extent: &Extent| (extent.offset(), extent.as_bytes().to_vec());
                (extents.iter().map(place).collect::<Vec<_>>(), summary)
            };
            assert_eq!(archive(true), archive(false), "aligned {aligned}, {data}");
        }
    }
}

#[test]
fn a_hole_that_cannot_be_there_is_refused_for_its_first_wrong_cluster() {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let disk = builder.add_device("disk", cluster_offset(100)).unwrap();
    let header = builder.build().unwrap();
    let refused = |clusters: std::ops::Range<u64>| {
        let mut encoder = Encoder::new(&header);
        encoder.zero_cluster(disk, 50).unwrap();
        encoder.zero_clusters(disk, clusters).unwrap_err().kind()
    };
    assert_eq!(refused(40..60), ErrorKind::DuplicateCluster);
    assert_eq!(refused(90..101), ErrorKind::ClusterOutOfRange);
    assert_eq!(
        refused(u64::MAX - 3..u64::MAX),
        ErrorKind::ClusterOutOfRange
    );
    assert_eq!(
        refused((1 << 32) - 1..(1 << 32) + 1),
        ErrorKind::ClusterOutOfRange
    );
}
