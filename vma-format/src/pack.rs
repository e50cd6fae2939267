//! Making an archive of disks: a reader, the encoder, checksums and the output each on threads of
//! their own.

use std::io;
use std::io::Write;
use std::ops::Range;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::container::Written;
use crate::encoder::{DeviceSummary, Encoder, Summary};
use crate::extent::Extent;
use crate::extent_writer::ExtentWriter;
use crate::header::Header;
use crate::layout::{CLUSTER_SIZE, DeviceId, cluster_offset};
use crate::output::Output;
use crate::{Error, Result};

/// A disk to be put into an archive.
pub trait Source: Send + Sync {
    /// Fills `buffer` with what is at `offset`.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// How many bytes from `offset` on, at most `length`, are known to be zero without reading
    /// them.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn zeroes_at(&self, offset: u64, length: u64) -> io::Result<u64>;
}

/// Reads are this long in bytes: long enough for any disk to be at its best.
const READ_SIZE: usize = 16 * CLUSTER_SIZE;

/// How many reads may be ahead of the encoder.
const READS_AHEAD: usize = 4;

/// How many extents may be between the encoder and the output.
const EXTENTS_AHEAD: usize = 3;

/// Writes the archive that `header` begins, one device after the other.
///
/// `sources` are the devices in header order. `progress` is called after every chunk with the
/// account of all devices so far; if it fails, so does the whole.
///
/// # Errors
/// A source's or the output's first error; what `progress` says.
pub fn pack<W: Write + Send>(
    header: &Header,
    sources: &[&dyn Source],
    output: Output<W>,
    progress: &mut dyn FnMut(&[DeviceSummary]) -> Result<()>,
) -> Result<(Summary, W, Written)> {
    let (chunks_in, chunks) = bounded::<Result<Chunk>>(READS_AHEAD);
    let (buffers_in, buffers) = unbounded::<Vec<u8>>();
    let (extents_in, extents) = bounded::<Extent>(EXTENTS_AHEAD);
    let (spare_in, spare) = unbounded::<Extent>();
    thread::scope(|scope| {
        let reader = move || read(header, sources, &chunks_in, &buffers);
        spawn(scope, "reader", reader)?;
        let writer = spawn(scope, "writer", move || {
            write(header, output, &extents, &spare_in)
        })?;
        let encoded = encode(header, &chunks, &buffers_in, &extents_in, &spare, progress);
        // Lets the reader and the writer come to their ends.
        drop((chunks, extents_in));
        let written = writer.join().unwrap_or_else(|_| Err(died()));
        // If the writer has failed, the encoder could only find that nobody takes its extents.
        let (out, written) = written?;
        Ok((encoded?, out, written))
    })
}

/// A piece of a device.
enum Chunk {
    Zero {
        device: DeviceId,
        clusters: Range<u64>,
    },
    Data {
        device: DeviceId,
        first: u64,
        buffer: Vec<u8>,
    },
}

fn read(
    header: &Header,
    sources: &[&dyn Source],
    chunks: &Sender<Result<Chunk>>,
    buffers: &Receiver<Vec<u8>>,
) {
    for (device, source) in header.devices().iter().zip(sources) {
        let name = device.name();
        let mut offset = 0;
        while offset < device.size() {
            let chunk = next_chunk(*source, device.id(), device.size(), offset, buffers);
            let chunk = chunk.map_err(|e| Error::io(format!("cannot read {name} at {offset}"), e));
            let failed = chunk.is_err();
            offset = match &chunk {
                Ok(Chunk::Zero { clusters, .. }) => cluster_offset(clusters.end),
                Ok(Chunk::Data { buffer, .. }) => offset.saturating_add(buffer.len() as u64),
                Err(_) => u64::MAX,
            };
            if chunks.send(chunk).is_err() || failed {
                return;
            }
        }
    }
}

fn next_chunk(
    source: &dyn Source,
    device: DeviceId,
    size: u64,
    offset: u64,
    buffers: &Receiver<Vec<u8>>,
) -> io::Result<Chunk> {
    const CLUSTER: u64 = CLUSTER_SIZE as u64;
    let left = size.saturating_sub(offset);
    let zero = source.zeroes_at(offset, left)?;
    let first = offset / CLUSTER;
    let end = if zero >= left {
        size.div_ceil(CLUSTER)
    } else {
        offset.saturating_add(zero) / CLUSTER
    };
    if end > first {
        return Ok(Chunk::Zero {
            device,
            clusters: first..end,
        });
    }
    let length = usize::try_from(left).unwrap_or(READ_SIZE).min(READ_SIZE);
    let mut buffer = buffers.try_recv().unwrap_or_default();
    buffer.resize(length, 0);
    source.read_at(offset, &mut buffer)?;
    Ok(Chunk::Data {
        device,
        first,
        buffer,
    })
}

fn encode(
    header: &Header,
    chunks: &Receiver<Result<Chunk>>,
    buffers: &Sender<Vec<u8>>,
    extents: &Sender<Extent>,
    spare: &Receiver<Extent>,
    progress: &mut dyn FnMut(&[DeviceSummary]) -> Result<()>,
) -> Result<Summary> {
    let mut encoder = Encoder::new(header);
    let pass_on = |encoder: &mut Encoder, extent: Option<Extent>| -> Result<()> {
        let Some(extent) = extent else { return Ok(()) };
        spare.try_iter().for_each(|extent| encoder.recycle(extent));
        extents.send(extent).map_err(|_| died())
    };
    for chunk in chunks {
        match chunk? {
            Chunk::Zero { device, clusters } => {
                for index in clusters {
                    let full = encoder.zero_cluster(device, index)?;
                    pass_on(&mut encoder, full)?;
                }
            }
            Chunk::Data {
                device,
                first,
                buffer,
            } => {
                for (data, index) in buffer.chunks(CLUSTER_SIZE).zip(first..) {
                    let full = encoder.cluster(device, index, data)?;
                    pass_on(&mut encoder, full)?;
                }
                // The reader may have ended already.
                let _ = buffers.send(buffer);
            }
        }
        progress(encoder.devices())?;
    }
    let (last, summary) = encoder.finish()?;
    last.map_or(Ok(()), |extent| extents.send(extent).map_err(|_| died()))?;
    Ok(summary)
}

fn write<W: Write>(
    header: &Header,
    output: Output<W>,
    extents: &Receiver<Extent>,
    spare: &Sender<Extent>,
) -> Result<(W, Written)> {
    let mut recycle = |extent| {
        let _ = spare.send(extent);
    };
    let mut writer = ExtentWriter::new(header, output)?;
    for extent in extents {
        writer.write(extent, &mut recycle)?;
    }
    writer.finish(&mut recycle)
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    run: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>> {
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, run);
    thread.map_err(|e| Error::io("cannot start a thread", e))
}

fn died() -> Error {
    Error::new(
        crate::ErrorKind::Io,
        "the thread that writes the archive has ended",
    )
}
