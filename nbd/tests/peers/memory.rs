//! A disk in memory, to be served.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, RwLock};

use fleece_nbd::{BlockSizes, Export, Extent, Zeroing};

/// Unit of the block status.
const BLOCK: usize = 4096;

/// A writable disk in memory. Blocks that are all zero count as holes.
pub(crate) struct Memory {
    bytes: RwLock<Vec<u8>>,
    pub(crate) block_sizes: BlockSizes,
    pub(crate) read_only: bool,
    pub(crate) flushes: AtomicUsize,
    gate: Mutex<bool>,
    opened: Condvar,
    /// Reads that wait at the gate.
    waiting: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RwLock::new(bytes),
            block_sizes: BlockSizes::default(),
            read_only: false,
            flushes: AtomicUsize::new(0),
            gate: Mutex::new(true),
            opened: Condvar::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    pub(crate) fn contents(&self) -> Vec<u8> {
        self.bytes.read().unwrap().clone()
    }

    /// Holds every read of offset 0 until [`Memory::open_gate`].
    pub(crate) fn close_gate(&self) {
        *self.gate.lock().unwrap() = false;
    }

    pub(crate) fn open_gate(&self) {
        *self.gate.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Waits until this many reads wait at the gate.
    pub(crate) fn await_waiting(&self, count: usize) {
        let mut gate = self.gate.lock().unwrap();
        while self.waiting.load(Ordering::SeqCst) < count {
            gate = self.opened.wait(gate).unwrap();
        }
    }

    fn pass_gate(&self) {
        let mut open = self.gate.lock().unwrap();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.opened.notify_all();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Export for Memory {
    fn size(&self) -> u64 {
        self.bytes.read().unwrap().len() as u64
    }

    fn block_sizes(&self) -> BlockSizes {
        self.block_sizes
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset == 0 {
            self.pass_gate();
        }
        let bytes = self.bytes.read().unwrap();
        buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.bytes.write().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn trim(&self, offset: u64, length: u64) -> io::Result<()> {
        self.bytes.write().unwrap()[offset as usize..][..length as usize].fill(0);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, length: u64, _zeroing: Zeroing) -> io::Result<()> {
        self.trim(offset, length)
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<Extent>> {
        let bytes = self.bytes.read().unwrap();
        let mut extents = Vec::new();
        let mut at = offset as usize;
        let end = (offset + length) as usize;
        while at < end {
            let next = ((at / BLOCK + 1) * BLOCK).min(end);
            let length = (next - at) as u64;
            // Comparing slices is fast without optimisation as well.
            let zero = bytes[at..next] == [0; BLOCK][..next - at];
            extents.push(if zero {
                Extent::hole(length)
            } else {
                Extent::data(length)
            });
            at = next;
        }
        Ok(extents)
    }
}
