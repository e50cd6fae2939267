//! Compressed clusters.

use std::cell::RefCell;
use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::read::Decoder;

/// How an image's clusters are compressed: `compression_type` at offset 104 of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Raw deflate.
    Deflate,
    /// zstd.
    Zstd,
}

/// A frame that needs more memory is refused. QEMU's need no more than a cluster, which has up to 2 MiB.
const MAX_WINDOW_LOG: u32 = 23;

impl Compression {
    /// Fills `cluster`. What is behind the compressed data is passed over: their length is known in sectors only.
    pub(super) fn decompress(self, data: &[u8], cluster: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Deflate => inflate(data, cluster),
            Self::Zstd => {
                let mut decoder = Decoder::with_buffer(data)?.single_frame();
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                decoder.read_exact(cluster)
            }
        }
    }
}

fn inflate(data: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    let mut inflater = Decompress::new(false);
    let status = inflater.decompress(data, cluster, FlushDecompress::Finish)?;
    if inflater.total_out() < cluster.len() as u64 {
        return Err(match status {
            Status::StreamEnd => io::ErrorKind::InvalidData.into(),
            _ => io::ErrorKind::UnexpectedEof.into(),
        });
    }
    Ok(())
}

/// Names a cluster for good: the number of a reader that is never given again, and the offset of the cluster.
pub(super) type Key = (u64, u64);

thread_local! {
    /// The cluster that this thread last needed a part of: whoever reads a disk in pieces smaller than its clusters
    /// decompresses each once. It takes a cluster for each thread, whatever the number of images.
    static LAST: RefCell<Option<(Key, Vec<u8>)>> = const { RefCell::new(None) };
}

/// Copies a part of a cluster, from `within` on; `fill` makes the cluster where it is not the last one.
pub(super) fn part<E>(
    key: Key,
    cluster_size: usize,
    within: usize,
    out: &mut [u8],
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    LAST.with_borrow_mut(|last| {
        let cluster = match last.take() {
            Some((of, cluster)) if of == key => cluster,
            old => {
                let mut cluster = old.map(|(_, cluster)| cluster).unwrap_or_default();
                cluster.resize(cluster_size, 0);
                fill(&mut cluster)?;
                cluster
            }
        };
        for (to, from) in out.iter_mut().zip(cluster.iter().skip(within)) {
            *to = *from;
        }
        *last = Some((key, cluster));
        Ok(())
    })
}
