//! The configuration as an archive carries it, and the map lines in it.

use std::fmt;

use fleece_plain_text::to_bytes;

use crate::config::GuestConfig;
use crate::line::Content;

const MAP: &str = "#qmdump#map:";

/// Which device of an archive is which drive of the guest, and where it came from:
/// `#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the four fields of the line")]
pub struct QmdumpMap {
    /// The drive's key, for example `scsi0`.
    pub key: String,
    /// The device's name in the archive, for example `drive-scsi0`.
    pub device: String,
    /// The id of the storage it lay on; empty for a plain path.
    pub storage: String,
    /// The format it had there; may be empty.
    pub format: String,
}

impl QmdumpMap {
    /// Reads one line. `None` if it is no map line.
    pub fn parse(line: &str) -> Option<Self> {
        let fields = line.trim_end().strip_prefix(MAP)?.strip_suffix(':')?;
        let mut fields = fields.splitn(4, ':');
        let mut next = || {
            fields
                .next()
                .filter(|field| !field.contains(char::is_whitespace))
        };
        let (key, device, storage, format) = (next()?, next()?, next()?, next()?);
        if key.is_empty() || device.is_empty() || format.contains(':') {
            return None;
        }
        Some(Self {
            key: key.to_owned(),
            device: device.to_owned(),
            storage: storage.to_owned(),
            format: format.to_owned(),
        })
    }
}

impl fmt::Display for QmdumpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{MAP}{}:{}:{}:{}:",
            self.key, self.device, self.storage, self.format
        )
    }
}

impl GuestConfig {
    /// What goes into an archive: the main section without what belongs to this host only (lock,
    /// parent snapshot, unused disks, old map lines), and one map line for each archived device.
    pub fn archived(&self, map: &[QmdumpMap]) -> Vec<u8> {
        let mut text = String::new();
        for line in self
            .main()
            .lines()
            .filter(|line| goes_into_an_archive(line.content()))
        {
            text.push_str(line.as_str());
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for entry in map {
            text.push_str(&format!("{entry}\n"));
        }
        to_bytes(&text)
    }

    /// The map lines of an archived configuration, in their order.
    pub fn qmdump_maps(&self) -> Vec<QmdumpMap> {
        self.main()
            .lines()
            .filter_map(|line| QmdumpMap::parse(line.as_str()))
            .collect()
    }
}

/// Lines that a backup or a restore drops wherever it meets them.
pub(crate) fn goes_into_an_archive(content: Content<'_>) -> bool {
    match content {
        Content::Comment(text) => !text.starts_with("qmdump#") && !text.starts_with("vzdump#"),
        Content::Entry("lock" | "parent", _) => false,
        Content::Entry(key, _) => match key.strip_prefix("unused") {
            Some(number) => !number.chars().all(|c| c.is_ascii_digit()),
            None => true,
        },
        Content::Blank | Content::Header(_) | Content::Unknown => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_gets_the_main_section_without_host_state_and_with_map_lines() {
        let text = "#note\n#qmdump#map:old:old:old:raw:\nlock: backup\nname: a\nparent: s\n\
                    scsi0: l:1\nunused0: l:2\n\n[s]\nname: b\n";
        let map = QmdumpMap {
            key: "scsi0".to_owned(),
            device: "drive-scsi0".to_owned(),
            storage: "l".to_owned(),
            format: "raw".to_owned(),
        };
        let archived = GuestConfig::parse(text)
            .unwrap()
            .archived(std::slice::from_ref(&map));
        assert_eq!(
            archived,
            b"#note\nname: a\nscsi0: l:1\n#qmdump#map:scsi0:drive-scsi0:l:raw:\n"
        );
        assert_eq!(GuestConfig::parse(&archived).unwrap().qmdump_maps(), [map]);
    }

    #[test]
    fn map_lines_may_lack_storage_and_format_but_not_key_and_device() {
        assert!(QmdumpMap::parse("#qmdump#map:scsi0:drive-scsi0:::\n").is_some());
        for line in [
            "#qmdump#map:scsi0:drive-scsi0:l:raw",
            "#qmdump#map::drive-scsi0:l:raw:",
            "#qmdump#map:scsi0::l:raw:",
            "#qmdump#map:scsi0:drive-scsi0:l:",
            "#qmdump#map:scsi0:drive scsi0:l:raw:",
            "#qmdump#map:scsi0:drive-scsi0:l:raw:more:",
            "#qmdump#",
        ] {
            assert_eq!(QmdumpMap::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_text_without_a_final_line_end_gets_one_before_the_map() {
        let config = GuestConfig::parse("name: a").unwrap();
        assert_eq!(config.archived(&[]), b"name: a\n");
    }
}
