//! What it takes to get to a bucket.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::Credentials;

/// A bucket, and the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreConfig {
    /// `https://HOST[:PORT]`, or `http://` within a network that is trusted.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for; most stores of one's own take any.
    pub region: String,
    /// The bucket is the first part of the path and not of the host's name.
    pub path_style: bool,
    /// Where the keys come from.
    pub credentials: Credentials,
    /// Certificates of the authorities to be believed, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Send a CRC-32 of each object and part, which stores of now compare and keep. MD5 is always sent.
    pub crc32: bool,
    /// For how long a request is tried again.
    pub retry_for: Duration,
}

impl StoreConfig {
    /// A bucket at an endpoint, with the keys of the environment.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            bucket: bucket.into(),
            region: "us-east-1".to_owned(),
            path_style: true,
            credentials: Credentials::Environment,
            ca_file: None,
            crc32: true,
            retry_for: Duration::from_secs(120),
        }
    }

    /// The same with these keys' place.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// The same, trying again for so long.
    #[must_use]
    pub fn with_retry_for(mut self, limit: Duration) -> Self {
        self.retry_for = limit;
        self
    }
}
