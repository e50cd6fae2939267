use super::*;
use crate::error::ErrorKind;
use crate::layout::{MAX_BLOB_SIZE, MAX_DEVICES};
use crate::writer::ArchiveWriter;
use sha2::{Digest, Sha256};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn the_vector_of_the_documentation_is_written_to_the_bit() {
    let uuid = std::array::from_fn(|i| i as u8);
    let mut builder = HeaderBuilder::new(uuid, 1_700_000_000);
    builder
        .add_config("qemu-server.conf", "memory: 512\n")
        .unwrap();
    let disk = builder.add_device("drive-scsi0", 69_632).unwrap();
    let mut image = vec![0; 69_632];
    image[..4096].fill(0xaa);
    image[65_536] = 1;
    let mut writer = ArchiveWriter::new(Vec::new(), &builder.build().unwrap()).unwrap();
    writer.write_cluster(disk, 0, &image[..65_536]).unwrap();
    writer.write_cluster(disk, 1, &image[65_536..]).unwrap();
    let (archive, summary) = writer.finish().unwrap();
    assert_eq!(archive.len(), 21_504);
    assert_eq!(hex(&archive[32..48]), "6927f921fc543e83e43a032e2d20c18a");
    assert_eq!(
        hex(&archive[12_800 + 24..12_800 + 40]),
        "0199b2c0308f0df4d6cef431c8e88e99"
    );
    assert_eq!(
        hex(Sha256::digest(&archive)),
        "8fa4d2e7645616c6799d8310773e68a53e3152db8e6f5ba7bdbcba2e0dc16acf"
    );
    assert_eq!(summary.devices()[0].zero_bytes(), 69_632 - 8192);
}

#[test]
fn a_header_is_read_as_it_was_built() {
    let mut builder = HeaderBuilder::new([3; 16], -5);
    for number in 0..256_u32 {
        builder
            .add_config(&format!("config-{number}"), number.to_be_bytes())
            .unwrap();
    }
    for number in 0..MAX_DEVICES {
        builder
            .add_device(&format!("disk-{number}"), 1 + number as u64)
            .unwrap();
    }
    let header = builder.build().unwrap();
    assert_eq!(header.size() % 512, 0);
    assert_eq!(
        Header::declared_size(header.as_bytes()).unwrap() as u64,
        header.size()
    );
    assert_eq!(Header::parse(header.as_bytes().to_vec()).unwrap(), header);
}

#[test]
fn a_header_without_anything_is_read_by_the_reference_too() {
    let header = HeaderBuilder::new([0; 16], 0).build().unwrap();
    // The reference refuses a header without a blob table.
    assert_eq!(header.size(), 12_800);
    assert_eq!(Header::parse(header.as_bytes().to_vec()).unwrap(), header);
}

#[test]
fn what_does_not_fit_into_a_header_is_refused() {
    let mut builder = HeaderBuilder::new([0; 16], 0);
    let mut refused = |name: &str, kind| {
        assert_eq!(
            builder.add_config(name, "").unwrap_err().kind(),
            kind,
            "config {name:?}"
        );
        assert_eq!(
            builder.add_device(name, 1).unwrap_err().kind(),
            kind,
            "device {name:?}"
        );
    };
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a b",
        "a=b",
        "ä",
        "a\0",
        &"x".repeat(201),
    ] {
        refused(name, ErrorKind::Name);
    }
    builder.add_config("one", vec![0; MAX_BLOB_SIZE]).unwrap();
    let kind = |result: Result<()>| result.unwrap_err().kind();
    assert_eq!(
        kind(builder.add_config("one", "")),
        ErrorKind::DuplicateName
    );
    assert_eq!(
        kind(builder.add_config("two", vec![0; 65_536])),
        ErrorKind::HeaderFull
    );
    assert_eq!(
        kind(builder.add_device("a", 0).map(drop)),
        ErrorKind::DeviceSize
    );
    let most = 256 << 40;
    assert_eq!(
        kind(builder.add_device("a", most + 1).map(drop)),
        ErrorKind::DeviceSize
    );
    builder.add_device("a", most).unwrap();
    for number in 2..9 {
        builder
            .add_config(&number.to_string(), vec![0; MAX_BLOB_SIZE])
            .unwrap();
    }
    assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::HeaderFull);
}
