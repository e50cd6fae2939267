//! The lab's Linux on a machine that somebody else defines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::Error;
use crate::qemu::Qemu;
use crate::{initramfs, kernel, place};

/// A Linux for machines that the program under test starts.
#[derive(Clone, Debug)]
pub struct Linux {
    script: String,
    modules: Vec<&'static str>,
    agent: bool,
    arguments: String,
}

impl Linux {
    /// One that runs `script` with busybox as its first process, once its drivers for virtio's disks are loaded. The
    /// script must not end.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            modules: vec!["virtio_pci", "virtio_blk"],
            agent: false,
            arguments: String::new(),
        }
    }

    /// With one more module of the kernel, and what it depends on.
    #[must_use]
    pub fn module(mut self, name: &'static str) -> Self {
        self.modules.push(name);
        self
    }

    /// With QEMU's guest agent, which the script starts by `start_agent`.
    #[must_use]
    pub fn with_agent(mut self) -> Self {
        self.agent = true;
        self.module("virtio_console")
    }

    /// With more arguments to QEMU, as a shell reads them.
    #[must_use]
    pub fn arguments(mut self, words: &str) -> Self {
        self.arguments.push(' ');
        self.arguments.push_str(words);
        self
    }

    /// Puts a `qemu-system-x86_64` into `folder`, for a `PATH`: `qemu`'s own, which starts this Linux on the machine
    /// that it is told of.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to, or the lab is not prepared.
    pub fn install(&self, qemu: &Qemu, folder: &Path) -> Result<(), Error> {
        let initramfs = folder.join("initramfs");
        let modules = kernel::modules(&self.modules)?;
        let packed = initramfs::pack(&modules, self.agent, &self.script)?;
        fs::write(&initramfs, packed)
            .map_err(Error::io(format!("write {}", initramfs.display())))?;
        let program = folder.join("qemu-system-x86_64");
        let text = format!(
            "#!/bin/sh\nexec '{}' \"$@\" -kernel '{}' -initrd '{}' -append '{}' \
             -machine accel={} -display none{}\n",
            qemu.programs().join("qemu-system-x86_64").display(),
            kernel::image()?.display(),
            initramfs.display(),
            kernel::ARGUMENTS,
            place::known_accelerator(),
            self.arguments,
        );
        fs::write(&program, text)
            .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
            .map_err(Error::io(format!("write {}", program.display())))
    }
}
