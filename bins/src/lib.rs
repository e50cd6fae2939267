//! What the programs `vma` and `fleece` share.

pub mod advice;
pub mod exit;
pub mod signals;
