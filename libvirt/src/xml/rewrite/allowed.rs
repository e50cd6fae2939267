//! What is taken over from a domain of somebody else's as it is: nothing of it names a file, a device of the host,
//! a program or a peer. (libvirt's documentation, "Domain XML format".)

/// An element that may stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed<'a> {
    pub(super) name: &'a str,
    pub(super) attributes: Attributes,
    pub(super) has_text: bool,
    pub(super) children: Children,
}

/// Attributes that may stay. All of them must be plain words or numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attributes {
    /// All.
    Plain,
    /// Those of these names.
    Only(&'static [&'static str]),
}

/// Elements inside that may stay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Children {
    /// All, by the same rule.
    Alike,
    /// These.
    Of(&'static [Allowed<'static>]),
}

const NONE: Children = Children::Of(&[]);

/// An element with plain attributes, and a number or a word in it.
const fn value(name: &'static str) -> Allowed<'static> {
    Allowed {
        name,
        attributes: Attributes::Plain,
        has_text: true,
        children: NONE,
    }
}

/// An element in which nothing can do harm, whatever is inside.
const fn tree(name: &'static str) -> Allowed<'static> {
    Allowed {
        name,
        attributes: Attributes::Plain,
        has_text: true,
        children: Children::Alike,
    }
}

const fn with(
    name: &'static str,
    attributes: &'static [&'static str],
    children: &'static [Allowed<'static>],
) -> Allowed<'static> {
    Allowed {
        name,
        attributes: Attributes::Only(attributes),
        has_text: false,
        children: Children::Of(children),
    }
}

const ADDRESS: Allowed<'static> = value("address");

/// In `<domain>`.
pub(super) const DOMAIN: &[Allowed<'static>] = &[
    value("genid"),
    value("title"),
    value("description"),
    value("memory"),
    value("currentMemory"),
    value("maxMemory"),
    value("vcpu"),
    value("iothreads"),
    // Without `<cache>` and `<numa>` of the host's: both are only numbers.
    tree("cpu"),
    tree("features"),
    tree("clock"),
    value("on_poweroff"),
    value("on_reboot"),
    value("on_crash"),
    tree("pm"),
    with(
        "sysinfo",
        &["type"],
        &[
            tree("bios"),
            tree("system"),
            tree("baseBoard"),
            tree("chassis"),
        ],
    ),
];

/// In `<os>`.
pub(super) const OS: &[Allowed<'static>] = &[
    value("type"),
    value("boot"),
    value("bootmenu"),
    value("bios"),
    value("smbios"),
    tree("firmware"),
];

/// In `<devices>`.
pub(super) const DEVICES: &[Allowed<'static>] = &[
    tree("controller"),
    with(
        "video",
        &[],
        &[
            with(
                "model",
                &[
                    "type", "vram", "vram64", "ram", "vgamem", "heads", "primary",
                ],
                &[value("resolution")],
            ),
            ADDRESS,
        ],
    ),
    tree("sound"),
    tree("memballoon"),
    tree("watchdog"),
    tree("panic"),
    tree("hub"),
    tree("iommu"),
];

/// In a disk, beside what is made anew.
pub(super) const DISK: &[Allowed<'static>] = &[
    with("target", &["dev", "bus", "rotation_rate", "removable"], &[]),
    value("boot"),
    value("serial"),
    value("wwn"),
    value("vendor"),
    value("product"),
    value("blockio"),
    value("geometry"),
    with("readonly", &[], &[]),
    tree("iotune"),
    ADDRESS,
];

/// In a network card.
pub(super) const INTERFACE: &[Allowed<'static>] = &[
    with("mac", &["address"], &[]),
    with("source", &["network", "bridge", "portgroup"], &[]),
    with("model", &["type"], &[]),
    with(
        "driver",
        &["name", "queues", "rx_queue_size", "tx_queue_size"],
        &[],
    ),
    with("link", &["state"], &[]),
    with("mtu", &["size"], &[]),
    with("rom", &["bar", "enabled"], &[]),
    tree("vlan"),
    tree("bandwidth"),
    value("boot"),
    ADDRESS,
];

/// In a serial port or a console.
pub(super) const PORT: &[Allowed<'static>] = &[tree("target"), ADDRESS];
