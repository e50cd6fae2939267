//! XML of libvirt's: what it says that a backup needs, and a domain made of one that nobody trusts.

pub mod backup;
pub mod pool;
pub mod read;
pub mod rewrite;
mod tree;
