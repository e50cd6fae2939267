#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may fail by a panic"
    )
)]

mod chart;
mod figures;
mod gather;
mod metrics;
mod nights;
mod page;
mod sheet;
mod words;

pub use chart::{Chart, Felt, Panel};
pub use figures::{Entry, Guest, Night, Report, State, Totals};
pub use gather::Options;
pub use metrics::{metrics, running};
pub use page::{chart_page, page};
