//! How much of a volume is in use.

use super::boot::{Boot, Width};
use super::chain::next;
use crate::bytes::{Fields, div};
use crate::error::Result;
use crate::source::{Source, bytes_at};

impl Boot {
    /// How many bytes are in use, as far as that is known or soon counted.
    pub(super) fn used(&self, source: &dyn Source) -> Result<Option<u64>> {
        let used = |clusters: u64| Some(clusters.saturating_mul(self.cluster));
        match self.width {
            Width::Ex => {
                // A percentage in the boot sector.
                let percent = u64::from(bytes_at(source, 112, 1)?.byte(0)?);
                Ok(match percent {
                    0..=100 => used(div(self.clusters.saturating_mul(percent), 100)),
                    _ => None,
                })
            }
            Width::ThirtyTwo => {
                let info = bytes_at(source, self.info, 512)?;
                let free = u64::from(info.le32(488)?);
                let is_known = info.le32(484)? == 0x6141_7272 && free <= self.clusters;
                Ok(is_known
                    .then(|| used(self.clusters.saturating_sub(free)))
                    .flatten())
            }
            Width::Twelve | Width::Sixteen => {
                let mut count = 0_u64;
                for cluster in 2..self.clusters.saturating_add(2) {
                    let next = next(source, self, cluster)?;
                    count = count.saturating_add(u64::from(next != 0));
                }
                Ok(used(count))
            }
        }
    }
}
