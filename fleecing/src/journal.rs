//! What was made, recorded before it is made, and taken away again whatever happens.
//!
//! Restores and archives that no QEMU has a part in keep the same journal.

pub(crate) mod cleanup;
mod in_use;
pub(crate) mod lock;
pub(crate) mod made;
pub(crate) mod named;
pub(crate) mod record;
pub(crate) mod step;
