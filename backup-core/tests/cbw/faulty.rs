//! A target that fails, or hangs, when it is told to.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use fleece_storage::block::{
    BlockStatus, Discard, Error, ErrorKind, Extent, Geometry, MemoryDevice, Operation, ReadAt,
    Result, WriteAt,
};

/// Memory whose operations fail or hang on demand.
#[derive(Debug)]
pub(crate) struct Faulty {
    memory: MemoryDevice,
    mode: AtomicU8,
    hanging: Mutex<Hanging>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Hanging {
    hang: bool,
    threads: usize,
}

const SOUND: u8 = 0;
const FAIL: u8 = 1;
const FULL: u8 = 2;

impl Faulty {
    pub(crate) fn new(size: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryDevice::new(size),
            mode: AtomicU8::new(SOUND),
            hanging: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Writes fail from now on.
    pub(crate) fn fail(&self) {
        self.mode.store(FAIL, Ordering::SeqCst);
    }

    /// Writes find no space from now on.
    pub(crate) fn fill(&self) {
        self.mode.store(FULL, Ordering::SeqCst);
    }

    /// Everything works again, and what hung goes on.
    pub(crate) fn heal(&self) {
        self.mode.store(SOUND, Ordering::SeqCst);
        self.hanging.lock().unwrap().hang = false;
        self.changed.notify_all();
    }

    /// Whatever comes from now on does not return.
    pub(crate) fn hang(&self) {
        self.hanging.lock().unwrap().hang = true;
    }

    /// Wait until at least `threads` hang.
    pub(crate) fn wait_for_hanging(&self, threads: usize) {
        let hanging = self.hanging.lock().unwrap();
        drop(
            self.changed
                .wait_while(hanging, |hanging| hanging.threads < threads)
                .unwrap(),
        );
    }

    /// Bytes in use.
    pub(crate) fn allocated(&self) -> u64 {
        self.memory.allocated()
    }

    fn pass(&self, operation: Operation) -> Result<()> {
        let mut hanging = self.hanging.lock().unwrap();
        hanging.threads += 1;
        self.changed.notify_all();
        let mut hanging = self
            .changed
            .wait_while(hanging, |hanging| hanging.hang)
            .unwrap();
        hanging.threads -= 1;
        let kind = match self.mode.load(Ordering::SeqCst) {
            _ if operation != Operation::Write => return Ok(()),
            SOUND => return Ok(()),
            FULL => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        Err(Error::new(kind, operation))
    }
}

impl Geometry for Faulty {
    fn size(&self) -> u64 {
        self.memory.size()
    }
}

impl ReadAt for Faulty {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.pass(Operation::Read)?;
        self.memory.read_at(buf, offset)
    }
}

impl BlockStatus for Faulty {
    fn block_status(&self, offset: u64, len: u64) -> Result<Extent> {
        self.memory.block_status(offset, len)
    }
}

impl WriteAt for Faulty {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.pass(Operation::Write)?;
        self.memory.write_at(buf, offset)
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.pass(Operation::Write)?;
        self.memory.write_zeroes(offset, len)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl Discard for Faulty {
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.pass(Operation::Discard)?;
        self.memory.discard(offset, len)
    }
}
