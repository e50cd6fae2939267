//! A libvirt of the test's own, without systemd: its sockets, configuration and state are nobody else's.
//!
//! It runs in namespaces for mounts and processes, so that it finds its fixed directories (`/var/lib/libvirt`, …)
//! empty, and that its guests end with the test however that ends.

mod domain;

use std::env;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::command;
use crate::error::{Error, ErrorKind};
use crate::place;
use crate::process::{Process, deadline};
use crate::qemu::qemu;
use crate::scratch::Scratch;
use crate::tool::require;

pub use domain::{Domain, DomainBuilder};

/// It takes half a second; the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs `libvirtd` for as long as it lives, anew whenever it has ended, a second later: guests outlive it, as they
/// do under systemd. As root it is the system's libvirt, in directories of the test's.
const SYSTEM: &str = r#"
set -e
cd "$1"
mkdir -p run lib log cache/libvirt
mount --bind "$2" cache/libvirt
mount --bind config/libvirt /etc/libvirt
for folder in lib log cache; do
    mount --rbind "$folder" "/var/$folder"
done
# The user and group that Debian's libvirt looks for when it starts come with a package that starts services.
for base in passwd group; do
    getent "$base" libvirt-qemu >/dev/null && continue
    cp "/etc/$base" "$base"
    echo "libvirt-qemu:x:64055:$([ "$base" = group ] || echo 64055::/:/usr/sbin/nologin)" >>"$base"
    mount --bind "$base" "/etc/$base"
done
mount --bind run /run
while :; do
    libvirtd --config /etc/libvirt/libvirtd.conf || :
    sleep 1
done
"#;

/// The same for everybody else: a user's own libvirt.
const SESSION: &str = r#"
cd "$1"
while :; do
    libvirtd || :
    sleep 1
done
"#;

/// A running `libvirtd` with nothing defined.
#[derive(Debug)]
pub struct Libvirtd {
    // Dropped in this order: first the processes, then their files.
    process: Process,
    scratch: Scratch,
}

impl Libvirtd {
    /// Starts one and waits until it answers; `None` after a `SKIP:` line where its programs are missing.
    ///
    /// # Errors
    ///
    /// It does not start, with what it printed.
    pub fn start() -> Result<Option<Self>, Error> {
        for program in ["libvirtd", "virsh", "unshare"] {
            if require(program).is_none() {
                return Ok(None);
            }
        }
        let is_root = rustix::process::getuid().is_root();
        let scratch = Scratch::new()?;
        let write = |name: &str, text: String| {
            let path = scratch.file(name);
            fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))
        };
        let (config, cache) = (scratch.file("config/libvirt"), place::libvirt_cache());
        let sockets = scratch.socket("libvirt");
        for folder in [&config, &cache, &sockets] {
            fs::create_dir_all(folder).map_err(Error::io(format!("make {}", folder.display())))?;
        }
        write(
            "config/libvirt/libvirtd.conf",
            format!(
                "unix_sock_dir = \"{}\"\nunix_sock_rw_perms = \"0700\"\nauth_unix_rw = \"none\"\n\
                 auth_unix_ro = \"none\"\n",
                sockets.display()
            ),
        )?;
        let owner = match is_root {
            true => {
                "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nswtpm_user = \"root\"\n\
                 swtpm_group = \"root\"\n"
            }
            false => "",
        };
        let own = "security_driver = \"none\"\nnamespaces = []\ncgroup_controllers = []\n\
                   stdio_handler = \"file\"\n";
        write("config/libvirt/qemu.conf", format!("{owner}{own}"))?;
        // A domain without an emulator of its own gets the one that libvirt finds.
        let Some(qemu) = qemu("10.0") else {
            return Ok(None);
        };
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [qemu.programs()].into_iter().chain(env::split_paths(&path));
        let mut start = Command::new("unshare");
        if let Ok(path) = env::join_paths(path) {
            start.env("PATH", path);
        }
        if !is_root {
            start
                .args(["--user", "--map-current-user"])
                .env("XDG_RUNTIME_DIR", scratch.socket(""))
                .env("XDG_CONFIG_HOME", scratch.file("config"))
                .env("XDG_CACHE_HOME", &cache)
                .env("XDG_DATA_HOME", scratch.file("data"));
        }
        let script = if is_root { SYSTEM } else { SESSION };
        start
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", script, "sh"])
            .arg(scratch.folder())
            .arg(&cache);
        let process = Process::start("libvirtd", &start, &scratch.file("log.libvirtd"))?;
        let libvirtd = Self { process, scratch };
        libvirtd.await_answer()?;
        Ok(Some(libvirtd))
    }

    /// The URI at which it answers.
    pub fn uri(&self) -> String {
        let socket = self.scratch.socket("libvirt/libvirt-sock");
        let kind = match rustix::process::getuid().is_root() {
            true => "system",
            false => "session",
        };
        format!("qemu+unix:///{kind}?socket={}", socket.display())
    }

    /// A folder for the test's own files; removed with the value.
    pub fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// Runs `virsh` and gives what it prints.
    ///
    /// # Errors
    ///
    /// `virsh` fails, with what it said.
    pub fn virsh(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut virsh = Command::new("virsh");
        virsh.env("LC_ALL", "C").args(["-q", "-c", &self.uri()]);
        command::output(virsh.args(arguments))
    }

    /// Kills `libvirtd` at once; its guests run on. A second later there is a new one.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn kill_daemon(&self) -> Result<(), Error> {
        let daemon = self.find(|line| line.starts_with("libvirtd\0"))?;
        kill(daemon)
    }

    /// Waits until a `libvirtd` answers again.
    ///
    /// # Errors
    ///
    /// None does.
    pub fn await_answer(&self) -> Result<(), Error> {
        let deadline = deadline(START_TIMEOUT);
        let socket = self.scratch.socket("libvirt/libvirt-sock");
        while UnixStream::connect(&socket).is_err() || self.virsh(&["uri"]).is_err() {
            if Instant::now() > deadline {
                let error = Error::new(ErrorKind::Timeout, "libvirtd did not start in time");
                return Err(error.with(&self.process.log()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A process of this libvirt whose command line is `wanted`.
    fn find(&self, wanted: impl Fn(&str) -> bool) -> Result<u32, Error> {
        let folder = |id: u32| format!("/proc/{id}/ns/mnt");
        let processes = fs::read_dir("/proc").map_err(Error::io("list processes"))?;
        let ids = processes.flatten().filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
            wanted(&String::from_utf8_lossy(&line)).then_some(id)
        });
        // All of them are in the namespace that the child of `unshare` is in.
        let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.process.id()));
        let child = child.unwrap_or_default();
        let child: Option<u32> = child.split_whitespace().find_map(|id| id.parse().ok());
        let namespace = child.and_then(|id| fs::read_link(folder(id)).ok());
        let mut ids =
            ids.filter(|id| namespace.is_some() && fs::read_link(folder(*id)).ok() == namespace);
        ids.next()
            .ok_or_else(|| Error::new(ErrorKind::Exited, "there is no such process of libvirt's"))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.file(name)
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.scratch.socket(name)
    }
}

fn kill(process: u32) -> Result<(), Error> {
    let id = i32::try_from(process)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let id = id.ok_or_else(|| Error::new(ErrorKind::Exited, "no process"))?;
    rustix::process::kill_process(id, rustix::process::Signal::KILL)
        .map_err(|errno| Error::io("kill a process")(errno.into()))
}
