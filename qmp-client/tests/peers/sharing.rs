//! One monitor that several use, as on a Proxmox VE host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fleece_qmp_client::commands::{QueryStatus, QueryVersion};
use fleece_qmp_client::{Client, ErrorKind, KnownEvent, Options, RawCommand, Sessions};
use rustix::process::Signal;

use crate::peer::{Peer, SOON, each_machine};

fn sharing(peer: &Peer) -> Client {
    drop(peer.client());
    let address = fleece_qmp_client::Address::unix(peer.path("qmp"));
    Client::over(Sessions::open(&address, &Options::default()).unwrap())
}

/// Proxmox's clients give up after five seconds.
#[test]
fn others_have_their_turn_while_a_backup_asks_all_the_time() {
    each_machine(&["-M", "none"], |peer| {
        let client = sharing(peer);
        let ends = AtomicBool::new(false);
        let (asked, waited) = thread::scope(|scope| {
            let backup = |pause: u64| {
                let (client, ends) = (client.clone(), &ends);
                scope.spawn(move || {
                    let mut asked = 0;
                    while !ends.load(Ordering::Relaxed) {
                        client.execute(&QueryStatus {}).unwrap();
                        asked += 1;
                        thread::sleep(Duration::from_millis(pause));
                    }
                    asked
                })
            };
            // One that leaves no gap for the session to end by itself, and one that does.
            let workers = [backup(0), backup(40), backup(300)];
            let mut longest = Duration::ZERO;
            for _ in 0..3 {
                let begun = Instant::now();
                peer.client().execute(&QueryVersion {}).unwrap();
                longest = longest.max(begun.elapsed());
                thread::sleep(Duration::from_millis(150));
            }
            ends.store(true, Ordering::Relaxed);
            let asked: u32 = workers.into_iter().map(|w| w.join().unwrap()).sum();
            (asked, longest)
        });
        assert!(asked > 8, "{asked}");
        assert!(waited < Duration::from_millis(4500), "{waited:?}");
    });
}

#[test]
fn a_sequence_of_commands_is_one_session_and_events_are_heard_in_it() {
    each_machine(&["-M", "none"], |peer| {
        let client = sharing(peer);
        let events = client.subscribe();
        let commands = ["cont", "stop", "query-status"].map(|name| RawCommand::new(name, None));
        let replies = client.pipeline_to_the_end(&commands, || ());
        assert!(replies.iter().all(Result::is_ok), "{replies:?}");
        let stopped = events.wait_for(
            |event| matches!(event.known(), Some(KnownEvent::Stop {})),
            SOON,
        );
        assert!(stopped.unwrap().is_some());
        assert!(!client.passes_descriptors());
    });
}

#[test]
fn the_end_of_qemu_is_noticed_at_the_next_command() {
    each_machine(&["-M", "none"], |peer| {
        let client = sharing(peer);
        let events = client.subscribe();
        client.execute(&QueryStatus {}).unwrap();
        peer.signal(Signal::KILL);
        let begun = Instant::now();
        let gone = loop {
            let error = client.execute(&QueryStatus {}).unwrap_err();
            if error.kind() != ErrorKind::Closed || begun.elapsed() > SOON {
                break error;
            }
        };
        assert!(
            matches!(gone.kind(), ErrorKind::Refused | ErrorKind::NoSocket),
            "{gone}"
        );
        assert!(client.closed().is_some());
        assert!(events.next(SOON).is_err());
    });
}
