//! Files whose zeroes take no room.
//!
//! One call, [`make_sparse`]. It returns at once, has no threads, and keeps nothing.

use std::fs::File;
use std::io;

#[cfg(windows)]
mod windows;

/// Makes an empty file, opened for writing, one in which what is never written takes no room. `false`: its file system has
/// no such files (FAT, exFAT), and it stays as it is.
///
/// # Errors
/// Whatever the system says.
#[cfg(windows)]
pub fn make_sparse(file: &File) -> io::Result<bool> {
    windows::make_sparse(file)
}

/// Makes an empty file, opened for writing, one in which what is never written takes no room. Elsewhere than on Windows,
/// nothing need be done for that.
///
/// # Errors
/// None.
#[cfg(not(windows))]
pub fn make_sparse(_file: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_written_reads_as_zeroes() {
        let mut file = tempfile::tempfile().unwrap();
        make_sparse(&file).unwrap();
        file.set_len(1 << 20).unwrap();
        let mut all = Vec::new();
        io::Read::read_to_end(&mut file, &mut all).unwrap();
        assert!(all.len() == 1 << 20 && all.iter().all(|byte| *byte == 0));
    }
}
