//! Client and server with other people's programs and with each other.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod client;
mod client_writes;
mod examples;
mod memory;
mod programs;
mod server;
mod server_life;
