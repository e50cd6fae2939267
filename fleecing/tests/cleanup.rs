//! What is left of a session whose process was killed, with the example as that process.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use fleece_fleecing::{Advice, ErrorKind, Place, Record};
use support::{Field, guest, instant};

/// The example `instant`, which cargo builds when it builds all tests, once it holds both disks at an instant.
fn hold(field: &Field) -> Child {
    let tests = std::env::current_exe().unwrap();
    let mut programs = tests.ancestors().skip(2);
    let example = programs.next().unwrap().join("examples/instant");
    assert!(
        example.is_file(),
        "{} is not built: run the tests without --test",
        example.display()
    );
    let mut child = Command::new(example)
        .arg(field.daemon.qmp_socket())
        .arg(field.directory())
        .arg(field.daemon.nbd_socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.as_mut().unwrap());
    let exported = said.lines().map(Result::unwrap);
    let exported = exported.filter(|line| line.contains(" is fleece-exp"));
    assert_eq!(exported.take(2).count(), 2);
    child
}

#[test]
fn the_example_holds_an_instant_until_it_is_told_to_end() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let field = Field::on(qemu);
    let mut example = hold(&field);
    field.disturb(1);
    let server = fleece_qmp_client::Address::unix(field.daemon.nbd_socket());
    let data = instant(&server, &fleece_fleecing::Session::export_name(1));
    assert!(data == Field::before());
    example.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(example.wait().unwrap().success());
    field.assert_clean();
}

#[test]
fn what_a_killed_process_left_is_removed_and_the_disk_is_as_the_guest_wrote_it() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let mut example = hold(&field);
        let busy =
            fleece_fleecing::cleanup(&field.place(), None, &fleece_storage::Storages::none());
        assert_eq!(busy.unwrap_err().kind(), ErrorKind::Busy);
        example.kill().unwrap();
        example.wait().unwrap();
        field.io(0, &["write -P 0x55 0 1M"]);
        let removed = field.clean();
        let count = |what: &str| {
            removed
                .iter()
                .filter(|removed| removed.contains(what))
                .count()
        };
        assert_eq!(count("fleecing image"), 2, "{removed:?}");
        assert!(count("in QEMU") >= 6, "{removed:?}");
        field.assert_clean();
        field.io(0, &["read -P 0x55 0 1M"]);
        // Once more does no harm.
        assert_eq!(field.clean(), [""; 0]);
    }
}

#[test]
fn without_the_record_a_session_is_refused_with_the_clean_up_that_removes_what_is_left() {
    for qemu in fleece_lab::qemus() {
        let field = Field::on(qemu);
        let mut example = hold(&field);
        example.kill().unwrap();
        example.wait().unwrap();
        for file in field.files() {
            if file.extension().is_none_or(|ending| ending != "raw") {
                fs::remove_file(file).unwrap();
            }
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let place = Place::new(elsewhere.path(), "web".parse().unwrap(), None);
        let record = Record::open(&place).unwrap();
        let error = field.session(&record).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);
        let Some(Advice::CleanUpAbandoned(clean_up)) = error.advice() else {
            panic!("{:?}", error.advice());
        };
        assert_eq!(clean_up.guest, Some(guest()));
        assert_eq!(clean_up.monitor, Some(field.monitor()));
        field.clean();
        field.assert_clean();
    }
}

#[test]
fn a_clean_up_does_not_stop_somebody_elses_server() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    let field = Field::on(qemu);
    // What a backup leaves that was killed just before it started a server of its own.
    let socket = field.place().nbd_socket();
    let record = format!(
        "qmp: {}\nnbd-socket: {}\n",
        field.monitor(),
        socket.display()
    );
    fs::write(socket.with_extension("state"), record).unwrap();
    assert_eq!(
        field.clean(),
        [format!("NBD server on {}", socket.display())]
    );
    field.assert_clean();
    field.io(0, &["read -P 0x11 0 1M"]);
}
