//! Which guests a run is for, and what the configuration says of each.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use fleece_backup_core::fleece_libvirt::Domain;
use fleece_backup_core::qemu::{DOMAIN_XML, StoppedDomain, all_domains, stopped_domain};
use fleece_backup_core::{CancelToken, Error, ErrorKind, Places, proxmox_monitor, stopped_images};
use fleece_fleet::{Task, find};
use fleece_guest_config::GuestId;
use fleece_settings::{Settings, matches};

use crate::advice;
use crate::cli::run::Run;
use crate::log::Log;
use crate::options::{self, Set};
use fleece_bins::exit;

/// A guest that is to be backed up.
pub(super) struct Guest {
    pub(super) name: String,
    /// How `fleece backup` is told of it.
    pub(super) way: Vec<OsString>,
    /// Where its archive goes; empty if nobody says.
    pub(super) target: String,
    /// Whether its section says how it is reached.
    has_way: bool,
    /// Whether its section names a hook of its own.
    pub(super) has_script: bool,
    /// Why it cannot be backed up, and the exit code of that.
    pub(super) refused: Option<(u8, String)>,
}

impl Guest {
    pub(super) fn task(&self) -> Task {
        Task::new(&self.name, &self.target)
    }
}

/// Whether anything says which guests are meant.
pub(super) fn are_named(arguments: &Run) -> bool {
    let lists = [
        &arguments.guest,
        &arguments.qmp,
        &arguments.native,
        &arguments.image,
    ];
    arguments.all
        || arguments.libvirt
        || arguments.proxmox
        || lists.iter().any(|list| !list.is_empty())
}

/// The guests in the order in which they are backed up. One that is found in several ways is backed up in the first.
pub(super) fn select(
    arguments: &Run,
    settings: &Settings,
    places: &Places,
    (shared, cancel): (Option<&Path>, &CancelToken),
    log: &Log,
) -> Result<Vec<Guest>, Error> {
    let mut found = Found {
        settings,
        shared,
        exclude: &arguments.exclude,
        guests: Vec::new(),
    };
    for guest in &arguments.guest {
        found.add(guest, Vec::new())?;
    }
    if arguments.all || !are_named(arguments) {
        for guest in settings.guests() {
            found.add(guest, Vec::new())?;
        }
    }
    for (option, patterns) in [
        ("--qmp", &arguments.qmp),
        ("--native", &arguments.native),
        ("--image", &arguments.image),
    ] {
        for pattern in patterns {
            found.add_paths(option, pattern)?;
        }
    }
    if arguments.libvirt {
        let uri = arguments.connect.as_deref();
        match all_domains(uri, cancel) {
            Ok(domains) => {
                for domain in domains {
                    found.add_domain(&domain, uri, log)?;
                }
            }
            // All others have their backups nevertheless.
            Err(error) if cancel.reason().is_none() => {
                found.guests.push(Guest {
                    name: "(libvirt)".to_owned(),
                    way: Vec::new(),
                    target: String::new(),
                    has_way: false,
                    has_script: false,
                    refused: Some((exit::number(&error), advice::text(&error))),
                });
            }
            Err(error) => return Err(error),
        }
    }
    if arguments.proxmox {
        found.add_proxmox(places, arguments.dry_run, log)?;
    }
    Ok(found.guests)
}

struct Found<'a> {
    settings: &'a Settings,
    /// Where files may be put for the time of the run; nowhere in a dry run.
    shared: Option<&'a Path>,
    exclude: &'a [String],
    guests: Vec<Guest>,
}

impl Found<'_> {
    /// One that is called so, and perhaps how it is reached.
    fn add(&mut self, name: &str, mut way: Vec<OsString>) -> Result<(), Error> {
        way.insert(0, named(name));
        self.add_by(name, way)
    }

    /// One that is reached so.
    fn add_by(&mut self, name: &str, way: Vec<OsString>) -> Result<(), Error> {
        let is_excluded = self.exclude.iter().any(|pattern| matches(pattern, name));
        if is_excluded || self.guests.iter().any(|guest| guest.name == name) {
            return Ok(());
        }
        let none = ArgMatches::default();
        let set = options::options(self.settings, "backup", Some(name), &none)?;
        let value = |key: &str| {
            let set = set.iter().find(|set| set.option == key)?;
            set.values.first().map(String::as_str)
        };
        let target = value("to").unwrap_or_default().to_owned();
        self.guests.push(Guest {
            refused: refusal(name, &way, &set, &target).map(|why| (exit::USAGE, why)),
            name: name.to_owned(),
            has_way: set.iter().any(|set| WAYS.contains(&&*set.option)),
            has_script: value("script").is_some(),
            target,
            way,
        });
        Ok(())
    }

    /// A domain of libvirt's, by way of its images if it is off.
    fn add_domain(&mut self, domain: &Domain, uri: Option<&str>, log: &Log) -> Result<(), Error> {
        let name = domain.name();
        let before = self.guests.len();
        let mut way = vec![format!("--libvirt={name}").into()];
        way.extend(uri.map(|uri| format!("--connect={uri}").into()));
        self.add_by(name, way)?;
        let Some(guest) = self.guests.get_mut(before) else {
            return Ok(());
        };
        if guest.has_way {
            return Ok(());
        }
        let stopped = stopped_domain(domain).and_then(|stopped| {
            let way = stopped.map(|stopped| of_images(domain, &stopped, self.shared));
            way.transpose()
        });
        match stopped {
            Ok(None) => {}
            Ok(Some(way)) => {
                log.info(&format!(
                    "the domain {name} does not run: its images are backed up as they are"
                ));
                guest.way = way;
            }
            Err(error) if guest.refused.is_none() => {
                guest.refused = Some((exit::number(&error), advice::text(&error)));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn add_paths(&mut self, option: &str, pattern: &str) -> Result<(), Error> {
        let before = self.guests.len();
        for found in find(pattern).map_err(|error| {
            let message = format!("cannot look for guests at {pattern}");
            Error::caused(ErrorKind::Request, message, error)
        })? {
            let way: Vec<OsString> = vec![option.into(), found.path.into()];
            // Several images may be one guest's.
            let at = (before..self.guests.len()).find(|&at| {
                self.guests
                    .get(at)
                    .is_some_and(|guest| guest.name == found.name)
            });
            match at.and_then(|at| self.guests.get_mut(at)) {
                Some(guest) => guest.way.extend(way),
                None => self.add(&found.name, way)?,
            }
        }
        Ok(())
    }

    /// Those that Proxmox has a configuration of. One that does not run is read from its volumes: as long as it is being
    /// backed up, Proxmox does not start it.
    fn add_proxmox(&mut self, places: &Places, is_rehearsal: bool, log: &Log) -> Result<(), Error> {
        let directory = places.config_dir();
        let pattern = format!("{}/*.conf", directory.display());
        let found = find(&pattern).map_err(|error| {
            let message = format!("cannot list {}", directory.display());
            Error::caused(ErrorKind::Request, message, error)
        })?;
        let mut numbers: Vec<(u32, PathBuf)> = found
            .into_iter()
            .filter_map(|found| Some((found.name.parse().ok()?, found.path)))
            .collect();
        numbers.sort_unstable();
        let storages = places.storages()?;
        for (number, config) in numbers {
            let name = number.to_string();
            if proxmox_monitor(number).exists() {
                self.add(&name, Vec::new())?;
                continue;
            }
            let before = self.guests.len();
            self.add(&name, Vec::new())?;
            let Some(guest) = self.guests.get_mut(before) else {
                continue;
            };
            if guest.refused.is_some() || guest.has_way {
                continue;
            }
            log.info(&format!(
                "guest {number} does not run: its volumes are backed up as they are"
            ));
            match stopped_images(&config, &storages, is_rehearsal) {
                Ok(images) => {
                    let images = images.into_iter();
                    let images = images.flat_map(|image| ["--image".to_owned(), image]);
                    guest.way.extend(images.map(OsString::from));
                }
                Err(error) => guest.refused = Some((exit::number(&error), advice::text(&error))),
            }
        }
        Ok(())
    }
}

/// What names a guest.
fn named(name: &str) -> OsString {
    let is_number = name.parse().is_ok_and(|id: GuestId| id.number().is_some());
    let option = if is_number { "--vmid" } else { "--name" };
    format!("{option}={name}").into()
}

/// How a domain that is off is backed up, under the name that it has while it runs.
fn of_images(
    domain: &Domain,
    stopped: &StoppedDomain,
    shared: Option<&Path>,
) -> Result<Vec<OsString>, Error> {
    let id = GuestId::from_text(domain.name()).ok_or_else(|| {
        let message = format!("{:?} cannot be the name of a guest", domain.name());
        Error::new(ErrorKind::Request, message)
    })?;
    let mut way = vec![named(&id.to_string())];
    let images = stopped.images.iter();
    way.extend(images.flat_map(|image| [OsString::from("--image"), image.into()]));
    // A dry run leaves nothing behind.
    if let Some(shared) = shared {
        let file = shared.join(format!("{id}.xml"));
        fs::write(&file, &stopped.xml).map_err(|error| {
            let message = format!("cannot write {}", file.display());
            Error::caused(ErrorKind::Storage, message, error)
        })?;
        let mut config = OsString::from(format!("{DOMAIN_XML}="));
        config.push(file);
        way.extend(["--config".into(), config]);
    }
    Ok(way)
}

/// Options that say how a guest is reached.
const WAYS: [&str; 5] = ["qmp", "libvirt", "native", "image", "nbd"];

/// Why the guest cannot be backed up, as far as that can be told.
fn refusal(name: &str, way: &[OsString], set: &[Set], target: &str) -> Option<String> {
    if target.is_empty() {
        return Some("nothing says where its archive goes: set `to` in [backup]".to_owned());
    }
    if target == "-" {
        return Some("its archive cannot go to standard output: set `to` in [backup]".to_owned());
    }
    let is_configured = set.iter().any(|set| WAYS.contains(&&*set.option));
    let is_number = way.first().is_some_and(|first| {
        let first = first.to_string_lossy();
        first.starts_with("--vmid") || first.starts_with("--libvirt")
    });
    (!is_configured && !is_number && way.len() == 1).then(|| {
        format!("nothing says how it is reached: set qmp, libvirt, native or image in [guest.\"{name}\"]")
    })
}
