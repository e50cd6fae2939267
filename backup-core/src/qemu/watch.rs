//! What a guest on QEMU tells about itself during a backup.

use std::time::Duration;

use fleece_fleecing::Session;
use fleece_qmp_client::commands::{QueryBlockStats, QueryStatus};

use crate::pace::GuestWrites;
use crate::transfer::GuestWatch;

/// Watches the disks of a session.
pub(crate) struct QemuWatch<'a> {
    session: &'a Session<'a>,
    fleecing_peak: Option<u64>,
}

impl<'a> QemuWatch<'a> {
    pub(crate) fn new(session: &'a Session<'a>) -> Self {
        Self {
            session,
            fleecing_peak: None,
        }
    }

    /// The most that [`GuestWatch::fleecing_used`] has seen.
    pub(crate) fn fleecing_peak(&self) -> Option<u64> {
        self.fleecing_peak
    }
}

/// A monitor that does not answer in this time is busy with the guest's I/O; the next look tells.
const PATIENCE: Duration = Duration::from_secs(2);

impl GuestWatch for QemuWatch<'_> {
    fn writes(&mut self) -> Option<GuestWrites> {
        let client = self.session.client();
        if !client
            .execute_within(&QueryStatus {}, PATIENCE)
            .ok()?
            .running
        {
            return None;
        }
        let ours: Vec<&str> = self
            .session
            .disks()
            .iter()
            .filter_map(|disk| disk.stats_id.as_deref())
            .collect();
        let mut operations: u64 = 0;
        let mut nanos: u64 = 0;
        for disk in client
            .execute_within(&QueryBlockStats { query_nodes: None }, PATIENCE)
            .ok()?
        {
            if disk.qdev.is_some_and(|qdev| ours.contains(&qdev.as_str())) {
                let stats = disk.stats;
                operations = operations
                    .saturating_add(stats.wr_operations)
                    .saturating_add(stats.flush_operations);
                nanos = nanos
                    .saturating_add(stats.wr_total_time_ns)
                    .saturating_add(stats.flush_total_time_ns);
            }
        }
        Some(GuestWrites::new(operations, Duration::from_nanos(nanos)))
    }

    fn fleecing_used(&mut self) -> Option<u64> {
        let used = self.session.used().ok().flatten();
        self.fleecing_peak = self.fleecing_peak.max(used);
        used
    }
}
