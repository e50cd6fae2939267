//! The command lines of Fleece's programs, as a library so that completions and man pages can be
//! made from them.

pub mod vma;
