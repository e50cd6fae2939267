//! What archives take of their storage, where files share blocks.

use std::fs::File;
use std::io;
use std::path::Path;

use fiemap::{Fiemap, FiemapExtent, FiemapExtentFlags};

/// Of how many shared extents account is kept, at 48 bytes each.
const MAX_SHARED: usize = 1 << 20;

/// How many bytes of a file no other file has, too; `None` if its file system does not tell.
pub(super) fn own(path: &Path) -> Option<u64> {
    let own = |sum: u64, extent: FiemapExtent| match is_shared(&extent) {
        true => sum,
        false => sum.saturating_add(extent.fe_length),
    };
    extents(path)
        .ok()?
        .try_fold(0, |sum, extent| Some(own(sum, extent.ok()?)))
}

/// How many bytes become free when some of these files go: each with whether it does. `None` if the file system does not
/// tell, or too much is shared. What other files than these share with them stays all the same.
pub fn frees<'a>(files: impl IntoIterator<Item = (&'a Path, bool)>) -> Option<u64> {
    let mut own = 0_u64;
    let mut ends = Vec::new();
    for (path, goes) in files {
        for extent in extents(path).ok()? {
            let extent = extent.ok()?;
            if is_shared(&extent) {
                let end = extent.fe_physical.saturating_add(extent.fe_length);
                ends.extend([(extent.fe_physical, goes, 1), (end, goes, -1)]);
            } else if goes {
                own = own.saturating_add(extent.fe_length);
            }
            if ends.len() / 2 > MAX_SHARED {
                return None;
            }
        }
    }
    Some(own.saturating_add(freed(ends)))
}

/// How many bytes are in ranges of those that go and in none of those that stay. Each range is given by its ends: where,
/// whether it goes, and 1 where it begins.
fn freed(mut ends: Vec<(u64, bool, i64)>) -> u64 {
    ends.sort_unstable();
    let (mut going, mut staying) = (0_i64, 0_i64);
    let (mut sum, mut before) = (0_u64, 0_u64);
    for (at, goes, step) in ends {
        if going > 0 && staying == 0 {
            sum = sum.saturating_add(at.saturating_sub(before));
        }
        before = at;
        let count = if goes { &mut going } else { &mut staying };
        *count = count.saturating_add(step);
    }
    sum
}

fn extents(path: &Path) -> io::Result<Fiemap<File>> {
    Ok(Fiemap::new(File::open(path)?))
}

fn is_shared(extent: &FiemapExtent) -> bool {
    extent.fe_flags.contains(FiemapExtentFlags::SHARED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_those_have_that_go_becomes_free() {
        let range = |from, to, goes| [(from, goes, 1), (to, goes, -1)];
        let of = |ranges: &[[(u64, bool, i64); 2]]| freed(ranges.concat());
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[range(10, 20, true), range(10, 20, true)]), 10);
        assert_eq!(of(&[range(10, 20, true), range(10, 20, false)]), 0);
        assert_eq!(of(&[range(10, 30, true), range(15, 20, false)]), 15);
        assert_eq!(
            of(&[
                range(10, 30, true),
                range(20, 40, true),
                range(0, 12, false)
            ]),
            28
        );
        assert_eq!(
            of(&[
                range(10, 20, true),
                range(20, 30, false),
                range(30, 40, true)
            ]),
            20
        );
    }
}
