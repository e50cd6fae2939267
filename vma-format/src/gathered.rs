//! A writer that puts small writes together: an extent without payload is a header of 512 bytes, and a disk of holes is
//! nothing but those.

use std::io::{self, Write};

/// Bytes from which on a write goes through at once, and that are held at most.
const MOST: usize = 64 << 10;

/// Unlike [`std::io::BufWriter`], it writes nothing when it is dropped: then the archive has failed, and its target may
/// be what hangs.
#[derive(Debug)]
pub(crate) struct Gathered<W: Write> {
    out: W,
    held: Vec<u8>,
}

impl<W: Write> Gathered<W> {
    pub(crate) const fn new(out: W) -> Self {
        Self {
            out,
            held: Vec::new(),
        }
    }

    /// The writer itself, with nothing held back.
    pub(crate) fn direct(&mut self) -> io::Result<&mut W> {
        self.out.write_all(&self.held)?;
        self.held.clear();
        Ok(&mut self.out)
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Gathered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len().saturating_add(bytes.len()) > MOST {
            self.direct()?;
        }
        if bytes.len() > MOST {
            return self.out.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.direct()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes how long each write was.
    #[derive(Debug, Default)]
    struct Lengths(Vec<usize>, Vec<u8>);

    impl Write for Lengths {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.len());
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn small_writes_go_together_and_large_ones_through_in_their_order() {
        let mut out = Gathered::new(Lengths::default());
        let mut expected = Vec::new();
        for (byte, length) in [(1, 512), (2, MOST - 512), (3, 1), (4, MOST + 1), (5, 7)] {
            let bytes = vec![byte; length];
            out.write_all(&bytes).unwrap();
            expected.extend_from_slice(&bytes);
        }
        let Lengths(lengths, written) = out.finish().unwrap();
        assert_eq!(lengths, [MOST, 1, MOST + 1, 7]);
        assert_eq!(written, expected);
    }
}
