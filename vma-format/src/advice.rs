//! What can be done about an error, as data: a program puts it in words of its own.

/// The next step, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Read the archive through a pipe from this command, in which FILE stands for it.
    Pipe {
        /// What the command does, such as "decompress".
        what: &'static str,
        /// The command.
        command: &'static str,
    },
    /// Put this disk image into an archive.
    Archive,
    /// Convert this disk image to a raw or qcow2 one, and put that into an archive.
    ConvertAndArchive,
    /// Write the archive again as one that can be read at any offset.
    MakeSeekable,
    /// Make a new index of the archive.
    MakeIndex,
    /// Give a secret key that opens the archive.
    GiveKey,
}
