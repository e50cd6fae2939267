//! The processor.

use fleece_guest_config::PropertyString;

use super::words::is_word;

/// A processor's model, in QEMU's and libvirt's words, and flags on top.
#[derive(Debug)]
pub(in super::super) struct Cpu {
    pub(in super::super) model: Model,
    /// Names of flags, and whether they are added or taken away.
    pub(in super::super) flags: Vec<(bool, String)>,
}

#[derive(Debug)]
pub(in super::super) enum Model {
    /// All that the host has.
    Host,
    Named(String),
}

impl Default for Cpu {
    /// What Proxmox gives a guest that does not say.
    fn default() -> Self {
        Self {
            model: Model::Named("kvm64".to_owned()),
            flags: flags("lahf_lm sep"),
        }
    }
}

impl Cpu {
    /// `host`, `Haswell,flags=+aes;-pcid`, or `cputype=…`; gives notes on what is left out.
    pub(super) fn set(&mut self, properties: &PropertyString) -> Vec<String> {
        let mut notes = Vec::new();
        let kind = properties
            .get(None)
            .or_else(|| properties.get(Some("cputype")));
        match kind.unwrap_or("kvm64") {
            "kvm64" => {}
            "host" | "max" => (self.model, self.flags) = (Model::Host, Vec::new()),
            level if level.starts_with("x86-64-v") => match level_flags(level) {
                Some(level) => (self.model, self.flags) = (Model::Named("qemu64".into()), level),
                None => notes.push("cpu: the model is unknown, and is kvm64 here".to_owned()),
            },
            custom if custom.starts_with("custom-") => {
                (self.model, self.flags) = (Model::Host, Vec::new());
                notes
                    .push("cpu: the model is one of its host's own, and is the host's here".into());
            }
            named if is_word(named) => {
                (self.model, self.flags) = (Model::Named(successor(named)), Vec::new());
            }
            _ => notes.push("cpu: the model is unknown, and is kvm64 here".to_owned()),
        }
        for flag in properties.get(Some("flags")).unwrap_or_default().split(';') {
            let plus = flag.strip_prefix('+').map(|name| (true, name));
            let flag = plus.or_else(|| flag.strip_prefix('-').map(|name| (false, name)));
            if let Some((add, name)) = flag.filter(|(_, name)| is_word(name)) {
                self.flags.push((add, name.to_owned()));
            }
        }
        let known = ["cputype", "flags", "reported-model"];
        if properties.options().any(|(name, _)| !known.contains(&name)) {
            notes.push("cpu: of its options only the flags are kept".to_owned());
        }
        notes
    }
}

/// A model under the name that QEMU has for it today: it dropped Icelake-Client in 7.1 (no such processor was ever
/// sold), for which Proxmox VE takes Icelake-Server.
fn successor(model: &str) -> String {
    match model.strip_prefix("Icelake-Client") {
        Some(variant @ ("" | "-noTSX")) => format!("Icelake-Server{variant}"),
        _ => model.to_owned(),
    }
}

/// The levels of the x86-64 psABI as Proxmox makes them of flags, so that they run on any vendor's.
fn level_flags(level: &str) -> Option<Vec<(bool, String)>> {
    const V2: &str = "popcnt pni sse4.1 sse4.2 ssse3";
    const V3: &str = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave";
    const V4: &str = "avx512f avx512bw avx512cd avx512dq avx512vl";
    let names = match level {
        "x86-64-v2" => V2.to_owned(),
        "x86-64-v2-AES" => format!("{V2} aes"),
        "x86-64-v3" => format!("{V2} aes {V3}"),
        "x86-64-v4" => format!("{V2} aes {V3} {V4}"),
        _ => return None,
    };
    Some(flags(&names))
}

fn flags(names: &str) -> Vec<(bool, String)> {
    names
        .split(' ')
        .map(|name| (true, name.to_owned()))
        .collect()
}
