//! From a path in the code to what it names.

use std::collections::BTreeSet;

use crate::files::module::Module;
use crate::files::tree::Tree;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Module(usize),
    /// An item, with the module that defines it and its name there.
    Item(usize, &'a str),
}

/// What was looked up on the way: names that are handed on in a ring lead nowhere.
type Seen<'a> = BTreeSet<(usize, &'a str, bool)>;

impl Tree {
    /// Where `path`, written in module `from`, leads; `None` if it is no path within this tree.
    pub(crate) fn resolve<'a>(&'a self, from: usize, path: &'a [String]) -> Option<Found<'a>> {
        self.walk(from, path, &mut Seen::new())
    }

    /// The name that `path` takes from the root, if the root only hands it on.
    pub(crate) fn through_root<'a>(&self, from: usize, path: &'a [String]) -> Option<&'a str> {
        let root = self.modules.first()?;
        let mut at = from;
        for (index, segment) in path.iter().enumerate() {
            match segment.as_str() {
                "crate" => at = 0,
                "self" => {}
                "super" => at = self.modules.get(at)?.parent?,
                name => {
                    let is_at_root =
                        index > 0 && at == 0 && self.modules.get(from)?.file != root.file;
                    let is_own = root.items.contains_key(name) || root.children.contains_key(name);
                    let is_handed_on = |it: &str| it == name;
                    let mut imports = root.imports.iter().filter_map(|it| it.name.as_deref());
                    return (is_at_root && !is_own && imports.any(is_handed_on)).then_some(name);
                }
            }
        }
        None
    }

    /// Whether module `outer` is `inner` or around it.
    pub(crate) fn is_within(&self, inner: usize, outer: usize) -> bool {
        let mut at = Some(inner);
        while let Some(module) = at {
            if module == outer {
                return true;
            }
            at = self.modules.get(module).and_then(|module| module.parent);
        }
        false
    }

    fn walk<'a>(
        &'a self,
        from: usize,
        path: &'a [String],
        seen: &mut Seen<'a>,
    ) -> Option<Found<'a>> {
        let mut at = Found::Module(from);
        for (index, segment) in path.iter().enumerate() {
            let Found::Module(module) = at else {
                // The rest are variants and associated items.
                return Some(at);
            };
            at = match segment.as_str() {
                "crate" => Found::Module(0),
                "self" => at,
                "super" => Found::Module(self.modules.get(module)?.parent?),
                name => {
                    let is_last = path.len() == index.saturating_add(1);
                    self.look_up(module, name, is_last, seen)?
                }
            };
        }
        Some(at)
    }

    /// A module and an item may share a name; the last segment of a path is rather the item.
    fn look_up<'a>(
        &'a self,
        module: usize,
        name: &'a str,
        is_last: bool,
        seen: &mut Seen<'a>,
    ) -> Option<Found<'a>> {
        if !seen.insert((module, name, is_last)) {
            return None;
        }
        let here = self.modules.get(module)?;
        let item = here
            .items
            .get_key_value(name)
            .map(|(name, _)| Found::Item(module, name));
        let child = here.children.get(name).copied().map(Found::Module);
        let import = || self.imported(module, here, name, seen);
        if is_last {
            item.or_else(import).or(child)
        } else {
            child.or_else(import).or(item)
        }
    }

    fn imported<'a>(
        &'a self,
        module: usize,
        here: &'a Module,
        name: &'a str,
        seen: &mut Seen<'a>,
    ) -> Option<Found<'a>> {
        here.imports.iter().find_map(|import| match &import.name {
            Some(known) if known == name => self.walk(module, &import.path, seen),
            Some(_) => None,
            None => match self.walk(module, &import.path, seen)? {
                Found::Module(other) => self.look_up(other, name, true, seen),
                Found::Item(..) => None,
            },
        })
    }
}
