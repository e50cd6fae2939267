//! Word to whoever misses it: what watches whether a machine still backs up at all is not on that machine.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fleece_staged_file::StagedFile;

use crate::error::{Error, ErrorKind};

/// Who waits for a sign of life: a service with an address, or whoever looks at the time of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heartbeat {
    /// An address that is asked for.
    Url(String),
    /// A file that is written anew when all went well.
    File(PathBuf),
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a run has no other moments")]
pub enum Moment {
    /// It begins.
    Start,
    /// It is done, perhaps with warnings.
    Success,
    /// It failed.
    Failure,
}

impl Heartbeat {
    /// The address to ask for at this moment: as healthchecks.io and what follows it have them, with `/start` and `/fail`
    /// behind the path. Where the address has `{state}` in it, `start`, `success` or `fail` takes that place instead.
    #[must_use]
    pub fn address(&self, moment: Moment) -> Option<String> {
        let Self::Url(url) = self else {
            return None;
        };
        let (word, behind) = match moment {
            Moment::Start => ("start", "/start"),
            Moment::Success => ("success", ""),
            Moment::Failure => ("fail", "/fail"),
        };
        if url.contains("{state}") {
            return Some(url.replace("{state}", word));
        }
        let (path, query) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        let path = path.trim_end_matches('/');
        Some(format!("{path}{behind}{query}"))
    }

    /// Writes the file anew, with `text`: so its time is that of the last success. Neither its beginning nor a failure is a sign
    /// of life.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn beat(&self, moment: Moment, text: &str) -> Result<(), Error> {
        match self {
            Self::File(path) if moment == Moment::Success => write(path, text),
            _ => Ok(()),
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written = StagedFile::create(path, 0o644).and_then(|mut staged| {
        writeln!(staged, "{text}")?;
        staged.commit_replacing()
    });
    // What a power failure takes away was no sign of life.
    written.map(drop).map_err(|error| {
        let message = format!("cannot write {}", path.display());
        Error::caused(ErrorKind::File, message, error)
    })
}

impl FromStr for Heartbeat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if ["http://", "https://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return Ok(Self::Url(text.to_owned()));
        }
        match text.starts_with('/') {
            true => Ok(Self::File(text.into())),
            false => Err("expected http://…, https://…, or the absolute path of a file".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Vec<String> {
        let beat: Heartbeat = url.parse().unwrap();
        let moments = [Moment::Start, Moment::Success, Moment::Failure];
        moments
            .iter()
            .filter_map(|moment| beat.address(*moment))
            .collect()
    }

    #[test]
    fn an_address_says_what_it_is_about() {
        assert_eq!(
            addresses("https://hc.example/uuid/"),
            [
                "https://hc.example/uuid/start",
                "https://hc.example/uuid",
                "https://hc.example/uuid/fail"
            ]
        );
        assert_eq!(
            addresses("http://h/a?create=1")[2],
            "http://h/a/fail?create=1"
        );
        assert_eq!(
            addresses("http://h/push?status={state}"),
            [
                "http://h/push?status=start",
                "http://h/push?status=success",
                "http://h/push?status=fail"
            ]
        );
        assert!("hc.example".parse::<Heartbeat>().is_err());
    }

    #[test]
    fn a_file_is_written_when_all_went_well_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alive");
        let beat: Heartbeat = path.to_str().unwrap().parse().unwrap();
        for moment in [Moment::Start, Moment::Failure] {
            beat.beat(moment, "x").unwrap();
            assert!(!path.exists());
        }
        beat.beat(Moment::Success, "2026-11-30T02:10:00+01:00")
            .unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("2026-"));
        assert_eq!(beat.address(Moment::Success), None);
        let lost = Heartbeat::File(dir.path().join("none/alive"));
        assert_eq!(
            lost.beat(Moment::Success, "x").unwrap_err().kind(),
            ErrorKind::File
        );
    }
}
