//! Blocks that files share, where XFS and btrfs clone; `copy_file_range` does it where it can, and copies else.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use fleece_vma_format::TakeOver;
use rustix::fs::{copy_file_range, ioctl_ficlone};

use crate::target::base::BaseArchive;

/// The unit of sharing, in bytes.
const BLOCK: usize = 4096;

/// How much of a base is compared at a time, in bytes.
const COMPARED: usize = 1 << 20;

/// Whether files of a directory can share blocks with `from`: whether any can is tried on two that nobody sees.
pub(crate) fn can_share(directory: &Path, from: &File) -> bool {
    let try_it = || -> io::Result<bool> {
        if directory.metadata()?.dev() != from.metadata()?.dev() {
            return Ok(false);
        }
        let mut one = tempfile::tempfile_in(directory)?;
        one.write_all(&[1; BLOCK])?;
        let other = tempfile::tempfile_in(directory)?;
        Ok(ioctl_ficlone(&other, &one).is_ok())
    };
    try_it().unwrap_or(false)
}

/// Copies `length` bytes of `from` to `position` of `to`, without copying where blocks can be shared. Says how many
/// it was; less only if an error was met.
///
/// # Errors
/// The first, if nothing was copied.
pub(crate) fn share(
    (from, mut offset): (&File, u64),
    (to, mut position): (&File, u64),
    length: u64,
) -> io::Result<u64> {
    let mut done = 0_u64;
    while done < length {
        let left = usize::try_from(length.saturating_sub(done)).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut offset), to, Some(&mut position), left) {
            Ok(0) => break,
            Ok(count) => done = done.saturating_add(count as u64),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) if done == 0 => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// An output at whose end bytes of another file can be put.
pub(crate) trait Shares: Write {
    /// Puts up to `length` bytes of `from` there; says how many.
    fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64>;
}

/// Takes over of a base what is there indeed: it is compared with what is to be archived.
pub(crate) struct Sharing {
    base: BaseArchive,
    /// Whether the file system shares blocks. Where it does not, what is in memory is written, and what is not, copied.
    can: bool,
    buffer: Vec<u8>,
}

impl Sharing {
    pub(crate) fn new(base: BaseArchive, can: bool) -> Self {
        Self {
            base,
            can,
            buffer: Vec::new(),
        }
    }

    /// How many of these bytes, in whole blocks, the base has at `place`.
    fn equal(&mut self, place: u64, bytes: &[u8]) -> usize {
        self.buffer.resize(bytes.len(), 0);
        let there = match self.base.file().read_exact_at(&mut self.buffer, place) {
            Ok(()) => self.buffer.as_slice(),
            Err(_) => &[],
        };
        if there == bytes {
            return bytes.len();
        }
        let blocks = there.chunks(BLOCK).zip(bytes.chunks(BLOCK));
        let same = blocks.take_while(|(one, other)| one == other);
        same.map(|(block, _)| block.len()).sum()
    }
}

impl Sharing {
    /// Has the system put bytes of the base there that nobody needs to read: as blocks that both share, or else as a
    /// copy, which a server of NFS 4.2 makes by itself. Says how many it was; what it could not is left to
    /// [`Sharing::copy`], and an error worth telling is met there, too.
    fn put<W: Shares>(&self, out: &mut W, place: u64, length: u64) -> u64 {
        let count = out.share(self.base.file(), place, length).unwrap_or(0);
        if self.can {
            self.base.note_shared(count);
        }
        count
    }

    /// Copies what the system could not, and looks at it, since it is read anyway.
    fn copy(&mut self, out: &mut dyn Write, mut place: u64, length: u64) -> io::Result<()> {
        let end = place.saturating_add(length);
        while place < end {
            let piece = usize::try_from(end.saturating_sub(place)).unwrap_or(COMPARED);
            self.buffer.resize(piece.min(COMPARED), 0);
            let read = self.base.base().read_at(place, &mut self.buffer);
            read.map_err(|error| {
                let path = self.base.path().display();
                io::Error::other(format!("{path} cannot be taken over: {error}"))
            })?;
            out.write_all(&self.buffer)?;
            place = place.saturating_add(self.buffer.len() as u64);
        }
        Ok(())
    }
}

impl<W: Shares> TakeOver<W> for Sharing {
    fn take_over(&mut self, out: &mut W, place: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.can {
            return out.write_all(bytes);
        }
        let mut place = place;
        for piece in bytes.chunks(COMPARED) {
            let equal = self.equal(place, piece);
            if equal < piece.len() {
                self.base
                    .note_damaged(piece.len().saturating_sub(equal) as u64);
            }
            let shared = match equal {
                0 => 0,
                // What cannot be shared can perhaps be written; if not, that says why.
                _ => out
                    .share(self.base.file(), place, equal as u64)
                    .unwrap_or(0),
            };
            self.base.note_shared(shared);
            let rest = usize::try_from(shared)
                .ok()
                .and_then(|shared| piece.get(shared..));
            out.write_all(rest.unwrap_or_default())?;
            place = place.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    fn take_unread(&mut self, out: &mut W, place: u64, length: u64) -> io::Result<()> {
        let count = self.put(out, place, length);
        let rest = place.saturating_add(count);
        self.copy(out, rest, length.saturating_sub(count))
    }

    fn take_frame(&mut self, out: &mut W, place: u64, length: u64) -> io::Result<()> {
        const BLOCKS: u64 = BLOCK as u64;
        // What is left of the last block is no block of both files.
        let whole = length.saturating_sub(length % BLOCKS);
        let count = self.put(out, place, whole);
        // A frame has a checksum of its own, which its reader sees to.
        let rest = usize::try_from(length.saturating_sub(count)).unwrap_or(usize::MAX);
        self.buffer.resize(rest, 0);
        let from = place.saturating_add(count);
        self.base.file().read_exact_at(&mut self.buffer, from)?;
        out.write_all(&self.buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_shares_nothing_is_found_out() {
        // A tmpfs clones nothing, and nothing is shared across file systems.
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let from = tempfile::tempfile_in(&memory).unwrap();
        assert!(!can_share(memory.path(), &from));
        let elsewhere = tempfile::tempdir().unwrap();
        let other = File::open("/proc/self/status").unwrap();
        assert!(!can_share(elsewhere.path(), &other));
    }

    /// An output on which sharing ends with an error after so many bytes.
    struct Refusing(File, u64, Option<(u64, rustix::io::Errno)>);

    impl Write for Refusing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.write_at(bytes, self.1)?;
            self.1 += count as u64;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shares for Refusing {
        fn share(&mut self, from: &File, offset: u64, length: u64) -> io::Result<u64> {
            let (most, error) = self.2.unwrap_or((length, rustix::io::Errno::INVAL));
            let count = share((from, offset), (&self.0, self.1), length.min(most))?;
            self.1 += count;
            match count {
                0 => Err(error.into()),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn what_the_system_cannot_put_there_is_copied_and_checked() {
        use rustix::io::Errno;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("base.vma");
        let (place, payload) = archive_of_noise(&path);
        let length = payload.len() as u64;
        let take = |can, most, error| {
            let base = BaseArchive::open(&path).unwrap();
            let mut sharing = Sharing::new(base.clone(), can);
            let mut out = Refusing(tempfile::tempfile().unwrap(), 0, Some((most, error)));
            sharing.take_unread(&mut out, place, length)?;
            let mut there = vec![0; payload.len()];
            out.0.read_exact_at(&mut there, 0)?;
            // Only what takes no space is told to be shared.
            let shared = if can { most.min(length) } else { 0 };
            assert_eq!((base.shared(), out.1), (shared, length));
            Ok::<_, io::Error>(there)
        };
        for most in [0, 4096, 70_000, u64::MAX] {
            for error in [
                Errno::INVAL,
                Errno::XDEV,
                Errno::NOSPC,
                Errno::OPNOTSUPP,
                Errno::NOSYS,
                Errno::IO,
            ] {
                for can in [true, false] {
                    assert!(take(can, most, error).unwrap() == payload, "{most} {error}");
                }
            }
        }
        // Of what is damaged, what the system puts there is not looked at, and what is read is.
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[!payload[100_000]], place + 100_000)
            .unwrap();
        assert!(take(false, u64::MAX, Errno::INVAL).unwrap() != payload);
        let error = take(false, 70_000, Errno::INVAL).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }

    /// Makes an aligned archive with its index; says where its payload is, and what.
    fn archive_of_noise(path: &Path) -> (u64, Vec<u8>) {
        use fleece_vma_format::index::{ExtentDigest, IndexBuilder, beside};
        let data: Vec<u8> = (0..3 * 65536_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 1)
            .collect();
        let mut builder = fleece_vma_format::HeaderBuilder::new([7; 16], 0).aligned();
        let disk = builder.add_device("disk", data.len() as u64).unwrap();
        let header = builder.build().unwrap();
        let mut writer = fleece_vma_format::ArchiveWriter::new(Vec::new(), &header).unwrap();
        for (cluster, number) in data.chunks(65536).zip(0..) {
            writer.write_cluster(disk, number, cluster).unwrap();
        }
        let (bytes, _) = writer.finish().unwrap();
        std::fs::write(path, &bytes).unwrap();
        let mut reader = fleece_vma_format::Reader::new(&bytes[..]).unwrap();
        let (mut index, mut pieces) = IndexBuilder::new(reader.header());
        while let Some(extent) = reader.next_extent().unwrap() {
            let piece = index.extent(&ExtentDigest::of(&extent)).unwrap();
            pieces.extend(piece.unwrap_or_default());
        }
        pieces.extend(index.finish());
        std::fs::write(beside(path), pieces).unwrap();
        ((bytes.len() - data.len()) as u64, data)
    }

    #[test]
    fn bytes_are_copied_where_they_cannot_be_shared() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&[7; 10_000], 0).unwrap();
        assert_eq!(share((&from, 1000), (&to, 5000), 9000).unwrap(), 9000);
        let mut there = [0; 9000];
        to.read_exact_at(&mut there, 5000).unwrap();
        assert_eq!(there, [7; 9000]);
        // The end of the file is no error, and nothing is made up behind it.
        assert_eq!(share((&from, 9000), (&to, 0), 9000).unwrap(), 1000);
    }
}
