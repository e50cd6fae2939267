//! The encoder: packs pieces into extents, in the planner's order.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use fleece_fleecing::Step;
use fleece_vma_format::{CLUSTER_SIZE, Encoder, Extent};

use super::store::Part;
use super::{Kind, Piece, Shared, Stopped};
use crate::pipeline::source::Source;
use crate::report::Counters;
use crate::report::error::{Error, ErrorKind};

pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared,
    pub(super) pieces: Receiver<Piece>,
    pub(super) free_chunk: Sender<Vec<u8>>,
    pub(super) store: Sender<Part>,
    pub(super) written: Receiver<Extent>,
}

/// How many extents without payload go to the store together: handing one over takes longer than making it.
pub(super) const MOST_EMPTY: usize = 32;

impl Worker<'_> {
    pub(super) fn run(
        &self,
        mut encoder: Encoder,
        sources: &[Arc<dyn Source>],
    ) -> Result<(), Stopped> {
        let mut full = Vec::new();
        // The planner hangs up when it has planned everything, and also when it has failed.
        while let Ok(piece) = self.pieces.recv() {
            self.piece(piece, &mut encoder, &mut full)?;
        }
        if self.shared.is_stopped() {
            return Err(Stopped);
        }
        for source in sources {
            source.finish().map_err(|error| self.fail(error))?;
        }
        let (last, summary) = self.or_fail(encoder.finish())?;
        full.extend(last);
        self.store.send(Part::Extents(full)).map_err(|_| Stopped)?;
        self.store.send(Part::End(summary)).map_err(|_| Stopped)
    }

    /// Encodes a piece.
    fn piece(
        &self,
        piece: Piece,
        encoder: &mut Encoder,
        full: &mut Vec<Extent>,
    ) -> Result<(), Stopped> {
        let Piece {
            device,
            source,
            runs,
            chunk,
        } = piece;
        // It is waited for no sooner than it is needed.
        let mut read: Option<Vec<u8>> = None;
        let mut done = 0_usize;
        for run in runs.iter() {
            match (run.kind, &chunk) {
                (Kind::Zero, _) => {
                    full.extend(self.or_fail(encoder.zero_clusters(device, run.clusters()))?);
                    self.pass_on(encoder, full)?;
                }
                (Kind::Known, _) => {
                    for index in run.clusters() {
                        let known = source.known(index).ok_or_else(|| {
                            self.fail(Error::new(
                                ErrorKind::Internal,
                                "a cluster is not known any more",
                            ))
                        })?;
                        full.extend(self.or_fail(encoder.known_cluster(device, index, known))?);
                        self.pass_on(encoder, full)?;
                    }
                    Counters::add(&self.shared.counters.unread, run.length);
                }
                (Kind::Data, None) => return Err(Stopped),
                (Kind::Data, Some(chunk)) => {
                    let data = match &mut read {
                        Some(data) => data,
                        none => none.insert(chunk.recv().map_err(|_| Stopped)?),
                    };
                    // A run ends within a cluster only where the disk does.
                    let data = data.get(done..).unwrap_or_default();
                    for (index, bytes) in run.clusters().zip(data.chunks(CLUSTER_SIZE)) {
                        full.extend(self.or_fail(encoder.cluster(device, index, bytes))?);
                        self.pass_on(encoder, full)?;
                    }
                    done = done.saturating_add(usize::try_from(run.length).unwrap_or(usize::MAX));
                }
            }
            Counters::add(&self.shared.counters.done, run.length);
        }
        if let Some(read) = read {
            Step::Encoded.reached();
            let _ = self.free_chunk.send(read);
        }
        Ok(())
    }

    /// Hands over what is `full`, as soon as there is any payload in it or enough without.
    fn pass_on(&self, encoder: &mut Encoder, full: &mut Vec<Extent>) -> Result<(), Stopped> {
        let has_payload = full.iter().any(Extent::has_payload);
        if full.len() < MOST_EMPTY && !has_payload {
            return Ok(());
        }
        let extents = std::mem::take(full);
        self.store
            .send(Part::Extents(extents))
            .map_err(|_| Stopped)?;
        while let Ok(extent) = self.written.try_recv() {
            encoder.recycle(extent);
        }
        let zero = encoder
            .devices()
            .iter()
            .map(|device| device.zero_bytes())
            .sum();
        self.shared
            .counters
            .zero
            .store(zero, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn or_fail<T>(&self, result: fleece_vma_format::Result<T>) -> Result<T, Stopped> {
        result.map_err(|error| {
            self.fail(Error::caused(
                ErrorKind::Archive,
                "cannot build the archive",
                error,
            ))
        })
    }

    fn fail(&self, error: Error) -> Stopped {
        self.shared.fail(error);
        Stopped
    }
}
