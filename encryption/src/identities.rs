//! The secret keys that files are read with.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::file_key::FileKey;
use crate::magic::is_encrypted;
use crate::recipients::MAX_FILE;
use crate::stanza::Stanza;
use crate::{ssh, x25519};

/// Secret keys. They are wiped from memory when the last copy is dropped.
#[derive(Clone, Default)]
pub struct Identities(Vec<Arc<Private>>);

enum Private {
    X25519(x25519::Private),
    Ssh(ssh::Private),
}

impl Identities {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the text of a file of secret keys has: lines with `AGE-SECRET-KEY-1…`, empty lines and comments aside,
    /// or one private key of SSH.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Identity`]; the text is not repeated.
    pub fn add(&mut self, text: &str) -> Result<()> {
        self.parse(text)
            .map_err(|why| Error::new(ErrorKind::Identity, why))
    }

    /// Adds the secret keys of a file, as [`Identities::add`].
    ///
    /// # Errors
    /// Kind [`ErrorKind::Identity`], with the file; [`ErrorKind::Io`].
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)
            .and_then(|file| {
                file.take(MAX_FILE.saturating_add(1))
                    .read_to_end(&mut bytes)
            })
            .map_err(|error| Error::io(format!("cannot read the secret key in {shown}"), error))?;
        let wrong = |why: &str| Error::new(ErrorKind::Identity, format!("{shown}: {why}"));
        if bytes.len() as u64 > MAX_FILE {
            return Err(wrong("it is too long for a file of secret keys"));
        }
        if is_encrypted(&bytes) {
            return Err(wrong(
                "this secret key is protected by a passphrase, which is not asked for; `age -d` of it gives one that can be used",
            ));
        }
        let text = str::from_utf8(&bytes).map_err(|_| wrong("there is no secret key in it"))?;
        self.parse(text).map_err(|why| wrong(&why))
    }

    fn parse(&mut self, text: &str) -> std::result::Result<(), String> {
        if text.trim_start().starts_with("-----BEGIN") {
            let key = ssh::Private::parse(text)?;
            self.0.push(Arc::new(Private::Ssh(key)));
            return Ok(());
        }
        let before = self.0.len();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = number.saturating_add(1);
            match x25519::Private::parse(line) {
                Some(key) => self.0.push(Arc::new(Private::X25519(key))),
                None if line.starts_with("age1") || line.starts_with("ssh-") => {
                    return Err(format!(
                        "line {number} is a public key; reading needs the secret one"
                    ));
                }
                None if line.starts_with("AGE-PLUGIN-") => {
                    return Err(format!(
                        "line {number} is a key of a plugin, of which none is used"
                    ));
                }
                None => return Err(format!("line {number} is no secret key")),
            }
        }
        match self.0.len() > before {
            true => Ok(()),
            false => Err("there is no secret key in it".to_owned()),
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

    /// The key of a file, if one of these is among its recipients'.
    pub(crate) fn unwrap(&self, stanzas: &[Stanza]) -> Option<FileKey> {
        self.0.iter().find_map(|private| {
            stanzas.iter().find_map(|stanza| match &**private {
                Private::X25519(private) => private.unwrap(stanza),
                Private::Ssh(private) => private.unwrap(stanza),
            })
        })
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.count())
    }
}
