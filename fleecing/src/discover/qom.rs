//! Looking at QEMU's objects.

use fleece_qmp_client::commands::{QomGet, QomList};
use fleece_qmp_client::{Client, ErrorKind as QmpErrorKind};
use serde_json::Value;

use crate::error::Error;

/// A property; `None` if the object does not have it.
pub(crate) fn get(client: &Client, path: &str, property: &str) -> Result<Option<Value>, Error> {
    match client.execute(&QomGet {
        path: path.into(),
        property: property.into(),
    }) {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => Ok(None),
        Err(error) => Err(Error::qemu(format!("cannot look at {path}"))(error)),
    }
}

/// A property that is a text.
pub(crate) fn text(client: &Client, path: &str, property: &str) -> Result<Option<String>, Error> {
    Ok(match get(client, path, property)? {
        Some(Value::String(text)) => Some(text),
        _ => None,
    })
}

/// The paths and types of an object's children; none of an object that is not there.
pub(crate) fn children(client: &Client, path: &str) -> Result<Vec<(String, String)>, Error> {
    let properties = match client.execute(&QomList { path: path.into() }) {
        Ok(properties) => properties,
        // A storage daemon without objects does not even have the place for them.
        Err(error) if matches!(error.kind(), QmpErrorKind::Command(_)) => return Ok(Vec::new()),
        Err(error) => return Err(Error::qemu("cannot list QEMU's objects")(error)),
    };
    Ok(properties
        .into_iter()
        .filter_map(|property| {
            let kind = property.kind.strip_prefix("child<")?.strip_suffix('>')?;
            Some((format!("{path}/{}", property.name), kind.to_owned()))
        })
        .collect())
}
