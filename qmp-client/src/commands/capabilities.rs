//! The connection itself.

use serde::Serialize;

use crate::command::{Done, command};
use crate::schema::Schema;

/// Ends the negotiation that follows the greeting; [`Client::connect`](crate::client::Client::connect)
/// has done it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QmpCapabilities {
    /// Capabilities to turn on, out of those in the greeting.
    pub enable: Vec<String>,
}
command!(QmpCapabilities, "qmp_capabilities", Done);

/// What the server can do; [`Client::schema`](crate::client::Client::schema) asks once.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct QueryQmpSchema {}
command!(QueryQmpSchema, "query-qmp-schema", Schema);
