//! What the guest feels of its disks.

use serde::{Deserialize, Serialize};

use crate::command::command;

/// Counters of all devices, or of all nodes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueryBlockStats {
    /// Ask for named nodes instead of devices. Nodes do not time requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_nodes: Option<bool>,
}
command!(QueryBlockStats, "query-blockstats", Vec<BlockStats>);

/// QAPI `BlockStats`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockStats {
    /// The block backend, as in [`BlockDevice`](super::BlockDevice).
    pub device: Option<String>,
    /// The guest's device, as in [`BlockDevice`](super::BlockDevice).
    pub qdev: Option<String>,
    /// The node.
    pub node_name: Option<String>,
    /// The counters.
    pub stats: DeviceStats,
    /// What only some drivers count.
    pub driver_specific: Option<DriverStats>,
}

/// QAPI `BlockStatsSpecific`, as far as it is of use.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DriverStats {
    /// Discards that a file or a host's device has done.
    pub discard_nb_ok: Option<u64>,
}

/// QAPI `BlockDeviceStats`: since the start of QEMU; times in nanoseconds.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct DeviceStats {
    /// Bytes read.
    pub rd_bytes: u64,
    /// Bytes written.
    pub wr_bytes: u64,
    /// Read requests.
    pub rd_operations: u64,
    /// Write requests.
    pub wr_operations: u64,
    /// Flush requests.
    pub flush_operations: u64,
    /// Discard requests.
    pub unmap_operations: u64,
    /// Time spent in reads, summed over the requests.
    pub rd_total_time_ns: u64,
    /// Time spent in writes, summed over the requests.
    pub wr_total_time_ns: u64,
    /// Time spent in flushes, summed over the requests.
    pub flush_total_time_ns: u64,
    /// Time spent in discards, summed over the requests.
    pub unmap_total_time_ns: u64,
    /// Failed reads.
    pub failed_rd_operations: u64,
    /// Failed writes.
    pub failed_wr_operations: u64,
    /// Failed flushes.
    pub failed_flush_operations: u64,
    /// The end of the highest write so far: what an image on a block device has grown to.
    pub wr_highest_offset: u64,
    /// Time since the last request, if there was one.
    pub idle_time_ns: Option<u64>,
    /// How long reads took, if [turned on](BlockLatencyHistogramSet).
    pub rd_latency_histogram: Option<LatencyHistogram>,
    /// How long writes took, if turned on.
    pub wr_latency_histogram: Option<LatencyHistogram>,
    /// How long flushes took, if turned on.
    pub flush_latency_histogram: Option<LatencyHistogram>,
}

/// QAPI `BlockLatencyHistogramInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct LatencyHistogram {
    /// Where one bin ends and the next begins, in nanoseconds, ascending.
    pub boundaries: Vec<u64>,
    /// Requests per bin; one more than boundaries.
    pub bins: Vec<u64>,
}

/// Counts the requests of a device by latency from now on; without boundaries, stops that.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockLatencyHistogramSet {
    /// The guest's device: an id or a QOM path.
    pub id: String,
    /// Boundaries for all kinds of requests, in nanoseconds, ascending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundaries: Option<Vec<u64>>,
    /// Boundaries for reads, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundaries_read: Option<Vec<u64>>,
    /// Boundaries for writes, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundaries_write: Option<Vec<u64>>,
    /// Boundaries for flushes, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundaries_flush: Option<Vec<u64>>,
}
command!(
    BlockLatencyHistogramSet,
    "block-latency-histogram-set",
    crate::command::Done
);
