//! `fleece restore --libvirt`: images in a directory or a pool, and a domain that libvirt knows.

use std::fs;
use std::path::{Path, PathBuf};

use fleece_encryption::Identities;
use fleece_libvirt::Libvirt;
use fleece_libvirt::xml::pool::pool_directory;
use fleece_libvirt::xml::rewrite::{RestoredDisk, Rewrite, is_name, rewrite};
use fleece_storage::VolumeFormat;
use fleece_vma_format::Header;

use super::libvirt;
use super::machine::{Image, Machine};
use super::output::Output;
use super::{describe, images, make, recorded, wanted};
use crate::job::archive::content::TPM_STATE;
use crate::job::cancel::CancelToken;
use crate::qemu::domain::{DOMAIN_XML, failed, unreachable};
use crate::report::advice::Advice;
use crate::report::error::{Error, ErrorKind};
use crate::report::{Counting, Reporter, Warning};
use crate::restore::Restored;
use crate::restore::choice::DiskChoice;
use crate::restore::config;
use crate::restore::copy::copy;
use crate::restore::opened::Opened;
use crate::restore::plan::{self, Found};

/// A guest to be restored as a domain of libvirt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DomainRestore {
    /// The archive; `-` is standard input.
    pub archive: PathBuf,
    /// The secret keys that it is read with, if it is encrypted.
    pub identities: Identities,
    /// The URI of the libvirt on this host; `None` for the default one.
    pub uri: Option<String>,
    /// Where the images go.
    pub place: Place,
    /// The images' format; EFI variables are always raw.
    pub format: VolumeFormat,
    /// Disks that are left out.
    pub disks: Vec<DiskChoice>,
    /// Another name for the domain than it had.
    pub name: Option<String>,
    /// A new uuid and new MAC addresses.
    pub unique: bool,
    /// Take over all of the archived domain, whatever it has QEMU open or run.
    pub is_trusted: bool,
    /// Start the domain.
    pub start: bool,
    /// Bytes per second written to all disks together.
    pub bwlimit: Option<u64>,
}

/// Where the images of a domain go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A directory; made if it is not there.
    Folder(PathBuf),
    /// A storage pool of libvirt's that is a directory.
    Pool(String),
}

impl DomainRestore {
    /// A domain from `archive`, with qcow2 images at `place`.
    #[must_use]
    pub fn new(archive: PathBuf, place: Place) -> Self {
        Self {
            archive,
            identities: Identities::new(),
            uri: None,
            place,
            format: VolumeFormat::Qcow2,
            disks: Vec::new(),
            name: None,
            unique: false,
            is_trusted: false,
            start: false,
            bwlimit: None,
        }
    }
}

/// A domain that is going to be defined.
struct Definition {
    xml: String,
    name: String,
    uuid: Option<String>,
}

/// Restores images, and defines a domain of them: the archived one without what is not known to be harmless or, of
/// a guest that libvirt did not run, one made from its configuration.
///
/// # Errors
/// Kind `Damage` for an archive that is not whole; `Target` for what cannot be written, or is there; `Guest` for what
/// libvirt refuses; `Request`. Nothing is left then, unless only the start has failed.
pub fn restore_domain(
    job: &DomainRestore,
    reporter: &dyn Reporter,
    cancel: &CancelToken,
) -> Result<Restored, Error> {
    let reporter = Counting::new(reporter);
    let uri = job.uri.as_deref();
    let libvirt =
        Libvirt::connect(uri, cancel.interrupt()).map_err(|error| unreachable(error, uri))?;
    let folder = directory(&job.place, &libvirt)?;
    let input = Opened::open(&job.archive, &job.identities, cancel)?;
    let header = input.header().clone();
    let archived = config::archived(&header, &reporter)?;
    let found = wanted(plan::find(&header, &archived)?, &job.disks)?;
    let mut images = images(found, &|_| job.format, &archived)?;
    let text = archived_domain(&header, &reporter);
    let name = name(job, text, &describe(&archived, &images, job.unique)?)?;
    for (found, key, image) in &mut images {
        if key == "efidisk0" {
            image.format = VolumeFormat::Raw;
        }
        image.file = format!("{name}-{}.{}", device(found), image.format);
    }
    let mut definition = match text {
        Some(text) => of_archived(job, text, &name, &folder, &images, &reporter)?,
        None => {
            let mut machine = describe(&archived, &images, job.unique)?;
            if let Some(record) = recorded(&header, &reporter) {
                let devices = images.iter();
                let devices = devices.map(|(found, key, _)| (found.device.name(), key.as_str()));
                machine.refine(&record, &devices.collect());
            }
            generated(machine, &name, &folder)?
        }
    };
    must_be_free(&libvirt, &definition)?;
    const KVM: &str = "<domain type=\"kvm\"";
    if definition.xml.starts_with(KVM) && !libvirt.has_kvm() {
        reporter.info(
            "this libvirt has no KVM: the domain's processor is emulated (type 'qemu')".into(),
        );
        definition.xml = definition.xml.replacen(KVM, "<domain type=\"qemu\"", 1);
    }
    if header.config(TPM_STATE).is_some() {
        reporter.warning(format!(
            "the state of the guest's TPM is not restored: libvirt makes a new one; `vma config -c {TPM_STATE}` gives \
             it"
        ));
    }

    let names: Vec<&str> = images
        .iter()
        .map(|(_, _, image)| image.file.as_str())
        .collect();
    let output = Output::create(&folder, false, names.iter().copied())?;
    let mut disks = Vec::new();
    for (found, _, image) in &images {
        disks.push(make(&output, found, image)?);
        let path = folder.join(&image.file);
        reporter.info(format!(
            "restore {} to {}",
            found.device.name(),
            path.display()
        ));
    }
    let copied = copy(input, &disks, job.bwlimit, &reporter, cancel)?;
    drop(disks);
    if let Some(reason) = cancel.reason() {
        return Err(Error::cancelled(reason));
    }
    if let Some(warning) = output.publish(&names)? {
        reporter.warning(warning);
    }
    let made: Vec<PathBuf> = images
        .iter()
        .map(|(_, _, image)| folder.join(&image.file))
        .collect();
    libvirt.define(&definition.xml).map_err(|error| {
        // A domain that is not there has no disks either.
        for path in &made {
            let _ = fs::remove_file(path);
        }
        failed(
            "libvirt does not take the domain; its images are removed again",
            error,
        )
    })?;
    reporter.info(format!("defined the domain {name} at {}", libvirt.uri()));
    if let Place::Pool(pool) = &job.place
        && let Err(error) = libvirt.refresh_pool(pool)
    {
        reporter.warning(format!(
            "the pool {pool} does not know its new volumes: {error}"
        ));
    }
    if job.start {
        let message = format!("the domain {name} is restored, but does not start");
        libvirt
            .start(&name)
            .map_err(|error| failed(&message, error))?;
        reporter.info(format!("started the domain {name}"));
    }
    let disks = images.iter().zip(&made);
    let disks = disks
        .map(|((found, ..), path)| (found.device.name().to_owned(), path.display().to_string()));
    Ok(Restored {
        disks: disks.collect(),
        path: folder,
        bytes: copied.bytes,
        zero: copied.zero,
        written: None,
        took: copied.took,
        started: None,
        warnings: reporter.warnings(),
    })
}

/// The device's name without what Proxmox puts before it.
fn device(found: &Found) -> &str {
    let name = found.device.name();
    name.strip_prefix("drive-").unwrap_or(name)
}

/// The absolute path of the directory for the images.
fn directory(place: &Place, libvirt: &Libvirt) -> Result<PathBuf, Error> {
    let folder = match place {
        Place::Folder(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.clone()),
        Place::Pool(pool) => {
            let asked = |error| failed(&format!("cannot use the pool {pool}"), error);
            let xml = libvirt.pool_xml(pool).map_err(asked)?;
            pool_directory(&xml).map_err(asked)?.ok_or_else(|| {
                let message = format!("the pool {pool} is no directory");
                Error::new(ErrorKind::Request, message).advise(Advice::NameFolder)
            })?
        }
    };
    match folder
        .to_str()
        .filter(|path| !path.contains(char::is_control))
    {
        Some(_) => Ok(folder),
        None => Err(Error::new(
            ErrorKind::Request,
            "the path of that directory cannot be written in XML; choose another",
        )),
    }
}

/// The archived domain, if there is one and it is a text.
fn archived_domain<'a>(header: &'a Header, reporter: &Counting<'_>) -> Option<&'a str> {
    let domain = std::str::from_utf8(header.config(DOMAIN_XML)?);
    if domain.is_err() {
        reporter.warning(format!(
            "the archived {DOMAIN_XML} is no text, and not used"
        ));
    }
    domain.ok()
}

/// What the domain is called.
fn name(job: &DomainRestore, text: Option<&str>, machine: &Machine) -> Result<String, Error> {
    let archived = text.map(|text| rewrite(text, &Rewrite::default()).map(|made| made.name));
    let archived = archived.transpose();
    let name = match (&job.name, archived) {
        (Some(name), _) => name.clone(),
        (None, Ok(Some(name))) => name,
        (None, Ok(None)) => machine.name.clone(),
        (None, Err(error)) => return Err(failed("cannot understand the archived domain", error)),
    };
    match is_name(&name) {
        true => Ok(name),
        false => Err(Error::new(
            ErrorKind::Request,
            "the domain has no name that can be one of files, too",
        )
        .advise(Advice::NameDomain)),
    }
}

fn of_archived(
    job: &DomainRestore,
    text: &str,
    name: &str,
    folder: &Path,
    images: &[(Found, String, Image)],
    reporter: &Counting<'_>,
) -> Result<Definition, Error> {
    let mut wish = Rewrite::default();
    wish.name = Some(name.to_owned());
    wish.unique = job.unique;
    wish.is_trusted = job.is_trusted;
    for (found, key, image) in images {
        let path = folder.join(&image.file);
        match key.as_str() {
            "efidisk0" => wish.nvram = Some(path),
            _ => wish.disks.push(RestoredDisk {
                key: device(found).to_owned(),
                path,
                format: image.format.to_string(),
            }),
        }
    }
    let made = rewrite(text, &wish);
    let made = made.map_err(|error| failed("cannot understand the archived domain", error))?;
    if !made.dropped.is_empty() {
        let message = format!(
            "left out of the domain, since whoever wrote the archive could harm this host with it: {}",
            made.dropped.join("; ")
        );
        let advice = Advice::TrustDomain(DOMAIN_XML.to_owned());
        reporter.warning(Warning::advised(message, advice));
    }
    for disk in &made.unused {
        reporter.warning(format!(
            "the domain has no disk {disk}; it is restored, and to be attached by hand"
        ));
    }
    Ok(Definition {
        xml: made.xml,
        name: made.name,
        uuid: made.uuid,
    })
}

/// A domain made from the guest's configuration.
fn generated(mut machine: Machine, name: &str, folder: &Path) -> Result<Definition, Error> {
    name.clone_into(&mut machine.name);
    let folder = folder.to_str().unwrap_or_default();
    let written = libvirt::domain(&machine, folder).map_err(std::io::Error::other);
    let text = written.and_then(|xml| String::from_utf8(xml).map_err(std::io::Error::other));
    let xml = text.map_err(|error| {
        let message = "cannot write the domain's XML";
        Error::caused(ErrorKind::Target, message, error)
    })?;
    Ok(Definition {
        xml,
        name: name.to_owned(),
        uuid: machine.uuid.map(|uuid| uuid.to_string()),
    })
}

/// Refuses a name or an identity that another domain has.
fn must_be_free(libvirt: &Libvirt, definition: &Definition) -> Result<(), Error> {
    let is_there = |what: &str| libvirt.domain(what).is_ok();
    let name = &definition.name;
    if is_there(name) {
        let message = format!("there is a domain {name} already");
        return Err(Error::new(ErrorKind::Target, message).advise(Advice::RenameDomain));
    }
    if let Some(uuid) = definition.uuid.as_deref().filter(|uuid| is_there(uuid)) {
        let message =
            format!("the domain with the uuid {uuid} is there already, under another name");
        return Err(Error::new(ErrorKind::Target, message).advise(Advice::NewIdentity));
    }
    Ok(())
}
