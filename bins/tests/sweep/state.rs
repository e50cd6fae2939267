//! What there is in a place, as far as it matters.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::process::{Command, Stdio};

use fleece_backup_core::dump::Stats;

/// Each name with what is under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    pub(crate) fn of(place: &Path) -> Self {
        let mut state = Self::default();
        state.add(place, "");
        state
    }

    fn add(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            // Whose a number is stays known for as long as there is a state directory.
            if name.ends_with(".claim") || is_record(&entry.path()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                self.add(&entry.path(), &format!("{name}/"));
                self.0.insert(name, "folder".to_owned());
            } else {
                let value = contents(&entry.path());
                self.0.insert(name, value);
            }
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }

    /// All but this name.
    pub(crate) fn without(&self, name: &str) -> Self {
        let mut state = self.clone();
        state.0.remove(name);
        state
    }

    /// Whether all of it is in another.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.0
            .iter()
            .all(|(name, value)| other.get(name) == Some(value))
    }

    /// What has a name that belongs to the old or the new state, and the names of all else.
    pub(crate) fn split(&self, old: &Self, new: &Self) -> (Self, Vec<String>) {
        let known = |name: &String| old.0.contains_key(name) || new.0.contains_key(name);
        let (rest, left): (BTreeMap<_, _>, _) = self
            .0
            .clone()
            .into_iter()
            .partition(|(name, _)| known(name));
        (Self(rest), left.into_keys().collect())
    }

    pub(crate) fn differences(&self, other: &Self) -> String {
        let names = self.0.keys().chain(other.0.keys());
        let mut names: Vec<_> = names
            .filter(|name| self.get(name) != other.get(name))
            .map(|name| format!("{name}: {:?} for {:?}", self.get(name), other.get(name)))
            .collect();
        names.sort();
        names.dedup();
        names.join(", ")
    }
}

/// Whether it is a whole log or record of a run, which one that fails leaves, too, or a directory of those that the target did
/// not take. What is not whole counts as left over.
fn is_record(path: &Path) -> bool {
    if path.is_dir()
        && path
            .components()
            .any(|part| part.as_os_str() == "unwritten")
    {
        let mut kept = fs::read_dir(path).unwrap().peekable();
        return kept.peek().is_some() && kept.all(|entry| is_record(&entry.unwrap().path()));
    }
    let (name, text) = (path.to_str().unwrap(), fs::read_to_string(path));
    let text = text.unwrap_or_default();
    if name.ends_with(".stats.json") {
        return Stats::parse(text.as_bytes()).is_some();
    }
    name.ends_with(".log") && text.contains(" INFO: Starting Backup") && text.ends_with('\n')
}

/// What a file holds, whatever its time and its uuid are.
fn contents(path: &Path) -> String {
    let data = fs::read(path).unwrap_or_default();
    let text = path.to_str().unwrap();
    if text.ends_with(".vma") || text.ends_with(".vma.zst") {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_vma"));
        verify.args(["verify", text]).stdin(Stdio::null());
        return match verify.output().unwrap().status.success() {
            true => "a whole archive".to_owned(),
            false => format!("a damaged archive of {} bytes", data.len()),
        };
    }
    if text.ends_with(".idx") {
        return match data.starts_with(b"VIX") && data.len() > 100 {
            true => "an index".to_owned(),
            false => "half an index".to_owned(),
        };
    }
    if text.ends_with(".verified") {
        let text = String::from_utf8_lossy(&data);
        return text.split(' ').next().unwrap_or_default().to_owned();
    }
    let mut hasher = DefaultHasher::new();
    // A machine that is restored anew gets another uuid.
    let lines = data.split(|&byte| byte == b'\n');
    for line in lines.filter(|line| !line.windows(4).any(|word| word == b"uuid")) {
        line.hash(&mut hasher);
    }
    format!("{} bytes, {:x}", data.len(), hasher.finish())
}
