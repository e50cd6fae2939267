//! The guest agent in the lab's guest.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fleece_lab::{Disk, Guest};

#[test]
fn the_agent_freezes_and_thaws_a_file_system_of_the_guest() {
    for qemu in fleece_lab::qemus() {
        let guest = Guest::builder(&qemu)
            .disk(Disk::raw(16 << 20))
            .with_agent()
            .boot()
            .unwrap();
        let mount = "mke2fs /dev/disk0 >/dev/null && mount -t ext4 /dev/disk0 /mnt";
        guest.run(mount, Duration::from_secs(30)).unwrap();

        let mut stream = UnixStream::connect(guest.agent_socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut replies = BufReader::new(stream.try_clone().unwrap());
        for (command, reply) in [
            ("guest-fsfreeze-freeze", r#"{"return": 1}"#),
            ("guest-fsfreeze-status", r#"{"return": "frozen"}"#),
            ("guest-fsfreeze-thaw", r#"{"return": 1}"#),
        ] {
            writeln!(stream, r#"{{"execute": "{command}"}}"#).unwrap();
            let mut line = String::new();
            replies.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), reply, "{command}");
        }
    }
}
