//! Filling the lab's folder.

use std::fs::{self, File};

use crate::apt::Apt;
use crate::error::Error;
use crate::guest::Guest;
use crate::place;
use crate::qemu::{Need, Qemu, SUITES};
use crate::scratch;
use crate::writer;

/// What the lab has, and what it lacks.
#[derive(Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The versions of QEMU.
    pub qemus: Vec<Qemu>,
    /// Why a version is missing that may be.
    pub notes: Vec<String>,
    /// How guests run: `kvm` or `tcg`.
    pub accelerator: String,
}

/// Fetches what the lab lacks. What is there stays as it is; remove [`crate::root`] to start anew.
///
/// # Errors
///
/// No network, no apt, a version that must be there and cannot be had.
pub fn prepare() -> Result<Prepared, Error> {
    let root = place::root();
    fs::create_dir_all(&root).map_err(Error::io(format!("make {}", root.display())))?;
    let lock = root.join("lock");
    let lock = File::create(&lock).map_err(Error::io(format!("create {}", lock.display())))?;
    lock.lock()
        .map_err(Error::io("wait for another preparation of the lab"))?;

    scratch::sweep();
    let (mut qemus, mut notes) = (Vec::new(), Vec::new());
    for (suite, need) in SUITES {
        match Qemu::prepare(suite) {
            Ok(qemu) => qemus.push(qemu),
            Err(error) if need == Need::WhereItCanBeHad => {
                notes.push(format!("no QEMU of {}: {error:?}", suite.target()));
            }
            Err(error) => return Err(error),
        }
    }
    prepare_guest()?;
    writer::current()?;
    let accelerator = prepare_accelerator(&qemus)?;
    Ok(Prepared {
        qemus,
        notes,
        accelerator,
    })
}

/// Debian's kernel for virtual machines: small, and with all disks' drivers but AHCI's.
fn prepare_guest() -> Result<(), Error> {
    let [(suite, _), ..] = SUITES;
    place::make(&place::guest(), |folder| {
        let apt = Apt::open(suite, folder)?;
        let kernel = apt.dependency("linux-image-cloud-amd64")?;
        apt.unpack(&kernel, folder)?;
        apt.unpack("busybox-static", folder)
    })?;
    place::make(&place::agent(), |folder| {
        Apt::open(suite, folder)?.unpack_closure(&["qemu-guest-agent"], folder)
    })
}

/// KVM is used only where a guest has booted with it: a host may have it and still not run a stock
/// kernel, as when it is itself a guest.
fn prepare_accelerator(qemus: &[Qemu]) -> Result<String, Error> {
    let file = place::accelerator();
    if let Ok(known) = fs::read_to_string(&file) {
        return Ok(known.trim().to_owned());
    }
    let boots = qemus
        .last()
        .is_some_and(|qemu| Guest::builder(qemu).trial("kvm").boot().is_ok());
    let name = if boots { "kvm" } else { "tcg" };
    fs::write(&file, format!("{name}\n"))
        .map_err(Error::io(format!("write {}", file.display())))?;
    Ok(name.to_owned())
}
