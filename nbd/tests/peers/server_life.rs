//! How the server begins, ends, and puts up with its clients.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fleece_nbd::{
    Address, Client, Error, ErrorKind, Export, Options, Pending, Server, ServerOptions,
};
use tempfile::TempDir;

use crate::memory::Memory;
use crate::programs::pattern;

const MIB: usize = 1 << 20;
const GRACE: Duration = Duration::from_secs(20);

struct Fixture {
    disk: Arc<Memory>,
    server: Server,
    socket: PathBuf,
    _dir: TempDir,
}

impl Fixture {
    fn new(options: &ServerOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("nbd.sock");
        let server = Server::start(&Address::Unix(socket.clone()), options).unwrap();
        let disk = Arc::new(Memory::new(pattern(MIB, 1)));
        server.add_export("disk", Arc::clone(&disk) as _).unwrap();
        Self {
            disk,
            server,
            socket,
            _dir: dir,
        }
    }

    fn client(&self) -> Client {
        self.try_client("disk").unwrap()
    }

    fn try_client(&self, export: &str) -> Result<Client, Error> {
        let options = Options::default().with_connections(1);
        Client::connect(self.server.address(), export, &options)
    }

    /// A connection of a client that has said nothing yet.
    fn raw(&self) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(GRACE)).unwrap();
        stream.read_exact(&mut [0; 18]).unwrap();
        stream
    }

    /// A connection of a client that may send requests and gets simple replies.
    fn raw_transmission(&self) -> UnixStream {
        let mut stream = self.raw();
        stream.write_all(&3u32.to_be_bytes()).unwrap();
        stream.write_all(&option(1, b"disk")).unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        stream
    }

    /// The server still does its work.
    fn assert_serving(&self) {
        let mut buffer = vec![0; MIB];
        self.client().read_at(0, &mut buffer).unwrap();
        assert!(buffer == pattern(MIB, 1));
    }
}

fn option(number: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    [
        b"IHAVEOPT",
        &number.to_be_bytes()[..],
        &length.to_be_bytes(),
        payload,
    ]
    .concat()
}

fn request(command: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = 0x2560_9513u32.to_be_bytes().to_vec();
    bytes.extend(0u16.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// Error number and cookie of a simple reply.
fn simple_reply(stream: &mut UnixStream) -> (u32, u64) {
    let mut bytes = [0; 16];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..4], 0x6744_6698u32.to_be_bytes());
    (
        u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
        u64::from_be_bytes(bytes[8..].try_into().unwrap()),
    )
}

/// Waits for the server to close the connection. What else it had to say does not matter.
fn assert_closed(stream: &mut UnixStream) {
    match io::copy(stream, &mut io::sink()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
    }
}

fn read(client: &Client, offset: u64) -> Pending {
    client.submit_read(offset, vec![0; 512]).unwrap()
}

#[test]
fn requests_of_one_connection_run_side_by_side_and_finish_out_of_order() {
    let fixture = Fixture::new(&ServerOptions::default());
    let client = fixture.client();
    fixture.disk.close_gate();
    let first = read(&client, 0);
    let second = read(&client, 512);
    assert!(second.wait().unwrap() == pattern(MIB, 1)[512..1024]);
    fixture.disk.await_waiting(1);
    assert_eq!(first.wait_timeout(Duration::ZERO).unwrap(), None);
    fixture.disk.open_gate();
    assert!(first.wait().unwrap() == pattern(MIB, 1)[..512]);
}

#[test]
fn no_more_requests_run_at_once_than_there_are_workers() {
    let fixture = Fixture::new(&ServerOptions::default().with_workers(2));
    let client = fixture.client();
    fixture.disk.close_gate();
    let blocked = [read(&client, 0), read(&client, 0)];
    fixture.disk.await_waiting(2);
    let third = read(&client, 512);
    assert_eq!(third.wait_timeout(Duration::from_millis(50)).unwrap(), None);
    fixture.disk.open_gate();
    for pending in blocked.into_iter().chain([third]) {
        pending.wait().unwrap();
    }
}

#[test]
fn shutting_down_answers_what_is_under_way_and_removes_the_socket() {
    let fixture = Fixture::new(&ServerOptions::default());
    let client = fixture.client();
    fixture.disk.close_gate();
    let pending = read(&client, 0);
    fixture.disk.await_waiting(1);
    let Fixture {
        server,
        disk,
        socket,
        _dir,
    } = fixture;
    thread::scope(|scope| {
        let ended = scope.spawn(|| server.shutdown(GRACE));
        disk.open_gate();
        assert!(pending.wait().unwrap() == pattern(MIB, 1)[..512]);
        ended.join().unwrap().unwrap();
    });
    assert!(!socket.exists());
    let later = client.submit_read(0, vec![0; 512]).and_then(Pending::wait);
    assert_eq!(later.unwrap_err().kind(), ErrorKind::Disconnected);
}

#[test]
fn shutting_down_does_not_wait_longer_than_its_grace_for_a_request_that_hangs() {
    let fixture = Fixture::new(&ServerOptions::default());
    let client = fixture.client();
    fixture.disk.close_gate();
    let pending = read(&client, 0);
    fixture.disk.await_waiting(1);
    let error = fixture
        .server
        .shutdown(Duration::from_millis(10))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Disconnected);
    fixture.disk.open_gate();
}

#[test]
fn removing_an_export_ends_its_clients_and_no_others() {
    let fixture = Fixture::new(&ServerOptions::default());
    fixture
        .server
        .add_export("other", Arc::new(Memory::new(vec![9; MIB])))
        .unwrap();
    let (removed, kept) = (fixture.client(), fixture.try_client("other").unwrap());
    fixture.server.remove_export("disk", GRACE).unwrap();
    // No request reaches it any more; the last thread that knew it may still be on its way out.
    let start = Instant::now();
    while Arc::strong_count(&fixture.disk) > 1 {
        assert!(start.elapsed() < GRACE, "somebody still has the disk");
        thread::yield_now();
    }
    let gone = removed.submit_read(0, vec![0; 512]).and_then(Pending::wait);
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Disconnected);
    assert_eq!(
        fixture.try_client("disk").unwrap_err().kind(),
        ErrorKind::UnknownExport
    );
    assert_eq!(
        kept.submit_read(0, vec![0; 1]).unwrap().wait().unwrap(),
        [9]
    );
    fixture.server.remove_export("disk", GRACE).unwrap();
}

#[test]
fn clients_that_break_the_protocol_are_closed_and_others_are_served() {
    let fixture = Fixture::new(&ServerOptions::default());
    let witness = fixture.client();
    let mut huge_option = option(7, b"");
    huge_option[12..].copy_from_slice(&u32::MAX.to_be_bytes());
    let handshakes: [(&str, Vec<u8>); 5] = [
        ("unknown flags", 0xffu32.to_be_bytes().to_vec()),
        ("wrong magic", [&3u32.to_be_bytes()[..], &[0; 16]].concat()),
        (
            "option of 4 GiB",
            [&3u32.to_be_bytes()[..], &huge_option].concat(),
        ),
        (
            "unknown export by name",
            [&3u32.to_be_bytes()[..], &option(1, b"nothing")].concat(),
        ),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
    ];
    for (name, bytes) in handshakes {
        let mut stream = fixture.raw();
        stream.write_all(&bytes).unwrap();
        assert_closed(&mut stream);
        assert!(read(&witness, 512).wait().is_ok(), "{name}");
    }
    let mut stream = fixture.raw_transmission();
    stream.write_all(&[0; 28]).unwrap();
    assert_closed(&mut stream);
    // In the middle of a request, and of a write's data.
    for part in [request(0, 1, 0, 512)[..27].to_vec(), request(1, 1, 0, 512)] {
        let mut stream = fixture.raw_transmission();
        stream.write_all(&part).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_closed(&mut stream);
    }
    assert!(read(&witness, 512).wait().is_ok());
    fixture.assert_serving();
}

#[test]
fn a_write_longer_than_allowed_is_refused_and_the_connection_goes_on() {
    let fixture = Fixture::new(&ServerOptions::default());
    let mut stream = fixture.raw_transmission();
    let length = (32 << 20) + 1;
    stream.write_all(&request(1, 7, 0, length)).unwrap();
    stream.write_all(&vec![0; length as usize]).unwrap();
    assert_eq!(simple_reply(&mut stream), (22, 7));
    stream.write_all(&request(1, 8, 0, 1)).unwrap();
    stream.write_all(&[pattern(1, 1)[0]]).unwrap();
    assert_eq!(simple_reply(&mut stream), (0, 8));
    fixture.assert_serving();
}

#[test]
fn a_client_that_takes_no_replies_holds_up_neither_others_nor_the_shutdown() {
    let fixture = Fixture::new(&ServerOptions::default());
    let mut stream = fixture.raw_transmission();
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    // Until the server, which cannot send, does not take any more.
    let mut cookie = 0;
    while stream.write_all(&request(0, cookie, 0, MIB as u32)).is_ok() {
        cookie += 1;
    }
    fixture.assert_serving();
    fixture.server.shutdown(Duration::from_millis(10)).unwrap();
    assert_closed(&mut stream);
}

#[test]
fn a_client_that_says_nothing_is_closed_in_time() {
    let options = ServerOptions::default().with_handshake_timeout(Duration::from_millis(50));
    let fixture = Fixture::new(&options);
    assert_closed(&mut fixture.raw());
    // The limit is for the handshake only.
    let client = fixture.client();
    fixture.disk.close_gate();
    let pending = read(&client, 0);
    let early = pending.wait_timeout(Duration::from_millis(100)).unwrap();
    assert_eq!(early, None);
    fixture.disk.open_gate();
    pending.wait().unwrap();
}

#[test]
fn a_client_that_never_finishes_a_message_is_closed_in_time() {
    let options = ServerOptions::default().with_handshake_timeout(Duration::from_millis(50));
    let fixture = Fixture::new(&options);
    let mut stream = fixture.raw();
    let mut endless = option(77, b"");
    endless[12..].copy_from_slice(&(64u32 << 10).to_be_bytes());
    stream.write_all(&3u32.to_be_bytes()).unwrap();
    stream.write_all(&endless).unwrap();
    // Each byte comes well in time; it is the sum that counts.
    let drops = (0..64 << 10).take_while(|_| {
        thread::sleep(Duration::from_millis(1));
        stream.write_all(&[0]).is_ok()
    });
    assert!(drops.count() < 10_000);
}

#[test]
fn messages_that_arrive_byte_by_byte_are_understood() {
    let fixture = Fixture::new(&ServerOptions::default());
    let mut stream = fixture.raw();
    let drip = |mut stream: &UnixStream, parts: &[&[u8]]| {
        for byte in parts.concat() {
            stream.write_all(&[byte]).unwrap();
        }
    };
    drip(&stream, &[&3u32.to_be_bytes(), &option(1, b"disk")]);
    stream.read_exact(&mut [0; 10]).unwrap();
    drip(&stream, &[&request(1, 5, 512, 4), b"data"]);
    assert_eq!(simple_reply(&mut stream), (0, 5));
    drip(&stream, &[&request(0, 6, 512, 4)]);
    assert_eq!(simple_reply(&mut stream), (0, 6));
    let mut data = [0; 4];
    stream.read_exact(&mut data).unwrap();
    assert_eq!(&data, b"data");
}

#[test]
fn clients_above_the_limit_are_turned_away_until_others_leave() {
    let fixture = Fixture::new(&ServerOptions::default().with_max_connections(1));
    let first = fixture.client();
    assert_eq!(fixture.server.connections(), 1);
    let error = fixture.try_client("disk").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    first.disconnect();
    while fixture.server.connections() > 0 {
        thread::yield_now();
    }
    fixture.assert_serving();
}

#[test]
fn an_export_that_panics_costs_the_connection_but_not_the_server() {
    struct Broken;
    impl Export for Broken {
        fn size(&self) -> u64 {
            4096
        }
        fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
            panic!("this export is broken on purpose")
        }
    }
    let fixture = Fixture::new(&ServerOptions::default().with_workers(1));
    fixture
        .server
        .add_export("broken", Arc::new(Broken))
        .unwrap();
    let client = fixture.try_client("broken").unwrap();
    let pending: Vec<_> = (0..8)
        .map_while(|_| client.submit_read(0, vec![0; 512]).ok())
        .collect();
    for pending in pending {
        assert_eq!(pending.wait().unwrap_err().kind(), ErrorKind::Disconnected);
    }
    fixture.assert_serving();
    fixture.server.shutdown(GRACE).unwrap();
}

#[test]
fn only_the_owner_may_connect() {
    let fixture = Fixture::new(&ServerOptions::default());
    let mode = std::fs::metadata(&fixture.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_socket_of_a_dead_server_is_replaced_and_that_of_a_living_one_is_not() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("nbd.sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "a listener leaves its file behind");
    let address = Address::Unix(socket.clone());
    let server = Server::start(&address, &ServerOptions::default()).unwrap();
    let error = Server::start(&address, &ServerOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(socket.exists());
    drop(server);
    assert!(!socket.exists());
    std::fs::write(&socket, "a file of somebody's").unwrap();
    assert!(Server::start(&address, &ServerOptions::default()).is_err());
    assert_eq!(
        std::fs::read_to_string(&socket).unwrap(),
        "a file of somebody's"
    );
}

#[test]
fn a_server_listens_for_other_machines_only_if_that_is_allowed() {
    let everywhere = Address::Tcp("0.0.0.0:0".to_owned());
    let error = Server::start(&everywhere, &ServerOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.to_string().contains("loopback"), "{error}");
    Server::start(
        &everywhere,
        &ServerOptions::default().with_allow_remote(true),
    )
    .unwrap();
}
