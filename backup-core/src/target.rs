//! Where an archive goes: files that appear when they are complete, standard output, a command.

pub(crate) mod base;
pub(crate) mod cache;
pub(crate) mod compression;
pub(crate) mod deadline;
pub(crate) mod encrypted;
pub(crate) mod new;
pub(crate) mod object;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod place;
pub(crate) mod share;
pub(crate) mod shared;
pub(crate) mod signed;
pub(crate) mod staged;
pub(crate) mod stream;
pub(crate) mod throttled;
pub(crate) mod trust;
pub(crate) mod writeback;
