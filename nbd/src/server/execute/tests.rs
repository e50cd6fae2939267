#![allow(clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::Mutex;

use super::*;
use crate::protocol::reply::{parse_chunk, parse_error, parse_simple, parse_status};
use crate::server::export::Export;
use crate::sizes::BlockSizes;

/// A disk of 64 KiB that fails as it is told and notes what reaches it.
#[derive(Default)]
struct Probe {
    read_only: bool,
    sizes: BlockSizes,
    failure: Option<io::ErrorKind>,
    extents: Vec<Extent>,
    calls: Mutex<Vec<String>>,
}

impl Probe {
    fn note(&self, call: String) -> io::Result<()> {
        self.calls.lock().unwrap().push(call);
        self.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Export for Probe {
    fn size(&self) -> u64 {
        64 << 10
    }

    fn block_sizes(&self) -> BlockSizes {
        self.sizes
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0xaa);
        self.note(format!("read {offset} {}", buffer.len()))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(format!("write {offset} {}", data.len()))
    }

    fn flush(&self) -> io::Result<()> {
        self.note("flush".to_owned())
    }

    fn trim(&self, offset: u64, length: u64) -> io::Result<()> {
        self.note(format!("trim {offset} {length}"))
    }

    fn block_status(&self, _offset: u64, _length: u64) -> io::Result<Vec<Extent>> {
        Ok(self.extents.clone())
    }
}

fn agree(export: Arc<Probe>, structured: bool) -> Agreement {
    Agreement {
        name: String::new(),
        export,
        structured,
        base_allocation: structured,
    }
}

fn header(command: u16, flags: u16, offset: u64, length: u32) -> RequestHeader {
    RequestHeader {
        flags,
        command,
        cookie: 42,
        offset,
        length,
    }
}

/// The error number that a request gets, in both styles of replies.
fn errno(probe: Probe, request: RequestHeader) -> Option<Errno> {
    let probe = Arc::new(probe);
    let mut reply = vec![1; 3];
    execute(&agree(Arc::clone(&probe), true), &request, &[], &mut reply);
    let chunk = parse_chunk(&reply[4..20]).unwrap();
    assert!(chunk.done && chunk.cookie == 42 && chunk.length as usize == reply.len() - 20);
    let structured =
        (chunk.kind == chunk::ERROR).then(|| parse_error(chunk.kind, &reply[20..]).unwrap().0);
    if request.command != request::BLOCK_STATUS && request.flags & request::FLAG_DF == 0 {
        execute(&agree(probe, false), &request, &[], &mut reply);
        let simple = parse_simple(&reply[4..16]).unwrap();
        assert_eq!((simple.cookie, simple.errno), (42, structured));
    }
    structured
}

#[test]
fn requests_that_a_client_must_not_send_get_the_number_of_the_specification() {
    use request::*;
    let end = 64 << 10;
    let cases = [
        ("unknown request", header(99, 0, 0, 512), Errno::Invalid),
        (
            "cache, which was not offered",
            header(5, 0, 0, 512),
            Errno::Invalid,
        ),
        (
            "flag of another request",
            header(READ, FLAG_NO_HOLE, 0, 512),
            Errno::Invalid,
        ),
        (
            "unknown flag",
            header(WRITE, 1 << 9, 0, 512),
            Errno::Invalid,
        ),
        ("empty read", header(READ, 0, 0, 0), Errno::Invalid),
        (
            "read past the end",
            header(READ, 0, end - 1, 2),
            Errno::Invalid,
        ),
        (
            "read at the end of numbers",
            header(READ, 0, u64::MAX, 2),
            Errno::Invalid,
        ),
        (
            "write past the end",
            header(WRITE, 0, end, 1),
            Errno::NoSpace,
        ),
        (
            "zeroes past the end",
            header(WRITE_ZEROES, 0, 1, 64 << 10),
            Errno::NoSpace,
        ),
        ("trim past the end", header(TRIM, 0, end, 1), Errno::Invalid),
        (
            "status past the end",
            header(BLOCK_STATUS, 0, end, 1),
            Errno::Invalid,
        ),
    ];
    for (name, request, expected) in cases {
        assert_eq!(errno(Probe::default(), request), Some(expected), "{name}");
    }
    let read_only = || Probe {
        read_only: true,
        ..Probe::default()
    };
    for command in [WRITE, TRIM, WRITE_ZEROES] {
        assert_eq!(
            errno(read_only(), header(command, 0, 0, 512)),
            Some(Errno::Permission)
        );
    }
    assert_eq!(errno(read_only(), header(FLUSH, 0, 0, 0)), None);
    let coarse = || Probe {
        sizes: BlockSizes::new(512, 512, 1024).unwrap(),
        ..Probe::default()
    };
    for (offset, length) in [(1, 512), (512, 1), (0, 1536)] {
        assert_eq!(
            errno(coarse(), header(READ, 0, offset, length)),
            Some(Errno::Invalid)
        );
    }
    assert_eq!(
        errno(coarse(), header(TRIM, 0, 0, 2048)),
        None,
        "the maximum is for data only"
    );
}

#[test]
fn an_error_of_the_export_becomes_the_nearest_number() {
    for (kind, expected) in [
        (io::ErrorKind::StorageFull, Errno::NoSpace),
        (io::ErrorKind::PermissionDenied, Errno::Permission),
        (io::ErrorKind::InvalidInput, Errno::Invalid),
        (io::ErrorKind::Unsupported, Errno::NotSupported),
        (io::ErrorKind::BrokenPipe, Errno::Io),
    ] {
        for command in [
            request::READ,
            request::WRITE,
            request::TRIM,
            request::WRITE_ZEROES,
        ] {
            let probe = Probe {
                failure: Some(kind),
                ..Probe::default()
            };
            assert_eq!(errno(probe, header(command, 0, 0, 512)), Some(expected));
        }
    }
}

#[test]
fn forced_unit_access_flushes_after_the_write() {
    let probe = Arc::new(Probe::default());
    let agreement = agree(Arc::clone(&probe), true);
    let mut reply = Vec::new();
    execute(
        &agreement,
        &header(request::WRITE, request::FLAG_FUA, 512, 4),
        b"data",
        &mut reply,
    );
    execute(
        &agreement,
        &header(request::WRITE, 0, 0, 4),
        b"data",
        &mut reply,
    );
    execute(
        &agreement,
        &header(request::FLUSH, request::FLAG_FUA, 0, 0),
        &[],
        &mut reply,
    );
    let calls = probe.calls.lock().unwrap().clone();
    assert_eq!(calls, ["write 512 4", "flush", "write 0 4", "flush"]);
}

#[test]
fn a_read_after_a_longer_one_sends_only_its_own_bytes() {
    let probe = Arc::new(Probe::default());
    for (structured, start) in [(true, 28), (false, 16)] {
        let agreement = agree(Arc::clone(&probe), structured);
        let mut reply = vec![0x55; 5000];
        execute(
            &agreement,
            &header(request::READ, 0, 0, 512),
            &[],
            &mut reply,
        );
        assert_eq!(reply[start..], [0xaa; 512]);
    }
}

#[test]
fn zeroes_are_written_where_the_export_has_nothing_better_unless_fast_is_wanted() {
    let probe = Arc::new(Probe::default());
    let agreement = agree(Arc::clone(&probe), true);
    let mut reply = Vec::new();
    execute(
        &agreement,
        &header(request::WRITE_ZEROES, 0, 100, 60000),
        &[],
        &mut reply,
    );
    assert_eq!(*probe.calls.lock().unwrap(), ["write 100 60000"]);
    let fast = header(request::WRITE_ZEROES, request::FLAG_FAST_ZERO, 0, 512);
    assert_eq!(errno(Probe::default(), fast), Some(Errno::NotSupported));
}

#[test]
fn block_status_is_cut_to_the_range_and_to_one_extent_where_asked_for() {
    let extents = vec![Extent::data(1024), Extent::hole(1 << 40)];
    let agreement = agree(
        Arc::new(Probe {
            extents,
            ..Probe::default()
        }),
        true,
    );
    let mut reply = Vec::new();
    let mut status = |flags| {
        execute(
            &agreement,
            &header(request::BLOCK_STATUS, flags, 0, 4096),
            &[],
            &mut reply,
        );
        parse_status(&reply[20..]).unwrap()
    };
    let both = vec![Extent::data(1024), Extent::hole(3072)];
    assert_eq!(status(0), (BASE_ALLOCATION_ID, both));
    assert_eq!(
        status(request::FLAG_REQ_ONE),
        (BASE_ALLOCATION_ID, vec![Extent::data(1024)])
    );
}

#[test]
fn an_export_that_answers_nonsense_about_its_status_is_an_error_for_the_client() {
    for extents in [vec![], vec![Extent::data(0)]] {
        let probe = Probe {
            extents,
            ..Probe::default()
        };
        assert_eq!(
            errno(probe, header(request::BLOCK_STATUS, 0, 0, 4096)),
            Some(Errno::Io)
        );
    }
}
