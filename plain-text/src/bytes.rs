//! Bytes that should be UTF-8, as text from which the same bytes can be made again.

/// A byte that is no UTF-8 becomes a character of the last private plane: this and the byte.
const STAND_IN: u32 = 0x0010_ff00;

/// Any bytes as text: what is UTF-8 stays as it is, and each byte that is not, 0x80 to 0xff, becomes one of the
/// private characters U+10FF80 to U+10FFFF. (A character of those is taken apart into its bytes, so that
/// [`to_bytes`] gives back exactly what was there.)
///
/// For files of others of which some lines are changed and all others keep their bytes.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if byte(character).is_some() {
                let mut encoded = [0; 4];
                let encoded = character.encode_utf8(&mut encoded);
                text.extend(encoded.bytes().map(stand_in));
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(stand_in));
    }
    text
}

/// The bytes of which [`from_bytes`] has made a text.
#[must_use]
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte(character) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn stand_in(byte: u8) -> char {
    char::from_u32(STAND_IN | u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte for which a character stands. None below 0x80 is ever no UTF-8, so that none stands for a line end.
fn byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    let byte = u8::try_from(code & 0xff).ok()?;
    (code & !0xff == STAND_IN && byte >= 0x80).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back() {
        let mut pairs: Vec<Vec<u8>> = Vec::new();
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                pairs.push(vec![first, second]);
                pairs.push(vec![0xc3, first, second, b'\n']);
                pairs.push(vec![0xf4, 0x8f, 0xbe, first, second]);
                pairs.push(vec![0xf4, 0x8f, first, second, 0xbf]);
            }
        }
        for bytes in pairs {
            assert_eq!(to_bytes(&from_bytes(&bytes)), bytes, "{bytes:?}");
        }
    }

    #[test]
    fn text_stays_text_and_other_bytes_break_no_line() {
        assert_eq!(from_bytes("a: é\n日".as_bytes()), "a: é\n日");
        let text = from_bytes(b"name: caf\xe9\nx\xff: 1\n");
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("name: caf"));
        assert!(
            to_bytes("\u{10ff0a}\u{10ff00}")
                .iter()
                .all(|byte| *byte >= 0x80)
        );
    }
}
