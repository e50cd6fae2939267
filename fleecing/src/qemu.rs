//! What we do inside QEMU: each step of a session, and how it is undone. The journal is below this.

pub mod bitmaps;
pub(crate) mod descriptors;
pub(crate) mod discards;
pub(crate) mod export;
pub(crate) mod histogram;
pub(crate) mod image;
pub(crate) mod interference;
pub(crate) mod lock;
pub(crate) mod method;
pub(crate) mod names;
pub(crate) mod ours;
pub(crate) mod power;
pub(crate) mod probe;
pub(crate) mod server;
pub(crate) mod switch;
pub(crate) mod teardown;
pub(crate) mod thaw;
pub(crate) mod wait;
