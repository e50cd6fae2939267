//! What was made, recorded before it is made, and taken away again whatever happens.
//!
//! Restores and archives that no QEMU has a part in keep the same journal, so nothing here uses `qemu`.

pub(crate) mod cleanup;
pub(crate) mod generation;
pub(crate) mod image;
mod in_use;
pub(crate) mod lock;
pub(crate) mod ownership;
pub(crate) mod record;
pub(crate) mod references;
pub(crate) mod step;
