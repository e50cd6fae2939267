//! Which keys there are.

use crate::setting::Section;

/// The keys that a program knows.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    all: Vec<&'a str>,
    commands: Vec<(&'a str, Vec<&'a str>)>,
    guests: Vec<&'a str>,
    jobs: Vec<&'a str>,
    stores: Vec<&'a str>,
}

impl<'a> Known<'a> {
    /// Those of every command.
    #[must_use]
    pub fn new(all: &[&'a str]) -> Self {
        Self {
            all: all.to_vec(),
            commands: Vec::new(),
            guests: Vec::new(),
            jobs: Vec::new(),
            stores: Vec::new(),
        }
    }

    /// And those of a command.
    #[must_use]
    pub fn with_command(mut self, name: &'a str, keys: &[&'a str]) -> Self {
        self.commands.push((name, keys.to_vec()));
        self
    }

    /// And those of guests.
    #[must_use]
    pub fn with_guests(mut self, keys: &[&'a str]) -> Self {
        self.guests = keys.to_vec();
        self
    }

    /// And those of jobs.
    #[must_use]
    pub fn with_jobs(mut self, keys: &[&'a str]) -> Self {
        self.jobs = keys.to_vec();
        self
    }

    /// And those of stores.
    #[must_use]
    pub fn with_stores(mut self, keys: &[&'a str]) -> Self {
        self.stores = keys.to_vec();
        self
    }

    /// What is wrong with a key in a section.
    pub(crate) fn fault(&self, section: &Section, key: &str) -> Option<String> {
        let keys = match section {
            Section::All => &self.all,
            Section::Guest(_) => &self.guests,
            Section::Job(_) => &self.jobs,
            Section::Store(_) => &self.stores,
            Section::Command(name) => match self.commands.iter().find(|(known, _)| known == name) {
                Some((_, keys)) => keys,
                None => {
                    let names = self.commands.iter().map(|(name, _)| *name);
                    return Some(unknown(
                        "section",
                        name,
                        names.chain(["guest", "job", "store"]),
                    ));
                }
            },
        };
        let is_known = keys.contains(&key);
        (!is_known).then(|| unknown("key", key, keys.iter().copied()))
    }
}

fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("there is no {what} {name:?}; is {near:?} meant?"),
        None => format!("there is no {what} {name:?}"),
    }
}

/// The longest name that is compared, in bytes: comparing takes the product of the lengths.
const MAX_COMPARED: usize = 64;

/// The known name that is most like this one, if one is.
fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let scored = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.7).then_some(best.1)
}
