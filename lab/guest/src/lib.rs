//! What the lab's guest writes, shared by the writer inside and the checker outside.
//!
//! The crate has no dependencies, so that the writer is built in seconds and as one static file.

pub mod aligned;
pub mod block;
