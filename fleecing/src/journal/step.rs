//! The steps of a backup, in their order.
//!
//! Each says that it is reached, as an event of `tracing` at [`Step::TARGET`] with the step's name. So a
//! program may log where a backup is, and tests end it there: they go through [`Step::ALL`], so a step
//! that is added here is tested by that alone, and one that is never reached fails them.

macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident = $name:literal,)+) => {
        /// A point that a backup of a guest passes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// All steps, in their order.
            pub const ALL: &[Self] = &[$(Self::$step,)+];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// The guest's record is locked.
    Locked = "locked",
    /// The names of the archive's files are on record.
    ArchiveRecorded = "archive-recorded",
    /// The archive's files exist, empty.
    ArchiveCreated = "archive-created",
    /// The monitor is on record.
    MonitorRecorded = "monitor-recorded",
    /// The NBD server's socket is on record.
    ServerRecorded = "server-recorded",
    /// The NBD server runs.
    ServerStarted = "server-started",
    /// A fleecing image is on record.
    ImageRecorded = "image-recorded",
    /// It is allocated.
    ImageAllocated = "image-allocated",
    /// It is attached to QEMU.
    ImageAttached = "image-attached",
    /// The filters are made, and not in use. (A job makes its own.)
    FiltersMade = "filters-made",
    /// What QEMU is to do again when the guest powers down is on record. (Only if the guest is to be stopped.)
    StopRecorded = "stop-recorded",
    /// The guest is asked to power down.
    PoweringDown = "powering-down",
    /// It is down, and its QEMU is there.
    PoweredDown = "powered-down",
    /// A backup of libvirt's own is on record. (Only in its pull mode.)
    PullRecorded = "pull-recorded",
    /// libvirt has begun it: QEMU serves the instant.
    Pulled = "pulled",
    /// libvirt has ended it.
    PullEnded = "pull-ended",
    /// The agent that is to freeze the guest is on record.
    FreezeRecorded = "freeze-recorded",
    /// The guest's file systems are frozen.
    Frozen = "frozen",
    /// It is on record that the guest is about to stand still.
    PauseRecorded = "pause-recorded",
    /// The commands that stop the guest, put the filters in and continue it are on their way.
    Switching = "switching",
    /// The filters are in.
    Switched = "switched",
    /// A guest that was powered down boots again.
    StartedAgain = "started-again",
    /// The guest's file systems are thawed.
    Thawed = "thawed",
    /// The views of the instant are made.
    ViewsMade = "views-made",
    /// The views are exported.
    Exported = "exported",
    /// A reader has got a chunk.
    Read = "read",
    /// The encoder has packed a chunk.
    Encoded = "encoded",
    /// An extent is handed to the archive's file.
    Stored = "stored",
    /// All data is in the archive's file.
    Moved = "moved",
    /// The exports are gone from QEMU.
    ExportsRemoved = "exports-removed",
    /// The NBD server, if it was ours, and the views are gone, too.
    ViewsRemoved = "views-removed",
    /// The filters are out: the guest's disks are as they were.
    FiltersRemoved = "filters-removed",
    /// The fleecing images are detached from QEMU.
    ImagesDetached = "images-detached",
    /// A fleecing image is freed.
    ImageFreed = "image-freed",
    /// The record knows nothing of QEMU any more.
    Forgotten = "forgotten",
    /// The archive is complete, and synced under its temporary name.
    Synced = "synced",
    /// It has its final name.
    Renamed = "renamed",
}

impl Step {
    /// The target of the events.
    pub const TARGET: &str = "fleece::step";

    /// Says that this step is reached.
    pub fn reached(self) {
        tracing::trace!(target: Step::TARGET, step = self.name());
    }
}
