//! Reading gzip, one member or many.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::Input;
use super::damage::undone;

/// Decompresses gzip members until the input ends, or has nothing but zeroes left: tapes and block devices fill up their
/// last block with them, and gzip itself ignores them.
pub(super) struct Reader<'a> {
    /// The member that is read; `None` behind the last one.
    decoder: Option<GzDecoder<BufReader<Position<'a>>>>,
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
            decoder: Some(GzDecoder::new(input)),
        }
    }

    /// Goes on to the next member, if there is one.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(decoder) = self.decoder.take() else {
            return Ok(());
        };
        let mut input = decoder.into_inner();
        let mut is_padded = false;
        loop {
            let buffered = input.fill_buf()?;
            let zeroes = buffered.iter().take_while(|byte| **byte == 0).count();
            let is_end = buffered.is_empty();
            let is_data = zeroes < buffered.len();
            is_padded |= zeroes > 0;
            input.consume(zeroes);
            if is_end {
                return Ok(());
            }
            if is_data && is_padded {
                let what = io::Error::new(io::ErrorKind::InvalidData, "data after its end");
                return Err(undone(position(&input), what).into());
            }
            if is_data {
                self.decoder = Some(GzDecoder::new(input));
                return Ok(());
            }
        }
    }
}

fn position(input: &BufReader<Position<'_>>) -> u64 {
    input
        .get_ref()
        .offset
        .saturating_sub(input.buffer().len() as u64)
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            match decoder.read(buffer) {
                Err(e) if is_damage(&e) => {
                    let at = position(decoder.get_ref());
                    return Err(undone(at, e).into());
                }
                Ok(0) if !buffer.is_empty() => self.next_member()?,
                other => return other,
            }
        }
        Ok(0)
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
