//! Reading gzip, one member or many.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::Input;
use super::damage::damaged;

/// Decompresses gzip members until the input ends.
pub(super) struct Reader<'a> {
    decoder: MultiGzDecoder<BufReader<Position<'a>>>,
}

/// Knows how many bytes have been taken.
struct Position<'a> {
    input: Input<'a>,
    offset: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        let input = BufReader::with_capacity(1 << 17, Position { input, offset: 0 });
        Self {
            decoder: MultiGzDecoder::new(input),
        }
    }

    fn position(&self) -> u64 {
        let input = self.decoder.get_ref();
        input
            .get_ref()
            .offset
            .saturating_sub(input.buffer().len() as u64)
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.decoder.read(buffer) {
            Err(e) if is_damage(&e) => Err(damaged(self.position(), &e).caused_by(e).into()),
            other => other,
        }
    }
}

/// Errors of the decoder's own, as opposed to errors of its input.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let ours = error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<crate::error::Error>);
    !ours && matches!(error.kind(), InvalidInput | InvalidData | UnexpectedEof)
}

impl Read for Position<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.offset = self.offset.saturating_add(got as u64);
        Ok(got)
    }
}
