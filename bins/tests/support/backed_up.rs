//! What a backup with `--json` has said.

use std::path::PathBuf;

use serde_json::Value;

use super::ended::Ended;

pub(crate) struct Said {
    /// The summary; null if there is none.
    pub(crate) json: Value,
    pub(crate) text: String,
    pub(crate) code: Option<i32>,
}

impl Said {
    pub(crate) fn of(ended: Ended) -> Self {
        let summary = |line: &str| -> Option<Value> {
            let json: Value = serde_json::from_str(line).ok()?;
            (json["event"] == "summary").then_some(json)
        };
        Self {
            json: ended.said.lines().find_map(summary).unwrap_or_default(),
            code: ended.status.code(),
            text: ended.said,
        }
    }

    pub(crate) fn archive(&self) -> PathBuf {
        let path = self.json["archive"].as_str();
        assert!(path.is_some(), "{}", self.text);
        path.unwrap().into()
    }

    /// How many disks were read by a bitmap, or another account of changes.
    pub(crate) fn by_bitmap(&self) -> u64 {
        self.json["disks_by_bitmap"].as_u64().unwrap_or(0)
    }

    /// Bytes read of a guest with one disk, if that was not read in full.
    pub(crate) fn read(&self) -> Option<u64> {
        (self.by_bitmap() == 1).then(|| self.json["read_of_guest"].as_u64().unwrap())
    }
}
