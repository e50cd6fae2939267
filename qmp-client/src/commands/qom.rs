//! QEMU's object model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::command::{Done, command};

/// Sets a property of an object.
#[derive(Clone, Debug, Serialize)]
pub struct QomSet {
    /// The object's path, such as `/machine/peripheral/scsi0`.
    pub path: String,
    /// The property.
    pub property: String,
    /// Its new value.
    pub value: Value,
}
command!(QomSet, "qom-set", Done);

/// A property of an object.
#[derive(Clone, Debug, Serialize)]
pub struct QomGet {
    /// The object's path.
    pub path: String,
    /// The property.
    pub property: String,
}
command!(QomGet, "qom-get", Value);

/// The properties of an object, its children among them.
#[derive(Clone, Debug, Serialize)]
pub struct QomList {
    /// The object's path.
    pub path: String,
}
command!(QomList, "qom-list", Vec<QomProperty>);

/// QAPI `ObjectPropertyInfo`.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct QomProperty {
    /// Its name.
    pub name: String,
    /// Its type, such as `bool`, `child<iothread>` or `link<bus>`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Makes an object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectAdd {
    /// Its type, such as `throttle-group`.
    pub qom_type: String,
    /// Its id.
    pub id: String,
    /// Its properties.
    #[serde(flatten)]
    pub properties: Map<String, Value>,
}
command!(ObjectAdd, "object-add", Done);

/// Removes an object.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectDel {
    /// Its id.
    pub id: String,
}
command!(ObjectDel, "object-del", Done);
