//! Puts raw images into an archive: `make_archive ARCHIVE IMAGE...`.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fleece_vma_format::{ArchiveWriter, HeaderBuilder, cluster_count, cluster_length};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args().skip(1);
    let out = File::create_new(paths.next().ok_or("usage: make_archive ARCHIVE IMAGE...")?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut builder = HeaderBuilder::new(*uuid::Uuid::new_v4().as_bytes(), now.try_into()?);
    let mut images = Vec::new();
    for path in paths {
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        let name = Path::new(&path).file_stem().unwrap_or_default();
        let device = builder.add_device(&name.to_string_lossy(), size)?;
        images.push((device, file, size));
    }
    let mut archive = ArchiveWriter::new(BufWriter::new(out), &builder.build()?)?;
    for (device, mut file, size) in images {
        for cluster in 0..cluster_count(size) {
            let mut data = vec![0; cluster_length(size, cluster)];
            file.read_exact(&mut data)?;
            archive.write_cluster(device, cluster, &data)?;
        }
    }
    let (out, _) = archive.finish()?;
    out.into_inner()?.sync_all()?;
    Ok(())
}
