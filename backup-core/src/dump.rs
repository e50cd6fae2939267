//! Dump directories: where backups lie, with what lies beside them.
//!
//! ```text
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst             the archive
//! vzdump-qemu-100-2026_11_23-02_00_01.log                 what was said while it was made
//! vzdump-qemu-100-2026_11_23-02_00_01.stats.json          what the run was like, and what the guest felt
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst.notes       text of people, UTF-8
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst.protected   is not removed while this is there
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst.idx         the index of the archive
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst.sig         the signed list of its pieces
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst.verified    what the last verification found
//! vzdump-qemu-100-2026_11_23-02_00_01.vma.zst.drilled     what the last drill found
//! ```
//!
//! Archive, log, notes and protection are Proxmox VE's (`PVE::Storage::archive_info`), so that both see the same
//! backups; the others are ours, and Proxmox ignores them. A run that failed leaves a log and `.stats.json`
//! without an archive; one that the directory did not take is kept in the state directory until it does.

mod afterwards;
mod backup;
pub(crate) mod base;
mod beside;
mod boots;
mod directory;
mod fault;
mod name;
mod named;
mod objects;
mod outlook;
mod place;
mod prune;
mod recorder;
mod runs;
mod side_files;
mod signed;
mod space;
pub(crate) mod stats;
mod unwritten;
mod verified;
mod verify;

pub use afterwards::Afterwards;
pub use backup::Backup;
pub use base::find_base;
pub use boots::Boots;
pub use directory::{DumpDirectory, Pruned};
pub use fault::Fault;
pub use name::BackupName;
pub use named::only_archive;
pub use outlook::{Outlook, outlook};
pub use place::{is_archive, new_archive, storage_id};
pub use prune::{KeepRules, Reason, Verdict, plan};
pub use recorder::Recorder;
pub use runs::Run;
pub use signed::check_signature;
pub use space::frees;
pub use stats::{Earlier, RunError, RunResult, Stats};
pub use verified::Verified;
pub use verify::Checked;
