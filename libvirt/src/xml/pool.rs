//! What a storage pool's XML says.

use std::path::PathBuf;

use super::tree::{child, tree};
use crate::error::{Error, ErrorKind};

/// The directory of a storage pool, if it is one: a pool of the types `dir`, `fs` and `netfs`.
///
/// # Errors
/// [`ErrorKind::Xml`] for what is no pool.
pub fn pool_directory(text: &str) -> Result<Option<PathBuf>, Error> {
    let document = tree(text)?;
    let pool = document.root_element();
    if pool.tag_name().name() != "pool" {
        return Err(Error::new(ErrorKind::Xml, "the XML is not that of a pool"));
    }
    let is_directory = matches!(pool.attribute("type"), Some("dir" | "fs" | "netfs"));
    let path = child(pool, "target").and_then(|target| child(target, "path"));
    let path = path.and_then(|path| path.text()).map(str::trim);
    let path = path.filter(|path| is_directory && path.starts_with('/'));
    Ok(path.map(PathBuf::from))
}
