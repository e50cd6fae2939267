//! Paths within a volume.

use fleece_plain_text::words_of;

use crate::error::{Error, ErrorKind, Result};
use crate::tree::{FileTree, Kind, NodeId};

/// How many symbolic links a path may go through, as in Linux.
const MAX_LINKS: usize = 40;

/// How many components a path may have, with those of all links: more than in `PATH_MAX` bytes.
const MAX_COMPONENTS: usize = 4096;

/// What becomes of a path whose last component is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Follow {
    /// It is what the link names.
    Links,
    /// It is the link.
    ToLink,
}

/// The node that a path names, from the root of the volume. Links in it are followed within the volume, absolute ones
/// from its root; `..` at the root is the root.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::WrongKind`] if something that is no directory is used as one, and those of
/// reading directories.
pub fn resolve(tree: &dyn FileTree, path: &[u8], follow: Follow) -> Result<NodeId> {
    let mut trail = vec![tree.root()];
    let mut rest: Vec<Vec<u8>> = components(path);
    let (mut links, mut steps) = (0_usize, 0_usize);
    while let Some(component) = rest.pop() {
        steps = steps.saturating_add(1);
        if steps > MAX_COMPONENTS {
            return Err(Error::limit("a path has too many parts"));
        }
        match component.as_slice() {
            b"." => continue,
            b".." => {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            _ => {}
        }
        let here = trail.last().copied().unwrap_or_else(|| tree.root());
        let missing = || {
            let what = format!("there is no {:?} in the volume", words_of(path));
            Error::new(ErrorKind::NotFound, what)
        };
        let node = tree.find(here, &component)?.ok_or_else(missing)?;
        let kind = tree.stat(node)?.kind;
        if kind == Kind::Link && (follow == Follow::Links || !rest.is_empty()) {
            links = links.saturating_add(1);
            if links > MAX_LINKS {
                return Err(Error::limit("a path goes through too many symbolic links"));
            }
            let target = tree.link(node)?;
            if target.starts_with(b"/") {
                trail.truncate(1);
            }
            rest.extend(components(&target));
            continue;
        }
        trail.push(node);
    }
    Ok(trail.last().copied().unwrap_or_else(|| tree.root()))
}

/// The parts of a path, the first at the end.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty());
    let mut parts: Vec<Vec<u8>> = parts.map(<[u8]>::to_vec).collect();
    parts.reverse();
    parts
}
