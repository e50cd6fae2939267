//! Several actions at one instant.

use serde::Serialize;
use serde_json::Value;

use crate::command::{Done, command};

/// Runs all actions at one instant with all disks quiet, or none of them.
#[derive(Clone, Debug, Serialize)]
pub struct Transaction {
    /// The actions.
    pub actions: Vec<Action>,
    /// How their jobs belong together; default: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<TransactionProperties>,
}
command!(Transaction, "transaction", Done);

/// QAPI `TransactionAction`.
#[derive(Clone, Debug, Serialize)]
pub struct Action {
    /// Its type, such as `blockdev-backup`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its arguments.
    pub data: Value,
}

impl Action {
    /// An action of this type with these arguments.
    pub fn new(kind: impl Into<String>, data: Value) -> Self {
        Self {
            kind: kind.into(),
            data,
        }
    }
}

/// QAPI `TransactionProperties`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TransactionProperties {
    /// What the failure of one job means for the others.
    pub completion_mode: CompletionMode,
}

/// QAPI `ActionCompletionMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompletionMode {
    /// Each job ends for itself.
    Individual,
    /// If one fails or is cancelled, all are cancelled.
    Grouped,
}
