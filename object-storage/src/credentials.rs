//! Who we are to a store.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, ErrorKind};

/// A key and its secret. Neither is shown by `Debug`, nor by any error.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

impl Keys {
    /// A key, its secret, and the token that goes with those that do not last.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<String>, token: Option<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            token: token.filter(|token| !token.is_empty()),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Where the keys come from. They are asked for when they are needed, and once more when a store says that they have
/// expired.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    #[default]
    Environment,
    /// A file that only its owner may read, with lines `aws_access_key_id = …` and so on, as AWS' own has; the section of
    /// this name, `default` for none.
    File(PathBuf, Option<String>),
    /// A command that `/bin/sh` runs, whose output is such a file, or the JSON of AWS' `credential_process`.
    Command(String),
    /// These.
    Keys(Keys),
}

/// More than any file of keys has, in bytes.
const MOST: usize = 1 << 20;

impl Credentials {
    /// The keys of now.
    pub(crate) fn get(&self) -> Result<Keys, Error> {
        match self {
            Self::Keys(keys) => Ok(keys.clone()),
            Self::Environment => {
                let get = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
                match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
                    (Some(id), Some(secret)) => Ok(Keys::new(id, secret, get("AWS_SESSION_TOKEN"))),
                    _ => Err(missing(
                        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; set them, or name a file or a command \
                         for the store's credentials",
                    )),
                }
            }
            Self::File(path, section) => {
                let text = read_private(path)?;
                let section = section.as_deref().unwrap_or("default");
                let none = || missing(&format!("{} has no keys of {section}", path.display()));
                parse(&text, section).ok_or_else(none)
            }
            Self::Command(command) => {
                let failed = |error| {
                    let message = "the command for the store's credentials cannot be run";
                    Error::caused(ErrorKind::Config, message, error)
                };
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(command).stdin(Stdio::null());
                let output = shell.stderr(Stdio::inherit()).output().map_err(failed)?;
                if !output.status.success() {
                    return Err(failed(io::Error::other(output.status.to_string())));
                }
                let text = String::from_utf8_lossy(&output.stdout);
                let none = || missing("the command for the store's credentials prints no keys");
                parse(&text, "default")
                    .or_else(|| json(&text))
                    .ok_or_else(none)
            }
        }
    }
}

fn missing(message: &str) -> Error {
    Error::new(ErrorKind::Config, message)
}

/// Reads a file that nobody else may read.
fn read_private(path: &Path) -> Result<String, Error> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |error| {
        let message = format!("cannot read the credentials in {}", path.display());
        Error::caused(ErrorKind::Config, message, error)
    };
    let known = fs::metadata(path).map_err(failed)?;
    if known.mode() & 0o077 != 0 {
        let message = format!(
            "others may read the credentials in {}: chmod 600 it",
            path.display()
        );
        return Err(Error::new(ErrorKind::Config, message));
    }
    if usize::try_from(known.len()).map_or(true, |size| size > MOST) {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read_to_string(path).map_err(failed)
}

/// The keys of a section; lines before the first section are everybody's.
fn parse(text: &str, section: &str) -> Option<Keys> {
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut here = true;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            here = name.trim() == section;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| here) else {
            continue;
        };
        let value = Some(value.trim().to_owned());
        match key.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" | "access-key-id" => id = value,
            "aws_secret_access_key" | "secret-access-key" => secret = value,
            "aws_session_token" | "session-token" => token = value,
            _ => {}
        }
    }
    Some(Keys::new(id?, secret?, token))
}

/// What AWS calls `credential_process`: an object of strings.
fn json(text: &str) -> Option<Keys> {
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\""))?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let (value, _) = rest.strip_prefix('"')?.split_once('"')?;
        // Keys are letters, digits, `+`, `/` and `=`, which JSON may write as `\/`.
        Some(value.replace("\\/", "/"))
    };
    Some(Keys::new(
        value("AccessKeyId")?,
        value("SecretAccessKey")?,
        value("SessionToken"),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_read_of_sections_lines_and_json_and_never_shown() {
        let text = "[other]\naws_access_key_id=no\n[default]\naws_access_key_id = id\naws_secret_access_key = a/b+c=\n";
        let keys = parse(text, "default").unwrap();
        assert_eq!(keys, Keys::new("id", "a/b+c=", None));
        assert_eq!(parse(text, "other"), None);
        let text =
            r#"{"Version": 1, "AccessKeyId" : "id","SecretAccessKey":"s\/t","SessionToken":"tok"}"#;
        assert_eq!(json(text), Some(Keys::new("id", "s/t", Some("tok".into()))));
        let shown = format!("{keys:?} {:?}", Credentials::Keys(keys.clone()));
        assert!(!shown.contains("id") && !shown.contains("a/b"), "{shown}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(
            &path,
            "aws_access_key_id=a\naws_secret_access_key=verysecret\n",
        )
        .unwrap();
        let of = Credentials::File(path.clone(), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = of.get().unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(of.get().unwrap(), Keys::new("a", "verysecret", None));
        let command = |text: &str| Credentials::Command(text.to_owned()).get();
        let print = format!("cat {}", path.display());
        assert_eq!(command(&print).unwrap().id, "a");
        for bad in ["echo verysecret", "echo verysecret; exit 3"] {
            let error = command(bad).unwrap_err();
            assert!(!format!("{error:?}").contains("verysecret"), "{error:?}");
        }
    }
}
