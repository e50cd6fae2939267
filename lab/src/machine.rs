//! QEMU with devices and no guest in them: all that a monitor can tell is there at once.

use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::process::{Process, deadline};
use crate::qemu::Qemu;
use crate::scratch::Scratch;

/// It takes a tenth of a second; the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What a machine is to be.
#[derive(Debug)]
pub struct MachineBuilder {
    qemu: Qemu,
    arguments: Vec<String>,
    scratch: Scratch,
    user: Option<u32>,
}

/// A running QEMU whose guest has not been started. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: first the process, then its files.
    process: Process,
    scratch: Scratch,
}

impl Machine {
    /// A machine (`q35`) of `qemu`'s, stopped, without devices so far.
    ///
    /// # Errors
    ///
    /// There is no place for its files.
    pub fn builder(qemu: &Qemu) -> Result<MachineBuilder, Error> {
        Ok(MachineBuilder {
            qemu: qemu.clone(),
            arguments: Vec::new(),
            scratch: Scratch::new()?,
            user: None,
        })
    }

    /// The QMP socket for the program under test; it serves one client at a time.
    pub fn qmp_socket(&self) -> PathBuf {
        self.scratch.socket("qmp")
    }

    /// Another QMP socket, for the test itself.
    pub fn test_socket(&self) -> PathBuf {
        self.scratch.socket("test")
    }

    /// A folder for the test's own files; removed with the machine.
    pub fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// The id of QEMU's process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it at once. Its sockets stay, and nobody listens at them.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl MachineBuilder {
    /// A folder for the machine's images.
    pub fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// With one more option of QEMU's, such as `-device scsi-hd,…`.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<String>) -> Self {
        self.arguments.extend([name.to_owned(), value.into()]);
        self
    }

    /// Run by the user and group of this number, which must be able to reach the lab.
    #[must_use]
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Starts QEMU and waits until all of the above is there.
    ///
    /// # Errors
    ///
    /// QEMU refuses its arguments, with what it printed.
    pub fn start(self) -> Result<Machine, Error> {
        let scratch = self.scratch;
        let ready = scratch.socket("ready");
        let listener = UnixListener::bind(&ready)
            .map_err(Error::io(format!("listen at {}", ready.display())))?;
        let system = self.qemu.system();
        let mut command = match self.user {
            None => system,
            Some(id) => {
                for path in [scratch.folder(), ready.parent().unwrap_or(&ready), &ready] {
                    chown(path, Some(id), Some(id))
                        .map_err(Error::io(format!("give {} away", path.display())))?;
                }
                let mut command = Command::new("setpriv");
                let id = id.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
                command.arg(system.get_program()).args(system.get_args());
                command
            }
        };
        command.args(["-machine", "q35", "-accel", "tcg", "-m", "64", "-S"]);
        command.args(["-no-user-config", "-nodefaults", "-display", "none"]);
        for monitor in ["qmp", "test"] {
            let path = scratch.socket(monitor);
            let address = format!("unix:{},server=on,wait=off", path.display());
            command.args(["-qmp", &address]);
        }
        command.args(self.arguments);
        // Monitors are there before this connection is, and devices before a monitor answers.
        let path = ready.display();
        command.args(["-chardev", &format!("socket,id=ready,path={path}")]);
        let process = Process::start("QEMU", &command, &scratch.file("log"))?;
        process.accept(&listener, deadline(START_TIMEOUT))?;
        Ok(Machine { process, scratch })
    }
}
