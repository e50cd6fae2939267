//! Another command of this program, as a process of its own.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use fleece_backup_core::{CancelToken, Error, ErrorKind, Places};
use fleece_fleet::{Ended, Told, Worker};

/// A command that tells in JSON how it goes.
pub(crate) struct OwnCommand(Command);

impl OwnCommand {
    /// That command, with our places.
    pub(crate) fn new(name: &str, places: &Places) -> Self {
        // Whatever has become of the file since we were started.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("fleece").arg(name).arg("--json");
        // We tell the service manager of all of them.
        command.env_remove("NOTIFY_SOCKET");
        for (option, place) in [
            ("--state-dir", &places.state_dir),
            ("--config-dir", &places.config_dir),
            ("--firewall-dir", &places.firewall_dir),
            ("--storage-config", &places.storage_config),
        ] {
            if let Some(place) = place {
                command.arg(option).arg(place);
            }
        }
        Self(command)
    }

    pub(crate) fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(argument);
        self
    }

    pub(crate) fn args(
        &mut self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> &mut Self {
        self.0.args(arguments);
        self
    }

    pub(super) fn into_command(self) -> Command {
        self.0
    }

    /// Runs it to its end, or ends it if the job is to end; `tell` gets what it tells.
    pub(crate) fn run(
        mut self,
        cancel: &CancelToken,
        tell: &mut dyn FnMut(&Told),
    ) -> Result<Ended, Error> {
        Worker::run(&mut self.0, cancel.fired(), tell).map_err(lost)
    }
}

pub(super) fn lost(error: std::io::Error) -> Error {
    Error::caused(ErrorKind::Internal, "cannot run this program", error)
}
