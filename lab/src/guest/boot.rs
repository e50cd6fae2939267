//! Starting the guest.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use super::Guest;
use crate::channel::Channel;
use crate::disk::{Attached, Cache, Disk, Interface};
use crate::error::Error;
use crate::process::{Process, deadline};
use crate::qemu::Qemu;
use crate::scratch::Scratch;
use crate::{agent, initramfs, kernel, place};

/// A boot takes about 3 s when the machine is idle, and was seen to take 14 s when eight times as much
/// wanted to run as there were cores.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

const BOOT_ATTEMPTS: u32 = 3;

/// What an accelerator must manage to be used; KVM takes about one second.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a guest is to be.
#[derive(Debug)]
pub struct GuestBuilder {
    qemu: Qemu,
    disks: Vec<Disk>,
    agent: bool,
    accelerator: Option<String>,
    timeout: Duration,
    attempts: u32,
    arguments: Vec<String>,
    script: Option<PathBuf>,
    seen: Vec<Interface>,
}

impl Guest {
    /// A guest on `qemu`, without disks so far.
    pub fn builder(qemu: &Qemu) -> GuestBuilder {
        GuestBuilder {
            qemu: qemu.clone(),
            disks: Vec::new(),
            agent: false,
            accelerator: None,
            timeout: BOOT_TIMEOUT,
            attempts: BOOT_ATTEMPTS,
            arguments: Vec::new(),
            script: None,
            seen: Vec::new(),
        }
    }
}

impl GuestBuilder {
    /// With one more disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// With QEMU's guest agent running in the guest.
    #[must_use]
    pub fn with_agent(mut self) -> Self {
        self.agent = true;
        self
    }

    /// With one more argument to QEMU, after all others.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Started by a script that has its own machine and disks, and passes our arguments on to the
    /// `qemu-system-x86_64` that it finds in its `PATH`. The disks appear at `interfaces`, and as
    /// `/dev/disk0`, `/dev/disk1`, … if they have the serial numbers `disk0`, `disk1`, ….
    #[must_use]
    pub fn started_by(mut self, script: impl Into<PathBuf>, interfaces: &[Interface]) -> Self {
        self.script = Some(script.into());
        self.seen = interfaces.to_owned();
        self
    }

    /// A single short attempt on an accelerator of QEMU's, instead of the one that the lab found to work.
    #[must_use]
    pub(crate) fn trial(mut self, accelerator: &str) -> Self {
        self.accelerator = Some(accelerator.to_owned());
        self.timeout = TRIAL_TIMEOUT;
        self.attempts = 1;
        self
    }

    /// Starts the guest and waits until its shell is there.
    ///
    /// # Errors
    ///
    /// QEMU refuses its arguments, or the guest does not come up, with what QEMU and the guest printed.
    pub fn boot(self) -> Result<Guest, Error> {
        // On a busy host one boot in some fifty hangs under TCG; no test is about that.
        for _ in 1..self.attempts {
            let mut guest = self.start()?;
            match guest.wait_ready(self.timeout) {
                Ok(()) => return Ok(guest),
                Err(error) => eprintln!("the guest does not come up, once more: {error:?}"),
            }
        }
        let mut guest = self.start()?;
        guest.wait_ready(self.timeout)?;
        Ok(guest)
    }

    /// Starts QEMU and holds the guest before its first instruction: its devices and their disks are there,
    /// in a third of a second, and no program of it ever runs. `qemu-io` at the monitor does with a disk
    /// what the guest would.
    ///
    /// # Errors
    ///
    /// QEMU refuses its arguments, with what it printed.
    pub fn hold(self) -> Result<Guest, Error> {
        self.argument("-S").start()
    }

    fn start(&self) -> Result<Guest, Error> {
        let scratch = Scratch::new()?;
        let initramfs = scratch.file("initramfs");
        let modules = kernel::modules(&self.modules())?;
        let packed = initramfs::pack(&modules, self.agent, initramfs::SHELL)?;
        fs::write(&initramfs, packed)
            .map_err(Error::io(format!("write {}", initramfs.display())))?;
        let disks = self.create_disks(scratch.folder())?;

        let shell = scratch.socket("shell");
        let shell = UnixListener::bind(&shell)
            .map_err(Error::io(format!("listen at {}", shell.display())))?;
        let command = self.command(&initramfs, &scratch, &disks)?;
        let process = Process::start("QEMU", &command, &scratch.file("log"))?;
        let stream = process.accept(&shell, deadline(self.timeout))?;
        Ok(Guest {
            process,
            channel: Mutex::new(Channel::new(stream)),
            disks,
            scratch,
        })
    }

    fn command(
        &self,
        initramfs: &Path,
        scratch: &Scratch,
        disks: &[PathBuf],
    ) -> Result<Command, Error> {
        let accelerator = match &self.accelerator {
            Some(accelerator) => accelerator.clone(),
            None => place::known_accelerator(),
        };
        let mut command = match &self.script {
            Some(script) => {
                let mut command = Command::new(script);
                let path = env::var_os("PATH").unwrap_or_default();
                let path = [self.qemu.programs()]
                    .into_iter()
                    .chain(env::split_paths(&path));
                if let Ok(path) = env::join_paths(path) {
                    command.env("PATH", path);
                }
                command.args(["-machine", &format!("accel={accelerator}")]);
                command
            }
            None => {
                let mut command = self.qemu.system();
                command.args(["-machine", "pc", "-accel", &accelerator, "-m", "256"]);
                // With one processor, TCG now and then loses an interrupt of a virtio device.
                command.args(["-smp", "2", "-nodefaults"]);
                command
            }
        };
        command
            .args(["-no-user-config", "-no-reboot"])
            .args(["-display", "none"])
            .arg("-kernel")
            .arg(kernel::image()?)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &self.kernel_arguments()])
            .arg("-serial")
            .arg(format!("file:{}", scratch.file("console").display()));
        for monitor in ["qmp", "test"] {
            command
                .args(socket(monitor, scratch, SERVER))
                .args(["-mon", &format!("chardev={monitor},mode=control")]);
        }
        // QEMU makes them in this order, so its connection says that the monitors are there.
        command
            .args(socket("shell", scratch, ""))
            .args(["-serial", "chardev:shell"]);
        if self.agent {
            let port = format!("virtserialport,chardev=agent,name={}", agent::PORT);
            command.args(socket("agent", scratch, SERVER)).args([
                "-device",
                "virtio-serial-pci",
                "-device",
                &port,
            ]);
        }
        command.args(self.disk_arguments(scratch.cache(), disks));
        command.args(&self.arguments);
        Ok(command)
    }

    fn disk_arguments(&self, cache: Cache, images: &[PathBuf]) -> Vec<String> {
        let mut units = BTreeMap::<Interface, usize>::new();
        let mut arguments = Vec::new();
        for ((disk, image), number) in self.disks.iter().zip(images).zip(0..) {
            let unit = units.entry(disk.interface).or_default();
            let attached = Attached {
                disk,
                image,
                cache,
                number,
                unit: *unit,
            };
            arguments.extend(attached.arguments());
            *unit = unit.saturating_add(1);
        }
        arguments
    }

    fn kernel_arguments(&self) -> String {
        let disks = self.interfaces().count();
        format!("{} disks={disks}", kernel::ARGUMENTS)
    }

    fn modules(&self) -> Vec<&'static str> {
        let of = |interface| match interface {
            Interface::VirtioBlk => ["virtio_pci", "virtio_blk"].as_slice(),
            Interface::VirtioScsi => &["virtio_pci", "virtio_scsi", "sd_mod"],
            Interface::Ide => &["ata_piix", "sd_mod"],
            Interface::Nvme => &["nvme"],
        };
        let disks = self.interfaces().flat_map(of);
        let agent: &[_] = if self.agent {
            &["virtio_pci", "virtio_console"]
        } else {
            &[]
        };
        disks.chain(agent).copied().collect()
    }

    fn interfaces(&self) -> impl Iterator<Item = Interface> {
        let own = self.disks.iter().map(|disk| disk.interface);
        own.chain(self.seen.iter().copied())
    }

    fn create_disks(&self, folder: &Path) -> Result<Vec<PathBuf>, Error> {
        let disks = self.disks.iter().zip(0..);
        disks
            .map(|(disk, number)| disk.create(&self.qemu, folder, number))
            .collect()
    }
}

/// QEMU listens at a socket and does not wait for a client.
const SERVER: &str = ",server=on,wait=off";

/// A socket of QEMU's; without options, QEMU connects to it.
fn socket(id: &str, scratch: &Scratch, options: &str) -> [String; 2] {
    let path = scratch.socket(id);
    let value = format!("socket,id={id},path={}{options}", path.display());
    ["-chardev".to_owned(), value]
}
