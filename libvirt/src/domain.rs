//! Domains: found by name, asked how they are, frozen and thawed.

mod power;
mod pull;

use std::time::Duration;

use fleece_qmp_client::Interrupt;

use crate::address::DomainAddress;
use crate::error::{Error, ErrorKind};
use crate::process;
use crate::virsh::Virsh;

/// A connection to a libvirt: that it answers is known.
#[derive(Clone, Debug)]
pub struct Libvirt {
    virsh: Virsh,
    uri: String,
}

/// What answers at once, unless libvirt itself hangs.
const ANSWERS: Duration = Duration::from_secs(35);
/// libvirt waits this long for the lock on a domain before it gives up; an answer comes later still.
const LOCK: Duration = Duration::from_secs(45);

impl Libvirt {
    /// The libvirt at `uri`, or the one that `virsh` takes without any: that of `LIBVIRT_DEFAULT_URI`, else
    /// `qemu:///system` for root and `qemu:///session` for others.
    ///
    /// # Errors
    /// [`ErrorKind::NoVirsh`], [`ErrorKind::Unreachable`] or [`ErrorKind::Permission`].
    pub fn connect(uri: Option<&str>, interrupt: &Interrupt) -> Result<Self, Error> {
        let mut virsh = Virsh {
            uri: uri.map(str::to_owned),
            interrupt: interrupt.clone(),
        };
        let uri = virsh.run(&["uri"], ANSWERS)?.trim().to_owned();
        virsh.uri = Some(uri.clone());
        Ok(Self { virsh, uri })
    }

    /// The connection's URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// A domain by its name or UUID.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`] and what [`connect`](Self::connect) gives.
    pub fn domain(&self, name: &str) -> Result<Domain, Error> {
        // `domuuid` takes no UUID.
        let uuid = match DomainAddress::new(name, &self.uri) {
            Some(_) => name.to_owned(),
            None => self.virsh.run(&["domuuid", "--domain", name], ANSWERS)?,
        };
        let address = DomainAddress::new(uuid.trim(), &self.uri).ok_or_else(|| {
            Error::new(
                ErrorKind::NoDomain,
                format!("the domain {name} has no UUID"),
            )
        })?;
        let name = self
            .virsh
            .run(&["domname", "--domain", address.uuid()], ANSWERS)?;
        Ok(Domain {
            virsh: self.virsh.clone(),
            address,
            name: name.trim_end_matches('\n').to_owned(),
        })
    }

    /// The UUIDs of all domains that run.
    ///
    /// # Errors
    /// What [`connect`](Self::connect) gives.
    pub fn running(&self) -> Result<Vec<String>, Error> {
        self.list(&["list", "--uuid"])
    }

    /// The UUIDs of all domains, on or off.
    ///
    /// # Errors
    /// What [`connect`](Self::connect) gives.
    pub fn all(&self) -> Result<Vec<String>, Error> {
        self.list(&["list", "--uuid", "--all"])
    }

    fn list(&self, command: &[&str]) -> Result<Vec<String>, Error> {
        let list = self.virsh.run(command, ANSWERS)?;
        let list = list.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(list.map(str::to_owned).collect())
    }

    /// Whether its domains can run on KVM.
    #[must_use]
    pub fn has_kvm(&self) -> bool {
        let asked = self
            .virsh
            .run(&["domcapabilities", "--virttype", "kvm"], ANSWERS);
        asked.is_ok()
    }

    /// Makes a domain known that is off, from its XML in a file.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with libvirt's words, and what [`connect`](Self::connect) gives.
    pub fn define(&self, xml: &str) -> Result<(), Error> {
        let file = self.virsh.hand_over(xml)?;
        self.virsh.run_with(file, &["define", "/dev/stdin"], LOCK)?;
        Ok(())
    }

    /// Makes libvirt forget a domain that is off; its disks stay.
    ///
    /// # Errors
    /// As [`define`](Self::define).
    pub fn undefine(&self, name: &str) -> Result<(), Error> {
        let arguments = ["undefine", "--keep-nvram", "--domain", name];
        self.virsh.run(&arguments, LOCK).map(drop)
    }

    /// Starts a domain that is defined.
    ///
    /// # Errors
    /// As [`define`](Self::define).
    pub fn start(&self, name: &str) -> Result<(), Error> {
        let timeout = Duration::from_secs(120);
        self.virsh
            .run(&["start", "--domain", name], timeout)
            .map(drop)
    }

    /// The directory of a storage pool of directories.
    ///
    /// # Errors
    /// As [`define`](Self::define).
    pub fn pool_xml(&self, pool: &str) -> Result<String, Error> {
        self.virsh.run(&["pool-dumpxml", "--pool", pool], ANSWERS)
    }

    /// Has a pool look for what is in its directory now.
    ///
    /// # Errors
    /// As [`define`](Self::define).
    pub fn refresh_pool(&self, pool: &str) -> Result<(), Error> {
        self.virsh
            .run(&["pool-refresh", "--pool", pool], LOCK)
            .map(drop)
    }
}

/// A domain that there is, or was a moment ago.
#[derive(Clone, Debug)]
pub struct Domain {
    virsh: Virsh,
    address: DomainAddress,
    name: String,
}

/// Whether a domain runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It runs.
    Running,
    /// It stands still, its QEMU being there.
    Paused,
    /// There is no QEMU.
    Off,
}

impl Domain {
    /// The domain at an address, which is not looked at.
    #[must_use]
    pub fn at(address: &DomainAddress, interrupt: &Interrupt) -> Self {
        Self {
            virsh: Virsh::at(address.uri(), interrupt),
            address: address.clone(),
            name: address.uuid().to_owned(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &DomainAddress {
        &self.address
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether libvirt, and so its QEMU, runs on this host.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.address.is_local()
    }

    /// The process of its QEMU, if that runs on this host, whatever libvirt says.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        process::of(&self.address)
    }

    /// Whether it runs, by libvirt's word.
    ///
    /// # Errors
    /// [`ErrorKind::NoDomain`], and what [`Libvirt::connect`] gives.
    pub fn state(&self) -> Result<State, Error> {
        let state = self.run("domstate", &[], ANSWERS)?;
        Ok(match state.trim() {
            "shut off" | "crashed" | "dying" | "no state" => State::Off,
            "paused" | "pmsuspended" | "in shutdown" => State::Paused,
            _ => State::Running,
        })
    }

    /// Its XML as it is while it runs, with the aliases by which QEMU knows its devices.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn xml(&self) -> Result<String, Error> {
        self.run("dumpxml", &[], ANSWERS)
    }

    /// Its XML as it will be at the next start, with secrets: what it can be made from anew.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn definition(&self) -> Result<String, Error> {
        self.run("dumpxml", &["--inactive", "--security-info"], ANSWERS)
    }

    /// What libvirt itself is doing with it, such as `Backup` or `Outgoing migration`.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub fn job(&self) -> Result<Option<String>, Error> {
        let info = self.run("domjobinfo", &[], ANSWERS)?;
        let get = |key: &str| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            lines
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value.trim())
        };
        Ok(match get("Job type") {
            None | Some("None" | "Completed" | "Failed" | "Cancelled") => None,
            Some(kind) => Some(get("Operation").unwrap_or(kind).to_owned()),
        })
    }

    /// Freezes the guest's file systems through its agent; returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with libvirt's words, if there is no agent or it does not answer; they may be
    /// frozen all the same, unless it is [`has_no_agent`](Error::has_no_agent).
    pub fn freeze(&self, deadline: Duration) -> Result<u64, Error> {
        let words = ["domfsfreeze", "--domain", self.address.uuid()];
        Ok(count(&self.virsh.remarks(&words, deadline)?))
    }

    /// Thaws them; returns how many were frozen.
    ///
    /// # Errors
    /// As [`freeze`](Self::freeze).
    pub fn thaw(&self, deadline: Duration) -> Result<u64, Error> {
        let words = ["domfsthaw", "--domain", self.address.uuid()];
        Ok(count(&self.virsh.remarks(&words, deadline)?))
    }

    /// Sends a command to the guest's agent, as JSON, and returns its result.
    ///
    /// # Errors
    /// As [`freeze`](Self::freeze).
    pub fn ask_agent(&self, command: &str, deadline: Duration) -> Result<String, Error> {
        let json = format!("{{\"execute\":\"{command}\"}}");
        let seconds = deadline.as_secs().max(1).to_string();
        // libvirt's own timeout ends first, so that it is known what became of the command.
        let timeout = deadline.saturating_add(Duration::from_secs(35));
        let arguments = ["--timeout", &seconds, "--cmd", &json];
        self.run("qemu-agent-command", &arguments, timeout)
    }

    fn run(&self, command: &str, arguments: &[&str], deadline: Duration) -> Result<String, Error> {
        let words = [&[command, "--domain", self.address.uuid()], arguments].concat();
        self.virsh.run(&words, deadline)
    }
}

impl Error {
    /// Whether libvirt says that the domain has no agent, or none that is connected: then nothing was asked of
    /// it.
    #[must_use]
    pub fn has_no_agent(&self) -> bool {
        let message = self.to_string();
        ["agent is not configured", "agent is not connected"]
            .iter()
            .any(|text| message.contains(text))
    }
}

/// `Froze 2 filesystem(s)`, `Thawed 2 filesystem(s)`.
fn count(said: &str) -> u64 {
    let mut words = said.split_whitespace();
    words.find_map(|word| word.parse().ok()).unwrap_or_default()
}
