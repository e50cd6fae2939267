//! The stores of this host, by name.
//!
//! Like a table of mounted file systems: set up once, when a program starts, so that an address means the same wherever
//! it is used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::Address;
use crate::config::StoreConfig;
use crate::error::{Error, ErrorKind};
use crate::store::Store;

/// What is configured, and what of it is in use.
struct Known {
    config: StoreConfig,
    store: Option<Arc<Store>>,
}

static STORES: Mutex<BTreeMap<String, Known>> = Mutex::new(BTreeMap::new());

/// From now on, this is the store of that name. What is in use already stays in use.
pub fn configure(name: impl Into<String>, config: StoreConfig) {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let known = Known {
        config,
        store: None,
    };
    stores.insert(name.into(), known);
}

/// The store of a name. Nothing is asked of it yet.
///
/// # Errors
/// Kind [`ErrorKind::Config`] if there is none, or its configuration cannot be used.
pub fn open(name: &str) -> Result<Arc<Store>, Error> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = stores.keys().cloned().collect::<Vec<_>>().join(", ");
    let Some(known) = stores.get_mut(name) else {
        let message = match names.is_empty() {
            true => format!("there is no store {name:?}; none is configured"),
            false => format!("there is no store {name:?}; the stores are {names}"),
        };
        return Err(Error::new(ErrorKind::Config, message));
    };
    if let Some(store) = &known.store {
        return Ok(Arc::clone(store));
    }
    let store = Arc::new(Store::new(&known.config)?);
    known.store = Some(Arc::clone(&store));
    Ok(store)
}

/// The store of an address.
///
/// # Errors
/// As [`open`].
pub fn open_address(address: &Address) -> Result<Arc<Store>, Error> {
    open(address.store())
}
