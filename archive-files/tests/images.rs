//! The images that fuzz targets change bytes of have files, and some changes of each end in no panic here, either.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "tests may panic"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use fleece_archive_files::fuzzing::{Image, changed, read};

#[test]
fn images_for_fuzzing_have_files_and_may_be_changed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/images");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "zst") {
            continue;
        }
        let image = Image::unpack(&fs::read(&path).unwrap());
        let entries = read(Arc::new(image.clone())).unwrap();
        assert!(entries > 60, "{}: {entries}", path.display());
        let mut state = 1_u64;
        for _ in 0..16 {
            let mut changes = vec![0];
            for _ in 0..20 {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                changes.extend(state.to_be_bytes().iter().take(5));
            }
            changed(std::slice::from_ref(&image), &changes);
        }
        count += 1;
    }
    assert_eq!(count, 12);
}
