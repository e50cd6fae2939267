//! Sizes, rates and durations as people read them.

pub use fleece_units::*;
