//! How hard to read: the pace follows the guest's latency.

pub(crate) mod gate;
pub(crate) mod latency;
pub(crate) mod options;
pub(crate) mod pacer;
pub(crate) mod rate;

pub use gate::DepthGate;
pub use latency::{DiskWrites, GuestWrites};
pub use options::Pacing;
pub use pacer::{Pace, Pacer};
pub use rate::RateLimit;
