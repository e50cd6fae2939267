//! A volume as QEMU's own block layer sees it, by `qemu-io`.

use std::io::ErrorKind;
use std::process::Command;

use serde_json::Value;

use super::subject::{Checked, Verdict, failed};

/// A volume, named by its block device options.
pub(super) struct QemuImage {
    image: String,
}

impl QemuImage {
    pub(super) fn new(blockdev: &Value) -> Self {
        Self {
            image: format!("json:{blockdev}"),
        }
    }

    pub(super) fn write(&self, offset: u64, length: u64, byte: u8) -> Checked {
        self.done(&format!("write -P {byte} {offset} {length}"))
    }

    pub(super) fn discard(&self, offset: u64, length: u64) -> Checked {
        self.done(&format!("discard {offset} {length}"))
    }

    pub(super) fn holds(&self, offset: u64, length: u64, byte: u8) -> Checked<bool> {
        let said = self.run(&format!("read -P {byte} {offset} {length}"))?;
        if said.contains("Pattern verification failed") {
            return Ok(false);
        }
        sound(said).map(|()| true)
    }

    fn done(&self, command: &str) -> Checked {
        sound(self.run(command)?)
    }

    /// What `qemu-io` says about a command: it may fail and still exit with 0.
    fn run(&self, command: &str) -> Checked<String> {
        // The one of the caller's `PATH`: a test may have reasons to prefer a certain version.
        let output = Command::new("qemu-io")
            .args(["-c", command, &self.image])
            .output();
        let output = output.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Verdict::NotApplicable("qemu-io is not installed".to_owned()),
            _ => failed(format!("qemu-io cannot be run: {error}")),
        })?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.contains("Unknown driver") {
            return Err(Verdict::NotApplicable(
                "this QEMU lacks the driver".to_owned(),
            ));
        }
        // A wrong pattern is an answer too.
        let answered = output.status.success() || said.contains("Pattern verification failed");
        if answered {
            Ok(said)
        } else {
            Err(failed(said))
        }
    }
}

fn sound(said: String) -> Checked {
    if said.contains("failed") {
        Err(failed(said))
    } else {
        Ok(())
    }
}
