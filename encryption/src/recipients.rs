//! For whom a file is encrypted.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use fleece_plain_text::words;

use crate::error::{Error, ErrorKind, Result};
use crate::file_key::FileKey;
use crate::stanza::Stanza;
use crate::{ssh, x25519};

/// A file of keys has at most so many bytes: ten thousand keys.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// The public keys that a file is encrypted for. The secret key of each of them is enough to read it.
#[derive(Clone, Default)]
pub struct Recipients(Vec<Arc<Public>>);

enum Public {
    X25519(x25519::Public),
    Ssh(ssh::Public),
}

impl Recipients {
    /// Nobody. A file cannot be encrypted for nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a public key: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Recipient`].
    pub fn add(&mut self, key: &str) -> Result<()> {
        let public = parse(key.trim()).map_err(|why| {
            let key = key.trim();
            let shown = match key.starts_with("AGE-SECRET-KEY") || key.contains("PRIVATE KEY") {
                // Nobody's secret is repeated.
                true => "this".to_owned(),
                false => words(&key.chars().take(80).collect::<String>()),
            };
            Error::new(ErrorKind::Recipient, format!("{shown} is {why}"))
        })?;
        self.0.push(Arc::new(public));
        Ok(())
    }

    /// Adds all public keys of a file: one a line, empty lines and those that begin with `#` aside.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Recipient`], with the line, also if there is none; [`ErrorKind::Io`].
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        let mut text = String::new();
        File::open(path)
            .and_then(|file| {
                file.take(MAX_FILE.saturating_add(1))
                    .read_to_string(&mut text)
            })
            .map_err(|error| Error::io(format!("cannot read the public keys in {shown}"), error))?;
        if text.len() as u64 > MAX_FILE {
            let why = format!("{shown} is too long for a file of public keys");
            return Err(Error::new(ErrorKind::Recipient, why));
        }
        let before = self.0.len();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = number.saturating_add(1);
            self.add(line).map_err(|error| {
                Error::new(
                    ErrorKind::Recipient,
                    format!("{shown}, line {number}: {error}"),
                )
            })?;
        }
        match self.0.len() > before {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Recipient,
                format!("there is no public key in {shown}"),
            )),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn wrap(&self, key: &FileKey) -> Result<Vec<Stanza>> {
        if self.is_empty() {
            let why = "there is no public key to encrypt for";
            return Err(Error::new(ErrorKind::Recipient, why));
        }
        let mut stanzas = Vec::new();
        for public in &self.0 {
            let wrapped = match &**public {
                Public::X25519(public) => public.wrap(key),
                Public::Ssh(public) => public.wrap(key),
            }?;
            stanzas.push(wrapped.ok_or_else(|| {
                let why = format!("{public} is no key that anybody has");
                Error::new(ErrorKind::Recipient, why)
            })?);
        }
        Ok(stanzas)
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(public) => public.fmt(f),
            Self::Ssh(public) => f.write_str(&public.to_line()),
        }
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|public| format!("{public}")))
            .finish()
    }
}

fn parse(key: &str) -> std::result::Result<Public, String> {
    if let Some(public) = x25519::Public::parse(key) {
        return Ok(Public::X25519(public));
    }
    if key.starts_with("AGE-SECRET-KEY-") || key.contains("PRIVATE KEY") {
        return Err(
            "a secret key; give its public key, as `age-keygen -y` or `ssh-keygen -y` shows it"
                .to_owned(),
        );
    }
    if key.starts_with("age1") {
        return Err("not a whole age key, or one of a plugin, of which none is used".to_owned());
    }
    match key.contains(' ') {
        true => ssh::Public::parse(key).map(Public::Ssh),
        false => Err(
            "no public key; those of age begin with age1, those of SSH with ssh-ed25519 or ssh-rsa"
                .to_owned(),
        ),
    }
}
