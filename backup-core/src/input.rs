//! Archives that are read at any offset: as they are, and from copies of those that can only be read from front to back.

mod seekable;

pub use fleece_archive_io::{ArchiveExport, Cancellable, Index, IndexPlace, Input};
pub use seekable::{CopyCost, CopyPlace, FoundCopy};
