//! Counting the guest's writes by their latency, inside QEMU.
//!
//! QEMU counts a device's requests in classes of latency once it is told their boundaries
//! (`block-latency-histogram-set`, QEMU 4.0). A device has one such histogram. Ours is known by its
//! boundaries; somebody else's is left alone, and read in place of ours.
//!
//! Where an iothread does the disk's requests, only since [`LOCKED`]: before, QEMU replaced and freed a
//! histogram in its main loop without the lock under which the iothread counts, and could crash
//! (`block/accounting.c`: `block_latency_histogram_set`, `block_latency_histograms_clear`). No schema
//! shows it.

use fleece_qmp_client::Client;
use fleece_qmp_client::commands::{
    BlockLatencyHistogramSet, BlockStats, LatencyHistogram, QueryBlockStats,
};

use crate::disk::Disk;
use crate::error::Error;

/// The shortest boundary in nanoseconds: no whole number of anything, so that it is ours.
const FIRST: u64 = 50_171;

/// The last boundary is beyond this.
const LAST: u64 = 10_000_000_000;

/// The first release that was seen to take the lock, as major, minor, micro; 11.0.1 does not.
const LOCKED: (u32, u32, u32) = (11, 1, 3);

/// Starts counting for those of `disks` where nobody counts yet and it is safe, if this QEMU can. For the
/// others the mean latency has to do.
pub(crate) fn start(client: &Client, disks: &[Disk]) -> Result<(), Error> {
    let schema = client
        .schema()
        .map_err(Error::qemu("cannot read QEMU's schema"))?;
    if !schema.has_command("block-latency-histogram-set") {
        return Ok(());
    }
    let qemu = client.greeting().version.qemu;
    let locked = (qemu.major, qemu.minor, qemu.micro) >= LOCKED;
    for device in devices(client)? {
        if !is_counted(&device)
            && let Some(id) = &device.qdev
            && disks
                .iter()
                .any(|disk| disk.stats_id.as_ref() == Some(id) && (locked || !disk.iothread))
        {
            let set = BlockLatencyHistogramSet {
                id: id.clone(),
                boundaries_write: Some(boundaries()),
                boundaries_flush: Some(boundaries()),
                ..Default::default()
            };
            if let Err(error) = client.execute(&set) {
                tracing::debug!(%error, id, "no latency histogram");
            }
        }
    }
    Ok(())
}

/// Ends the counting that [`start`] began, whichever process did.
pub(crate) fn remove(client: &Client) -> Result<(), Error> {
    for device in devices(client)? {
        if let (Some(qdev), true) = (&device.qdev, is_ours(&device)) {
            let set = BlockLatencyHistogramSet {
                id: qdev.clone(),
                ..Default::default()
            };
            client
                .execute(&set)
                .map_err(Error::qemu("cannot remove the latency histogram"))?;
        }
    }
    Ok(())
}

fn devices(client: &Client) -> Result<Vec<BlockStats>, Error> {
    client
        .execute(&QueryBlockStats { query_nodes: None })
        .map_err(Error::qemu("cannot query the disks' statistics"))
}

fn histograms(device: &BlockStats) -> impl Iterator<Item = &LatencyHistogram> {
    let stats = &device.stats;
    let all = [
        &stats.rd_latency_histogram,
        &stats.wr_latency_histogram,
        &stats.flush_latency_histogram,
    ];
    all.into_iter().flatten()
}

fn is_counted(device: &BlockStats) -> bool {
    histograms(device).next().is_some()
}

fn is_ours(device: &BlockStats) -> bool {
    is_counted(device) && histograms(device).all(|counts| counts.boundaries == boundaries())
}

/// Each a quarter longer than the one before.
fn boundaries() -> Vec<u64> {
    std::iter::successors(Some(FIRST), |last| {
        (*last < LAST).then(|| last.saturating_add(last / 4))
    })
    .collect()
}
