//! The files of XFS, on images that Linux wrote and some of whose bytes are changed.

#![no_main]

use std::sync::LazyLock;

use fleece_archive_files::fuzzing::{Image, changed};
use libfuzzer_sys::fuzz_target;

static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    vec![
        Image::unpack(include_bytes!("../images/xfs.zst")),
        Image::unpack(include_bytes!("../images/xfs-1k.zst")),
    ]
});

fuzz_target!(|data: &[u8]| changed(&IMAGES, data));
