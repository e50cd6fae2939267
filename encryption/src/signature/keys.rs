//! The keys of signatures: Ed25519, in the files of SSH.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use fleece_plain_text::words;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::recipients::MAX_FILE;
use crate::ssh_key::{PrivateKey, PrivatePart, PublicKey, PublicPart};

/// A secret key that signs.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

impl SigningKey {
    /// From the file of a private key of SSH, Ed25519, that nobody else may read.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Identity`], also if others may read it; [`ErrorKind::Io`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let shown = path.display();
        let io = |error| Error::io(format!("cannot read the key {shown}"), error);
        let file = File::open(path).map_err(io)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let mode = file.metadata().map_err(io)?.mode() & 0o777;
            if mode & 0o077 != 0 {
                let why = format!(
                    "{shown} may be read by others (its mode is {mode:03o}), who could sign with it; `chmod 600` it"
                );
                return Err(Error::new(ErrorKind::Identity, why));
            }
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_FILE).read_to_end(&mut bytes).map_err(io)?;
        let text = str::from_utf8(&bytes).unwrap_or_default();
        Self::parse(text).map_err(|why| Error::new(ErrorKind::Identity, format!("{shown}: {why}")))
    }

    /// From the text of such a file.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Identity`]; the text is not repeated.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::parse(text).map_err(|why| Error::new(ErrorKind::Identity, why))
    }

    fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let PrivateKey { public, key } = PrivateKey::parse(text)?;
        let (PrivatePart::Ed25519(seed), PublicPart::Ed25519(point)) = (&key, &public.key) else {
            return Err("signing takes an Ed25519 key, as `ssh-keygen -t ed25519` makes");
        };
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed.as_slice(), point);
        Ok(Self {
            pair: Arc::new(pair.map_err(|_| "the two halves of this key do not fit")?),
            public,
        })
    }

    /// The public key, as in a line of `authorized_keys`.
    #[must_use]
    pub fn to_public(&self) -> String {
        self.public.to_line()
    }

    pub(super) fn wire(&self) -> &[u8] {
        &self.public.wire
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.to_public())
    }
}

/// The public keys whose signatures are believed.
#[derive(Clone, Debug, Default)]
pub struct VerifyingKeys(Vec<PublicKey>);

impl VerifyingKeys {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key: `ssh-ed25519 …`.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Recipient`].
    pub fn add(&mut self, line: &str) -> Result<()> {
        let key = PublicKey::parse(line).and_then(|key| match key.key {
            PublicPart::Ed25519(_) => Ok(key),
            PublicPart::Rsa { .. } => Err("an RSA key; signatures are by Ed25519 keys".to_owned()),
        });
        let key = key.map_err(|why| {
            let shown = words(&line.chars().take(80).collect::<String>());
            Error::new(ErrorKind::Recipient, format!("{shown} is {why}"))
        })?;
        self.0.push(key);
        Ok(())
    }

    /// Adds the keys of a file: one a line, empty lines and comments aside.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Recipient`], also if there is none; [`ErrorKind::Io`].
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|error| Error::io(format!("cannot read the public keys in {shown}"), error))?;
        let before = self.0.len();
        for line in text.lines().map(str::trim) {
            if line.starts_with("-----BEGIN") {
                let why = format!("{shown} is a private key; checking takes the public one");
                return Err(Error::new(ErrorKind::Recipient, why));
            }
            if !line.is_empty() && !line.starts_with('#') {
                self.add(line)?;
            }
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

    /// The key that is `wire`, if it is among these and has signed `message`.
    pub(super) fn signer(&self, wire: &[u8], message: &[u8], signature: &[u8]) -> Option<String> {
        let key = self.0.iter().find(|key| key.wire == wire)?;
        let PublicPart::Ed25519(point) = &key.key else {
            return None;
        };
        let verified = UnparsedPublicKey::new(&ED25519, point).verify(message, signature);
        verified.ok().map(|()| key.to_line())
    }
}
