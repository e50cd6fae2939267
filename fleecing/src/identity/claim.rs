//! Who a number or name belongs to, on file for as long as the state directory lasts.
//!
//! ```text
//! monitor: /run/vm1/qmp.sock                     where the guest was reached last
//! uuid: 6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10     what QEMU was given with -uuid
//! name: web                                      and with -name
//! ```
//!
//! Without it, two guests whose sockets are called the same would share their record, and the clean-up of
//! one would free the other's images.

use std::path::{Path, PathBuf};

use fleece_guest_config::{ConfigFile, GuestConfig, GuestId};

use super::endpoint::{Endpoint, Kind};
use super::reported::Reported;
use crate::advice::Advice;
use crate::error::{Error, ErrorKind};
use crate::journal::record;

/// What is on file of one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    monitor: Option<String>,
    control: Option<String>,
    image: Option<String>,
    uuid: Option<String>,
    name: Option<String>,
}

const MONITOR: &str = "monitor";
const CONTROL: &str = "control";
const IMAGE: &str = "image";
const UUID: &str = "uuid";
const NAME: &str = "name";

impl Claim {
    /// The claim in the file at `path`; `None` if there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, Error> {
        let config = ConfigFile::state(path).load().map_err(unreadable)?;
        Self::read(&config, path)
    }

    fn read(config: &GuestConfig, path: &Path) -> Result<Option<Self>, Error> {
        if config.to_string().trim().is_empty() {
            return Ok(None);
        }
        let get = |key| config.main().get(key).map(str::to_owned);
        let claim = Self {
            monitor: get(MONITOR),
            control: get(CONTROL),
            image: get(IMAGE),
            uuid: get(UUID),
            name: get(NAME),
        };
        if [Kind::Monitor, Kind::Control, Kind::Image]
            .iter()
            .all(|kind| claim.place(*kind).is_none())
        {
            let message = format!(
                "{} is damaged: it does not say whose name that is; remove it if you know",
                path.display()
            );
            return Err(Error::new(ErrorKind::Record, message));
        }
        Ok(Some(claim))
    }

    /// Where the guest was reached last by this kind of endpoint.
    pub(super) fn place(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Monitor => self.monitor.as_deref(),
            Kind::Control => self.control.as_deref(),
            Kind::Image => self.image.as_deref(),
        }
    }

    /// What QEMU was given with `-uuid`.
    pub(super) fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }

    /// All endpoints at which the guest was reached last.
    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        let kinds = [Kind::Monitor, Kind::Control, Kind::Image].into_iter();
        let endpoint = |kind| Some(Endpoint::recorded(kind, self.place(kind)?));
        kinds.filter_map(endpoint).collect()
    }

    /// Whether the guest was last reached here.
    pub(super) fn is_at(&self, endpoint: &Endpoint) -> bool {
        self.place(endpoint.kind) == Some(&endpoint.place)
    }

    /// Whether it is the guest, or a clone of it, that says this of itself.
    pub(super) fn is_of(&self, reported: &Reported) -> bool {
        self.uuid.is_some() && self.uuid == reported.uuid
    }

    /// The same with what is known now.
    fn updated(mut self, endpoint: &Endpoint, reported: &Reported) -> Self {
        let place = Some(endpoint.place.clone());
        match endpoint.kind {
            Kind::Monitor => {
                self.monitor = place;
                self.uuid.clone_from(&reported.uuid);
                self.name = reported.name().map(str::to_owned);
            }
            Kind::Control => self.control = place,
            Kind::Image => self.image = place,
        }
        self
    }

    fn write(&self, config: &mut GuestConfig) -> Result<(), fleece_guest_config::Error> {
        let fields = [
            (MONITOR, &self.monitor),
            (CONTROL, &self.control),
            (IMAGE, &self.image),
            (UUID, &self.uuid),
            (NAME, &self.name),
        ];
        for (key, value) in fields {
            match value {
                Some(value) => config.main_mut().set(key, value)?,
                None => drop(config.main_mut().remove(key)),
            }
        }
        Ok(())
    }

    /// For people: where the guest is, and what else is known of it.
    fn describe(&self) -> String {
        let places = [
            ("monitor", &self.monitor),
            ("control socket", &self.control),
            ("image", &self.image),
            ("uuid", &self.uuid),
            ("QEMU's -name", &self.name),
        ];
        let known = places
            .into_iter()
            .filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?)));
        known.collect::<Vec<_>>().join(", ")
    }
}

/// Who asks for a number or name.
pub(super) struct Claimant<'a> {
    pub(super) id: &'a GuestId,
    pub(super) endpoint: &'a Endpoint,
    pub(super) reported: &'a Reported,
    /// Somebody said so, or Proxmox did, instead of us by a path or a text.
    pub(super) given: bool,
}

impl Claimant<'_> {
    /// Takes the claim in the file at `path`, in whose directory it must be possible to write. Returns what
    /// is worth being told. `answers` tells whether the guest of another claim is there.
    ///
    /// All of it is one step to others who want the same.
    pub(super) fn take(
        &self,
        path: &Path,
        answers: &dyn Fn(&Claim) -> bool,
    ) -> Result<Option<String>, Error> {
        let mut refusal = None;
        let mut note = None;
        ConfigFile::state(path)
            .update(|config| {
                let judged = Claim::read(config, path)
                    .and_then(|old| Ok((self.judge(old.as_ref(), path, answers)?, old)));
                match judged {
                    Ok((reported, old)) => {
                        note = reported;
                        old.unwrap_or_default()
                            .updated(self.endpoint, self.reported)
                            .write(config)
                    }
                    Err(error) => {
                        refusal = Some(error);
                        Ok(())
                    }
                }
            })
            .map_err(unwritable)?;
        refusal.map_or(Ok(note), Err)
    }

    /// Whether it could be taken.
    pub(super) fn check(&self, path: &Path, answers: &dyn Fn(&Claim) -> bool) -> Result<(), Error> {
        self.judge(Claim::load(path)?.as_ref(), path, answers)
            .map(drop)
    }

    /// Whether the guest may have the claim `old`, and what is to be told of that.
    fn judge(
        &self,
        old: Option<&Claim>,
        path: &Path,
        answers: &dyn Fn(&Claim) -> bool,
    ) -> Result<Option<String>, Error> {
        let Some(old) = old else { return Ok(None) };
        let uuids = (old.uuid(), self.reported.uuid.as_deref());
        let another = matches!(uuids, (Some(old), Some(new)) if old != new);
        let same = matches!(uuids, (Some(old), Some(new)) if old == new);
        let Some(before) = old.place(self.endpoint.kind) else {
            // By an endpoint of another kind than ever before: only somebody who knows can tell.
            return if self.given {
                Ok(None)
            } else {
                Err(self.is_anothers(old))
            };
        };
        if before == self.endpoint.place {
            return match (another, self.given) {
                (true, false) => Err(self.is_anothers(old)),
                (true, true) => Ok(Some(format!(
                    "{} is a guest with another uuid from now on",
                    self.id
                ))),
                (false, _) => Ok(None),
            };
        }
        if !same && !self.given {
            return Err(self.is_anothers(old));
        }
        // An image that is there says nothing: many guests are backed up from copies.
        if self.endpoint.kind != Kind::Image && answers(old) {
            return Err(self.is_alive(old, path));
        }
        let Self { id, endpoint, .. } = self;
        Ok(Some(if same {
            format!("{id} has moved from {before} to {}", endpoint.place)
        } else {
            format!(
                "{id} is the guest at {} from now on, and no longer the one at {before}",
                endpoint.place
            )
        }))
    }

    fn is_anothers(&self, old: &Claim) -> Error {
        let Self { id, endpoint, .. } = self;
        let message = format!(
            "{id} is another guest ({}) than the one at {}",
            old.describe(),
            endpoint.place
        );
        Error::new(ErrorKind::Identity, message).advise(Advice::ConfirmGuest((*id).clone()))
    }

    fn is_alive(&self, old: &Claim, path: &Path) -> Error {
        let Self { id, endpoint, .. } = self;
        let message = format!(
            "{id} is the guest that answers elsewhere ({}), and not the one at {}",
            old.describe(),
            endpoint.place
        );
        Error::new(ErrorKind::Identity, message).advise(Advice::ReleaseName(path.to_owned()))
    }
}

/// Where the claim to a guest's number or name is kept.
pub(super) fn file(directory: &Path, guest: &GuestId) -> PathBuf {
    record::file_of(directory, guest, record::CLAIM)
}

fn unreadable(error: fleece_guest_config::Error) -> Error {
    Error::caused(
        ErrorKind::Record,
        "cannot read which guest that name belongs to",
        error,
    )
}

fn unwritable(error: fleece_guest_config::Error) -> Error {
    let message = "cannot record which guest that name belongs to";
    Error::caused(ErrorKind::Record, message, error)
}

#[cfg(test)]
mod tests;
