//! Lists all files on an image of a disk: `read_files IMAGE`.

use std::fs::File;
use std::sync::Arc;

use fleece_archive_files::{Cached, Limits, Volumes, Walk};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("which image?")?;
    let disk = Arc::new(Cached::new(Arc::new(File::open(path)?), 64 << 20));
    let found = Volumes::find(vec![("disk".to_owned(), disk)]);
    for volume in found.with_files() {
        let files = volume.open()?;
        for found in Walk::new(&*files, files.root(), Limits::default()) {
            let size = found.stat?.size;
            let path = String::from_utf8_lossy(&found.path);
            println!("{} {size:>12} /{path}", volume.name);
        }
    }
    Ok(())
}
