//! Reading at a place, from many threads at once.

use std::io;
use std::sync::Arc;

/// Something that can be read at any offset without a position of its own.
pub trait ReadAt: Send + Sync {
    /// Its size in bytes.
    ///
    /// # Errors
    /// Whatever the system below says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] behind the end, or whatever the system below says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// What is in memory anyway from `offset` on, so that it need not be copied: any number of bytes, or `None` where all
    /// is to be read.
    ///
    /// # Errors
    /// As [`read_exact_at`](Self::read_exact_at).
    fn loan_at(&self, _offset: u64) -> io::Result<Option<Loan>> {
        Ok(None)
    }
}

/// Bytes that stay in memory as long as this exists.
#[derive(Debug)]
pub struct Loan {
    bytes: Arc<Vec<u8>>,
    from: usize,
}

impl Loan {
    /// All of `bytes` but the first `from`.
    #[cfg(feature = "zstd")]
    pub(crate) const fn new(bytes: Arc<Vec<u8>>, from: usize) -> Self {
        Self { bytes, from }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

#[cfg(any(unix, windows))]
impl ReadAt for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        // The length in the metadata of a block device is 0.
        io::Seek::seek(&mut &*self, io::SeekFrom::End(0))
    }

    #[cfg(unix)]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    #[cfg(windows)]
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt as _;
        while !buffer.is_empty() {
            match self.seek_read(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => {
                    offset = offset.saturating_add(got as u64);
                    buffer = buffer.get_mut(got..).unwrap_or_default();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..));
        let part = rest.and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self[..].size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self[..].read_exact_at(buffer, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn loan_at(&self, offset: u64) -> io::Result<Option<Loan>> {
        (**self).loan_at(offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn loan_at(&self, offset: u64) -> io::Result<Option<Loan>> {
        (**self).loan_at(offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }

    fn loan_at(&self, offset: u64) -> io::Result<Option<Loan>> {
        (**self).loan_at(offset)
    }
}

impl std::fmt::Debug for dyn ReadAt + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn ReadAt")
    }
}

/// A sequential reader over a range of it.
#[derive(Debug)]
pub(crate) struct Cursor<S> {
    source: S,
    offset: u64,
    end: u64,
}

impl<S: ReadAt> Cursor<S> {
    pub(crate) const fn new(source: S, offset: u64, end: u64) -> Self {
        Self {
            source,
            offset,
            end,
        }
    }
}

impl<S: ReadAt> io::Read for Cursor<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.offset);
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..length).unwrap_or_default();
        self.source.read_exact_at(part, self.offset)?;
        self.offset = self.offset.saturating_add(length as u64);
        Ok(length)
    }
}
