//! Devices that have a file or a peer: each is made anew, or left out.

use std::path::Path;

use roxmltree::Node;

use super::{
    Making, Out, RestoredDisk, allowed, is_plain, is_trusted_file, plain_attributes, text_element,
};
use crate::xml::read::DomainDisk;
use crate::xml::tree::child;

impl Making<'_> {
    pub(super) fn devices(&mut self, out: &mut Out, devices: Node<'_, '_>) -> std::io::Result<()> {
        let inner = |out: &mut Out| {
            for device in devices.children().filter(Node::is_element) {
                match device.tag_name().name() {
                    "emulator" => self.emulator(out, device)?,
                    "disk" => self.disk(out, device)?,
                    "interface" => self.interface(out, device)?,
                    "graphics" => self.graphics(out, device)?,
                    "serial" | "console" => self.port(out, device)?,
                    "channel" => self.channel(out, device)?,
                    "input" => self.input(out, device)?,
                    "rng" => random(out, device)?,
                    "tpm" => self.tpm(out, device)?,
                    // Nothing is heard of the guest then either.
                    "audio" if device.attribute("type") == Some("none") => {}
                    _ => self.allowed(out, device, allowed::DEVICES)?,
                }
            }
            Ok(())
        };
        out.create_element("devices")
            .write_inner_content(inner)
            .map(drop)
    }

    fn emulator(&mut self, out: &mut Out, emulator: Node<'_, '_>) -> std::io::Result<()> {
        let path = emulator.text().unwrap_or_default().trim();
        match is_trusted_file(path) {
            true => text_element(out, "emulator", path),
            false => {
                self.drop(
                    emulator,
                    "it is no program of this host; libvirt takes its own",
                );
                Ok(())
            }
        }
    }

    /// A disk where it was restored to; a drive for media, without one.
    pub(super) fn disk(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let disk = DomainDisk::of(node);
        if matches!(disk.device.as_str(), "cdrom" | "floppy") {
            return self.drive(out, node, &disk.device, None);
        }
        let restored = self.wish.disks.iter().find(|restored| {
            disk.key().as_deref() == Some(&restored.key) || disk.target == restored.key
        });
        let restored = restored.filter(|_| is_plain(&disk.target));
        match restored.filter(|restored| !self.used.contains(&restored.key)) {
            Some(restored) => {
                self.used.push(restored.key.clone());
                let restored = restored.clone();
                self.drive(out, node, "disk", Some(&restored))
            }
            None => {
                let why = format!("{} was not restored", disk.target);
                self.drop(node, &why);
                Ok(())
            }
        }
    }

    fn drive(
        &mut self,
        out: &mut Out,
        node: Node<'_, '_>,
        device: &str,
        restored: Option<&RestoredDisk>,
    ) -> std::io::Result<()> {
        let attributes = [("type", "file"), ("device", device)];
        let inner = |out: &mut Out| {
            if let Some((restored, path)) =
                restored.and_then(|it| Some((it, Path::to_str(&it.path)?)))
            {
                let driver = child(node, "driver");
                let options = driver.map(|driver| {
                    let names = [
                        "cache",
                        "error_policy",
                        "rerror_policy",
                        "io",
                        "discard",
                        "detect_zeroes",
                        "queues",
                    ];
                    plain_attributes(driver, &names)
                });
                let format = [("name", "qemu"), ("type", restored.format.as_str())];
                let options = format.into_iter().chain(options.unwrap_or_default());
                out.create_element("driver")
                    .with_attributes(options)
                    .write_empty()?;
                out.create_element("source")
                    .with_attribute(("file", path))
                    .write_empty()?;
            }
            for part in node.children().filter(Node::is_element) {
                // Of these nothing is missed: they tell where the disk was.
                let name = part.tag_name().name();
                if !matches!(
                    name,
                    "driver" | "source" | "backingStore" | "alias" | "mirror"
                ) {
                    self.allowed(out, part, allowed::DISK)?;
                }
            }
            Ok(())
        };
        let element = out.create_element("disk").with_attributes(attributes);
        element.write_inner_content(inner).map(drop)
    }

    fn interface(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let kind = node.attribute("type").unwrap_or_default();
        if !matches!(kind, "network" | "bridge" | "user") {
            self.drop(
                node,
                "it is connected to a device of the host, a program or another host",
            );
            return Ok(());
        }
        let unique = self.wish.unique;
        let inner = |out: &mut Out| {
            for part in node.children().filter(Node::is_element) {
                match part.tag_name().name() {
                    "mac" if unique => {}
                    "alias" | "target" => {}
                    _ => self.allowed(out, part, allowed::INTERFACE)?,
                }
            }
            Ok(())
        };
        let element = out
            .create_element("interface")
            .with_attribute(("type", kind));
        element.write_inner_content(inner).map(drop)
    }

    /// A screen that only this host's users can reach, at a port that libvirt chooses.
    fn graphics(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let kind = node.attribute("type").unwrap_or_default();
        if !matches!(kind, "vnc" | "spice") {
            self.drop(node, "it needs a screen or a service of the host");
            return Ok(());
        }
        let listens = node.attribute("listen").unwrap_or("127.0.0.1");
        if !matches!(listens, "127.0.0.1" | "::1" | "localhost") {
            self.dropped.push(fleece_plain_text::words(&format!(
                "<graphics type='{kind}' listen='{listens}'>: it listens on this host only"
            )));
        }
        let mut attributes = vec![("type", kind), ("autoport", "yes"), ("listen", "127.0.0.1")];
        attributes.extend(
            node.attribute("passwd")
                .map(|password| ("passwd", password)),
        );
        attributes.extend(plain_attributes(node, &["keymap", "passwdValidTo"]));
        let element = out.create_element("graphics").with_attributes(attributes);
        element.write_empty().map(drop)
    }

    /// A serial port, behind a terminal of the host's.
    fn port(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let name = node.tag_name().name();
        if !matches!(node.attribute("type"), Some("pty" | "null")) {
            self.drop(node, "it goes to a terminal (pty) instead");
        }
        let inner = |out: &mut Out| {
            for part in node.children().filter(Node::is_element) {
                if !matches!(
                    part.tag_name().name(),
                    "source" | "alias" | "log" | "protocol"
                ) {
                    self.allowed(out, part, allowed::PORT)?;
                }
            }
            Ok(())
        };
        let element = out.create_element(name).with_attribute(("type", "pty"));
        element.write_inner_content(inner).map(drop)
    }

    fn channel(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let kind = node.attribute("type").unwrap_or_default();
        let target = child(node, "target").and_then(|target| target.attribute("name"));
        let Some(name) =
            target.filter(|name| matches!(kind, "unix" | "spicevmc") && is_plain(name))
        else {
            self.drop(node, "it leads to a file, a program or another host");
            return Ok(());
        };
        let element = out.create_element("channel").with_attribute(("type", kind));
        // libvirt chooses the socket.
        let inner = |out: &mut Out| {
            let target = [("type", "virtio"), ("name", name)];
            out.create_element("target")
                .with_attributes(target)
                .write_empty()
                .map(drop)
        };
        element.write_inner_content(inner).map(drop)
    }

    fn input(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let kind = node.attribute("type").unwrap_or_default();
        if !matches!(kind, "tablet" | "mouse" | "keyboard") {
            self.drop(node, "it is a device of the host");
            return Ok(());
        }
        let attributes = plain_attributes(node, &["type", "bus", "model"]);
        out.create_element("input")
            .with_attributes(attributes)
            .write_empty()
            .map(drop)
    }

    fn tpm(&mut self, out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
        let backend = child(node, "backend");
        let Some(backend) = backend.filter(|backend| backend.attribute("type") == Some("emulator"))
        else {
            self.drop(node, "it is a device of the host");
            return Ok(());
        };
        let attributes = plain_attributes(node, &["model"]);
        let element = out.create_element("tpm").with_attributes(attributes);
        let inner = |out: &mut Out| {
            let kind = plain_attributes(backend, &["type", "version", "persistent_state"]);
            out.create_element("backend")
                .with_attributes(kind)
                .write_empty()
                .map(drop)
        };
        element.write_inner_content(inner).map(drop)
    }
}

/// A source of random numbers, which is that of the host whatever it was.
fn random(out: &mut Out, node: Node<'_, '_>) -> std::io::Result<()> {
    let attributes = plain_attributes(node, &["model"]);
    let element = out.create_element("rng").with_attributes(attributes);
    let inner = |out: &mut Out| {
        let backend = out
            .create_element("backend")
            .with_attribute(("model", "random"));
        backend
            .write_text_content(quick_xml::events::BytesText::new("/dev/urandom"))
            .map(drop)
    };
    element.write_inner_content(inner).map(drop)
}
