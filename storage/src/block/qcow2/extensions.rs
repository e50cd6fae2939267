//! The extensions behind a qcow2 header, as far as they concern a reader. All others are passed over: the bitmaps'
//! and the encryption header's do not change what the disk is, and what a reader must know has a feature bit.

use std::ffi::OsString;

use fleece_plain_text::words;

use crate::block::system;
use crate::block::{Error, ErrorKind, Operation, Result};

const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
const FEATURE_NAMES: u32 = 0x6803_f857;
const DATA_FILE: u32 = 0x4441_5441;

/// Bytes of an entry of the feature name table: type, bit, name.
const FEATURE_LEN: usize = 48;

/// What the extensions say.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// Format of the backing file.
    pub(super) backing_format: Option<OsString>,
    /// Name of the file that the clusters are in.
    pub(super) data_file: Option<OsString>,
    /// Names of incompatible features.
    features: Vec<(u8, String)>,
}

impl Extensions {
    /// `bytes` are those behind the header, up to the backing file's name or the end of the first cluster.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        while let Some((kind, rest)) = bytes.split_first_chunk() {
            let kind = u32::from_be_bytes(*kind);
            let Some((length, rest)) = rest.split_first_chunk() else {
                break;
            };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let data = rest.get(..length).ok_or_else(too_large)?;
            match kind {
                END => break,
                BACKING_FORMAT => found.backing_format = Some(system::name(data)),
                DATA_FILE => found.data_file = Some(system::name(data)),
                FEATURE_NAMES => found.features = features(data),
                _ => {}
            }
            let padded = length.checked_next_multiple_of(8).ok_or_else(too_large)?;
            bytes = rest.get(padded..).unwrap_or_default();
        }
        Ok(found)
    }

    /// What an incompatible feature is called.
    pub(super) fn feature(&self, bit: u32) -> Option<&str> {
        let found = self.features.iter().find(|(of, _)| u32::from(*of) == bit);
        found.map(|(_, name)| name.as_str())
    }
}

fn features(table: &[u8]) -> Vec<(u8, String)> {
    let (entries, _) = table.as_chunks::<FEATURE_LEN>();
    // No more names than there are bits, whatever a hostile image holds.
    let incompatible = entries.iter().filter(|[kind, ..]| *kind == 0).take(64);
    incompatible
        .map(|[_, bit, name @ ..]| {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            (*bit, words(&String::from_utf8_lossy(name)))
        })
        .collect()
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidFormat, Operation::Open)
        .because("a header extension is larger than its place")
}
