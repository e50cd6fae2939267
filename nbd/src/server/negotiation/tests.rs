#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::client::handshake::handshake;
use crate::protocol::BASE_ALLOCATION;
use crate::protocol::option_reply::{OPTION_REPLY_SIZE, parse_option_reply};

struct Disk(u64);

impl Export for Disk {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> std::io::Result<()> {
        Ok(())
    }
}

fn exports(names: &[&str]) -> Exports {
    let exports = Exports::default();
    for (size, name) in names.iter().enumerate() {
        exports.add(name, Arc::new(Disk(size as u64 + 1))).unwrap();
    }
    exports
}

/// The kinds of the replies to an option.
fn kinds(option: u32, mut bytes: &[u8]) -> Vec<u32> {
    let mut kinds = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(OPTION_REPLY_SIZE) {
        let (kind, length) = parse_option_reply(option, header).unwrap();
        kinds.push(kind);
        bytes = &rest[length..];
    }
    kinds
}

fn context_request(export: &str, queries: &[&str]) -> Vec<u8> {
    let mut bytes = (export.len() as u32).to_be_bytes().to_vec();
    bytes.extend(export.as_bytes());
    bytes.extend((queries.len() as u32).to_be_bytes());
    for query in queries {
        bytes.extend((query.len() as u32).to_be_bytes());
        bytes.extend(query.as_bytes());
    }
    bytes
}

#[test]
fn our_own_client_and_server_agree() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let exports = exports(&["a", "b"]);
    std::thread::scope(|scope| {
        let server = scope.spawn(|| negotiate(&ours, &exports).unwrap().unwrap());
        let client = handshake(&theirs, "b", Some(BASE_ALLOCATION)).unwrap();
        let server = server.join().unwrap();
        assert_eq!(server.name, "b");
        assert!(server.structured && server.base_allocation);
        assert_eq!((client.size, client.context), (2, Some(BASE_ALLOCATION_ID)));
    });
}

#[test]
fn a_context_counts_only_for_the_export_that_it_was_selected_for() {
    let exports = exports(&["a", "b"]);
    let mut negotiation = Negotiation::new(&exports, true);
    negotiation.answer(option::STRUCTURED_REPLY, &[]);
    let select = |negotiation: &mut Negotiation<'_>, export, queries: &[&str]| {
        let (bytes, _) =
            negotiation.answer(option::SET_META_CONTEXT, &context_request(export, queries));
        kinds(option::SET_META_CONTEXT, &bytes)
    };
    let go = |negotiation: &mut Negotiation<'_>, export| match negotiation
        .answer(option::GO, &option::info_request(export).unwrap())
        .1
    {
        Next::Transmission(agreement) => agreement.base_allocation,
        _ => panic!("not agreed"),
    };
    let found = [reply::META_CONTEXT, reply::ACK];
    assert_eq!(
        select(&mut negotiation, "a", &["x:y", BASE_ALLOCATION]),
        found
    );
    assert!(go(&mut negotiation, "a"));
    assert!(!go(&mut negotiation, "b"));
    assert_eq!(
        select(&mut negotiation, "a", &["base:"]),
        [reply::ACK],
        "a set needs full names"
    );
    assert!(!go(&mut negotiation, "a"), "the last selection counts");
    let (bytes, _) = negotiation.answer(option::LIST_META_CONTEXT, &context_request("a", &[]));
    assert_eq!(kinds(option::LIST_META_CONTEXT, &bytes), found);
}

#[test]
fn options_that_are_wrong_are_refused_and_haggling_goes_on() {
    let exports = exports(&["a", "b"]);
    let structured = |option, payload: &[u8]| (true, option, payload.to_vec());
    let unknown = option::info_request("c").unwrap();
    let many_infos = [0, 0, 0, 1, b'a', 0xff, 0xff, 0, 3];
    let cases = [
        (structured(5, &[]), reply::ERR_UNSUP),
        (structured(77, &[1; 100]), reply::ERR_UNSUP),
        (structured(option::LIST, &[0]), reply::ERR_INVALID),
        (
            structured(option::STRUCTURED_REPLY, &[0]),
            reply::ERR_INVALID,
        ),
        (structured(option::GO, &[]), reply::ERR_INVALID),
        (structured(option::GO, &[0xff; 8]), reply::ERR_INVALID),
        (structured(option::GO, &many_infos), reply::ERR_INVALID),
        (
            structured(option::GO, &[0, 0, 0, 1, 0xff, 0, 0]),
            reply::ERR_INVALID,
        ),
        (structured(option::GO, &unknown), reply::ERR_UNKNOWN),
        (structured(option::INFO, &unknown), reply::ERR_UNKNOWN),
        (
            structured(option::INFO, &option::info_request("").unwrap()),
            reply::ERR_UNKNOWN,
        ),
        (
            structured(option::SET_META_CONTEXT, &[0; 4]),
            reply::ERR_INVALID,
        ),
        (
            structured(
                option::SET_META_CONTEXT,
                &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            ),
            reply::ERR_INVALID,
        ),
        (
            structured(option::SET_META_CONTEXT, &context_request("c", &[])),
            reply::ERR_UNKNOWN,
        ),
        (
            (false, option::SET_META_CONTEXT, context_request("a", &[])),
            reply::ERR_INVALID,
        ),
    ];
    for ((structured, option, payload), expected) in cases {
        let mut negotiation = Negotiation::new(&exports, true);
        negotiation.structured = structured;
        let (bytes, next) = negotiation.answer(option, &payload);
        assert_eq!(kinds(option, &bytes), [expected], "{option} {payload:?}");
        assert!(matches!(next, Next::Option));
    }
}

#[test]
fn the_only_export_is_the_default_export() {
    let only = exports(&["disk"]);
    let (answer, next) = Negotiation::new(&only, false).answer(option::EXPORT_NAME, b"");
    assert_eq!(answer.len(), 10 + 124);
    assert!(matches!(
        next,
        Next::Transmission(Agreement {
            structured: false,
            ..
        })
    ));
    let (answer, next) = Negotiation::new(&only, true).answer(option::EXPORT_NAME, b"disk");
    assert_eq!(answer.len(), 10);
    assert!(matches!(next, Next::Transmission(_)));
    let (answer, next) =
        Negotiation::new(&exports(&["a", "b"]), true).answer(option::EXPORT_NAME, b"");
    assert!(answer.is_empty() && matches!(next, Next::Refuse(_)));
}

#[test]
fn a_client_that_needs_block_sizes_must_ask_for_them() {
    struct Coarse;
    impl Export for Coarse {
        fn size(&self) -> u64 {
            4096
        }
        fn block_sizes(&self) -> BlockSizes {
            BlockSizes::new(512, 4096, 1 << 30).unwrap()
        }
        fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> std::io::Result<()> {
            Ok(())
        }
    }
    let exports = Exports::default();
    exports.add("a", Arc::new(Coarse)).unwrap();
    let mut negotiation = Negotiation::new(&exports, true);
    let without = [0, 0, 0, 1, b'a', 0, 0];
    let (bytes, _) = negotiation.answer(option::GO, &without);
    assert_eq!(kinds(option::GO, &bytes), [reply::ERR_BLOCK_SIZE_REQD]);
    let (bytes, _) = negotiation.answer(option::GO, &option::info_request("a").unwrap());
    assert_eq!(
        kinds(option::GO, &bytes),
        [reply::INFO, reply::INFO, reply::ACK]
    );
    let sizes = option_reply(
        option::GO,
        reply::INFO,
        &reply::block_size_info(BlockSizes::new(512, 4096, 32 << 20).unwrap()),
    );
    assert!(
        bytes.windows(sizes.len()).any(|part| part == sizes),
        "no more than 32 MiB of payload"
    );
}

#[test]
fn names_that_the_protocol_does_not_allow_are_not_exported() {
    let exports = exports(&["a"]);
    for name in ["a", "nul\0", &"x".repeat(4097)] {
        let error = exports.add(name, Arc::new(Disk(1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }
}
