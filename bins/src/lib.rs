//! What the programs `vma` and `fleece` share.

pub mod advice;
pub mod events;
pub mod exit;
pub mod signals;
pub mod stores;
