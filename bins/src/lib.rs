//! What the programs `vma` and `fleece` share.

pub mod advice;
pub mod events;
pub mod exit;
pub mod keys;
pub mod signals;
#[cfg(unix)]
pub mod stores;
