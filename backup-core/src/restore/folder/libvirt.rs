//! A domain for libvirt, with absolute paths, as libvirt wants them.

use std::io;

use fleece_storage::VolumeFormat;
use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::machine::{Bus, Card, Cpu, Drive, Image, Machine, Model, Scsi};
use super::qemu::{address, controller};

type Xml = Writer<Vec<u8>>;
type Attributes<'a> = &'a [(&'a str, &'a str)];

/// The domain of a machine whose images are in `folder`.
pub(super) fn domain(machine: &Machine, folder: &str) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    within(&mut xml, "domain", &[("type", "kvm")], |xml| {
        text(xml, "name", &[], &machine.name)?;
        if let Some(uuid) = machine.uuid {
            text(xml, "uuid", &[], &uuid.to_string())?;
        }
        if let Some(generation) = machine.generation {
            text(xml, "genid", &[], &generation.to_string())?;
        }
        let notes = machine.notes.join("; ");
        let description =
            format!("Restored by Fleece. Change the type to qemu where there is no KVM. {notes}");
        text(xml, "description", &[], description.trim_end())?;
        text(
            xml,
            "memory",
            &[("unit", "MiB")],
            &machine.memory.to_string(),
        )?;
        let processors = machine.sockets.saturating_mul(machine.cores);
        let processors = processors.saturating_mul(machine.threads.max(1));
        text(xml, "vcpu", &[], &processors.to_string())?;
        system(xml, machine, folder)?;
        within(xml, "features", &[], |xml| {
            empty(xml, "acpi", &[])?;
            empty(xml, "apic", &[])
        })?;
        processor(xml, machine)?;
        let clock = if machine.local_time {
            "localtime"
        } else {
            "utc"
        };
        empty(xml, "clock", &[("offset", clock)])?;
        within(xml, "devices", &[], |xml| devices(xml, machine, folder))
    })?;
    let mut domain = xml.into_inner();
    domain.push(b'\n');
    Ok(domain)
}

fn system(xml: &mut Xml, machine: &Machine, folder: &str) -> io::Result<()> {
    let firmware: Attributes<'_> = match machine.ovmf {
        true => &[("firmware", "efi")],
        false => &[],
    };
    within(xml, "os", firmware, |xml| {
        let kind = if machine.q35 { "q35" } else { "pc" };
        text(xml, "type", &[("arch", "x86_64"), ("machine", kind)], "hvm")?;
        match &machine.variables {
            Some(image) if machine.ovmf => text(xml, "nvram", &[], &path(folder, image)),
            _ => Ok(()),
        }
    })
}

fn processor(xml: &mut Xml, machine: &Machine) -> io::Result<()> {
    let Cpu { model, flags } = &machine.cpu;
    let attributes: Attributes<'_> = match model {
        Model::Host => &[("mode", "host-passthrough")],
        Model::Named(_) => &[("mode", "custom"), ("match", "exact"), ("check", "none")],
    };
    within(xml, "cpu", attributes, |xml| {
        if let Model::Named(name) = model {
            text(xml, "model", &[("fallback", "allow")], name)?;
        }
        let counts = [machine.sockets, machine.cores, machine.threads.max(1)];
        let [sockets, cores, threads] = counts.map(|count| count.to_string());
        let topology = [
            ("sockets", &*sockets),
            ("cores", &*cores),
            ("threads", &*threads),
        ];
        empty(xml, "topology", &topology)?;
        // The last word on a flag counts, and libvirt allows only one.
        for (number, (add, name)) in flags.iter().enumerate() {
            if !flags
                .iter()
                .skip(number.saturating_add(1))
                .any(|later| later.1 == *name)
            {
                let policy = if *add { "require" } else { "disable" };
                empty(xml, "feature", &[("policy", policy), ("name", name)])?;
            }
        }
        Ok(())
    })
}

fn devices(xml: &mut Xml, machine: &Machine, folder: &str) -> io::Result<()> {
    let model = match machine.scsi {
        // libvirt knows one of the two.
        Scsi::Lsi53c895a | Scsi::Lsi53c810 => "lsilogic",
        Scsi::Virtio => "virtio-scsi",
        Scsi::Megasas => "lsisas1078",
        Scsi::Pvscsi => "vmpvscsi",
    };
    let scsi = machine.drives.iter().filter(|drive| drive.bus == Bus::Scsi);
    let mut controllers: Vec<u32> = scsi.map(|drive| controller(drive, machine.scsi)).collect();
    controllers.dedup();
    for number in controllers {
        let number = number.to_string();
        empty(
            xml,
            "controller",
            &[("type", "scsi"), ("index", &number), ("model", model)],
        )?;
    }
    let mut names = Names::default();
    for drive in &machine.drives {
        disk(xml, drive, machine, folder, &mut names)?;
    }
    for card in &machine.cards {
        interface(xml, card, machine.q35)?;
    }
    for port in &machine.serial_ports {
        within(xml, "serial", &[("type", "pty")], |xml| {
            empty(xml, "target", &[("port", &port.to_string())])
        })?;
    }
    if machine.agent {
        within(xml, "channel", &[("type", "unix")], |xml| {
            empty(
                xml,
                "target",
                &[("type", "virtio"), ("name", "org.qemu.guest_agent.0")],
            )
        })?;
    }
    if machine.tablet {
        empty(xml, "input", &[("type", "tablet"), ("bus", "usb")])?;
    }
    if let Some(tpm) = &machine.tpm {
        let version = if tpm.is_2 { "2.0" } else { "1.2" };
        within(xml, "tpm", &[("model", "tpm-tis")], |xml| {
            empty(
                xml,
                "backend",
                &[("type", "emulator"), ("version", version)],
            )
        })?;
    }
    let screen = match machine.screen {
        "std" => "vga",
        "vmware" => "vmvga",
        other => other,
    };
    if screen != "none" {
        empty(xml, "graphics", &[("type", "vnc"), ("autoport", "yes")])?;
    }
    within(xml, "video", &[], |xml| {
        empty(xml, "model", &[("type", screen)])
    })
}

fn disk(
    xml: &mut Xml,
    drive: &Drive,
    machine: &Machine,
    folder: &str,
    names: &mut Names,
) -> io::Result<()> {
    let device = if drive.image.is_some() {
        "disk"
    } else {
        "cdrom"
    };
    let (bus, place) = place(drive, machine);
    within(
        xml,
        "disk",
        &[("type", "file"), ("device", device)],
        |xml| {
            if let Some(image) = &drive.image {
                let format = match image.format {
                    VolumeFormat::Qcow2 => "qcow2",
                    _ => "raw",
                };
                let discard = if drive.discard { "unmap" } else { "ignore" };
                empty(
                    xml,
                    "driver",
                    &[("name", "qemu"), ("type", format), ("discard", discard)],
                )?;
                empty(xml, "source", &[("file", &path(folder, image))])?;
            }
            let name = names.next(bus);
            let mut attributes = vec![("dev", &*name), ("bus", bus)];
            if drive.ssd && drive.image.is_some() && bus != "virtio" {
                attributes.push(("rotation_rate", "1"));
            }
            empty(xml, "target", &attributes)?;
            if let Some((logical, physical)) = drive.sectors.filter(|_| drive.image.is_some()) {
                let (logical, physical) = (logical.to_string(), physical.to_string());
                let attributes = [
                    ("logical_block_size", &*logical),
                    ("physical_block_size", &*physical),
                ];
                empty(xml, "blockio", &attributes)?;
            }
            if drive.read_only && drive.image.is_some() {
                empty(xml, "readonly", &[])?;
            }
            if let Some(serial) = &drive.serial {
                text(xml, "serial", &[], serial)?;
            }
            if let Some(wwn) = drive
                .wwn
                .filter(|_| bus == "scsi" || bus == "ide" || bus == "sata")
            {
                text(xml, "wwn", &[], &format!("{wwn:016x}"))?;
            }
            if let Some(boot) = drive.boot {
                empty(xml, "boot", &[("order", &boot.to_string())])?;
            }
            let Some(place) = place else { return Ok(()) };
            let [controller, channel, target, unit] = place.map(|number| number.to_string());
            let attributes = [
                ("type", "drive"),
                ("controller", &*controller),
                ("bus", &*channel),
                ("target", &*target),
                ("unit", &*unit),
            ];
            empty(xml, "address", &attributes)
        },
    )
}

/// What libvirt calls a drive's bus, and its address there: controller, bus, target, unit.
fn place(drive: &Drive, machine: &Machine) -> (&'static str, Option<[u32; 4]>) {
    let number = drive.number;
    match drive.bus {
        // A `q35` has no IDE; its own AHCI, libvirt's first, takes such drives.
        Bus::Ide if machine.q35 => ("sata", Some([0, 0, 0, number])),
        Bus::Ide => ("ide", Some([0, number >> 1, 0, number & 1])),
        Bus::Sata => ("sata", Some([u32::from(machine.q35), 0, 0, number])),
        Bus::Virtio => ("virtio", None),
        Bus::Scsi => {
            let controller = controller(drive, machine.scsi);
            let (target, unit) = address(drive, machine.scsi);
            let at = match machine.scsi {
                // On these, libvirt calls the target the unit.
                Scsi::Lsi53c895a | Scsi::Lsi53c810 => [controller, 0, 0, target],
                _ => [controller, 0, target, unit],
            };
            ("scsi", Some(at))
        }
    }
}

fn interface(xml: &mut Xml, card: &Card, q35: bool) -> io::Result<()> {
    within(xml, "interface", &[("type", "user")], |xml| {
        if let Some(mac) = &card.mac {
            empty(xml, "mac", &[("address", mac)])?;
        }
        let model = if card.model == "virtio-net-pci" {
            "virtio"
        } else {
            card.model
        };
        empty(xml, "model", &[("type", model)])?;
        if card.link_down {
            empty(xml, "link", &[("state", "down")])?;
        }
        empty(xml, "rom", &[("enabled", "no")])?;
        match card.slot(false).filter(|_| !q35) {
            Some(slot) => {
                let slot = format!("{slot:#04x}");
                let attributes = [("type", "pci"), ("bus", "0x00"), ("slot", &*slot)];
                empty(xml, "address", &attributes)
            }
            None => Ok(()),
        }
    })
}

fn path(folder: &str, image: &Image) -> String {
    format!("{}/{}", folder.trim_end_matches('/'), image.file)
}

/// What libvirt calls disks: `hda` on IDE, `vda` with virtio, `sda` elsewhere.
#[derive(Default)]
struct Names {
    hd: u32,
    vd: u32,
    sd: u32,
}

impl Names {
    fn next(&mut self, bus: &str) -> String {
        let (prefix, next) = match bus {
            "ide" => ("hd", &mut self.hd),
            "virtio" => ("vd", &mut self.vd),
            _ => ("sd", &mut self.sd),
        };
        let number = *next;
        *next = next.saturating_add(1);
        let letter = |n: u32| char::from_u32(u32::from(b'a').saturating_add(n)).unwrap_or('a');
        match number {
            0..26 => format!("{prefix}{}", letter(number)),
            // All places together are 57.
            _ => format!(
                "{prefix}{}{}",
                letter((number / 26).saturating_sub(1)),
                letter(number % 26)
            ),
        }
    }
}

fn within(
    xml: &mut Xml,
    name: &str,
    attributes: Attributes<'_>,
    inner: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let element = xml
        .create_element(name)
        .with_attributes(attributes.iter().copied());
    element.write_inner_content(inner).map(drop)
}

fn text(xml: &mut Xml, name: &str, attributes: Attributes<'_>, text: &str) -> io::Result<()> {
    let element = xml
        .create_element(name)
        .with_attributes(attributes.iter().copied());
    element.write_text_content(BytesText::new(text)).map(drop)
}

fn empty(xml: &mut Xml, name: &str, attributes: Attributes<'_>) -> io::Result<()> {
    let element = xml
        .create_element(name)
        .with_attributes(attributes.iter().copied());
    element.write_empty().map(drop)
}

/// For the fuzz target.
pub(super) fn is_well_formed(domain: &[u8]) -> bool {
    let mut reader = quick_xml::Reader::from_reader(domain);
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Eof) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
