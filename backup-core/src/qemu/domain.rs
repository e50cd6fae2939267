//! Guests that libvirt runs.
//!
//! A backup of one is that of any guest on QEMU; what differs is where its monitor and its agent are, what its disks
//! are called, and what else is known about it.

use fleece_fleecing::{Endpoint, GuestAddress};
use fleece_libvirt::xml::read::{DomainDisk, DomainXml};
use fleece_libvirt::{Domain, ErrorKind as LibvirtErrorKind, Libvirt, State};
use fleece_qmp_client::{Address, ErrorKind as QmpErrorKind};
use fleece_vma_format::MAX_BLOB_SIZE;

use crate::job::archive::content::Content;
use crate::job::cancel::CancelToken;
use crate::qemu::job::{GuestBackup, InDomain, Mode};
use crate::report::Warning;
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};

/// The name of a domain's XML in an archive.
pub const DOMAIN_XML: &str = "domain.xml";

/// A domain that runs, and how it is reached.
#[derive(Debug)]
pub struct DomainGuest {
    domain: Domain,
    monitor: GuestAddress,
    xml: DomainXml,
    is_paused: bool,
}

impl DomainGuest {
    /// Finds a domain by its name or UUID, at a connection's URI or at the default one.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Guest`]: libvirt does not answer, there is no such domain, it is off (with the advice to
    /// back up its images), or libvirt itself is at work on it.
    pub fn find(name: &str, uri: Option<&str>, cancel: &CancelToken) -> Result<Self, Error> {
        let domain = find_domain(name, uri, cancel)?;
        let asked = |error| failed("cannot ask libvirt about the domain", error);
        let state = domain.state().map_err(asked)?;
        if state == State::Off {
            let xml = DomainXml::read(&domain.definition().map_err(asked)?).map_err(asked)?;
            return Err(is_off(&domain, &xml));
        }
        if let Some(job) = domain.job().map_err(asked)? {
            let message = format!(
                "libvirt is at work on the domain {} ({job}); wait for that to end, or stop it with \
                 `virsh domjobabort`",
                domain.name()
            );
            return Err(Error::new(ErrorKind::Guest, message));
        }
        let xml = DomainXml::read(&domain.xml().map_err(asked)?).map_err(asked)?;
        Ok(Self {
            monitor: monitor(&domain, &xml),
            is_paused: state == State::Paused,
            domain,
            xml,
        })
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// What identifies it.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::domain(self.domain.address(), self.domain.name())
    }

    /// Its QEMU's monitor: a socket that the domain was given for others, if somebody answers there, else libvirt.
    #[must_use]
    pub fn monitor(&self) -> &GuestAddress {
        &self.monitor
    }

    /// What is worth knowing about it, for people.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let way = match &self.monitor {
            GuestAddress::Socket(socket) => format!("its own monitor {socket}"),
            _ => "libvirt's monitor".to_owned(),
        };
        let uri = self.domain.address().uri();
        let found = format!("domain {} at {uri}, through {way}", self.domain.name());
        let paused = self.is_paused.then(|| {
            "the domain is paused, and stays so: the backup is of its disks as they are".into()
        });
        let agent = match self.xml.agent {
            Some(true) => None,
            Some(false) => {
                Some("no agent in the guest is connected: its file systems are not frozen")
            }
            None => Some("the domain has no port for an agent: its file systems are not frozen"),
        };
        let agent = agent.map(str::to_owned);
        [Some(found), paused, agent].into_iter().flatten().collect()
    }

    /// Gives a backup of the guest what is known about it: the agent, and the names of its disks. With `pull`, libvirt
    /// makes the point in time.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Guest`] if it is to power down, and libvirt would not have it back as it was.
    pub fn equip(&self, backup: &mut GuestBackup, pull: bool) -> Result<(), Error> {
        if backup.mode == Mode::Stop && !self.is_paused {
            self.must_come_back()?;
        }
        let agent = (self.xml.agent == Some(true)).then(|| self.domain.address().clone().into());
        backup.agent = backup.agent.take().or(agent);
        let called = |disk: &DomainDisk| disk.key().unwrap_or_else(|| disk.target.clone());
        let name = |disk: &DomainDisk| Some((disk.alias.clone()?, called(disk)));
        backup.disk_names = self.xml.disks.iter().filter_map(name).collect();
        let target = |disk: &DomainDisk| (called(disk), disk.target.clone());
        backup.domain = Some(InDomain {
            address: self.domain.address().clone(),
            targets: self.xml.disks.iter().map(target).collect(),
            nvram: self.xml.nvram.clone(),
            pull,
        });
        if pull {
            // The domain's own monitor has no part in it.
            backup.qmp = self.domain.address().clone().into();
        }
        Ok(())
    }

    /// Whether the domain is off when its guest has shut down, and can be started again.
    fn must_come_back(&self) -> Result<(), Error> {
        let refuse = |why: String| {
            let message = format!("the domain cannot be shut down for the instant: {why}");
            Err(Error::new(ErrorKind::Guest, message).advise(Advice::OtherMode))
        };
        let asked = |error| failed("cannot ask libvirt about the domain", error);
        if !self.domain.is_persistent().map_err(asked)? {
            return refuse("it is transient, and libvirt would forget it".into());
        }
        match self.xml.on_poweroff.as_deref() {
            None | Some("destroy") => Ok(()),
            Some(action) => refuse(format!("its <on_poweroff> is {action:?}, not \"destroy\"")),
        }
    }

    /// Puts the domain's definition into an archive. Returns what cannot be there.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Guest`] if libvirt does not tell it.
    pub fn describe(&self, content: &mut Content) -> Result<Vec<Warning>, Error> {
        let mut warnings = Vec::new();
        if content.configs.iter().any(|(name, _)| name == DOMAIN_XML) {
            return Ok(warnings);
        }
        let definition = self.domain.definition();
        let definition =
            definition.map_err(|error| failed("cannot read the domain's definition", error))?;
        if definition.len() > MAX_BLOB_SIZE {
            warnings.push(Warning::from(format!(
                "the domain's definition, {} bytes, is not in the archive, which holds at most {MAX_BLOB_SIZE} \
                 bytes of each configuration; keep what `virsh dumpxml --inactive` prints",
                definition.len()
            )));
        } else {
            let definition = (DOMAIN_XML.to_owned(), definition.into_bytes());
            content.configs.push(definition);
        }
        Ok(warnings)
    }
}

/// All domains that run, at a connection's URI or at the default one.
///
/// # Errors
/// Kind [`ErrorKind::Guest`]: libvirt does not answer.
pub fn running_domains(uri: Option<&str>, cancel: &CancelToken) -> Result<Vec<Domain>, Error> {
    domains(uri, cancel, Libvirt::running)
}

/// All domains, on or off, at a connection's URI or at the default one.
///
/// # Errors
/// Kind [`ErrorKind::Guest`]: libvirt does not answer.
pub fn all_domains(uri: Option<&str>, cancel: &CancelToken) -> Result<Vec<Domain>, Error> {
    domains(uri, cancel, Libvirt::all)
}

fn domains(
    uri: Option<&str>,
    cancel: &CancelToken,
    list: fn(&Libvirt) -> Result<Vec<String>, fleece_libvirt::Error>,
) -> Result<Vec<Domain>, Error> {
    let libvirt = Libvirt::connect(uri, cancel.interrupt());
    let libvirt = libvirt.map_err(|error| unreachable(error, uri))?;
    let asked = |error| failed("cannot list the domains", error);
    let mut domains = Vec::new();
    for uuid in list(&libvirt).map_err(asked)? {
        match libvirt.domain(&uuid) {
            // It is gone since.
            Err(error) if error.kind() == LibvirtErrorKind::NoDomain => {}
            domain => domains.push(domain.map_err(asked)?),
        }
    }
    Ok(domains)
}

/// A domain by its name or UUID, on or off, at a connection's URI or at the default one.
///
/// # Errors
/// Kind [`ErrorKind::Guest`]: libvirt does not answer, or there is no such domain.
pub fn find_domain(name: &str, uri: Option<&str>, cancel: &CancelToken) -> Result<Domain, Error> {
    let libvirt = Libvirt::connect(uri, cancel.interrupt());
    let libvirt = libvirt.map_err(|error| unreachable(error, uri))?;
    libvirt.domain(name).map_err(|error| {
        let message = format!("there is no domain {name} at {}", libvirt.uri());
        match error.kind() {
            LibvirtErrorKind::NoDomain => {
                Error::caused(ErrorKind::Guest, message, error).advise(Advice::ListDomains)
            }
            _ => failed("cannot look for the domain", error),
        }
    })
}

/// The monitor that is for others, if one answers; libvirt's otherwise.
fn monitor(domain: &Domain, xml: &DomainXml) -> GuestAddress {
    let socket = xml.monitors.iter().find(|socket| socket.exists());
    match socket {
        Some(socket) => Address::unix(socket).into(),
        None => domain.address().clone().into(),
    }
}

/// What a domain that is off consists of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoppedDomain {
    /// Its disks and its EFI variables, as `[format=FORMAT:]NAME=PATH`, with the names that they have in the backups of the
    /// domain while it runs.
    pub images: Vec<String>,
    /// Its definition.
    pub xml: String,
}

/// What a domain consists of, if it is off.
///
/// # Errors
/// Kind [`ErrorKind::Guest`]: libvirt does not answer, or it cannot be read from its images.
pub fn stopped_domain(domain: &Domain) -> Result<Option<StoppedDomain>, Error> {
    let asked = |error| failed("cannot ask libvirt about the domain", error);
    if domain.state().map_err(asked)? != State::Off {
        return Ok(None);
    }
    let definition = domain.definition().map_err(asked)?;
    let xml = DomainXml::read(&definition).map_err(asked)?;
    let (images, elsewhere) = images(&xml);
    if domain.process().is_some() || !elsewhere.is_empty() || images.is_empty() {
        return Err(is_off(domain, &xml));
    }
    Ok(Some(StoppedDomain {
        images,
        xml: definition,
    }))
}

/// The disks of a domain that is off and its EFI variables as images, and what it calls the disks that are none.
fn images(xml: &DomainXml) -> (Vec<String>, Vec<&str>) {
    let disks = xml.disks.iter();
    let disks = disks.filter(|disk| disk.device == "disk" && !disk.readonly);
    let image = |disk: &DomainDisk| {
        let source = disk.source.as_ref()?.to_str()?;
        let key = disk.key().unwrap_or_else(|| disk.target.clone());
        let format = disk.format.as_deref().unwrap_or("raw");
        Some(format!("format={format}:drive-{key}={source}"))
    };
    let elsewhere = disks.clone().filter(|disk| image(disk).is_none());
    let elsewhere = elsewhere.map(|disk| disk.target.as_str()).collect();
    // A domain that was never started has no variables yet.
    let variables = xml.nvram.as_ref().filter(|path| path.exists());
    let variables = variables.map(|path| format!("drive-efidisk0={}", path.display()));
    (
        disks.filter_map(image).chain(variables).collect(),
        elsewhere,
    )
}

/// The error for a domain without a QEMU: its images can be backed up as they are.
fn is_off(domain: &Domain, xml: &DomainXml) -> Error {
    if let Some(process) = domain.process() {
        let message = format!(
            "libvirt says that the domain {} is off, but its QEMU runs (process {process}): nothing can be done with it \
             through libvirt; shut the guest down from inside, or end that process",
            domain.name()
        );
        return Error::new(ErrorKind::Guest, message);
    }
    let (images, elsewhere) = images(xml);
    let but = match elsewhere.is_empty() {
        true => String::new(),
        false => format!(
            ", and what it has as {} is no file or device of this host, but in the network or in a pool",
            elsewhere.join(", ")
        ),
    };
    let message = format!("the domain {} is off{but}", domain.name());
    Error::new(ErrorKind::Guest, message).advise(Advice::BackUpImages {
        name: domain.name().to_owned(),
        images,
    })
}

/// The error for a libvirt that cannot be used.
pub(crate) fn unreachable(error: fleece_libvirt::Error, uri: Option<&str>) -> Error {
    let at = uri.map(|uri| format!(" at {uri}")).unwrap_or_default();
    let (message, advice) = match error.kind() {
        LibvirtErrorKind::NoVirsh => (
            "cannot run virsh, by which libvirt is spoken to".to_owned(),
            Advice::InstallVirsh,
        ),
        LibvirtErrorKind::Permission => (
            format!("libvirt{at} does not let us in"),
            Advice::BecomeLibvirtUser,
        ),
        _ => (
            format!("libvirt{at} does not answer"),
            Advice::NameConnection,
        ),
    };
    Error::caused(ErrorKind::Guest, message, error).advise(advice)
}

/// An error of a domain's monitor, with the next step where libvirt lets us only look.
pub(crate) fn of_monitor(error: Error) -> Error {
    let first = std::error::Error::source(&error);
    let mut causes = std::iter::successors(first, |cause| std::error::Error::source(*cause));
    let denied = causes.find_map(|cause| {
        let cause = cause.downcast_ref::<fleece_qmp_client::Error>()?;
        (cause.kind() == QmpErrorKind::Permission).then(|| cause.detail().map(str::to_owned))
    });
    match denied {
        Some(why) => {
            let why = why.unwrap_or_default();
            let message = format!("libvirt does not let us use the guest's monitor: {why}");
            Error::new(ErrorKind::Guest, message).advise(Advice::BecomeLibvirtUser)
        }
        None => error,
    }
}

pub(crate) fn failed(message: &str, error: fleece_libvirt::Error) -> Error {
    let advice = match error.kind() {
        LibvirtErrorKind::Permission => Some(Advice::BecomeLibvirtUser),
        _ => None,
    };
    let error = Error::caused(ErrorKind::Guest, message, error);
    match advice {
        Some(advice) => error.advise(advice),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_is_off_is_its_disks_and_its_variables() {
        let variables = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "<domain><os><nvram>{}</nvram></os><devices>\
             <disk device='disk'><driver type='qcow2'/><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>\
             <disk device='cdrom'><source file='/a.iso'/><target dev='sda' bus='sata'/><readonly/></disk>\
             <disk device='disk'><source volume='b' pool='p'/><target dev='vdb' bus='virtio'/></disk>\
             </devices></domain>",
            variables.path().display()
        );
        let mut xml = DomainXml::read(&text).unwrap();
        let efi = format!("drive-efidisk0={}", variables.path().display());
        let disk = "format=qcow2:drive-virtio0=/a.img".to_owned();
        assert_eq!(images(&xml), (vec![disk.clone(), efi], vec!["vdb"]));
        xml.nvram = Some("/nowhere".into());
        assert_eq!(images(&xml).0, [disk]);
    }
}
