//! Entry points for fuzzing the parsers of volumes, which have checksums in their way.

use std::sync::Arc;

use super::{gpt, lvm, mbr, md};
use crate::source::Shared;

/// A GPT whose checksums are right: its header, and its entries behind that.
pub fn gpt(bytes: &[u8]) {
    let mut disk = vec![0_u8; 128 << 10];
    let put = |disk: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        let room = disk.get_mut(at..).unwrap_or_default();
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
    };
    let (header, entries) = bytes.split_at_checked(92).unwrap_or((bytes, &[]));
    put(&mut disk, 512, header);
    put(&mut disk, 512, b"EFI PART");
    put(&mut disk, 524, &92_u32.to_le_bytes());
    put(&mut disk, 1024, entries);
    let word = |disk: &[u8], at: usize| {
        let bytes = disk.get(at..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    put(&mut disk, 512 + 72, &2_u64.to_le_bytes());
    let (count, size) = (word(&disk, 512 + 80) % 64, word(&disk, 512 + 84) % 512);
    put(&mut disk, 512 + 80, &count.to_le_bytes());
    let len = count.saturating_mul(size);
    let all = disk.get(1024..).unwrap_or_default();
    let all = all.get(..usize::try_from(len).unwrap_or_default());
    let sum = crc32fast::hash(all.unwrap_or_default());
    put(&mut disk, 512 + 84, &size.to_le_bytes());
    put(&mut disk, 512 + 88, &sum.to_le_bytes());
    put(&mut disk, 512 + 16, &[0; 4]);
    let sum = crc32fast::hash(disk.get(512..604).unwrap_or_default());
    put(&mut disk, 512 + 16, &sum.to_le_bytes());
    let disk: Shared = Arc::new(disk);
    let _ = gpt::read(&disk);
}

/// An MBR, and what is behind it.
pub fn mbr(bytes: &[u8]) {
    let mut disk = bytes.to_vec();
    disk.resize(bytes.len().max(64 << 10), 0);
    if let Some(end) = disk.get_mut(510..512) {
        end.copy_from_slice(&[0x55, 0xaa]);
    }
    let disk: Shared = Arc::new(disk);
    let _ = mbr::read(&disk);
}

/// The text of a volume group.
pub fn lvm(text: &[u8]) {
    let nothing: Shared = Arc::new(vec![0; 64 << 10]);
    if let Ok(physical) = lvm::described("a", &nothing, text) {
        let made = lvm::logical(vec![physical], &mut Vec::new());
        read(made);
    }
}

/// The superblocks of two members of an array.
pub fn md(bytes: &[u8]) {
    let (one, other) = bytes.split_at(bytes.len().min(512));
    let members = [one, other].into_iter().filter_map(|superblock| {
        let mut disk = vec![0; 4096];
        disk.extend_from_slice(superblock);
        disk.resize(64 << 10, 0);
        let disk: Shared = Arc::new(disk);
        md::Member::read("a", &disk)
    });
    let members: Vec<_> = members.collect();
    let told: usize = members.iter().map(|member| member.what().len()).sum();
    if told > 0 {
        read(md::arrays(members, &mut Vec::new()));
    }
}

/// Reads at the start, in the middle and at the end of what was made.
fn read(made: Vec<lvm::Made>) {
    let mut buffer = vec![0; 5000];
    for source in made.into_iter().filter_map(|(_, made)| made.ok()).take(64) {
        let size = source.size();
        for at in [0, size / 2, size.saturating_sub(5000)] {
            let _ = source.read_at(at, &mut buffer);
        }
    }
}
