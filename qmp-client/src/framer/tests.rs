use proptest::prelude::*;

use super::*;

fn messages(junk: Junk, mut input: &[u8]) -> Result<Vec<String>, Error> {
    let mut framer = Framer::new(junk);
    let mut messages = Vec::new();
    while let Some(message) = framer.next(&mut input)? {
        messages.push(String::from_utf8_lossy(&message).into_owned());
    }
    Ok(messages)
}

#[test]
fn objects_are_cut_whatever_stands_between_them() {
    let input = b" {\"a\": 1}\r\n{\"b\": [{}]}{}\n\n{\n  \"c\": {}\n}\r\n";
    let expected = ["{\"a\": 1}", "{\"b\": [{}]}", "{}", "{\n  \"c\": {}\n}"];
    assert_eq!(messages(Junk::Refuse, input).unwrap(), expected);
}

#[test]
fn braces_and_quotes_inside_strings_do_not_count() {
    let input = br#"{"a": "}\"{[", "b\\": "\\"}{}"#;
    assert_eq!(
        messages(Junk::Refuse, input).unwrap(),
        [r#"{"a": "}\"{[", "b\\": "\\"}"#, "{}"]
    );
}

#[test]
fn another_protocol_is_refused_at_its_first_byte() {
    for other in [
        &b"NBDMAGIC"[..],
        b"SSH-2.0-x\r\n",
        b"\xFF{}",
        b"[1]",
        b"]",
        b"\0",
    ] {
        let error = messages(Junk::Refuse, other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{other:?}");
    }
    let error = messages(Junk::Refuse, b"HTTP/1.0 400 \r\n\x1b[2J").unwrap_err();
    assert_eq!(error.detail(), Some(r"it sent 'HTTP/1.0 400 \r\n\x1b[2J'"));
}

#[test]
fn restart_byte_drops_what_came_before_it() {
    let input = b"rest of \"a string}\n{\"half\": \"\xFF{\"return\": 7}\n";
    assert_eq!(messages(Junk::Skip, input).unwrap(), ["{\"return\": 7}"]);
}

#[test]
fn longest_message_passes_and_one_byte_more_does_not() {
    let message = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8)).into_bytes();
    let longest = message(MAX_MESSAGE);
    assert_eq!(longest.len(), MAX_MESSAGE);
    assert_eq!(messages(Junk::Refuse, &longest).unwrap().len(), 1);
    let error = messages(Junk::Refuse, &message(MAX_MESSAGE + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Oversized);
}

proptest! {
    #[test]
    fn where_the_stream_is_cut_makes_no_difference(
        pieces in prop::collection::vec("[{}\\[\\]\"\\\\ a\n]{0,12}", 0..6),
        cut in 0_usize..80,
    ) {
        crate::fuzzing::messages_in_two(Junk::Refuse, pieces.concat().as_bytes(), cut);
        crate::fuzzing::messages_in_two(Junk::Skip, pieces.join("\n").as_bytes(), cut);
    }
}
