//! What a server can do, by its own account (QAPI introspection, `query-qmp-schema`).

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Deserializer};

/// The answers of one server to "do you have this?".
///
/// A *path* names a member inside a command's arguments, outermost first. Lists are looked
/// through, and a union has the members of all its branches:
/// `has_argument("transaction", &["actions", "data", "filter-node-name"])`.
#[derive(Debug)]
pub struct Schema {
    entities: HashMap<String, Entity>,
}

impl Schema {
    /// Whether the command exists.
    #[must_use]
    pub fn has_command(&self, name: &str) -> bool {
        self.has("command", name)
    }

    /// Whether the event exists.
    #[must_use]
    pub fn has_event(&self, name: &str) -> bool {
        self.has("event", name)
    }

    /// Whether the command takes an argument at this path.
    #[must_use]
    pub fn has_argument(&self, command: &str, path: &[&str]) -> bool {
        !self.argument_types(command, path).is_empty()
    }

    /// Whether the enumeration at this path has this value. The tag of a union is one:
    /// `has_value("transaction", &["actions", "type"], "blockdev-backup")`.
    #[must_use]
    pub fn has_value(&self, command: &str, path: &[&str], value: &str) -> bool {
        self.argument_types(command, path)
            .into_iter()
            .filter_map(|name| self.entities.get(name))
            .any(|entity| entity.meta_type == "enum" && entity.has_member(value))
    }

    /// Whether `blockdev-add` takes this driver.
    #[must_use]
    pub fn has_blockdev_driver(&self, driver: &str) -> bool {
        self.has_value("blockdev-add", &["driver"], driver)
    }

    /// Whether `blockdev-add` takes this option with this driver.
    #[must_use]
    pub fn has_blockdev_option(&self, driver: &str, option: &str) -> bool {
        let Some(options) = self.argument_object("blockdev-add") else {
            return false;
        };
        let branch = options
            .variants
            .iter()
            .find(|variant| variant.case == driver);
        let branch = branch.and_then(|variant| self.entities.get(&variant.object));
        self.has_blockdev_driver(driver)
            && (options.has_member(option) || branch.is_some_and(|b| b.has_member(option)))
    }

    fn has(&self, meta_type: &str, name: &str) -> bool {
        self.entities
            .get(name)
            .is_some_and(|entity| entity.meta_type == meta_type)
    }

    fn argument_object(&self, command: &str) -> Option<&Entity> {
        let command = self
            .entities
            .get(command)
            .filter(|e| e.meta_type == "command")?;
        self.entities.get(command.arg_type.as_deref()?)
    }

    /// The types that the argument at `path` may have; none if there is no such argument.
    fn argument_types(&self, command: &str, path: &[&str]) -> BTreeSet<&str> {
        let mut objects: Vec<&Entity> = self.argument_object(command).into_iter().collect();
        let mut types = BTreeSet::new();
        for step in path {
            types = objects
                .iter()
                .flat_map(|object| self.members(object))
                .filter(|member| member.name.as_deref() == Some(step))
                .filter_map(|member| member.type_name.as_deref())
                .map(|name| self.element(name))
                .collect();
            objects = types
                .iter()
                .filter_map(|name| self.entities.get(*name))
                .collect();
        }
        types
    }

    /// The members of an object and of its branches.
    fn members<'a>(&'a self, object: &'a Entity) -> impl Iterator<Item = &'a Member> {
        // The members of an alternate have no names: they are its branches.
        let unnamed = object.members.iter().filter(|member| member.name.is_none());
        let branches = object
            .variants
            .iter()
            .map(|variant| variant.object.as_str());
        let branches = branches.chain(unnamed.filter_map(|member| member.type_name.as_deref()));
        let branches = branches.filter_map(|name| self.entities.get(name));
        object
            .members
            .iter()
            .chain(branches.flat_map(|branch| &branch.members))
    }

    /// What a list is a list of; any other type is itself.
    fn element<'a>(&'a self, name: &'a str) -> &'a str {
        let list = self
            .entities
            .get(name)
            .and_then(|entity| entity.element_type.as_deref());
        list.unwrap_or(name)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entities = Vec::<Entity>::deserialize(deserializer)?;
        let entities = entities
            .into_iter()
            .map(|entity| (entity.name.clone(), entity))
            .collect();
        Ok(Self { entities })
    }
}

/// QAPI `SchemaInfo`, flat: which members it has depends on `meta-type`. The names of types
/// mean nothing, they are usually numbers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entity {
    name: String,
    meta_type: String,
    arg_type: Option<String>,
    element_type: Option<String>,
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    variants: Vec<Variant>,
}

impl Entity {
    fn has_member(&self, name: &str) -> bool {
        self.members
            .iter()
            .any(|member| member.name.as_deref() == Some(name))
    }
}

/// QAPI `SchemaInfoObjectMember`, `SchemaInfoEnumMember` or `SchemaInfoAlternateMember`.
#[derive(Debug, Deserialize)]
struct Member {
    name: Option<String>,
    #[serde(rename = "type")]
    type_name: Option<String>,
}

/// QAPI `SchemaInfoObjectVariant`.
#[derive(Debug, Deserialize)]
struct Variant {
    case: String,
    #[serde(rename = "type")]
    object: String,
}

#[cfg(test)]
mod tests;
