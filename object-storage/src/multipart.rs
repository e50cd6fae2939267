//! Uploads of several parts, as S3 knows them.

use jiff::Timestamp;
use rusty_s3::Method;

use crate::answer::{Answer, bare, escaped, field};
use crate::error::{Error, ErrorKind};
use crate::http::{Refused, Reply, Request, Stop};
use crate::lock::Lock;
use crate::store::{Store, Sums, locked, understood};

/// An upload that is neither complete nor aborted: it takes room, and nobody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// The key that the object would have.
    pub key: String,
    /// Its id.
    pub id: String,
    /// When it was begun.
    pub begun: Timestamp,
}

/// A part that a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// From 1 on.
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its tag.
    pub etag: String,
}

/// A part that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) etag: String,
    pub(crate) sums: Sums,
    /// Whether its tag is its MD5.
    pub(crate) is_md5: bool,
}

impl Store {
    /// The unfinished uploads of keys that begin with `prefix`.
    ///
    /// # Errors
    /// Those of the store.
    pub fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, Error> {
        let mut all = Vec::new();
        let mut marker = (String::new(), String::new());
        loop {
            let what = format!("list unfinished uploads of {prefix}");
            let mut request = Request::new(what, Method::Get, None)
                .query("uploads", "")
                .query("prefix", prefix);
            if !marker.0.is_empty() {
                request = request
                    .query("key-marker", marker.0.clone())
                    .query("upload-id-marker", marker.1.clone());
            }
            let reply = self.client.send(&request)?;
            let answer = understood("ListMultipartUploadsResult", &reply)?;
            // Some stores list more than was asked for.
            let found = unfinished(&answer).into_iter();
            all.extend(found.filter(|upload| upload.key.starts_with(prefix)));
            let next = (
                answer.field("NextKeyMarker").to_owned(),
                answer.field("NextUploadIdMarker").to_owned(),
            );
            if answer.field("IsTruncated") != "true" || next.0.is_empty() || next == marker {
                return Ok(all);
            }
            marker = next;
        }
    }

    /// Gives an upload up. One that is not there is no error.
    ///
    /// # Errors
    /// Those of the store.
    pub fn abort(&self, key: &str, id: &str) -> Result<(), Error> {
        let what = format!("abort the upload of {key}");
        let request = Request::new(what, Method::Delete, key).query("uploadId", id);
        match self.client.send(&request) {
            Err(refused) if refused.error.kind() == ErrorKind::NotFound => Ok(()),
            sent => sent.map(drop).map_err(Error::from),
        }
    }

    /// Gives up all uploads of exactly this key; says how many there were.
    ///
    /// # Errors
    /// Those of the store.
    pub fn abort_all(&self, key: &str) -> Result<usize, Error> {
        let uploads = self.unfinished(key)?.into_iter();
        let mut count = 0_usize;
        for upload in uploads.filter(|upload| upload.key == key) {
            self.abort(key, &upload.id)?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// The parts that a store has of an upload.
    ///
    /// # Errors
    /// Those of the store.
    pub fn parts(&self, key: &str, id: &str) -> Result<Vec<Part>, Error> {
        let mut all = Vec::new();
        let mut marker = String::new();
        loop {
            let what = format!("list the parts of {key}");
            let mut request = Request::new(what, Method::Get, key).query("uploadId", id);
            if !marker.is_empty() {
                request = request.query("part-number-marker", marker.clone());
            }
            let reply = self.client.send(&request)?;
            let answer = understood("ListParts", &reply)?;
            all.extend(answer.entries("Part").filter_map(|part| {
                Some(Part {
                    number: field(part, "PartNumber").parse().ok()?,
                    size: field(part, "Size").parse().ok()?,
                    etag: bare(field(part, "ETag")).to_owned(),
                })
            }));
            let next = answer.field("NextPartNumberMarker");
            if answer.field("IsTruncated") != "true" || next.is_empty() || next == marker {
                return Ok(all);
            }
            next.clone_into(&mut marker);
        }
    }

    pub(crate) fn create_upload(&self, key: &str, lock: Option<&Lock>) -> Result<String, Error> {
        let request = Request::new(format!("begin {key}"), Method::Post, key).query("uploads", "");
        let mut request = locked(request, lock);
        if self.client.config().crc32 {
            request = request.header("x-amz-checksum-algorithm", "CRC32");
        }
        let reply = self.client.send(&request)?;
        let answer = understood("InitiateMultipartUploadResult", &reply)?;
        match answer.field("UploadId") {
            "" => Err(Error::new(
                ErrorKind::Refused,
                "the store begins an upload without an id",
            )),
            id => Ok(id.to_owned()),
        }
    }

    pub(crate) fn send_part(
        &self,
        (key, id): (&str, &str),
        number: u32,
        bytes: &[u8],
        sums: Sums,
        stop: &Stop,
    ) -> Result<Sent, Error> {
        let what = format!("store part {number} of {key}");
        let mut request = Request::new(what.clone(), Method::Put, key)
            .query("partNumber", number.to_string())
            .query("uploadId", id)
            .body(bytes);
        request = sums.on(request, self.client.config());
        request.stop = stop.clone();
        let check = |reply: &Reply| match bare(reply.header("etag")) {
            "" => Err(Error::new(
                ErrorKind::Corrupt,
                format!("the store does not tell what it has of {key}"),
            )),
            _ => sums.compare(&format!("part {number} of {key}"), reply),
        };
        let reply = self.client.send_checked(&request, check)?;
        let etag = bare(reply.header("etag")).to_owned();
        Ok(Sent {
            is_md5: etag == sums.hex(),
            etag,
            sums,
        })
    }

    /// Makes an object of parts, if there is none of that name.
    pub(crate) fn complete(
        &self,
        (key, id): (&str, &str),
        parts: &[(u32, Sent)],
        conditional: bool,
    ) -> Result<(), Refused> {
        let crc32 = self.client.config().crc32;
        let mut xml = String::from("<CompleteMultipartUpload>");
        for (number, sent) in parts {
            let sum = match crc32 {
                true => format!("<ChecksumCRC32>{}</ChecksumCRC32>", sent.sums.crc32_text()),
                false => String::new(),
            };
            xml.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag>{sum}</Part>",
                escaped(&sent.etag)
            ));
        }
        xml.push_str("</CompleteMultipartUpload>");
        let mut request = Request::new(format!("complete {key}"), Method::Post, key)
            .query("uploadId", id)
            .body(xml.as_bytes());
        if conditional {
            request = request.header("if-none-match", "*");
        }
        // A store that finds an error late has said 200 already.
        let check = |reply: &Reply| {
            let refusal = crate::answer::refusal(&reply.body);
            match refusal.code.is_empty() {
                true => Ok(()),
                false => Err(Error::refused(&format!("complete {key}"), 200, &refusal)),
            }
        };
        self.client.send_checked(&request, check).map(drop)
    }
}

/// The unfinished uploads in an answer.
pub(crate) fn unfinished(answer: &Answer) -> Vec<Unfinished> {
    let uploads = answer.entries("Upload").map(|entry| Unfinished {
        key: field(entry, "Key").to_owned(),
        id: field(entry, "UploadId").to_owned(),
        begun: field(entry, "Initiated").parse().unwrap_or_default(),
    });
    uploads.filter(|upload| !upload.id.is_empty()).collect()
}
