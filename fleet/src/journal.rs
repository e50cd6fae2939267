//! Lines for systemd's journal, with fields (`systemd.journal-fields(7)`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use fleece_plain_text::message;

const SOCKET: &str = "/run/systemd/journal/socket";

/// The journal, to which our standard error goes.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    /// The one that has our standard error, as it says itself in `$JOURNAL_STREAM`.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = fs::metadata("/proc/self/fd/2").ok()?;
        if stream != format!("{}:{}", stderr.dev(), stderr.ino()) {
            return None;
        }
        Self::at(Path::new(SOCKET)).ok()
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }

    /// A line of this level: `ERROR`, `WARN`, or another. Returns whether it was taken.
    #[must_use]
    pub fn line(&self, level: &str, text: &str, fields: &[(&str, &str)]) -> bool {
        let priority = match level {
            "ERROR" => 3,
            "WARN" => 4,
            _ => 6,
        };
        // No value has a line's end in it, so none begins another field.
        let mut entry = format!(
            "PRIORITY={priority}\nSYSLOG_IDENTIFIER=fleece\nMESSAGE={}\n",
            message(text)
        );
        for (field, value) in fields {
            entry.push_str(&format!("{field}={}\n", message(value)));
        }
        self.0.send(entry.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_fields_and_hostile_text_adds_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listens = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        assert!(journal.line("WARN", "a\nPRIORITY=0", &[("FLEECE_GUEST", "web\nX=1")]));
        let mut said = [0; 1000];
        let length = listens.recv(&mut said).unwrap();
        let said = std::str::from_utf8(&said[..length]).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 4, "{said}");
        assert_eq!(lines[0], "PRIORITY=4");
        assert!(lines[2].starts_with("MESSAGE=a") && lines[3].starts_with("FLEECE_GUEST=web"));
    }
}
