//! How hard to read: the pace follows the guest's latency.

mod budget;
mod collision;
pub(crate) mod effort;
mod floor;
pub(crate) mod gate;
pub(crate) mod latency;
mod least;
pub(crate) mod options;
pub(crate) mod pacer;
pub(crate) mod rate;
mod shared;

pub use collision::Collision;
pub use effort::Pace;
pub use floor::Reason;
pub use gate::{DepthGate, Reads};
pub use latency::{DiskWrites, GuestWrites, WriteLatency};
pub use options::Pacing;
pub use pacer::{Pacer, Sample};
pub use rate::RateLimit;
