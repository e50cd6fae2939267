//! Network cards.

use fleece_guest_config::PropertyString;

use super::words::is_on;

/// A network card. The bridge that it was plugged into is on the other host.
#[derive(Debug)]
pub(in super::super) struct Card {
    /// `net0` is 0.
    pub(in super::super) number: u32,
    /// QEMU's device, which is libvirt's model, too, but for virtio.
    pub(in super::super) model: &'static str,
    pub(in super::super) mac: Option<String>,
    pub(in super::super) link_down: bool,
    /// Its slot on the first PCI bus, if it is recorded.
    pub(in super::super) place: Option<u32>,
}

/// Proxmox's models and QEMU's devices.
const MODELS: [(&str, &str); 14] = [
    ("virtio", "virtio-net-pci"),
    ("e1000", "e1000"),
    ("e1000-82540em", "e1000"),
    ("e1000-82544gc", "e1000-82544gc"),
    ("e1000-82545em", "e1000-82545em"),
    ("e1000e", "e1000e"),
    ("i82551", "i82551"),
    ("i82557b", "i82557b"),
    ("i82559er", "i82559er"),
    ("ne2k_isa", "ne2k_isa"),
    ("ne2k_pci", "ne2k_pci"),
    ("pcnet", "pcnet"),
    ("rtl8139", "rtl8139"),
    ("vmxnet3", "vmxnet3"),
];

impl Card {
    /// `virtio=BC:24:11:…,bridge=vmbr0`, or `model=virtio,macaddr=…`; `None` for an unknown model.
    pub(super) fn new(number: u32, properties: &PropertyString) -> Option<Self> {
        let known = |name: &str| MODELS.iter().find(|(model, _)| *model == name);
        let by_key = properties
            .options()
            .find_map(|(key, mac)| Some((known(key)?, Some(mac))));
        let named = properties
            .get(None)
            .or_else(|| properties.get(Some("model")));
        let by_name = || Some((known(named?)?, properties.get(Some("macaddr"))));
        let ((_, model), mac) = by_key.or_else(by_name)?;
        Some(Self {
            number,
            model,
            mac: mac.filter(|mac| is_mac(mac)).map(str::to_owned),
            place: None,
            link_down: properties.get(Some("link_down")).is_some_and(is_on),
        })
    }

    /// One of a guest that has none.
    pub(super) const fn plain() -> Self {
        Self {
            number: 0,
            model: "virtio-net-pci",
            mac: None,
            link_down: false,
            place: None,
        }
    }

    /// Where it was plugged in, or where Proxmox does so on a `pc`: Linux names it by that, `ens18` and so on.
    pub(in super::super) fn slot(&self, q35: bool) -> Option<u32> {
        let on_first_bus = self.number < 6 && self.model != "ne2k_isa";
        let proxmox = || self.number.saturating_add(0x12);
        self.place.or_else(|| (on_first_bus && !q35).then(proxmox))
    }
}

fn is_mac(text: &str) -> bool {
    let is_byte = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(is_byte)
}
