//! Entry points of the fuzz targets.

use crate::answer::{Answer, bare, refusal, total};
use crate::multipart::unfinished;
use crate::store::listed;

/// Whatever a store answers is either understood or refused.
pub fn answer(data: &[u8]) {
    let _ = refusal(data);
    if let Some(answer) = Answer::parse(data) {
        let _ = listed(&answer);
        let _ = unfinished(&answer);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (
            total(text),
            bare(text),
            crate::lock::Lock::of("COMPLIANCE", text),
        );
    }
}
