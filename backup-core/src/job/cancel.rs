//! The token that every blocking step of a job listens to.

pub use fleece_cancel::{CancelReason, CancelToken};
