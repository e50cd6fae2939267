//! What the programs `vma` and `fleece` share.

pub mod exit;
pub mod signals;
