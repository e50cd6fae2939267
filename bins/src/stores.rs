//! Object storage as the configuration describes it: `[store.NAME]`, and `s3:NAME/…` for what is there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleece_backup_core::{Error, ErrorKind};
use fleece_object_storage::{Address, Credentials, StoreConfig};
use fleece_settings::Settings;

/// The keys of a store's section.
pub const KEYS: &[&str] = &[
    "endpoint",
    "bucket",
    "region",
    "path-style",
    "credentials-file",
    "credentials-section",
    "credentials-command",
    "ca-file",
    "crc32",
    "retry-for",
];

/// Reads the configuration if an argument is an address in object storage, for a program that takes nothing else from it.
///
/// # Errors
/// Kind [`ErrorKind::Request`].
pub fn load_if_named() -> Result<(), Error> {
    let names_store = |argument: OsString| is_address(Path::new(&argument));
    if !std::env::args_os().any(names_store) {
        return Ok(());
    }
    let named = std::env::var_os("FLEECE_CONFIG").map(PathBuf::from);
    let settings = Settings::load("fleece", named.as_deref());
    configure(&settings.map_err(|error| {
        Error::caused(ErrorKind::Request, "cannot use the configuration", error)
    })?)
}

/// Makes the stores of the configuration known by their names.
///
/// # Errors
/// Kind [`ErrorKind::Request`] for a value that makes no sense.
pub fn configure(settings: &Settings) -> Result<(), Error> {
    for name in settings.stores() {
        fleece_object_storage::configure(name, config(settings, name)?);
    }
    Ok(())
}

fn config(settings: &Settings, store: &str) -> Result<StoreConfig, Error> {
    let setting = |key| {
        let setting = settings.of_store(store, key)?;
        Some((setting.values().first()?.as_str(), setting.origin()))
    };
    let text = |key| setting(key).map(|(text, _)| text);
    let refuse = |message: String| Error::new(ErrorKind::Request, message);
    let needed = |key| {
        let missing = || {
            refuse(format!(
                "the store {store:?} has no {key}: [store.{store}] needs one"
            ))
        };
        text(key).ok_or_else(missing)
    };
    let switch = |key, default| match setting(key) {
        None => Ok(default),
        Some(("true", _)) => Ok(true),
        Some(("false", _)) => Ok(false),
        Some((_, origin)) => Err(refuse(format!("{origin}: {key} takes true or false"))),
    };
    let mut config = StoreConfig::new(needed("endpoint")?, needed("bucket")?);
    if let Some(region) = text("region") {
        region.clone_into(&mut config.region);
    }
    config.path_style = switch("path-style", true)?;
    config.crc32 = switch("crc32", true)?;
    config.ca_file = text("ca-file").map(PathBuf::from);
    config.credentials = match (text("credentials-file"), text("credentials-command")) {
        (Some(_), Some(_)) => {
            let message = "has both credentials-file and credentials-command; one is enough";
            return Err(refuse(format!("the store {store:?} {message}")));
        }
        (Some(file), None) => {
            let section = text("credentials-section").map(str::to_owned);
            Credentials::File(file.into(), section)
        }
        (None, Some(command)) => Credentials::Command(command.to_owned()),
        (None, None) => Credentials::Environment,
    };
    if let Some((text, origin)) = setting("retry-for") {
        let seconds = text
            .parse()
            .map_err(|_| refuse(format!("{origin}: retry-for takes a number of seconds")))?;
        config.retry_for = Duration::from_secs(seconds);
    }
    Ok(config)
}

/// Whether a path is an address in object storage.
#[must_use]
pub fn is_address(path: &Path) -> bool {
    Address::of(path).is_some()
}

/// Refuses what only files can.
///
/// # Errors
/// Kind [`ErrorKind::Request`] if `path` is an address.
pub fn refuse(path: Option<&Path>) -> Result<(), Error> {
    match path.filter(|path| is_address(path)) {
        None => Ok(()),
        Some(path) => {
            let message = format!(
                "--reuse, --incremental, --sign and --keep-partial need a directory or a storage: {} is in object storage",
                path.display()
            );
            Err(Error::new(ErrorKind::Request, message))
        }
    }
}
