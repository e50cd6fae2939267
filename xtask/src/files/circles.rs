//! Files that need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which file needs which, and for what names.
#[derive(Debug, Default)]
pub(crate) struct Arrows(BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>);

impl Arrows {
    pub(crate) fn add(&mut self, from: &Path, to: &Path, name: &str) {
        if from != to {
            let arrows = self.0.entry(from.to_owned()).or_default();
            let names = arrows.entry(to.to_owned()).or_default();
            names.insert(name.to_owned());
        }
    }

    /// The circles, each with all its files.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<&Path>> {
        let within: BTreeMap<&Path, BTreeSet<&Path>> = self
            .0
            .keys()
            .map(|file| (file.as_path(), self.reachable(file)))
            .collect();
        let reaches = |from: &Path, to| within.get(from).is_some_and(|it| it.contains(to));
        let circles: BTreeSet<BTreeSet<&Path>> = within
            .iter()
            .filter(|(file, reachable)| reachable.contains(*file))
            .map(|(file, reachable)| {
                let back = reachable.iter().copied();
                back.filter(|other| reaches(other, file)).collect()
            })
            .collect();
        circles.into_iter().collect()
    }

    /// A circle's arrows, one a line, with their names.
    pub(crate) fn describe(&self, circle: &BTreeSet<&Path>) -> String {
        let mut lines = String::new();
        for (from, arrows) in self
            .0
            .iter()
            .filter(|(from, _)| circle.contains(from.as_path()))
        {
            for (to, names) in arrows
                .iter()
                .filter(|(to, _)| circle.contains(to.as_path()))
            {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (from, to) = (from.display(), to.display());
                lines.push_str(&format!("\n  {from} → {to}: {}", names.join(", ")));
            }
        }
        lines
    }

    fn reachable(&self, from: &Path) -> BTreeSet<&Path> {
        let mut seen = BTreeSet::new();
        let needs = |file: &Path| self.0.get(file).into_iter().flat_map(BTreeMap::keys);
        let mut left: Vec<&Path> = needs(from).map(PathBuf::as_path).collect();
        while let Some(file) = left.pop() {
            if seen.insert(file) {
                left.extend(needs(file).map(PathBuf::as_path));
            }
        }
        seen
    }
}
