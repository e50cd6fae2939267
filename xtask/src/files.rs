//! The rule that files of a crate do not need each other in a circle, and that inside a crate a name is imported
//! from the module that defines it.
//!
//! A file needs another if its code, or one of its `use`s, names what the other *defines*, on whatever way the name
//! comes. A re-export alone is no need, nor is `mod`. Tests are left out.
//!
//! `name.rs` and the files in `name/` are one thing in several files, whose details only the outer one calls. So an
//! inner file may name types, traits and constants that the outer one defines: they are what both work on. But it
//! must not call functions of the outer one, for then a reader goes in and out: what both call is a file below both.

mod circles;
pub(crate) mod module;
mod resolve;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use circles::Arrows;
use module::{Import, Kind};
use resolve::Found;
use tree::{Read, Tree};

use crate::run::workspace;

/// What is wrong in the library or program whose root is this file.
pub(crate) fn breaches(root: &Path) -> Result<Vec<String>, String> {
    breaches_in(root, &from_disk)
}

/// The long options of the command line whose program's root is this file.
pub(crate) fn options(root: &Path) -> Result<Vec<String>, String> {
    let tree = Tree::read(root, &from_disk)?;
    let modules = tree.modules.into_iter();
    Ok(modules.flat_map(|module| module.options).collect())
}

/// Where a library whose root is this file names one of these options in a text: it knows no command line, and tells
/// what can be done as data.
pub(crate) fn names_of_options(
    root: &Path,
    options: &BTreeSet<String>,
) -> Result<Vec<String>, String> {
    let tree = Tree::read(root, &from_disk)?;
    let mut breaches = Vec::new();
    for module in &tree.modules {
        let named = module.texts.iter();
        for option in named.filter_map(|text| named_option(text, options)) {
            let file = module.file.display();
            breaches.push(format!("{file} names --{option} in a text"));
        }
    }
    Ok(breaches)
}

/// An option that stands in a sentence: what begins with one is an argument of another program.
fn named_option<'a>(text: &'a str, options: &BTreeSet<String>) -> Option<&'a str> {
    let mut words = text.split([' ', '\n', '`', '(']).skip(1);
    words.find_map(|word| {
        let ends = |c: char| !(c.is_ascii_lowercase() || c == '-');
        let option = word.strip_prefix("--")?.split(ends).next()?;
        options.contains(option).then_some(option)
    })
}

fn from_disk(file: &Path) -> Option<String> {
    fs::read_to_string(workspace().join(file)).ok()
}

fn breaches_in(root: &Path, read: Read<'_>) -> Result<Vec<String>, String> {
    let tree = Tree::read(root, read)?;
    let arrows = arrows(&tree);
    let circles = arrows.circles();
    let circles = circles
        .iter()
        .map(|circle| format!("files in a circle:{}", arrows.describe(circle)));
    Ok(circles.chain(through_root(&tree)).collect())
}

fn arrows(tree: &Tree) -> Arrows {
    let mut arrows = Arrows::default();
    for (index, module) in tree.modules.iter().enumerate() {
        let uses = module.imports.iter().filter(|import| !import.is_export);
        let paths = uses.map(|import| &import.path).chain(&module.mentions);
        for path in paths {
            let Some(Found::Item(definer, name)) = tree.resolve(index, path) else {
                continue;
            };
            let Some(outer) = tree.modules.get(definer) else {
                continue;
            };
            let is_function = outer.items.get(name) == Some(&Kind::Function);
            if is_function || !tree.is_within(index, definer) {
                arrows.add(&module.file, &outer.file, name);
            }
        }
    }
    arrows
}

fn through_root(tree: &Tree) -> BTreeSet<String> {
    let mut breaches = BTreeSet::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let imports = module.imports.iter().map(|Import { path, .. }| path);
        for path in imports.chain(&module.mentions) {
            if let Some(name) = tree.through_root(index, path) {
                let file = module.file.display();
                breaches.insert(format!(
                    "{file} takes {name} from the crate's root, which only hands it on"
                ));
            }
        }
    }
    breaches
}
