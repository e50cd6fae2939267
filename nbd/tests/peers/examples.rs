//! The example programs with other people's servers, compared with what other people's programs do.

use std::path::Path;
use std::process::Command;

use fleece_lab::example;
use tempfile::TempDir;

use crate::programs::{Program, allocated, pattern, run, sparse_file};

const MIB: u64 = 1 << 20;

/// 9 MiB and half a sector's worth of odd places: data, a hole, data.
fn half_empty(path: &Path) {
    let data = pattern(MIB as usize + 512, 8);
    sparse_file(path, 9 * MIB + 512, &[(0, &data), (5 * MIB - 512, &data)]);
}

#[test]
fn an_export_is_downloaded_as_nbdcopy_does_it_with_its_holes() {
    let Some(nbdcopy) = fleece_lab::require("nbdcopy") else {
        return;
    };
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let image = dir.path().join("disk.raw");
        half_empty(&image);
        let server = Program::storage_daemon(&qemu, dir, &image);
        let path = |name: &str| server.dir.path().join(name).display().to_string();
        let socket = server.socket().display();
        let ours = path("ours.raw");
        run(example("download"), &format!("{socket} disk0 {ours}"));
        let theirs = path("theirs.raw");
        let uri = server.address().uri("disk0");
        run(Command::new(&nbdcopy), &format!("{uri} {theirs}"));
        run(
            qemu.img(),
            &format!("compare -f raw -F raw {ours} {theirs}"),
        );
        assert!(std::fs::read(&ours).unwrap() == std::fs::read(&image).unwrap());
        assert!(allocated(Path::new(&ours)) <= 3 * MIB);
    }
}

#[test]
fn a_file_is_uploaded_and_its_zeroes_replace_what_was_there() {
    for qemu in fleece_lab::qemus() {
        let dir = TempDir::new().unwrap();
        let (source, image) = (dir.path().join("source.raw"), dir.path().join("disk.raw"));
        half_empty(&source);
        std::fs::write(&image, pattern(9 * MIB as usize + 512, 9)).unwrap();
        let server = Program::storage_daemon(&qemu, dir, &image);
        let (from, socket) = (source.display(), server.socket().display());
        run(example("upload"), &format!("{from} {socket} disk0"));
        run(
            qemu.img(),
            &format!("compare -U -f raw -F raw {from} {}", image.display()),
        );
        assert!(std::fs::read(&image).unwrap() == std::fs::read(&source).unwrap());
    }
}
