//! Background jobs.

use serde::{Deserialize, Serialize};

use crate::command::{Done, command};

/// All jobs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryJobs {}
command!(QueryJobs, "query-jobs", Vec<Job>);

/// QAPI `JobInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its type, such as `backup`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its state, such as `running` or `concluded`.
    pub status: String,
    /// How much is done, in no particular unit.
    pub current_progress: u64,
    /// How much there is to do as far as is known.
    pub total_progress: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// All block jobs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryBlockJobs {}
command!(QueryBlockJobs, "query-block-jobs", Vec<BlockJob>);

/// QAPI `BlockJobInfo`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct BlockJob {
    /// Its id.
    #[serde(rename = "device")]
    pub id: String,
    /// Its type, such as `backup`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its state, such as `running` or `concluded`.
    pub status: String,
    /// Bytes to do.
    pub len: u64,
    /// Bytes done.
    pub offset: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it can be completed.
    pub ready: bool,
    /// `ok`, `failed` or `nospace`.
    pub io_status: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// Cancels a job. It is gone with the event `BLOCK_JOB_CANCELLED`, not with the reply.
#[derive(Clone, Debug, Serialize)]
pub struct BlockJobCancel {
    /// The job's id.
    pub device: String,
    /// Also if it is paused or ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}
command!(BlockJobCancel, "block-job-cancel", Done);

/// Removes a concluded job that was started without `auto-dismiss`.
#[derive(Clone, Debug, Serialize)]
pub struct BlockJobDismiss {
    /// The job's id.
    pub id: String,
}
command!(BlockJobDismiss, "block-job-dismiss", Done);

/// Moves what lies below a node, down to `base-node`, into the node, and puts it onto `base-node`: where nothing is
/// between them but filters, the node only gets another backing file, in its image too. Without `base-node`, all that
/// lies below is moved, and the node has no backing file in the end.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockStream {
    /// The job's id.
    pub job_id: String,
    /// The node.
    pub device: String,
    /// The node that it is to lie on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_node: Option<String>,
    /// Bytes per second at most; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<u64>,
    /// Whether the node gets its other backing file without [`JobFinalize`] (since 3.1); it does unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_finalize: Option<bool>,
    /// Whether the job goes by itself when it has ended (since 3.1); it does unless told otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_dismiss: Option<bool>,
}
command!(BlockStream, "block-stream", Done);

/// Sets another limit for a block job.
#[derive(Clone, Debug, Serialize)]
pub struct BlockJobSetSpeed {
    /// The job's id.
    pub device: String,
    /// Bytes per second at most; 0 is no limit.
    pub speed: u64,
}
command!(BlockJobSetSpeed, "block-job-set-speed", Done);

/// Lets a job that is `pending` do its last step, which changes the block graph.
#[derive(Clone, Debug, Serialize)]
pub struct JobFinalize {
    /// The job's id.
    pub id: String,
}
command!(JobFinalize, "job-finalize", Done);

/// Removes a concluded job that was started without `auto-dismiss`.
#[derive(Clone, Debug, Serialize)]
pub struct JobDismiss {
    /// The job's id.
    pub id: String,
}
command!(JobDismiss, "job-dismiss", Done);
