//! Where an archive goes: files that appear when they are complete, or standard output.

pub(crate) mod compression;
pub(crate) mod deadline;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod place;
pub(crate) mod staged;
