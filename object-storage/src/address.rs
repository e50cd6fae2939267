//! What people write for a place in object storage.

use std::fmt;
use std::path::{Path, PathBuf};

/// What an address begins with.
pub const SCHEME: &str = "s3:";

/// A place in a store, `s3:STORE[/KEY]`: a prefix, or an object.
///
/// Such an address travels where paths do, as a path: joining a name, and taking the parent, do what one expects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    store: String,
    key: String,
}

impl Address {
    /// The address that a path is; `None` if it is a path of files. A file of such a name is `./s3:…`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let rest = path.to_str()?.strip_prefix(SCHEME)?;
        let (store, key) = rest.split_once('/').unwrap_or((rest, ""));
        let parts = key
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        Some(Self {
            store: store.to_owned(),
            key: parts.collect::<Vec<_>>().join("/"),
        })
    }

    /// The store's name.
    #[must_use]
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The object's key, or the prefix, without slashes around it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The last part of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The same as a path.
    #[must_use]
    pub fn to_path(&self) -> PathBuf {
        self.to_string().into()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.store)?;
        match self.key.is_empty() {
            true => Ok(()),
            false => write!(f, "/{}", self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_store_and_a_key_and_travels_as_a_path() {
        let of = |text: &str| Address::of(Path::new(text));
        for path in ["/s3:a", "./s3:a", "a", "s3", "S3:a"] {
            assert_eq!(of(path), None);
        }
        let bare = of("s3:off").unwrap();
        assert_eq!((bare.store(), bare.key(), bare.name()), ("off", "", ""));
        let long = of("s3:off//a/./b/").unwrap();
        assert_eq!((long.key(), long.name()), ("a/b", "b"));
        assert_eq!(long.to_string(), "s3:off/a/b");
        let joined = bare.to_path().join("x.vma");
        assert_eq!(of(joined.to_str().unwrap()).unwrap().key(), "x.vma");
        assert_eq!(joined.parent(), Some(Path::new("s3:off")));
    }
}
