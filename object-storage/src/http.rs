//! Requests: signed, sent, and tried again while that makes sense.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fleece_plain_text::words;
use jiff::Timestamp;
use rusty_s3::signing::sign;
use rusty_s3::{Bucket, Method, UrlStyle};
use ureq::http::{self, HeaderMap};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::answer::{MOST, refusal};
use crate::config::StoreConfig;
use crate::credentials::Keys;
use crate::error::{Error, ErrorKind};

/// A connection is there within that, or the host does not answer.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection on which nothing moves for so long is dead. A store takes as long to put a large object together.
const STALLED: Duration = Duration::from_secs(120);

/// How long a signature is good for, in seconds.
const EXPIRES: u64 = 3600;

/// The first pause before another try, and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often somebody who waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Where systems have the certificates of authorities.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Tells requests that they are not wanted any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits for so long; tells whether it is still wanted.
    fn wait(&self, pause: Duration) -> bool {
        let end = Instant::now().checked_add(pause);
        while !self.is_set() {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if !left.is_zero() => thread::sleep(left.min(LOOK)),
                _ => return true,
            }
        }
        false
    }
}

/// One thing that is asked of a store.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// What it is for: "cannot …".
    pub(crate) what: String,
    pub(crate) method: Method,
    /// `None`: the bucket itself.
    pub(crate) key: Option<&'a str>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'a [u8],
    /// How many bytes the answer has at most.
    pub(crate) most: u64,
    pub(crate) stop: Stop,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        what: impl Into<String>,
        method: Method,
        key: impl Into<Option<&'a str>>,
    ) -> Self {
        Self {
            what: what.into(),
            method,
            key: key.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: &[],
            most: MOST,
            stop: Stop::default(),
        }
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }
}

/// What a store has answered to what it has done.
#[derive(Debug)]
pub(crate) struct Reply {
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether it was asked more than once: then it may have done it before.
    pub(crate) again: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A refusal, and whether it was asked more than once.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) again: bool,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// The way to a bucket.
pub(crate) struct Client {
    bucket: Bucket,
    agent: Agent,
    config: StoreConfig,
    keys: Mutex<Option<Keys>>,
    sent: AtomicU64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(config: &StoreConfig) -> Result<Self, Error> {
        let bad = |why: &str| {
            let message = format!("the endpoint {} {why}", words(&config.endpoint));
            Error::new(ErrorKind::Config, message)
        };
        let secure = config.endpoint.starts_with("https://");
        if !secure && !config.endpoint.starts_with("http://") {
            return Err(bad("begins neither with https:// nor with http://"));
        }
        if config.endpoint.contains('@') {
            return Err(bad(
                "has a user's name or a password in it; credentials have their own place",
            ));
        }
        let style = match config.path_style {
            true => UrlStyle::Path,
            false => UrlStyle::VirtualHost,
        };
        let endpoint = config.endpoint.parse().map_err(|_| bad("is no URL"))?;
        let bucket = Bucket::new(
            endpoint,
            style,
            config.bucket.clone(),
            config.region.clone(),
        )
        .map_err(|_| bad("cannot be used with this bucket"))?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("fleece/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(STALLED))
            .timeout_per_read(Some(STALLED))
            .timeout_per_write(Some(STALLED));
        let agent = match secure {
            true => agent.tls_config(tls(config)?),
            false => agent,
        };
        Ok(Self {
            bucket,
            agent: agent.build().into(),
            config: config.clone(),
            keys: Mutex::new(None),
            sent: AtomicU64::new(0),
        })
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// How many requests were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Asks, and asks again while that makes sense.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Reply, Refused> {
        self.send_checked(request, |_| Ok(()))
    }

    /// The same; an answer that `check` refuses as corrupt is no answer.
    pub(crate) fn send_checked(
        &self,
        request: &Request<'_>,
        check: impl Fn(&Reply) -> Result<(), Error>,
    ) -> Result<Reply, Refused> {
        let begun = Instant::now();
        let mut tries = 0_u32;
        let mut renewed = false;
        loop {
            let again = tries > 0;
            tries = tries.saturating_add(1);
            if request.stop.is_set() {
                let message = format!("cannot {}: it was given up", request.what);
                let error = Error::new(ErrorKind::Cancelled, message);
                return Err(Refused { error, again });
            }
            let asked = self.once(request).and_then(|mut reply| {
                reply.again = again;
                check(&reply).map(|()| reply)
            });
            let error = match asked {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Expired && !renewed {
                // A file or a command may have others by now.
                renewed = true;
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
                continue;
            }
            let pause = pause(tries);
            if !error.kind().is_transient() {
                return Err(Refused { error, again });
            }
            if begun.elapsed().saturating_add(pause) > self.config.retry_for {
                let error = given_up(error, tries, begun.elapsed());
                return Err(Refused { error, again: true });
            }
            tracing::debug!(%error, tries, "a store is asked again");
            // What is given up says so at the head of this loop.
            let _ = request.stop.wait(pause);
        }
    }

    fn keys(&self) -> Result<Keys, Error> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = keys.as_ref() {
            return Ok(keys.clone());
        }
        let new = self.config.credentials.get()?;
        Ok(keys.insert(new).clone())
    }

    fn once(&self, request: &Request<'_>) -> Result<Reply, Error> {
        let keys = self.keys()?;
        let mut query: Vec<(&str, &str)> = request
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        query.sort_unstable();
        let mut headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        headers.sort_unstable();
        let url = match request.key {
            None => self.bucket.base_url().clone(),
            Some(key) => self.bucket.object_url(key),
        };
        let signed = sign(
            &Timestamp::now(),
            request.method,
            url,
            &keys.id,
            &keys.secret,
            keys.token.as_deref(),
            &self.config.region,
            EXPIRES,
            query.iter().copied(),
            headers.iter().copied(),
        );
        let mut built = http::Request::builder()
            .method(request.method.to_str())
            .uri(signed.as_str());
        for (name, value) in &headers {
            built = built.header(*name, *value);
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        let unbuilt = |_| {
            Error::new(
                ErrorKind::Config,
                format!("cannot {}: bad request", request.what),
            )
        };
        let answer = match request.method {
            Method::Put | Method::Post => {
                self.agent.run(built.body(request.body).map_err(unbuilt)?)
            }
            _ => self.agent.run(built.body(()).map_err(unbuilt)?),
        };
        let failed = |error| transport(&request.what, error);
        let mut answer = answer.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = match request.method {
            Method::Head => Vec::new(),
            _ if (200..300).contains(&status) => body(&mut answer, request.most).map_err(failed)?,
            _ => body(&mut answer, MOST).map_err(failed)?,
        };
        if !(200..300).contains(&status) {
            let refusal = refusal(&body);
            let mut error = Error::refused(&request.what, status, &refusal);
            if matches!(status, 301 | 307) || refusal.code == "AuthorizationHeaderMalformed" {
                let message = format!("{error}; is the store's region or endpoint another one?");
                error = Error::new(ErrorKind::Refused, message);
            }
            return Err(error);
        }
        Ok(Reply {
            headers: answer.headers().clone(),
            body,
            again: false,
        })
    }
}

fn body(answer: &mut http::Response<Body>, most: u64) -> Result<Vec<u8>, ureq::Error> {
    answer.body_mut().with_config().limit(most).read_to_vec()
}

/// Between zero and a length that doubles with every try, so that many hosts do not ask at once.
fn pause(tries: u32) -> Duration {
    let longest = PAUSE
        .saturating_mul(2_u32.saturating_pow(tries.min(16)))
        .min(LONGEST_PAUSE);
    longest.mul_f64(fastrand::f64())
}

fn given_up(error: Error, tries: u32, after: Duration) -> Error {
    let message = format!("{error} ({tries} tries in {:.0} s)", after.as_secs_f64());
    match std::error::Error::source(&error) {
        Some(source) => {
            let source = io::Error::other(source.to_string());
            Error::caused(error.kind(), message, source)
        }
        None => Error::new(error.kind(), message),
    }
}

/// What went wrong on the way. An error of the library may show the URL, with its signature.
fn transport(what: &str, error: ureq::Error) -> Error {
    let new = |kind, why: &str| Error::new(kind, format!("cannot {what}: {why}"));
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            let message = format!("cannot {what}: the connection is not to be trusted");
            Error::caused(ErrorKind::Refused, message, error)
        }
        ureq::Error::Io(error) => {
            Error::caused(ErrorKind::Unreachable, format!("cannot {what}"), error)
        }
        ureq::Error::Timeout(_) => new(ErrorKind::Unreachable, "the store does not answer in time"),
        ureq::Error::HostNotFound => new(ErrorKind::Unreachable, "the store's host is not known"),
        ureq::Error::ConnectionFailed => new(ErrorKind::Unreachable, "there is no connection"),
        ureq::Error::Rustls(error) => new(
            ErrorKind::Refused,
            &format!("TLS: {}", words(&error.to_string())),
        ),
        ureq::Error::Tls(error) => new(ErrorKind::Refused, &format!("TLS: {error}")),
        ureq::Error::BodyExceedsLimit(_) => new(ErrorKind::Refused, "the answer is too long"),
        ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => {
            new(ErrorKind::Config, "the endpoint, or the proxy's, is no URL")
        }
        _ => new(ErrorKind::Unreachable, "the answer makes no sense"),
    }
}

/// TLS by the authorities of the configuration, or of the system.
fn tls(config: &StoreConfig) -> Result<TlsConfig, Error> {
    let none = || {
        let message =
            "this system has no certificates of authorities; install them, or name a file of them";
        Error::new(ErrorKind::Config, message)
    };
    let path = match &config.ca_file {
        Some(path) => path.clone(),
        None => AUTHORITIES
            .iter()
            .map(std::path::PathBuf::from)
            .find(|path| path.exists())
            .ok_or_else(none)?,
    };
    let failed = |error| {
        let message = format!("cannot read the certificates in {}", path.display());
        Error::caused(ErrorKind::Config, message, error)
    };
    let pem = std::fs::read(&path).map_err(failed)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(failed(io::Error::other("there are none")));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::from(certificates))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}
