//! A bucket: objects that are put, looked at, read, listed and deleted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use md5::{Digest as _, Md5};
use rusty_s3::Method;

use crate::answer::{Answer, bare, field, total};
use crate::config::StoreConfig;
use crate::error::{Error, ErrorKind};
use crate::http::{Client, Reply, Request, Stop};
use crate::lock::Lock;

/// More entries than this has no list that anybody works with; of each the name is kept.
const MOST_LISTED: usize = 1_000_000;

/// A bucket.
#[derive(Debug)]
pub struct Store {
    pub(crate) client: Client,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Object {
    /// Its size in bytes.
    pub size: u64,
    /// What changes with its contents.
    pub etag: String,
    /// When it was put there.
    pub modified: Timestamp,
    /// Its version, in a bucket that keeps those.
    pub version: Option<String>,
    /// Its lock, if it has one, and it has not ended.
    pub lock: Option<Lock>,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was put there.
    pub modified: Timestamp,
    /// What changes with its contents.
    pub etag: String,
}

/// A piece of an object.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// The object's whole size.
    pub(crate) total: u64,
    pub(crate) etag: String,
}

impl Store {
    /// A bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Config`].
    pub fn new(config: &StoreConfig) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new(config)?,
        })
    }

    /// How many requests were sent to it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.client.sent()
    }

    /// What is known of an object; `None` if there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn look(&self, key: &str) -> Result<Option<Object>, Error> {
        let request = Request::new(format!("look at {key}"), Method::Head, key);
        let reply = match self.client.send(&request) {
            Err(refused) if refused.error.kind() == ErrorKind::NotFound => return Ok(None),
            reply => reply?,
        };
        let size = reply
            .header("content-length")
            .parse()
            .map_err(|_| unclear(key))?;
        let lock = Lock::of(
            reply.header("x-amz-object-lock-mode"),
            reply.header("x-amz-object-lock-retain-until-date"),
        )?;
        let held = reply.header("x-amz-object-lock-legal-hold") == "ON";
        let lock = match held {
            true => Some(Lock {
                mode: crate::lock::LockMode::Compliance,
                until: Timestamp::MAX,
            }),
            false => lock.filter(|lock| lock.until > Timestamp::now()),
        };
        let version = reply.header("x-amz-version-id");
        Ok(Some(Object {
            size,
            etag: bare(reply.header("etag")).to_owned(),
            modified: http_date(reply.header("last-modified")),
            version: Some(version.to_owned()).filter(|id| !id.is_empty() && id != "null"),
            lock,
        }))
    }

    /// A small object's contents, of which there are at most `most` bytes; `None` if there is none.
    ///
    /// # Errors
    /// Those of the store, and kind [`ErrorKind::Refused`] if there is more.
    pub fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut request = Request::new(format!("read {key}"), Method::Get, key);
        request.most = most.saturating_add(1);
        match self
            .client
            .send_checked(&request, |reply| whole(key, reply))
        {
            Err(refused) if refused.error.kind() == ErrorKind::NotFound => Ok(None),
            reply => Ok(Some(reply?.body)),
        }
    }

    /// Some bytes of an object, which has this tag if one is given.
    pub(crate) fn get_range(
        &self,
        key: &str,
        (offset, length): (u64, u64),
        etag: Option<&str>,
        stop: &Stop,
    ) -> Result<Piece, Error> {
        let last = offset.saturating_add(length).saturating_sub(1);
        let mut request = Request::new(format!("read {key}"), Method::Get, key)
            .header("range", format!("bytes={offset}-{last}"));
        request.most = length.saturating_add(1);
        request.stop = stop.clone();
        if let Some(etag) = etag {
            request = request.header("if-match", format!("\"{etag}\""));
        }
        let sent = self
            .client
            .send_checked(&request, |reply| whole(key, reply));
        let reply = sent.map_err(|refused| match refused.error.kind() {
            ErrorKind::Exists if etag.is_some() => {
                let message =
                    format!("{key} is not the object any more that it was when it was opened");
                Error::new(ErrorKind::Changed, message)
            }
            _ => refused.error,
        })?;
        // A store that takes no ranges sends all, if that is not more than was asked for.
        let total = match reply.header("content-range") {
            "" => Some(reply.body.len() as u64),
            range => total(range),
        };
        let total = total.ok_or_else(|| unclear(key))?;
        let due = total.saturating_sub(offset).min(length);
        if reply.body.len() as u64 != due {
            return Err(unclear(key));
        }
        Ok(Piece {
            total,
            etag: bare(reply.header("etag")).to_owned(),
            bytes: reply.body,
        })
    }

    /// Puts a small object, complete; only if there is none, if that is wanted.
    ///
    /// # Errors
    /// Those of the store; kind [`ErrorKind::Exists`].
    pub fn put(
        &self,
        key: &str,
        bytes: &[u8],
        new: bool,
        lock: Option<&Lock>,
    ) -> Result<(), Error> {
        let sums = Sums::of(bytes);
        let mut request = Request::new(format!("store {key}"), Method::Put, key).body(bytes);
        request = sums.on(request, self.client.config());
        request = locked(request, lock);
        if new {
            // Not every store knows the condition.
            if self.look(key)?.is_some() {
                return Err(exists(key));
            }
            request = request.header("if-none-match", "*");
        }
        let sent = self
            .client
            .send_checked(&request, |reply| sums.compare(key, reply));
        match sent {
            Ok(_) => Ok(()),
            // An answer was lost on the way: is it ours?
            Err(refused) if refused.error.kind() == ErrorKind::Exists => match self.look(key)? {
                Some(object) if refused.again && object.etag == sums.hex() => Ok(()),
                _ => Err(exists(key)),
            },
            Err(refused) => Err(refused.error),
        }
    }

    /// All objects whose keys begin with `prefix` and have no slash behind it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list(&self, prefix: &str) -> Result<Vec<Listed>, Error> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut request = Request::new(format!("list {prefix}"), Method::Get, None)
                .query("list-type", "2")
                .query("delimiter", "/")
                .query("prefix", prefix);
            if !next.is_empty() {
                request = request.query("continuation-token", next.clone());
            }
            let reply = self.client.send(&request)?;
            let answer = understood("ListBucketResult", &reply)?;
            all.extend(listed(&answer));
            let token = answer.field("NextContinuationToken");
            if answer.field("IsTruncated") != "true" || token.is_empty() || token == next {
                return Ok(all);
            }
            if all.len() > MOST_LISTED {
                let message = format!("the store lists more than {MOST_LISTED} objects");
                return Err(Error::new(ErrorKind::Refused, message));
            }
            token.clone_into(&mut next);
        }
    }

    /// Removes an object; in a bucket that keeps versions, this version. One that is not there is no error.
    ///
    /// # Errors
    /// Those of the store; kind [`ErrorKind::Locked`], and then it is there as before.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        let Some(object) = self.look(key)? else {
            return Ok(());
        };
        if let Some(lock) = object.lock {
            let message = format!("{key} is locked until {}", lock.end());
            return Err(Error::new(ErrorKind::Locked, message));
        }
        let mut request = Request::new(format!("delete {key}"), Method::Delete, key);
        if let Some(version) = object.version {
            request = request.query("versionId", version);
        }
        match self.client.send(&request) {
            Err(refused) if refused.error.kind() == ErrorKind::NotFound => Ok(()),
            sent => sent.map(drop).map_err(Error::from),
        }
    }

    /// Locks an object that is there, or for longer.
    ///
    /// # Errors
    /// Those of the store: it refuses what is shorter than the lock that there is.
    pub fn lock(&self, key: &str, lock: &Lock) -> Result<(), Error> {
        let xml = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode><RetainUntilDate>{}\
             </RetainUntilDate></Retention>",
            lock.mode.word(),
            lock.end()
        );
        let request = Request::new(format!("lock {key}"), Method::Put, key).query("retention", "");
        let request = Sums::of(xml.as_bytes())
            .on(request, self.client.config())
            .body(xml.as_bytes());
        self.client.send(&request)?;
        Ok(())
    }
}

/// The objects in an answer.
pub(crate) fn listed(answer: &Answer) -> Vec<Listed> {
    let objects = answer.entries("Contents").filter_map(|entry| {
        Some(Listed {
            key: field(entry, "Key").to_owned(),
            size: field(entry, "Size").parse().ok()?,
            modified: field(entry, "LastModified").parse().unwrap_or_default(),
            etag: bare(field(entry, "ETag")).to_owned(),
        })
    });
    objects.collect()
}

/// An answer whose root begins so: not all stores end its name alike.
pub(crate) fn understood(root: &str, reply: &Reply) -> Result<Answer, Error> {
    let answer = Answer::parse(&reply.body).filter(|answer| answer.root.starts_with(root));
    answer.ok_or_else(|| {
        let message = "the store's answer is none of S3's; is the endpoint the right one?";
        Error::new(ErrorKind::Refused, message)
    })
}

pub(crate) fn exists(key: &str) -> Error {
    let message = format!("{key} exists already; remove it or choose another name");
    Error::new(ErrorKind::Exists, message)
}

fn unclear(key: &str) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!("the store's answer about {key} makes no sense"),
    )
}

/// Fails if less has arrived than was announced.
fn whole(key: &str, reply: &Reply) -> Result<(), Error> {
    let announced: Option<u64> = reply.header("content-length").parse().ok();
    match announced {
        Some(length) if length != reply.body.len() as u64 => {
            let message = format!("only a part of {key} has arrived");
            Err(Error::new(ErrorKind::Corrupt, message))
        }
        _ => Ok(()),
    }
}

fn http_date(text: &str) -> Timestamp {
    let parsed = rfc2822::DateTimeParser::new().parse_timestamp(text);
    parsed.unwrap_or_default()
}

/// Adds the headers that lock what is put.
pub(crate) fn locked<'a>(request: Request<'a>, lock: Option<&Lock>) -> Request<'a> {
    match lock {
        None => request,
        Some(lock) => request
            .header("x-amz-object-lock-mode", lock.mode.word())
            .header("x-amz-object-lock-retain-until-date", lock.end()),
    }
}

/// Checksums of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) md5: [u8; 16],
    pub(crate) crc32: u32,
}

impl Sums {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            md5: Md5::digest(bytes).into(),
            crc32: crc32fast::hash(bytes),
        }
    }

    /// As ETags of single pieces show it.
    pub(crate) fn hex(&self) -> String {
        hex(&self.md5)
    }

    pub(crate) fn crc32_text(&self) -> String {
        STANDARD.encode(self.crc32.to_be_bytes())
    }

    /// Has the store compare.
    pub(crate) fn on<'a>(&self, request: Request<'a>, config: &StoreConfig) -> Request<'a> {
        let request = request.header("content-md5", STANDARD.encode(self.md5));
        match config.crc32 {
            true => request.header("x-amz-checksum-crc32", self.crc32_text()),
            false => request,
        }
    }

    /// Compares with the tag of what the store has, where that is an MD5.
    pub(crate) fn compare(&self, what: &str, reply: &Reply) -> Result<(), Error> {
        let etag = bare(reply.header("etag"));
        let other = etag.len() == 32 && !is_encrypted(reply) && etag != self.hex();
        match other {
            true => {
                let message = format!("the store has something else than was sent as {what}");
                Err(Error::new(ErrorKind::Corrupt, message))
            }
            false => Ok(()),
        }
    }
}

/// Whether the store encrypts with keys of somebody; then tags are no checksums.
pub(crate) fn is_encrypted(reply: &Reply) -> bool {
    reply
        .header("x-amz-server-side-encryption")
        .starts_with("aws:kms")
        || !reply
            .header("x-amz-server-side-encryption-customer-algorithm")
            .is_empty()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
