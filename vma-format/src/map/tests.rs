use super::*;

fn disk(line: &str) -> Disk {
    match parse_line(line.as_bytes()) {
        Ok(Record::Disk(disk)) => disk,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn lines_of_a_real_restore_are_understood() {
    let line = "throttling.bps=104857600:throttling.group=local-lvm:format=raw:0:drive-scsi0=/dev/pve/vm-100-disk-0";
    let disk = disk(line);
    assert_eq!(disk.device, "drive-scsi0");
    assert_eq!(disk.path, PathBuf::from("/dev/pve/vm-100-disk-0"));
    assert!(!disk.write_zeroes);
    assert_eq!(disk.format.as_deref(), Some("raw"));
    assert_eq!(disk.bytes_per_second, Some(104_857_600));
    assert_eq!(disk.group.as_deref(), Some("local-lvm"));
    assert_eq!(
        parse_line(b"skip=drive-efidisk0").unwrap(),
        Record::Skip("drive-efidisk0".into())
    );
}

#[test]
fn a_path_is_taken_as_it_is() {
    let disk = disk("1:a=rbd:pool/image:conf=/etc/ceph.conf");
    assert_eq!(
        disk.path,
        PathBuf::from("rbd:pool/image:conf=/etc/ceph.conf")
    );
    assert!(disk.write_zeroes);
}

#[test]
fn numbers_are_those_of_c() {
    for (text, value) in [("010", 8), ("0x10", 16), ("10", 10), ("0", 0)] {
        assert_eq!(
            disk(&format!("throttling.bps={text}:0:a=b")).bytes_per_second,
            Some(value)
        );
    }
}

#[test]
fn every_mistake_is_named() {
    for (line, reason) in [
        ("skip", "option 'skip' has no value"),
        ("skip=", "option 'skip' has no value"),
        (
            "format=raw:format=raw:0:a=b",
            "duplicate value for option 'format'",
        ),
        ("format=raw", "option 'format' not terminated"),
        ("throttling.bps=ten:0:a=b", "not a number"),
        ("throttling.bps=-1:0:a=b", "not a number"),
        ("throttling.bps=+1:0:a=b", "not a number"),
        ("throttling.bps=:0:a=b", "not a number"),
        ("cache=fast:0:a=b", "invalid cache option"),
        ("a=b", "parse error"),
        ("2:a=b", "parse error"),
        ("0:a", "no dev name specified"),
        ("0:=b", "no dev name specified"),
        ("0:a=", "no path specified"),
    ] {
        let error = parse_line(line.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Map);
        assert!(error.to_string().contains(reason), "{line}: {error}");
    }
}

#[test]
fn done_an_empty_line_and_the_end_all_end_a_map() {
    for end in ["", "done", "done\n", "\n", "done\nrubbish", "\nrubbish"] {
        let text = format!("0:a=b\nskip=c\n{end}");
        assert_eq!(read(text.as_bytes()).unwrap().len(), 2, "{end:?}");
    }
}

#[test]
fn endless_lines_and_endless_maps_are_refused() {
    let line = vec![b'x'; 10_000];
    assert_eq!(read(&line[..]).unwrap_err().kind(), ErrorKind::Map);
    let map = "skip=a\n".repeat(5000);
    assert_eq!(read(map.as_bytes()).unwrap_err().kind(), ErrorKind::Map);
}
