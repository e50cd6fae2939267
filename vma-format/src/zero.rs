//! Finding zeroes fast.

/// Whether all bytes are zero.
///
/// Most blocks with data show it in their first word; what is left is OR-ed together in pieces of
/// 1 KiB, which compiles to vector instructions (a plain `all(|b| b == 0)` does not and is some 40
/// times slower).
#[must_use]
pub fn is_zero(data: &[u8]) -> bool {
    let (words, tail) = data.as_chunks::<8>();
    if words.first().is_some_and(|word| *word != [0; 8]) || tail.iter().any(|&byte| byte != 0) {
        return false;
    }
    let (pieces, rest) = words.as_chunks::<128>();
    pieces.iter().all(|piece| or(piece) == 0) && or(rest) == 0
}

fn or(words: &[[u8; 8]]) -> u64 {
    words
        .iter()
        .fold(0, |sum, word| sum | u64::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn a_single_bit_anywhere_is_found_at_every_length() {
        for length in [0, 1, 7, 8, 9, 511, 512, 1023, 1024, 1025, 4095, 4096, 5000] {
            let mut data = vec![0; length];
            assert!(is_zero(&data), "{length} zeroes");
            for position in (0..length).step_by(61).chain(length.checked_sub(1)) {
                data[position] = 0x80;
                assert!(!is_zero(&data), "a bit at {position} of {length}");
                data[position] = 0;
            }
        }
    }
}
