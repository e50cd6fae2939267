//! Connecting: who is let in, and why somebody is not.

use std::net::TcpListener;
use std::os::fd::AsFd;

use super::*;
use crate::commands::AddFd;

#[test]
fn events_before_the_greeting_are_passed_over() {
    let server = Server::new(|mut talk| {
        talk.say("{\"event\": \"POWERDOWN\"}\r\n{\"return\": {}, \"id\": 4}\r\n");
        talk.let_in();
    });
    assert_eq!(server.client().greeting().version.qemu.major, 10);
}

#[test]
fn refused_negotiation_is_told_in_the_words_of_the_server() {
    let server = Server::new(|mut talk| {
        talk.say(GREETING);
        let id = talk.command()["id"].clone();
        let error = json!({"class": "GenericError", "desc": "not you"});
        talk.say(json!({"error": error, "id": id}).to_string());
        talk.await_hangup();
    });
    let error = Client::connect_unix(server.path()).unwrap_err();
    assert_eq!(error.detail(), Some("not you"));
}

#[test]
fn silence_means_that_another_client_is_connected() {
    let silent = Server::new(|mut talk| talk.await_hangup());
    assert_eq!(silent.refused(SHORT).kind(), ErrorKind::Busy);
}

#[test]
fn a_server_of_another_protocol_is_found_out_at_once() {
    for other in [
        "NBDMAGICIHAVEOPT\0\x03",
        "SSH-2.0-OpenSSH\r\n",
        "{\"QMP\": 1}",
        "{ nonsense }",
    ] {
        let server = Server::new(move |mut talk| {
            talk.say(other);
            talk.await_hangup();
        });
        assert_eq!(server.refused(SOON).kind(), ErrorKind::NotQmp, "{other:?}");
    }
}

#[test]
fn a_server_that_never_greets_is_not_a_qmp_server() {
    let server = Server::new(|mut talk| {
        talk.say("{\"event\": \"E\"}{\"return\": {}}{");
        talk.await_hangup();
    });
    assert_eq!(
        server.refused(Duration::from_secs(1)).kind(),
        ErrorKind::NotQmp
    );
}

#[test]
fn hanging_up_instead_of_greeting_is_a_lost_connection() {
    assert_eq!(Server::new(drop).refused(SOON).kind(), ErrorKind::Closed);
}

#[test]
fn addresses_without_a_server_say_why() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| Client::connect_unix(directory.path().join(name)).unwrap_err();
    let missing = at("missing");
    assert_eq!(missing.kind(), ErrorKind::NoSocket);
    assert!(
        missing.to_string().contains("missing: no such socket"),
        "{missing}"
    );
    drop(UnixListener::bind(directory.path().join("stale")).unwrap());
    assert_eq!(at("stale").kind(), ErrorKind::Refused);
    std::fs::write(directory.path().join("file"), "").unwrap();
    assert_eq!(at("file").kind(), ErrorKind::Refused);
    assert_eq!(at(&"x".repeat(200)).kind(), ErrorKind::Connect);

    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = Address::Tcp(format!("127.0.0.1:{port}"));
    let error = Client::connect(&address, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[test]
fn a_tcp_server_is_served_but_gets_no_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap().to_string());
    let server = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(GREETING.as_bytes()).unwrap();
        let commands = BufReader::new(stream.try_clone().unwrap());
        for line in commands.lines() {
            let command: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let reply = json!({"return": version(3), "id": command["id"]}).to_string();
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let client = Client::connect(&address, &Options::default()).unwrap();
    let file = tempfile::tempfile().unwrap();
    let error = client
        .execute_with_fd(&AddFd::default(), file.as_fd())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCommand);
    assert_eq!(client.execute(&QueryVersion {}).unwrap().qemu.major, 3);
    drop(client);
    server.join().unwrap();
}
