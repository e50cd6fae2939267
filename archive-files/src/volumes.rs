//! What is on disks: partitions, volumes made of them, and file systems.

pub(crate) mod fuzzing;
mod gpt;
mod lvm;
mod mbr;
mod md;
mod signature;

use std::collections::HashSet;
use std::sync::Arc;

use fleece_plain_text::words;

use crate::error::{Error, ErrorKind, Result};
use crate::filesystem::FileSystem;
use crate::known::{self, COUNT, WITH_BOOT_SECTOR};
use crate::source::{Shared, Source as _};
use crate::tree::FileTree;

/// How deep volumes are in volumes: a partition, in it LVM, in it a guest's disk, in it partitions; and some more.
const MAX_DEPTH: usize = 8;

/// How many volumes there are at most: those of 128 disks with 128 partitions each.
const MAX_VOLUMES: usize = 16384;

/// A disk, partition, logical volume or array.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Volume {
    /// How it is called: the name of the disk, and behind `:` what it is on that disk: the number of a partition, or
    /// `group/volume`, or `md/array`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// What is on it.
    pub content: Content,
    /// Its bytes.
    pub source: Shared,
}

/// What is on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A file system whose files can be read.
    FileSystem(FileSystem),
    /// Something that consists of other volumes, which are listed behind it, or is a part of one: in words.
    Part(String),
    /// Something known whose files cannot be read: in words, with the reason.
    Named {
        /// What it is, and if that does not say it why it is not read.
        what: String,
        /// Its label, or empty.
        label: Vec<u8>,
        /// Its identifier, or empty.
        uuid: String,
    },
    /// Nothing that is known.
    Unknown,
}

impl Volume {
    /// Opens the files on it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there is no file system on it whose files can be read; if it is damaged.
    pub fn open(&self) -> Result<Box<dyn FileTree>> {
        let what = match &self.content {
            Content::FileSystem(_) => return known::open(&self.source),
            Content::Part(what) | Content::Named { what, .. } => what.as_str(),
            Content::Unknown => "nothing that is known here",
        };
        Err(Error::unsupported(format!(
            "{} has no files of its own: on it is {what}",
            self.name
        )))
    }
}

/// All that was found on some disks.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Volumes {
    /// Disks in their order, each followed by what is on it.
    pub volumes: Vec<Volume>,
    /// What is not as it should be, in sentences without a full stop.
    pub warnings: Vec<String>,
}

/// What waits for its other parts.
#[derive(Default)]
struct Parts {
    physical: Vec<lvm::Physical>,
    members: Vec<md::Member>,
}

impl Volumes {
    /// Looks at disks, each with its name. Volumes may be spread over several of them.
    #[must_use]
    pub fn find(disks: Vec<(String, Shared)>) -> Self {
        let mut found = Self::default();
        let mut parts = Parts::default();
        for (name, source) in disks {
            found.examine(name, source, &mut parts, 0);
        }
        // What consists of several may itself be a part of something.
        let mut seen = HashSet::new();
        for depth in 1..MAX_DEPTH {
            let now = std::mem::take(&mut parts);
            if now.physical.is_empty() && now.members.is_empty() {
                break;
            }
            let arrays = md::arrays(now.members, &mut found.warnings);
            let logical = lvm::logical(now.physical, &mut found.warnings);
            for (name, content) in arrays.into_iter().chain(logical) {
                if !seen.insert(name.clone()) {
                    continue;
                }
                match content {
                    Ok(source) => found.examine(name, source, &mut parts, depth),
                    Err((what, size)) => found.push(Volume {
                        name,
                        size,
                        content: Content::Named {
                            what,
                            label: Vec::new(),
                            uuid: String::new(),
                        },
                        source: Arc::new(Vec::new()),
                    }),
                }
            }
        }
        found.sort();
        found
    }

    /// The volume of this name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with the names of those that have files.
    pub fn named(&self, name: &str) -> Result<&Volume> {
        let found = self.volumes.iter().find(|volume| volume.name == name);
        found.ok_or_else(|| {
            let with_files: Vec<&str> = self.with_files().map(|v| v.name.as_str()).collect();
            let known = match with_files.as_slice() {
                [] => "and no volume here has files that can be read".to_owned(),
                names => format!("those with files are {}", names.join(", ")),
            };
            Error::new(
                ErrorKind::NotFound,
                format!("there is no volume {:?}; {known}", words(name)),
            )
        })
    }

    /// The volumes whose files can be read.
    pub fn with_files(&self) -> impl Iterator<Item = &Volume> {
        let has_files = |volume: &&Volume| matches!(volume.content, Content::FileSystem(_));
        self.volumes.iter().filter(has_files)
    }

    fn push(&mut self, volume: Volume) {
        if self.volumes.len() < MAX_VOLUMES {
            self.volumes.push(volume);
        }
    }

    fn examine(&mut self, name: String, source: Shared, parts: &mut Parts, depth: usize) {
        let (content, inner) = self.content(&name, &source, parts);
        self.push(Volume {
            name: name.clone(),
            size: source.size(),
            content,
            source: Shared::clone(&source),
        });
        if depth >= MAX_DEPTH || self.volumes.len() >= MAX_VOLUMES {
            return;
        }
        for (part, source) in inner {
            self.examine(
                format!("{name}:{part}"),
                source,
                parts,
                depth.saturating_add(1),
            );
        }
    }

    /// What is on a volume, and the partitions in it.
    fn content(
        &mut self,
        name: &str,
        source: &Shared,
        parts: &mut Parts,
    ) -> (Content, Vec<(String, Shared)>) {
        let plain = |content| (content, Vec::new());
        match gpt::read(source) {
            Ok(Some(table)) => {
                if let Some(warning) = table.warning {
                    self.warnings.push(format!("{name}: {warning}"));
                }
                return (
                    Content::Part("a GPT partition table".into()),
                    table.partitions,
                );
            }
            Ok(None) => {}
            Err(error) => self
                .warnings
                .push(format!("{name}: a GPT cannot be read: {error}")),
        }
        if let Some(member) = md::Member::read(name, source) {
            let what = member.what();
            parts.members.push(member);
            return plain(Content::Part(what));
        }
        match lvm::Physical::read(name, source) {
            Ok(None) => {}
            Ok(Some(physical)) => {
                let what = physical.what();
                parts.physical.push(physical);
                return plain(Content::Part(what));
            }
            Err(error) => {
                self.warnings.push(format!(
                    "{name}: an LVM physical volume cannot be read: {error}"
                ));
                return plain(Content::Part("a damaged LVM physical volume".into()));
            }
        }
        if let Some(content) = signature::of(source) {
            return plain(content);
        }
        let identified = |of| known::identify(source, of).map(Content::FileSystem);
        if let Some(content) = identified(0..WITH_BOOT_SECTOR) {
            return plain(content);
        }
        match mbr::read(source) {
            Ok(Some(table)) => {
                if let Some(warning) = table.warning {
                    self.warnings.push(format!("{name}: {warning}"));
                }
                return (
                    Content::Part("an MBR partition table".into()),
                    table.partitions,
                );
            }
            Ok(None) => {}
            Err(error) => self
                .warnings
                .push(format!("{name}: an MBR cannot be read: {error}")),
        }
        plain(identified(WITH_BOOT_SECTOR..COUNT).unwrap_or(Content::Unknown))
    }

    /// By disks, in their order, and then as people count.
    fn sort(&mut self) {
        let mut order: Vec<String> = Vec::new();
        let disk = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
        for volume in &self.volumes {
            let disk = disk(&volume.name);
            if !order.contains(&disk) {
                order.push(disk);
            }
        }
        let place = |name: &str| order.iter().position(|known| *known == disk(name));
        self.volumes.sort_by_cached_key(|volume| {
            let parts = volume.name.split(':').skip(1);
            let parts: Vec<_> = parts
                .map(|part| (part.parse::<u32>().unwrap_or(u32::MAX), part.to_owned()))
                .collect();
            (place(&volume.name), parts)
        });
    }
}

/// A partition table.
struct Table {
    partitions: Vec<(String, Shared)>,
    warning: Option<String>,
}
