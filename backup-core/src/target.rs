//! Where an archive goes: files that appear when they are complete, or standard output.

pub(crate) mod deadline;
pub(crate) mod output;
pub(crate) mod staged;
