//! What is called during a backup, and who is told of its end: `docs/HOOKS.md`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::ended::Ended;
use tempfile::TempDir;

/// A host with an image, a script that writes down how it is called, and a mailer that keeps its mails.
struct Host(TempDir);

const SCRIPT: &str = r#"#!/bin/sh
read -r json
echo "$*|STOREID=$STOREID DUMPDIR=$DUMPDIR VMTYPE=$VMTYPE HOSTNAME=$HOSTNAME TARGET=$TARGET LOGFILE=$LOGFILE HOME=$HOME|$json" >> ROOT/calls
echo "said by $1"
FAILS
exit 0
"#;

impl Host {
    fn new(fails: &str) -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for name in ["to", "bin"] {
            fs::create_dir(host.path(name)).unwrap();
        }
        fs::write(host.path("disk.raw"), vec![7; 1 << 20]).unwrap();
        fs::write(host.path("fleece.toml"), "state-dir = 'state'\n").unwrap();
        let root = host.path("").display().to_string();
        let script = SCRIPT
            .replace("ROOT", root.trim_end_matches('/'))
            .replace("FAILS", fails);
        host.program("script", &script);
        host.program(
            "bin/sendmail",
            &format!("#!/bin/sh\necho \"$*\" > {root}/mail\ncat >> {root}/mail\n"),
        );
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn backup(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command
            .current_dir(self.0.path())
            .env("FLEECE_CONFIG", "fleece.toml");
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command.args([
            "backup", "--image", "disk.raw", "--vmid", "100", "--to", "to",
        ]);
        command.args(options);
        command
    }

    /// How the script was called: arguments, environment, and what it read.
    fn calls(&self) -> Vec<(String, String, Value)> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let calls = calls.lines().map(|line| {
            let parts: Vec<_> = line.splitn(3, '|').collect();
            let json = serde_json::from_str(parts[2]).unwrap();
            (parts[0].to_owned(), parts[1].to_owned(), json)
        });
        calls.collect()
    }

    fn phases(&self) -> Vec<String> {
        self.calls().into_iter().map(|(phase, ..)| phase).collect()
    }

    fn archives(&self) -> usize {
        let files = support::entries(&self.path("to"));
        let is_archive = |path: &&PathBuf| path.to_string_lossy().ends_with(".vma.zst");
        files.iter().filter(is_archive).count()
    }
}

#[test]
fn a_script_is_called_as_vzdump_calls_it() {
    let host = Host::new("");
    let said = Ended::of(&mut host.backup(&["--script", "script"])).expect_code(0);
    assert!(said.contains("INFO: said by backup-start"), "{said}");
    let expected = [
        "job-init",
        "job-start",
        "backup-start snapshot 100",
        "pre-stop snapshot 100",
        "pre-restart snapshot 100",
        "post-restart snapshot 100",
        "backup-end snapshot 100",
        "log-end snapshot 100",
        "job-end",
    ];
    assert_eq!(host.phases(), expected);
    let calls = host.calls();
    assert_eq!(
        calls[0].1,
        "STOREID= DUMPDIR=to VMTYPE= HOSTNAME= TARGET= LOGFILE= HOME="
    );
    let (_, environment, json) = &calls[6];
    let archive = json["archive"].as_str().unwrap();
    let stem = archive.strip_suffix(".vma.zst").unwrap();
    let expected = format!(
        "STOREID= DUMPDIR=to VMTYPE=qemu HOSTNAME=100 TARGET={archive} LOGFILE={stem}.log HOME="
    );
    assert_eq!(environment, &expected);
    assert!(host.path(archive).is_file());
    assert_eq!(json["result"]["disks"], 1 << 20, "{json}");
    assert_eq!(
        (&json["phase"], &json["guest"]),
        (&"backup-end".into(), &"100".into())
    );
}

#[test]
fn a_script_that_fails_ends_the_backup_and_in_the_last_phases_it_is_a_warning() {
    let host = Host::new("[ $1 != backup-start ] || exit 7");
    let said = Ended::of(&mut host.backup(&["--script", "script", "--json"]));
    let said = said.expect(
        1,
        &["\"kind\":\"hook\"", "backup-start failed with exit code 7"],
    );
    assert_eq!(host.archives(), 0, "{said}");
    let expected = [
        "job-init",
        "job-start",
        "backup-start snapshot 100",
        "backup-abort snapshot 100",
        "log-end snapshot 100",
        "job-end",
    ];
    assert_eq!(host.phases(), expected);
    let aborted = &host.calls()[3].2;
    assert_eq!(aborted["error"]["kind"], "hook", "{aborted}");

    let host = Host::new("[ $1 != log-end ] || exit 7");
    let said = Ended::of(&mut host.backup(&["--script", "script"]));
    said.expect(
        0,
        &["WARN: a hook has failed", "log-end failed with exit code 7"],
    );
    assert_eq!(host.archives(), 1);

    let host = Host::new("[ $1 != job-init ] || exit 7");
    Ended::of(&mut host.backup(&["--script", "script"])).expect_code(1);
    assert_eq!(host.phases(), ["job-init", "job-abort"]);
}

#[test]
fn a_script_that_hangs_has_a_deadline_and_a_dry_run_calls_none() {
    let host = Host::new("[ $1 != pre-stop ] || sleep 600");
    let options = ["--script", "script", "--hook-timeout", "1"];
    Ended::of(&mut host.backup(&options)).expect(1, &["pre-stop took longer than 1 s"]);
    assert_eq!(host.archives(), 0);
    fs::remove_file(host.path("calls")).unwrap();
    Ended::of(host.backup(&options).arg("--dry-run")).expect_code(0);
    assert!(host.phases().is_empty());
}

#[test]
fn who_wants_to_know_is_told_and_by_default_only_of_trouble() {
    let host = Host::new("");
    let all = [
        "--on-end",
        "cat > end",
        "--on-failure",
        "cat > failure; echo $FLEECE_EXIT_CODE > code",
        "--mail-to",
        "root",
    ];
    Ended::of(&mut host.backup(&all)).expect_code(0);
    let read = |name: &str| fs::read_to_string(host.path(name)).unwrap();
    let end: Value = serde_json::from_str(&read("end")).unwrap();
    assert_eq!(
        (&end["exit_code"], &end["guests"][0]["guest"]),
        (&0.into(), &"100".into())
    );
    assert!(!host.path("failure").exists() && !host.path("mail").exists());

    fs::remove_file(host.path("disk.raw")).unwrap();
    let code = Ended::of(&mut host.backup(&all)).status.code().unwrap();
    let failure: Value = serde_json::from_str(&read("failure")).unwrap();
    assert_eq!(failure["exit_code"], code, "{failure}");
    assert_eq!(read("code").trim(), code.to_string());
    let why = failure["guests"][0]["message"].as_str().unwrap();
    assert!(why.contains("disk.raw"), "{failure}");
    let mail = read("mail");
    assert!(
        mail.starts_with("-t -oi\nTo: root\nSubject: fleece on "),
        "{mail}"
    );
    assert!(mail.contains("disk.raw"), "{mail}");
}

/// Takes one request of a real `curl`, and answers it so.
fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?a=[b]", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        let mut head = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (&stream).write_all(answer.as_bytes()).unwrap();
        format!("{head}{}", String::from_utf8(body).unwrap())
    });
    (url, served)
}

#[test]
fn a_webhook_gets_the_json_by_curl_and_one_that_refuses_it_is_a_warning() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("SKIP: curl is missing");
        return;
    }
    let host = Host::new("");
    let (url, served) = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let options = ["--notify", "always", "--webhook", &url];
    Ended::of(&mut host.backup(&options)).expect_code(0);
    let request = served.join().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?a=[b] HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["guests"][0]["guest"], "100");

    let (url, served) = serve("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let options = ["--notify", "always", "--webhook", &url];
    Ended::of(&mut host.backup(&options)).expect(3, &["WARN: the webhook", "500"]);
    served.join().unwrap();
}

/// Takes requests until one is for `last`; what was asked for.
fn serve_until(last: &'static str) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/uuid", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let first = lines.next().unwrap();
            lines.find(String::is_empty);
            (&stream)
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
                .unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            asked.push(path.clone());
            if path == last {
                break;
            }
        }
        asked
    });
    (address, served)
}

#[test]
fn a_heartbeat_says_that_it_begins_and_how_it_ends() {
    let host = Host::new("");
    let file = host.path("alive").display().to_string();
    let beat = |address: &str| {
        let options = ["--heartbeat", address, "--heartbeat", &file];
        let commands = [
            "--on-start",
            "cat > start",
            "--on-success",
            "echo $FLEECE_EXIT_CODE > success",
        ];
        Ended::of(&mut host.backup(&[&options[..], &commands].concat()))
    };
    let (address, served) = serve_until("/uuid");
    beat(&address).expect_code(0);
    assert_eq!(served.join().unwrap(), ["/uuid/start", "/uuid"]);
    let alive = fs::read_to_string(&file).unwrap();
    assert!(alive.starts_with("20") && alive.ends_with('\n'), "{alive}");
    let start: Value =
        serde_json::from_str(&fs::read_to_string(host.path("start")).unwrap()).unwrap();
    assert!(start["host"].is_string(), "{start}");
    assert_eq!(fs::read_to_string(host.path("success")).unwrap(), "0\n");

    fs::remove_file(host.path("success")).unwrap();
    fs::remove_file(&file).unwrap();
    fs::remove_file(host.path("disk.raw")).unwrap();
    let (address, served) = serve_until("/uuid/fail");
    assert_ne!(beat(&address).status.code(), Some(0));
    assert_eq!(served.join().unwrap(), ["/uuid/start", "/uuid/fail"]);
    assert!(!host.path("success").exists() && !Path::new(&file).exists());
}

/// The command of the unit that writes a mail when another has failed, with the directory of what was mailed already.
fn failed_unit(mailed: &Path) -> Vec<String> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/systemd/fleece-failed@.service");
    let unit = fs::read_to_string(unit).unwrap();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=sh -c '"))
        .unwrap();
    let script = line.strip_suffix('\'').unwrap();
    let script = script.replace("/run/fleece", mailed.to_str().unwrap());
    vec![
        "-c".into(),
        script.replace("%i", "fleece.service").replace("%H", "host"),
    ]
}

#[test]
fn a_failed_night_is_one_mail_whoever_writes_it() {
    let host = Host::new("");
    fs::create_dir(host.path("runtime")).unwrap();
    host.program("bin/systemctl", "#!/bin/sh\necho 'it has failed'\n");
    fs::remove_file(host.path("disk.raw")).unwrap();
    let run = "00112233445566778899aabbccddeeff";
    let night = |options: &[&str]| {
        let _ = fs::remove_file(host.path("mail"));
        let mut backup = host.backup(options);
        backup
            .env("RUNTIME_DIRECTORY", host.path("runtime"))
            .env("INVOCATION_ID", run);
        assert_ne!(Ended::of(&mut backup).status.code(), Some(0));
        let by_us = host.path("mail").exists();
        let path = std::env::var("PATH").unwrap();
        let mut unit = Command::new("sh");
        unit.args(failed_unit(&host.path("runtime")))
            .env("MONITOR_INVOCATION_ID", run)
            .env("MAIL_TO", "root");
        unit.env("PATH", format!("{}:{path}", host.path("bin").display()));
        let _ = fs::remove_file(host.path("mail"));
        assert!(unit.status().unwrap().success());
        (by_us, host.path("mail").exists())
    };
    assert_eq!(night(&["--mail-to", "root"]), (true, false));
    // Without an address of ours, and where our mail could not be sent, the unit's comes.
    assert_eq!(night(&[]), (false, true));
    let mail = fs::read_to_string(host.path("mail")).unwrap();
    assert!(
        mail.contains("Subject: fleece.service has failed on host"),
        "{mail}"
    );
    host.program(
        "bin/sendmail",
        &format!(
            "#!/bin/sh\nif [ -e {0}/sent ]; then cat > {0}/mail; else : > {0}/sent; exit 75; fi\n",
            host.0.path().display()
        ),
    );
    let (_, by_unit) = night(&["--mail-to", "root"]);
    assert!(by_unit);
    assert!(support::entries(&host.path("runtime")).is_empty());
}

/// A mail server for one mail, which it returns.
fn mail_server() -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let say = |text: &str| {
            (&stream)
                .write_all(format!("{text}\r\n").as_bytes())
                .unwrap()
        };
        say("220 here");
        let mut mail = String::new();
        let mut in_data = false;
        for line in BufReader::new(&stream).lines() {
            let line = line.unwrap();
            mail.push_str(&format!("{line}\n"));
            match (in_data, &*line) {
                (true, ".") => {
                    in_data = false;
                    say("250 taken");
                }
                (true, _) => {}
                (false, "DATA") => {
                    in_data = true;
                    say("354 go on");
                }
                (false, "QUIT") => {
                    say("221 bye");
                    break;
                }
                (false, _) => say("250 ok"),
            }
        }
        mail
    });
    (port, served)
}

#[test]
fn a_real_mailer_takes_the_mail_to_its_server() {
    if fleece_lab::require("msmtp").is_none() {
        return;
    }
    let host = Host::new("");
    let (port, served) = mail_server();
    fs::remove_file(host.path("bin/sendmail")).unwrap();
    let config = format!("account default\nhost 127.0.0.1\nport {port}\nfrom fleece@example.org\n");
    fs::write(host.path("msmtprc"), config).unwrap();
    let mailer = format!(
        "#!/bin/sh\nexec msmtp --file={} \"$@\"\n",
        host.path("msmtprc").display()
    );
    host.program("bin/sendmail", &mailer);
    fs::remove_file(host.path("disk.raw")).unwrap();
    let said = Ended::of(&mut host.backup(&["--mail-to", "admin@example.org"]));
    assert!(!said.said.contains("the mail to"), "{}", said.said);
    let mail = served.join().unwrap();
    for line in [
        "MAIL FROM:<fleece@example.org>",
        "RCPT TO:<admin@example.org>",
        "To: admin@example.org",
        "Subject: fleece on ",
    ] {
        assert!(mail.contains(line), "{line}: {mail}");
    }
    assert!(mail.contains("disk.raw"), "{mail}");
}

/// A journal of its own, whose entries about the guest are printed at the end. It sees no processes of others, and ends with the
/// command.
const JOURNAL: &str = r#"
mount -t tmpfs none /run && mount -t tmpfs none /var/log && mkdir -p /run/systemd/journal /run/log/journal || exit 9
/usr/lib/systemd/systemd-journald >/dev/null 2>&1 &
until [ -S /run/systemd/journal/stdout ]; do sleep 0.05; done
# As systemd starts a service.
systemd-cat --identifier=unit sh -c 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"' - "$@"
code=$?
until journalctl --directory=/run/log/journal --output=cat | grep --quiet 'Finished Backup'; do sleep 0.05; done
journalctl --directory=/run/log/journal --output=json FLEECE_GUEST=100
exit $code
"#;

#[test]
fn in_a_real_journal_lines_have_their_priority_and_the_guest() {
    if fleece_lab::require("/usr/lib/systemd/systemd-journald").is_none() {
        return;
    }
    let apart = [
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    if !Command::new("unshare")
        .args(apart)
        .arg("true")
        .status()
        .unwrap()
        .success()
    {
        println!("SKIP: a journal of its own needs root");
        return;
    }
    let host = Host::new("");
    let mut backup = host.backup(&["--script", "script"]);
    backup.args(["--of-job", "nightly"]);
    let mut journal = Command::new("unshare");
    journal
        .args(apart)
        .args(["sh", "-c", JOURNAL, "-"])
        .arg(backup.get_program())
        .args(backup.get_args());
    journal
        .current_dir(host.path(""))
        .env("FLEECE_CONFIG", "fleece.toml");
    let ended = journal.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let entries: Vec<Value> = String::from_utf8(ended.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let entry = entries
        .iter()
        .find(|entry| entry["MESSAGE"] == "Starting Backup of VM 100 (qemu)");
    let entry = entry.unwrap_or_else(|| panic!("{entries:?}"));
    for (field, value) in [
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "fleece"),
        ("FLEECE_JOB", "nightly"),
        ("_TRANSPORT", "journal"),
    ] {
        assert_eq!(entry[field], value, "{entry}");
    }
    assert!(entries.len() > 5, "{entries:?}");
}

#[test]
fn the_service_manager_is_told_how_far_it_is() {
    let host = Host::new("");
    let manager = UnixDatagram::bind(host.path("notify")).unwrap();
    Ended::of(host.backup(&[]).env("NOTIFY_SOCKET", host.path("notify"))).expect_code(0);
    manager.set_nonblocking(true).unwrap();
    let mut said = Vec::new();
    let mut datagram = [0; 4096];
    while let Ok(length) = manager.recv(&mut datagram) {
        said.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
    }
    assert!(
        !said.is_empty() && said.iter().all(|text| text.starts_with("STATUS=100")),
        "{said:?}"
    );
    assert!(!Path::new(&host.path("state/100.status")).exists());
}
