//! The exports of a server, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::export::Export;
use crate::error::{Error, ErrorKind};
use crate::protocol::MAX_STRING;

/// The exports of a server, by name.
#[derive(Default)]
pub(crate) struct Exports {
    by_name: RwLock<BTreeMap<String, Arc<dyn Export>>>,
}

impl Exports {
    pub(crate) fn add(&self, name: &str, export: Arc<dyn Export>) -> Result<(), Error> {
        let refuse = |why: &str| {
            Err(Error::new(
                ErrorKind::InvalidRequest,
                format!("cannot export {name:?}: {why}"),
            ))
        };
        if name.len() > MAX_STRING || name.contains('\0') {
            return refuse("the protocol allows names of up to 4096 bytes and no NUL");
        }
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if by_name.contains_key(name) {
            return refuse("there is an export of that name");
        }
        by_name.insert(name.to_owned(), export);
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<dyn Export>> {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name)
    }

    /// The export that a client means by `name`, with its real name. The empty name is the
    /// default export (proto.md, `NBD_OPT_EXPORT_NAME`): one of that name, or the only one.
    pub(crate) fn find(&self, name: &str) -> Option<(String, Arc<dyn Export>)> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let found = by_name.get_key_value(name).or_else(|| {
            let only = name.is_empty() && by_name.len() == 1;
            by_name.first_key_value().filter(|_| only)
        });
        found.map(|(name, export)| (name.clone(), Arc::clone(export)))
    }

    /// Whether this very export is still served under this name.
    pub(crate) fn contains(&self, name: &str, export: &Arc<dyn Export>) -> bool {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name
            .get(name)
            .is_some_and(|found| Arc::ptr_eq(found, export))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
