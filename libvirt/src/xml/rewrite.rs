//! A domain of one's own, made from one that somebody else has written.
//!
//! A domain's XML can have QEMU run programs, open any file or device of the host, and listen to the world. One
//! from an archive may be written to do harm, so a new one is made: of what is known to be harmless, with disks
//! where they were restored. What is not known is left out, and told.
//!
//! ```text
//! rewrite   the domain: name, uuid, memory, firmware
//! allowed   what is taken over as it is
//! devices   disks, network cards, and what else has a file or a peer
//! ```

mod allowed;
mod devices;

use std::path::{Path, PathBuf};

use quick_xml::Writer;
use quick_xml::events::BytesText;
use roxmltree::Node;

use super::tree::{child, children, parse};
use crate::error::{Error, ErrorKind};

/// What a domain is to become.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rewrite {
    /// Another name.
    pub name: Option<String>,
    /// A new UUID and new MAC addresses, which libvirt makes.
    pub unique: bool,
    /// Its restored disks, by what Proxmox would call them or, where it has no name, by their target.
    pub disks: Vec<RestoredDisk>,
    /// The restored file of its EFI variables.
    pub nvram: Option<PathBuf>,
    /// Take over everything else as it is.
    pub is_trusted: bool,
}

/// Where a disk was restored to.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a disk has a name, a file and a format"
)]
pub struct RestoredDisk {
    /// Such as `virtio0`.
    pub key: String,
    /// Its file.
    pub path: PathBuf,
    /// Its format, `raw` or `qcow2`.
    pub format: String,
}

/// A domain that was made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rewritten {
    /// Its XML.
    pub xml: String,
    /// Its name.
    pub name: String,
    /// Its UUID, if it keeps one.
    pub uuid: Option<String>,
    /// What was left out.
    pub dropped: Vec<String>,
    /// Restored disks that the domain does not have.
    pub unused: Vec<String>,
}

/// The names of things, as libvirt and Fleece both accept them.
const MAX_NAME: usize = 200;

/// Directories whose programs and firmware are the host's own: nobody but root writes there.
const TRUSTED: [&str; 4] = ["/usr/bin/", "/usr/libexec/", "/usr/lib/", "/usr/share/"];

type Out = Writer<Vec<u8>>;

/// Makes a domain of the one in `text`.
///
/// # Errors
/// [`ErrorKind::Xml`] for what is no domain, or has no name.
pub fn rewrite(text: &str, wish: &Rewrite) -> Result<Rewritten, Error> {
    let document = parse(text)?;
    let domain = document.root_element();
    let name = child(domain, "name").and_then(|name| name.text());
    let name = wish
        .name
        .as_deref()
        .or(name)
        .map(str::trim)
        .unwrap_or_default();
    if !is_name(name) {
        return Err(Error::new(
            ErrorKind::Xml,
            "the domain has no name that can be used",
        ));
    }
    let uuid = child(domain, "uuid")
        .and_then(|uuid| uuid.text())
        .map(str::trim);
    let uuid = uuid.filter(|uuid| is_uuid(uuid) && !wish.unique);
    let mut made = Making {
        wish,
        dropped: Vec::new(),
        used: Vec::new(),
    };
    let xml = match wish.is_trusted {
        true => made.splice(text, domain, name, uuid)?,
        false => made.domain(domain, name, uuid)?,
    };
    let unused = wish
        .disks
        .iter()
        .filter(|disk| !made.used.contains(&disk.key));
    Ok(Rewritten {
        unused: unused.map(|disk| disk.key.clone()).collect(),
        xml,
        name: name.to_owned(),
        uuid: uuid.map(str::to_owned),
        dropped: made.dropped,
    })
}

/// A domain in the making.
struct Making<'a> {
    wish: &'a Rewrite,
    dropped: Vec<String>,
    /// The restored disks that have found their place.
    used: Vec<String>,
}

impl Making<'_> {
    fn domain(
        &mut self,
        domain: Node<'_, '_>,
        name: &str,
        uuid: Option<&str>,
    ) -> Result<String, Error> {
        let kind = match domain.attribute("type") {
            Some("qemu") => "qemu",
            _ => "kvm",
        };
        let mut out = Writer::new_with_indent(Vec::new(), b' ', 2);
        let element = out.create_element("domain").with_attribute(("type", kind));
        let written = element.write_inner_content(|out| {
            text_element(out, "name", name)?;
            if let Some(uuid) = uuid {
                text_element(out, "uuid", uuid)?;
            }
            for element in domain.children().filter(Node::is_element) {
                match element.tag_name().name() {
                    _ if element.tag_name().namespace().is_some() => {
                        self.drop(element, "it is not libvirt's own")
                    }
                    "name" | "uuid" => {}
                    // A guest with another identity is another generation of itself.
                    "genid" if self.wish.unique => {}
                    "os" => self.os(out, element)?,
                    "devices" => self.devices(out, element)?,
                    _ => self.allowed(out, element, allowed::DOMAIN)?,
                }
            }
            Ok(())
        });
        written.map_err(cannot_write)?;
        String::from_utf8(out.into_inner()).map_err(cannot_write)
    }

    /// Firmware and the order of starting, but nothing of the host's files except its own firmware.
    fn os(&mut self, out: &mut Out, os: Node<'_, '_>) -> std::io::Result<()> {
        let mut element = out.create_element("os");
        let loader = child(os, "loader").and_then(|loader| loader.text());
        let is_lost = loader.is_some_and(|path| !is_trusted_file(path.trim()));
        // Variables without the firmware that was named are for whatever UEFI this host has.
        let firmware = match is_lost && child(os, "nvram").is_some() {
            true => Some("efi"),
            false => os.attribute("firmware"),
        };
        let firmware = firmware.filter(|kind| matches!(*kind, "efi" | "bios"));
        if let Some(kind) = firmware {
            element = element.with_attribute(("firmware", kind));
        }
        element.write_inner_content(|out| {
            for part in os.children().filter(Node::is_element) {
                match part.tag_name().name() {
                    "loader" => self.loader(out, part)?,
                    "nvram" => self.nvram(out, part)?,
                    _ => self.allowed(out, part, allowed::OS)?,
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn loader(&mut self, out: &mut Out, loader: Node<'_, '_>) -> std::io::Result<()> {
        let path = loader.text().unwrap_or_default().trim();
        if !is_trusted_file(path) {
            self.drop(loader, "it is no firmware of this host");
            return Ok(());
        }
        let names = ["readonly", "secure", "type", "stateless", "format"];
        let attributes = plain_attributes(loader, &names);
        let element = out.create_element("loader").with_attributes(attributes);
        element.write_text_content(BytesText::new(path)).map(drop)
    }

    fn nvram(&mut self, out: &mut Out, nvram: Node<'_, '_>) -> std::io::Result<()> {
        let mut element = out.create_element("nvram");
        let template = nvram
            .attribute("template")
            .filter(|path| is_trusted_file(path));
        if let Some(template) = template {
            element = element.with_attribute(("template", template));
        }
        match self.wish.nvram.as_deref().and_then(Path::to_str) {
            Some(path) => {
                self.used.push("efidisk0".into());
                element.write_text_content(BytesText::new(path)).map(drop)
            }
            // Where they were not restored, libvirt makes new ones at its own place.
            None if template.is_some() => element.write_empty().map(drop),
            None => Ok(()),
        }
    }

    /// Takes an element over as far as it is `allowed`.
    fn allowed(
        &mut self,
        out: &mut Out,
        element: Node<'_, '_>,
        allowed: &[allowed::Allowed<'_>],
    ) -> std::io::Result<()> {
        let name = element.tag_name().name();
        let Some(rule) = allowed.iter().find(|rule| rule.name == name) else {
            self.drop(element, "it is not taken over from an archive");
            return Ok(());
        };
        let attributes: Vec<(&str, &str)> = match rule.attributes {
            allowed::Attributes::Plain => element
                .attributes()
                .filter(|attribute| attribute.namespace().is_none() && is_plain(attribute.value()))
                .map(|attribute| (attribute.name(), attribute.value()))
                .collect(),
            allowed::Attributes::Only(names) => plain_attributes(element, names),
        };
        let written = out.create_element(name).with_attributes(attributes);
        let text = element
            .text()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        if element.children().any(|child| child.is_element()) {
            let inner = |out: &mut Out| {
                for child in element.children().filter(Node::is_element) {
                    match rule.children {
                        allowed::Children::Alike => {
                            let alike = allowed::Allowed {
                                name: child.tag_name().name(),
                                ..*rule
                            };
                            self.allowed(out, child, &[alike])?;
                        }
                        allowed::Children::Of(children) => self.allowed(out, child, children)?,
                    }
                }
                Ok(())
            };
            return written.write_inner_content(inner).map(drop);
        }
        match text.filter(|_| rule.has_text) {
            Some(text) => written.write_text_content(BytesText::new(text)).map(drop),
            None => written.write_empty().map(drop),
        }
    }

    fn drop(&mut self, element: Node<'_, '_>, why: &str) {
        let namespace = element.tag_name().namespace().map_or("", |_| "…:");
        let mut what = format!("<{namespace}{}", element.tag_name().name());
        for name in ["type", "device", "mode", "model"] {
            if let Some(value) = element.attribute(name) {
                what.push_str(&format!(" {name}='{value}'"));
            }
        }
        self.dropped
            .push(fleece_plain_text::words(&format!("{what}>: {why}")));
    }

    /// The same text, with other disks, another name and another identity.
    fn splice(
        &mut self,
        text: &str,
        domain: Node<'_, '_>,
        name: &str,
        uuid: Option<&str>,
    ) -> Result<String, Error> {
        let mut edits: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        let written = |write: &mut dyn FnMut(&mut Out) -> std::io::Result<()>| {
            let mut out = Writer::new(Vec::new());
            write(&mut out).map_err(cannot_write)?;
            String::from_utf8(out.into_inner()).map_err(cannot_write)
        };
        for element in children(domain, "name") {
            let new = written(&mut |out| text_element(out, "name", name))?;
            edits.push((element.range(), new));
        }
        if uuid.is_none() {
            let gone = children(domain, "uuid").chain(children(domain, "genid"));
            edits.extend(gone.map(|element| (element.range(), String::new())));
        }
        for nvram in children(domain, "os").flat_map(|os| children(os, "nvram")) {
            let new = written(&mut |out| self.nvram(out, nvram))?;
            edits.push((nvram.range(), new));
        }
        for devices in children(domain, "devices") {
            for disk in children(devices, "disk") {
                let new = written(&mut |out| self.disk(out, disk))?;
                edits.push((disk.range(), new));
            }
            for card in children(devices, "interface").filter(|_| self.wish.unique) {
                let macs = children(card, "mac");
                edits.extend(macs.map(|mac| (mac.range(), String::new())));
            }
        }
        edits.sort_by_key(|(range, _)| range.start);
        let mut result = String::with_capacity(text.len());
        let mut at = 0;
        for (range, new) in edits {
            result.push_str(text.get(at..range.start).unwrap_or_default());
            result.push_str(&new);
            at = range.end;
        }
        result.push_str(text.get(at..).unwrap_or_default());
        Ok(result)
    }
}

fn cannot_write(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Xml, "cannot write the domain's XML").with_source(error)
}

fn text_element(out: &mut Out, name: &str, text: &str) -> std::io::Result<()> {
    let element = out.create_element(name);
    element.write_text_content(BytesText::new(text)).map(drop)
}

/// The attributes of these names whose values name no file.
fn plain_attributes<'a>(element: Node<'a, '_>, names: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    names
        .iter()
        .filter_map(|name| Some((*name, element.attribute(*name)?)))
        .filter(|(_, value)| is_plain(value))
        .collect()
}

/// Whether a value is a word or a number, and no path, address of a peer or program.
fn is_plain(value: &str) -> bool {
    value.len() <= MAX_NAME
        && value.chars().all(|c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | ',' | '+' | ' ')
        })
}

/// Whether a name can be that of a domain and of its files.
pub fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | ' ' | '@');
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with(['.', '-'])
        && name.chars().all(is_fine)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// Whether a path is that of a file of the host's own.
fn is_trusted_file(path: &str) -> bool {
    let is_below = TRUSTED.iter().any(|directory| path.starts_with(directory));
    is_below && !path.contains("..") && Path::new(path).is_file()
}

#[cfg(test)]
mod tests;
