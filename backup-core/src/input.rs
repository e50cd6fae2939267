//! Archives that are read at any offset: over NBD, and from copies of those that can only be read from front to back.

mod export;
mod seekable;

pub use export::ArchiveExport;
pub use fleece_archive_io::{Cancellable, Index, IndexPlace, Input};
pub use seekable::{CopyCost, CopyPlace, FoundCopy};
