#![allow(
    clippy::cast_possible_truncation,
    reason = "the lengths are those of short literals"
)]

use super::*;
use crate::extent::Extent;
use crate::protocol::{SIMPLE_REPLY_MAGIC, STRUCTURED_REPLY_MAGIC};

const DONE: u16 = chunk::FLAG_DONE;
const READ: u64 = 0;
const TRIM: u64 = 1;
const STATUS: u64 = 2;
const CONTEXT: u32 = 7;

fn chunk_of(cookie: u64, kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = STRUCTURED_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn simple(cookie: u64, error: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = SIMPLE_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(error.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(data);
    bytes
}

fn data(offset: u64, bytes: &[u8]) -> Vec<u8> {
    [&offset.to_be_bytes(), bytes].concat()
}

fn hole(offset: u64, length: u32) -> Vec<u8> {
    [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat()
}

fn status(context: u32, extents: &[(u32, u32)]) -> Vec<u8> {
    let mut bytes = context.to_be_bytes().to_vec();
    for (length, flags) in extents {
        bytes.extend(length.to_be_bytes());
        bytes.extend(flags.to_be_bytes());
    }
    bytes
}

fn error(number: u32, message: &[u8]) -> Vec<u8> {
    let length = message.len() as u16;
    [&number.to_be_bytes()[..], &length.to_be_bytes(), message].concat()
}

/// What became of a read of 16 bytes at 100, a trim and a status request, and why it ended.
struct Received {
    read: Result<Operation, Error>,
    trim: Result<Operation, Error>,
    status: Result<Operation, Error>,
    end: Error,
}

fn receive(input: &[u8]) -> Received {
    let requests = Requests::default();
    let (_, read) = requests.add(Operation::read(100, vec![0xff; 16])).unwrap();
    let (_, trim) = requests.add(Operation::NoData).unwrap();
    let (_, status) = requests.add(Operation::status(Some(CONTEXT))).unwrap();
    let end = receive_all(input, &requests);
    requests.fail(end.clone());
    Received {
        read: read.recv().unwrap(),
        trim: trim.recv().unwrap(),
        status: status.recv().unwrap(),
        end,
    }
}

fn bytes_read(outcome: Result<Operation, Error>) -> Vec<u8> {
    match outcome.unwrap() {
        Operation::Read { buffer, .. } => buffer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn interleaved_replies_in_any_order_end_up_where_they_belong() {
    let input = [
        chunk_of(READ, chunk::OFFSET_HOLE, 0, &hole(108, 8)),
        chunk_of(
            STATUS,
            chunk::BLOCK_STATUS,
            0,
            &status(CONTEXT, &[(4096, 3), (512, 0)]),
        ),
        chunk_of(TRIM, chunk::NONE, DONE, &[]),
        chunk_of(READ, chunk::OFFSET_DATA, DONE, &data(100, b"abcdefgh")),
        chunk_of(STATUS, chunk::NONE, DONE, &[]),
    ];
    let received = receive(&input.concat());
    assert_eq!(bytes_read(received.read), b"abcdefgh\0\0\0\0\0\0\0\0");
    assert!(matches!(received.trim, Ok(Operation::NoData)));
    let Operation::Status { extents, .. } = received.status.unwrap() else {
        panic!()
    };
    assert_eq!(extents, [Extent::hole(4096), Extent::data(512)]);
    assert_eq!(received.end.kind(), ErrorKind::Disconnected);
}

#[test]
fn simple_replies_carry_data_or_an_error() {
    let input = [simple(TRIM, 28, &[]), simple(READ, 0, b"0123456789abcdef")].concat();
    let received = receive(&input);
    assert_eq!(bytes_read(received.read), b"0123456789abcdef");
    assert_eq!(
        received.trim.unwrap_err().kind(),
        ErrorKind::Server(Errno::NoSpace)
    );
}

#[test]
fn an_error_chunk_fails_its_request_with_the_servers_words_and_the_others_go_on() {
    let message = b"snapshot\nis broken";
    let with_offset = [error(22, message), 104u64.to_be_bytes().to_vec()].concat();
    for (kind, payload) in [
        (chunk::ERROR_BIT | 1, error(22, message)),
        (chunk::ERROR_OFFSET, with_offset),
    ] {
        let input = [
            chunk_of(READ, kind, 0, &payload),
            chunk_of(READ, chunk::OFFSET_DATA, 0, &data(100, b"abcd")),
            chunk_of(READ, chunk::NONE, DONE, &[]),
            chunk_of(TRIM, chunk::NONE, DONE, &[]),
        ];
        let received = receive(&input.concat());
        let error = received.read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(Errno::Invalid));
        assert!(
            error
                .to_string()
                .ends_with("EINVAL (invalid argument): snapshot is broken"),
            "{error}"
        );
        assert!(received.trim.is_ok());
    }
}

#[test]
fn a_reply_that_breaks_the_protocol_fails_all_requests() {
    let data_chunk = |payload: &[u8]| chunk_of(READ, chunk::OFFSET_DATA, DONE, payload);
    let status_chunk = |payload: &[u8]| chunk_of(STATUS, chunk::BLOCK_STATUS, DONE, payload);
    let huge = |kind: u16, cookie| {
        let mut bytes = chunk_of(cookie, kind, DONE, &data(100, b"0123"));
        bytes[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        bytes
    };
    let whole = data(100, b"0123456789abcdef");
    let damage = [
        ("wrong magic", vec![0x66; 20]),
        ("unknown cookie", chunk_of(99, chunk::NONE, DONE, &[])),
        ("unknown chunk", chunk_of(READ, 3, DONE, &[])),
        (
            "empty final chunk with payload",
            chunk_of(READ, chunk::NONE, DONE, &[0]),
        ),
        (
            "empty chunk that is not final",
            chunk_of(READ, chunk::NONE, 0, &[]),
        ),
        ("nothing sent", chunk_of(READ, chunk::NONE, DONE, &[])),
        ("too little data", data_chunk(&data(100, b"0123"))),
        ("data before the range", data_chunk(&data(99, b"0123"))),
        ("data after the range", data_chunk(&data(116, b"0"))),
        (
            "data beyond the range",
            data_chunk(&data(100, b"0123456789abcdefg")),
        ),
        ("data of no bytes", data_chunk(&data(100, b""))),
        ("data without an offset", data_chunk(&[0; 7])),
        (
            "data at the end of numbers",
            data_chunk(&data(u64::MAX, b"0123")),
        ),
        (
            "data twice",
            [
                chunk_of(READ, chunk::OFFSET_DATA, 0, &whole),
                data_chunk(&whole),
            ]
            .concat(),
        ),
        ("data of 4 GiB", huge(chunk::OFFSET_DATA, READ)),
        (
            "hole of no bytes",
            chunk_of(READ, chunk::OFFSET_HOLE, DONE, &hole(100, 0)),
        ),
        (
            "hole beyond the range",
            chunk_of(READ, chunk::OFFSET_HOLE, DONE, &hole(100, 17)),
        ),
        (
            "hole of 4 GiB",
            chunk_of(READ, chunk::OFFSET_HOLE, DONE, &hole(100, u32::MAX)),
        ),
        (
            "hole with junk",
            chunk_of(READ, chunk::OFFSET_HOLE, DONE, &[0; 13]),
        ),
        (
            "data for a trim",
            chunk_of(TRIM, chunk::OFFSET_DATA, DONE, &whole),
        ),
        (
            "extents for a read",
            chunk_of(
                READ,
                chunk::BLOCK_STATUS,
                DONE,
                &status(CONTEXT, &[(16, 0)]),
            ),
        ),
        ("no extents", status_chunk(&status(CONTEXT, &[]))),
        ("half an extent", status_chunk(&[0; 9])),
        (
            "an empty extent",
            status_chunk(&status(CONTEXT, &[(16, 0), (0, 0)])),
        ),
        ("another context", status_chunk(&status(8, &[(16, 0)]))),
        ("extents of 4 GiB", huge(chunk::BLOCK_STATUS, STATUS)),
        ("simple reply with extents", simple(STATUS, 0, &[])),
        (
            "error without a number",
            chunk_of(READ, chunk::ERROR_BIT | 1, DONE, &[0; 3]),
        ),
        (
            "error with a long message",
            chunk_of(READ, chunk::ERROR_BIT | 1, DONE, &[0, 0, 0, 5, 0, 9, b'x']),
        ),
        (
            "error without its offset",
            chunk_of(READ, chunk::ERROR_OFFSET, DONE, &error(5, b"")),
        ),
        ("error of 4 GiB", huge(chunk::ERROR_BIT | 1, READ)),
    ];
    for (name, bytes) in damage {
        let received = receive(&bytes);
        assert_eq!(
            received.end.kind(),
            ErrorKind::Protocol,
            "{name}: {}",
            received.end
        );
        for outcome in [received.read, received.trim, received.status] {
            assert!(
                matches!(outcome, Err(error) if error.kind() == ErrorKind::Protocol),
                "{name}"
            );
        }
    }
}

#[test]
fn a_connection_that_ends_anywhere_fails_what_was_not_complete() {
    let whole = [
        chunk_of(READ, chunk::OFFSET_DATA, 0, &data(100, b"01234567")),
        chunk_of(READ, chunk::OFFSET_HOLE, DONE, &hole(108, 8)),
    ]
    .concat();
    for length in 0..whole.len() {
        let received = receive(&whole[..length]);
        assert_eq!(
            received.end.kind(),
            ErrorKind::Disconnected,
            "after {length} bytes"
        );
        assert_eq!(received.read.unwrap_err().kind(), ErrorKind::Disconnected);
    }
    assert!(receive(&whole).read.is_ok());
}

#[test]
fn a_request_whose_caller_has_gone_does_no_harm() {
    let requests = Requests::default();
    drop(requests.add(Operation::read(100, vec![0; 4])).unwrap());
    let (_, kept) = requests.add(Operation::NoData).unwrap();
    let input = [
        chunk_of(0, chunk::OFFSET_DATA, DONE, &data(100, b"0123")),
        chunk_of(1, chunk::NONE, DONE, &[]),
    ];
    let input = input.concat();
    receive_all(&input[..], &requests);
    assert!(kept.recv().unwrap().is_ok());
}

#[test]
fn only_the_first_failure_counts() {
    let requests = Requests::default();
    requests.fail(Error::protocol("first"));
    requests.fail(Error::protocol("second"));
    assert_eq!(
        requests.add(Operation::NoData).unwrap_err().to_string(),
        "first"
    );
    assert_eq!(requests.failure().to_string(), "first");
}

#[test]
fn a_failure_while_a_piece_is_received_reaches_its_request() {
    let requests = Requests::default();
    let (cookie, outcome) = requests.add(Operation::read(0, vec![0; 4])).unwrap();
    let request = requests.take(cookie).unwrap();
    requests.fail(Error::protocol("meanwhile"));
    requests.put_back(cookie, request);
    assert_eq!(
        outcome.recv().unwrap().unwrap_err().to_string(),
        "meanwhile"
    );
}
