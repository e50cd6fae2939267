//! A guest that the lab's libvirt runs.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Libvirtd, kill};
use crate::channel::Channel;
use crate::disk::{Disk, Interface};
use crate::error::{Error, ErrorKind};
use crate::process::deadline;
use crate::qemu::Qemu;
use crate::{agent, initramfs, kernel};

/// See the guest's own.
const BOOT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a domain is to be.
#[derive(Debug)]
pub struct DomainBuilder<'a> {
    libvirtd: &'a Libvirtd,
    qemu: Qemu,
    name: String,
    disks: Vec<Disk>,
    devices: String,
    os: String,
    tail: String,
}

/// A domain that runs, with an empty machine or, once booted, the lab's guest in it.
///
/// Dropping it ends it and removes its disks.
#[derive(Debug)]
pub struct Domain<'a> {
    libvirtd: &'a Libvirtd,
    name: String,
    disks: Vec<PathBuf>,
    channel: Option<Mutex<Channel>>,
}

impl Libvirtd {
    /// A domain of this name, without disks so far.
    pub fn domain(&self, qemu: &Qemu, name: &str) -> DomainBuilder<'_> {
        DomainBuilder {
            libvirtd: self,
            qemu: qemu.clone(),
            name: name.to_owned(),
            disks: Vec::new(),
            devices: String::new(),
            os: String::new(),
            tail: String::new(),
        }
    }
}

impl<'a> DomainBuilder<'a> {
    /// With one more disk, `vda`, `vdb`, … or `sda`, `sdb`, … by its interface.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// With more devices, as XML.
    #[must_use]
    pub fn devices(mut self, xml: &str) -> Self {
        self.devices.push_str(xml);
        self
    }

    /// With more in `<os>`, as XML.
    #[must_use]
    pub fn os(mut self, xml: &str) -> Self {
        self.os.push_str(xml);
        self
    }

    /// With a QMP socket of its own at `path`, for others than libvirt.
    #[must_use]
    pub fn own_monitor(mut self, path: &Path) -> Self {
        let socket = path.display();
        self.tail = format!(
            "<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:{socket},server=on,wait=off'/>\
             </qemu:commandline>"
        );
        self
    }

    /// Defines and starts it. The machine is empty: `qemu-io` at the monitor does with a disk what a guest would.
    ///
    /// # Errors
    ///
    /// libvirt refuses it, with what `virsh` said.
    pub fn start(self) -> Result<Domain<'a>, Error> {
        let folder = self.libvirtd.file(&self.name);
        fs::create_dir_all(&folder).map_err(Error::io(format!("make {}", folder.display())))?;
        let disks = self.disks.iter().zip(0..);
        let disks = disks
            .map(|(disk, number)| disk.create(&self.qemu, &folder, number))
            .collect::<Result<Vec<PathBuf>, _>>()?;
        let file = self.libvirtd.file(&format!("{}.xml", self.name));
        fs::write(&file, self.xml(&disks)).map_err(Error::io("write a domain"))?;
        self.libvirtd.virsh(&["define", &file.to_string_lossy()])?;
        self.libvirtd.virsh(&["start", &self.name])?;
        Ok(Domain {
            libvirtd: self.libvirtd,
            name: self.name,
            disks,
            channel: None,
        })
    }

    /// The same with the lab's guest, its agent running, once its shell is there.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); or the guest does not come up.
    pub fn boot(mut self) -> Result<Domain<'a>, Error> {
        let modules = [
            "virtio_pci",
            "virtio_blk",
            "virtio_scsi",
            "sd_mod",
            "virtio_console",
        ];
        let initrd = self.libvirtd.file(&format!("{}.initramfs", self.name));
        let packed = initramfs::pack(&kernel::modules(&modules)?, true, initramfs::SHELL)?;
        fs::write(&initrd, packed).map_err(Error::io("write an initramfs"))?;
        let shell = self.libvirtd.socket(&format!("{}.shell", self.name));
        let listener = UnixListener::bind(&shell).map_err(Error::io("listen for a guest"))?;
        let _ = write!(
            self.os,
            "<kernel>{}</kernel><initrd>{}</initrd><cmdline>{} disks=0</cmdline>",
            kernel::image()?.display(),
            initrd.display(),
            kernel::ARGUMENTS,
        );
        let console = self.libvirtd.file(&format!("{}.console", self.name));
        let _ = write!(
            self.devices,
            "<serial type='file'><source path='{}'/></serial>\
             <serial type='unix'><source mode='connect' path='{}'/></serial>\
             <channel type='unix'><source mode='bind'/><target type='virtio' name='{}'/></channel>",
            console.display(),
            shell.display(),
            agent::PORT,
        );
        let mut domain = self.start()?;
        listener
            .set_nonblocking(true)
            .map_err(Error::io("wait for a guest"))?;
        let deadline = deadline(BOOT_TIMEOUT);
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10))
                }
                Err(error) => return Err(Error::io("wait for a guest")(error)),
            }
        };
        stream
            .set_nonblocking(false)
            .map_err(Error::io("wait for a guest"))?;
        let mut channel = Channel::new(stream);
        let ready = channel.wait_ready(deadline);
        ready.map_err(|error| error.with(&fs::read_to_string(&console).unwrap_or_default()))?;
        domain.channel = Some(Mutex::new(channel));
        Ok(domain)
    }

    fn xml(&self, images: &[PathBuf]) -> String {
        let mut disks = String::new();
        let mut letters = [b'a'; 2];
        for (disk, image) in self.disks.iter().zip(images) {
            let (bus, prefix, letter) = match disk.interface {
                Interface::VirtioScsi => ("scsi", 's', &mut letters[1]),
                _ => ("virtio", 'v', &mut letters[0]),
            };
            let _ = write!(
                disks,
                "<disk type='file' device='disk'><driver name='qemu' type='{}'/><source file='{}'/>\
                 <target dev='{prefix}d{}' bus='{bus}'/></disk>",
                disk.format.name(),
                image.display(),
                char::from(*letter),
            );
            *letter = letter.saturating_add(1);
        }
        format!(
            "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{}</name>\
             <memory unit='MiB'>256</memory><vcpu>2</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type>{}</os><features><acpi/></features>\
             <devices><emulator>{}</emulator>{disks}<controller type='scsi' model='virtio-scsi'/>\
             <controller type='usb' model='none'/><memballoon model='none'/>{}</devices>{}</domain>",
            self.name,
            self.os,
            self.qemu.programs().join("qemu-system-x86_64").display(),
            self.devices,
            self.tail,
        )
    }
}

impl Drop for Domain<'_> {
    fn drop(&mut self) {
        // It may be off, or gone, already.
        let _ = self.virsh("destroy", &[]);
        let _ = self.virsh("undefine", &["--keep-nvram"]);
        let _ = fs::remove_dir_all(self.libvirtd.file(&self.name));
    }
}

impl Domain<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image of disk `number`, counted from 0.
    ///
    /// # Panics
    ///
    /// There is no such disk.
    #[expect(clippy::indexing_slicing, reason = "a test's own mistake")]
    pub fn disk_path(&self, number: usize) -> &Path {
        &self.disks[number]
    }

    /// Runs `virsh COMMAND DOMAIN ARGUMENTS` and gives what it prints.
    ///
    /// # Errors
    ///
    /// `virsh` fails, with what it said.
    pub fn virsh(&self, command: &str, arguments: &[&str]) -> Result<String, Error> {
        self.libvirtd
            .virsh(&[&[command, &self.name], arguments].concat())
    }

    /// A command of QEMU's monitor, as JSON; gives the reply, as JSON.
    ///
    /// # Errors
    ///
    /// As [`virsh`](Self::virsh).
    pub fn monitor(&self, json: &str) -> Result<String, Error> {
        self.virsh("qemu-monitor-command", &[json])
    }

    /// Runs one line of shell in the guest, which was booted, and gives its output.
    ///
    /// # Errors
    ///
    /// A status other than 0, or no end in time.
    pub fn run(&self, line: &str) -> Result<String, Error> {
        let channel = self.channel.as_ref();
        let channel =
            channel.ok_or_else(|| Error::new(ErrorKind::Unusable, "nothing was booted"))?;
        let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.run(line, Duration::from_secs(60))
    }

    /// Kills its QEMU at once.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn kill(&self) -> Result<(), Error> {
        let name = format!("guest={},", self.name);
        kill(self.libvirtd.find(|line| line.contains(&name))?)
    }
}
