#![allow(
    clippy::cast_possible_truncation,
    reason = "the lengths are those of short literals"
)]

use std::io;

use super::*;
use crate::protocol::transmission_flag::{CAN_MULTI_CONN, SEND_TRIM};
use crate::protocol::{
    BASE_ALLOCATION, GREETING_MAGIC, OLDSTYLE_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, info,
};

/// A server whose answers are known beforehand.
struct Script<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn play(input: &[u8]) -> Result<Agreement, Error> {
    handshake(
        Script {
            input,
            output: Vec::new(),
        },
        "disk",
        Some(BASE_ALLOCATION),
    )
}

fn greeting(flags: u16) -> Vec<u8> {
    [
        &GREETING_MAGIC.to_be_bytes()[..],
        &OPTION_MAGIC.to_be_bytes(),
        &flags.to_be_bytes(),
    ]
    .concat()
}

fn newstyle() -> Vec<u8> {
    greeting(handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES)
}

fn reply(option: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn ack(option: u32) -> Vec<u8> {
    reply(option, option_reply::ACK, &[])
}

fn no_structured_replies() -> Vec<u8> {
    reply(option::STRUCTURED_REPLY, option_reply::ERR_UNSUP, &[])
}

fn export_info(size: u64, flags: u16) -> Vec<u8> {
    let payload = [
        &info::EXPORT.to_be_bytes()[..],
        &size.to_be_bytes(),
        &flags.to_be_bytes(),
    ];
    reply(option::GO, option_reply::INFO, &payload.concat())
}

fn block_sizes(sizes: [u32; 3]) -> Vec<u8> {
    let mut payload = info::BLOCK_SIZE.to_be_bytes().to_vec();
    payload.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    reply(option::GO, option_reply::INFO, &payload)
}

fn context(id: u32, name: &str) -> Vec<u8> {
    let payload = [&id.to_be_bytes(), name.as_bytes()].concat();
    reply(
        option::SET_META_CONTEXT,
        option_reply::META_CONTEXT,
        &payload,
    )
}

#[test]
fn everything_granted_is_agreed_on() {
    let input = [
        newstyle(),
        ack(option::STRUCTURED_REPLY),
        context(3, "x-other:context"),
        context(5, BASE_ALLOCATION),
        ack(option::SET_META_CONTEXT),
        reply(
            option::GO,
            option_reply::INFO,
            &[0, 2, b'n', b'a', b'm', b'e'],
        ),
        export_info(1 << 40, 0x0121),
        block_sizes([512, 65536, 1 << 20]),
        ack(option::GO),
    ];
    let agreement = play(&input.concat()).unwrap();
    assert_eq!(agreement.size, 1 << 40);
    assert_eq!(agreement.context, Some(5));
    assert!(agreement.has(SEND_TRIM) && agreement.has(CAN_MULTI_CONN));
    let sizes = agreement.block_sizes;
    assert_eq!(
        (sizes.minimum, sizes.preferred, sizes.max_payload),
        (512, 65536, 1 << 20)
    );
}

#[test]
fn a_dirty_bitmap_is_asked_for_by_its_name_and_no_other_is_taken_for_it() {
    let wanted = "qemu:dirty-bitmap:fleece-1";
    for (offered, agreed) in [(wanted, Some(7)), ("qemu:dirty-bitmap:fleece-10", None)] {
        let input = [
            newstyle(),
            ack(option::STRUCTURED_REPLY),
            context(7, offered),
            ack(option::SET_META_CONTEXT),
            export_info(4096, 1),
            ack(option::GO),
        ];
        let input = input.concat();
        let mut script = Script {
            input: &input,
            output: Vec::new(),
        };
        let agreement = handshake(&mut script, "disk", Some(wanted)).unwrap();
        assert_eq!(agreement.context, agreed);
        let asked = option::context_request("disk", wanted).unwrap();
        assert!(script.output.windows(asked.len()).any(|sent| sent == asked));
    }
}

#[test]
fn holes_are_not_asked_for_by_who_does_not_want_to_know() {
    let input = [newstyle(), export_info(4096, 1), ack(option::GO)].concat();
    let mut script = Script {
        input: &input,
        output: Vec::new(),
    };
    let agreement = handshake(&mut script, "disk", None).unwrap();
    assert_eq!(agreement.context, None);
    let asked = option::option(option::STRUCTURED_REPLY, &[]).unwrap();
    assert!(!script.output.windows(asked.len()).any(|sent| sent == asked));
}

#[test]
fn a_server_without_go_is_entered_by_export_name() {
    let answer = [&4096u64.to_be_bytes()[..], &1u16.to_be_bytes()].concat();
    let go_unknown = reply(option::GO, option_reply::ERR_UNSUP, &[]);
    let zeroes = [0; 124];
    for (flags, zeroes) in [(handshake_flag::FIXED_NEWSTYLE, &zeroes[..]), (3, &[])] {
        let input = [
            &greeting(flags)[..],
            &no_structured_replies(),
            &go_unknown,
            &answer,
            zeroes,
        ]
        .concat();
        let agreement = play(&input).unwrap();
        assert_eq!((agreement.size, agreement.context), (4096, None));
        let short = &input[..input.len() - 1];
        assert!(play(short).is_err(), "the zeroes belong to the answer");
    }
    let closed = [newstyle(), no_structured_replies(), go_unknown].concat();
    assert_eq!(play(&closed).unwrap_err().kind(), ErrorKind::UnknownExport);
}

#[test]
fn an_unknown_export_tells_a_bounded_list_of_names() {
    let mut input = [newstyle(), no_structured_replies()].concat();
    input.extend(reply(
        option::GO,
        option_reply::ERR_UNKNOWN,
        b"export not found",
    ));
    let without_list = input.clone();
    for i in 0..500u32 {
        let name = format!("disk\n{i}");
        let payload = [
            &(name.len() as u32).to_be_bytes(),
            name.as_bytes(),
            b"description",
        ]
        .concat();
        input.extend(reply(option::LIST, option_reply::SERVER, &payload));
    }
    input.extend(ack(option::LIST));
    let error = play(&input).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownExport);
    let text = error.to_string();
    assert!(
        text.starts_with(
            r#"the NBD server has no export "disk"; it has 500, among them "disk 0", "disk 1""#
        ),
        "{text}"
    );
    assert!(text.len() < 1000, "{text}");

    let refused = reply(option::LIST, option_reply::ERR_POLICY, &[]);
    let error = play(&[without_list, refused].concat()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownExport);
    assert!(error.to_string().contains("export not found"), "{error}");
}

#[test]
fn what_is_not_a_fixed_newstyle_server_is_refused_by_name() {
    let oldstyle = [
        &GREETING_MAGIC.to_be_bytes()[..],
        &OLDSTYLE_MAGIC.to_be_bytes(),
        &[0; 136],
    ]
    .concat();
    let cases: [(&[u8], ErrorKind, &str); 4] = [
        (&oldstyle, ErrorKind::Unsupported, "oldstyle"),
        (&greeting(0), ErrorKind::Unsupported, "unfixed newstyle"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            ErrorKind::Protocol,
            "not an NBD server",
        ),
        (b"", ErrorKind::Disconnected, "closed the connection"),
    ];
    for (input, kind, words) in cases {
        let error = play(input).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn damaged_replies_are_protocol_errors() {
    let start = [newstyle(), no_structured_replies()].concat();
    let mut wrong_magic = ack(option::GO);
    wrong_magic[0] ^= 1;
    let mut too_long = reply(option::GO, option_reply::INFO, &[]);
    too_long[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    let good = export_info(4096, 1);
    let damage = [
        ("wrong magic", wrong_magic),
        ("answer to another option", ack(option::LIST)),
        ("4 GiB of answer", too_long),
        ("no size", ack(option::GO)),
        ("short size", reply(option::GO, option_reply::INFO, &[0; 9])),
        ("long size", reply(option::GO, option_reply::INFO, &[0; 13])),
        (
            "information of one byte",
            reply(option::GO, option_reply::INFO, &[0]),
        ),
        (
            "minimum of zero",
            [&good[..], &block_sizes([0, 4096, 4096])].concat(),
        ),
        (
            "odd minimum",
            [&good[..], &block_sizes([3, 4096, 4096])].concat(),
        ),
        (
            "minimum of 128 KiB",
            [&good[..], &block_sizes([1 << 17, 1 << 17, 1 << 20])].concat(),
        ),
        (
            "maximum below minimum",
            [&good[..], &block_sizes([512, 512, 256])].concat(),
        ),
        ("endless answers", good.repeat(MAX_REPLIES + 1)),
    ];
    for (name, bytes) in damage {
        let error = play(&[&start[..], &bytes].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{name}: {error}");
    }
}

#[test]
fn a_name_that_the_protocol_does_not_allow_is_not_sent() {
    let input = [newstyle(), no_structured_replies()].concat();
    let mut script = Script {
        input: &input,
        output: Vec::new(),
    };
    let error = handshake(&mut script, &"x".repeat(4097), Some(BASE_ALLOCATION)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    assert!(!script.output.windows(4).any(|bytes| bytes == b"xxxx"));
}

#[test]
fn a_failed_handshake_ends_with_abort() {
    let input = [
        newstyle(),
        reply(option::STRUCTURED_REPLY, option_reply::ERR_TLS_REQD, &[]),
    ]
    .concat();
    let mut script = Script {
        input: &input,
        output: Vec::new(),
    };
    let error = handshake(&mut script, "disk", Some(BASE_ALLOCATION)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let abort = [
        &OPTION_MAGIC.to_be_bytes()[..],
        &option::ABORT.to_be_bytes(),
        &[0; 4],
    ]
    .concat();
    assert!(script.output.ends_with(&abort));
}
