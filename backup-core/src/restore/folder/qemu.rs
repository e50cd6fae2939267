//! A shell script that starts the guest with QEMU alone.

use fleece_storage::VolumeFormat;
use serde_json::{Value, json};

use super::super::behind;
use super::machine::{Bus, Card, Cpu, Drive, Image, Machine, Model, Scsi};

pub(in super::super) const PROGRAM: &str = "qemu-system-x86_64";

/// Where what an isolated guest says on its first serial port is kept.
pub(in super::super) const SERIAL_LOG: &str = "serial0.log";

const USE: &str = r"#   -machine accel=tcg            # where there is no KVM
#   -display none                 # without a window, or the VNC socket that there is without a desktop
# Its monitor is qmp.sock, by which it can be backed up; its network is QEMU's own, behind the host's address.
";

const BEGIN: &str = r#"set -eu
CDPATH= cd -- "$(dirname -- "$0")"
if [ -e .fleece-unfinished ]; then
    echo "a restore into the images here has not ended: run it again, and then this" >&2
    exit 1
fi
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    set -- -vnc unix:vnc.sock "$@"
fi
"#;

/// Whoever only starts QEMU would have a guest whose disks nobody serves.
const WAIT_FOR_DISKS: &str = r#"if [ -e RECORD ] && [ -z "${LIVE:-}" ]; then
    echo "the disks are not complete; start the guest with: fleece restore --resume "$PWD" --start" >&2
    exit 1
fi
"#;

/// Processors that every QEMU has.
const EVERYWHERE: [&str; 2] = ["kvm64", "qemu64"];

/// Where distributions have UEFI firmware, without and with the large set of variables.
const SMALL_FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE.fd /usr/share/edk2/ovmf/OVMF_CODE.fd \
                              /usr/share/edk2-ovmf/x64/OVMF_CODE.fd";
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/edk2/x64/OVMF_CODE.4m.fd \
                        /usr/share/pve-edk2-firmware/OVMF_CODE_4M.fd";

const FIND_FIRMWARE: &str = r#"# UEFI firmware; OVMF_CODE=FILE names another.
for ovmf in "${OVMF_CODE:-}" FILES; do
    [ ! -f "$ovmf" ] || break
done
if [ ! -f "$ovmf" ]; then
    echo "no UEFI firmware is found; install OVMF, or name its code: OVMF_CODE=FILE $0" >&2
    exit 1
fi
set -- -drive "if=pflash,unit=0,format=raw,readonly=on,file=$ovmf" "$@"
"#;

const FIND_MACHINE: &str = r#"# The machine as it was, if this QEMU has it; else the newest of its kind.
if qemu-system-x86_64 -machine help | grep -q '^VERSION '; then
    set -- -machine type=VERSION "$@"
fi
"#;

const FIND_PROCESSOR: &str = r#"# The processor as it was, if this QEMU has it; else all that there is here.
if ! qemu-system-x86_64 -cpu help | grep -qE '(^| )MODEL( |$)'; then
    echo "this QEMU has no processor MODEL; the guest gets all that there is here" >&2
    set -- -cpu max "$@"
fi
"#;

const START_TPM: &str = r#"# The TPM is a program of its own, which ends with QEMU.
if ! command -v swtpm >/dev/null; then
    echo "swtpm is missing, which the guest's TPM needs; install it" >&2
    exit 1
fi
swtpm socket KIND--tpmstate "STATE" \
    --ctrl type=unixio,path=tpm.sock --terminate --daemon
set -- -chardev socket,id=tpm,path=tpm.sock -tpmdev emulator,id=tpm0,chardev=tpm \
    -device tpm-tis,tpmdev=tpm0 "$@"
"#;

/// The script; `is_live`: of a guest that may be started before its disks are complete.
pub(super) fn script(machine: &Machine, is_live: bool) -> String {
    let mut script = format!(
        "#!/bin/sh\n# Starts the guest {} with QEMU, from this folder. Arguments are passed on to QEMU, such as\n{USE}",
        machine.name
    );
    if !machine.notes.is_empty() {
        script.push_str("#\n# Not all of it can be started without its host:\n");
        for note in &machine.notes {
            script.push_str(&format!("# - {note}\n"));
        }
    }
    script.push_str(BEGIN);
    if is_live {
        let wait = WAIT_FOR_DISKS.replace("RECORD", behind::RECORD);
        script.push_str(&wait.replace("LIVE", behind::LIVE));
    }
    if let Some(version) = &machine.version {
        script.push_str(&FIND_MACHINE.replace("VERSION", version));
    }
    if let Model::Named(model) = &machine.cpu.model
        && !EVERYWHERE.contains(&model.as_str())
    {
        script.push_str(&FIND_PROCESSOR.replace("MODEL", model));
    }
    if machine.ovmf {
        let files = match machine.variables.is_some() && machine.small_variables {
            true => SMALL_FIRMWARE,
            false => FIRMWARE,
        };
        script.push_str(&FIND_FIRMWARE.replace("FILES", files));
    }
    if let Some(tpm) = &machine.tpm {
        let kind = if tpm.is_2 { "--tpm2 " } else { "" };
        let start = START_TPM.replace("KIND", kind);
        let state = match &tpm.image {
            Some(image) => format!("backend-uri=file://$PWD/{}", image.file),
            None => "dir=$PWD".to_owned(),
        };
        script.push_str(&start.replace("STATE", &state));
    }
    script.push_str(&format!("exec {PROGRAM}"));
    for argument in arguments(machine) {
        let separator = if argument.starts_with('-') {
            " \\\n    "
        } else {
            " "
        };
        script.push_str(separator);
        script.push_str(&quoted(&argument));
    }
    script.push_str(" \\\n    \"$@\"\n");
    script
}

/// One word for the shell, whatever is in it.
fn quoted(argument: &str) -> String {
    // Only NUL cannot be quoted, and no argument has it.
    shlex::try_quote(argument).map_or_else(|_| "''".to_owned(), Into::into)
}

/// QEMU's arguments, but for those that the script finds out.
pub(super) fn arguments(machine: &Machine) -> Vec<String> {
    let kind = if machine.q35 { "q35" } else { "pc" };
    let mut arguments = Arguments::default();
    let name = machine.name.replace(',', ",,");
    arguments.add("-name", format!("guest={name}"));
    arguments.add("-machine", format!("{kind},accel=kvm:tcg"));
    arguments.add("-cpu", cpu(&machine.cpu));
    let (sockets, cores) = (machine.sockets, machine.cores);
    let smp = format!("sockets={sockets},cores={cores}");
    arguments.add(
        "-smp",
        match machine.threads {
            0 | 1 => smp,
            threads => format!("{smp},threads={threads}"),
        },
    );
    arguments.add("-m", format!("{}M", machine.memory));
    if let Some(uuid) = machine.uuid {
        arguments.add("-smbios", format!("type=1,uuid={uuid}"));
    }
    let clock = if machine.local_time {
        "localtime"
    } else {
        "utc"
    };
    arguments.add("-rtc", format!("base={clock}"));
    arguments.0.push("-nodefaults".to_owned());
    arguments.add("-qmp", "unix:qmp.sock,server=on,wait=off".to_owned());
    arguments.add("-vga", machine.screen.to_owned());
    // Cards first: their places on the bus are given, and others take what is free.
    for card in &machine.cards {
        arguments.card(card, machine);
    }
    if let Some(generation) = machine.generation {
        arguments.device(json!({ "driver": "vmgenid", "guid": generation.to_string() }));
    }
    arguments.controllers(machine);
    for drive in &machine.drives {
        arguments.drive(drive, machine);
    }
    if let Some(Image { file, format }) = &machine.variables
        && machine.ovmf
    {
        arguments.add(
            "-drive",
            format!("if=pflash,unit=1,format={format},file={file}"),
        );
    }
    for port in &machine.serial_ports {
        let id = format!("serial{port}");
        let kept = match &machine.isolation {
            Some(_) if *port == 0 => format!(",logfile={SERIAL_LOG}"),
            _ => String::new(),
        };
        arguments.add(
            "-chardev",
            format!("socket,id={id},path={id}.sock,server=on,wait=off{kept}"),
        );
        arguments.device(json!({ "driver": "isa-serial", "index": port, "chardev": id }));
    }
    if machine.agent {
        let socket = "socket,id=agent,path=agent.sock,server=on,wait=off";
        arguments.add("-chardev", socket.to_owned());
        arguments.device(json!({ "driver": "virtio-serial-pci" }));
        // Without an id, QEMU would not tell when the agent opens it.
        arguments.device(json!({
            "driver": "virtserialport", "id": "qga0", "chardev": "agent",
            "name": "org.qemu.guest_agent.0",
        }));
    }
    if machine.tablet {
        arguments.0.push("-usb".to_owned());
        arguments.device(json!({ "driver": "usb-tablet" }));
    }
    arguments.0
}

fn cpu(cpu: &Cpu) -> String {
    let mut text = match &cpu.model {
        // As `host` with KVM, and there without, too.
        Model::Host => "max".to_owned(),
        Model::Named(name) => name.clone(),
    };
    for (add, flag) in &cpu.flags {
        text.push_str(&format!(",{}{flag}", if *add { '+' } else { '-' }));
    }
    text
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, option: &str, value: String) {
        self.0.extend([option.to_owned(), value]);
    }

    /// As JSON, where a comma is a comma.
    fn device(&mut self, device: Value) {
        self.add("-device", device.to_string());
    }

    fn card(&mut self, card: &Card, machine: &Machine) {
        let q35 = machine.q35;
        let id = format!("net{}", card.number);
        let mut device = json!({ "driver": card.model, "id": id });
        if !card.link_down {
            let mut netdev = json!({ "type": "user", "id": id });
            if let Some(isolation) = &machine.isolation {
                set(&mut netdev, "restrict", true.into());
                let is_first = machine
                    .cards
                    .first()
                    .is_some_and(|first| first.number == card.number);
                let rules = isolation.rules();
                if is_first && !rules.is_empty() {
                    set(&mut netdev, "hostfwd", rules.into());
                }
            }
            self.add("-netdev", netdev.to_string());
            set(&mut device, "netdev", id.into());
        }
        if let Some(mac) = &card.mac {
            set(&mut device, "mac", mac.as_str().into());
        }
        if let Some(slot) = card.slot(q35) {
            set(
                &mut device,
                "bus",
                if q35 { "pcie.0" } else { "pci.0" }.into(),
            );
            set(&mut device, "addr", format!("{slot:#x}").into());
        }
        if card.model != "ne2k_isa" {
            // Its ROM is for starting from the network only, and Debian's QEMU comes without.
            set(&mut device, "romfile", "".into());
        }
        self.device(device);
    }

    fn controllers(&mut self, machine: &Machine) {
        let of = |bus| machine.drives.iter().filter(move |drive| drive.bus == bus);
        if of(Bus::Sata).next().is_some() {
            self.device(json!({ "driver": "ahci", "id": "ahci0" }));
        }
        let driver = match machine.scsi {
            Scsi::Lsi53c895a => "lsi53c895a",
            Scsi::Lsi53c810 => "lsi53c810",
            Scsi::Virtio => "virtio-scsi-pci",
            Scsi::Megasas => "megasas",
            Scsi::Pvscsi => "pvscsi",
        };
        let mut controllers: Vec<u32> = of(Bus::Scsi)
            .map(|drive| controller(drive, machine.scsi))
            .collect();
        controllers.dedup();
        for number in controllers {
            self.device(json!({ "driver": driver, "id": format!("scsihw{number}") }));
        }
    }

    fn drive(&mut self, drive: &Drive, machine: &Machine) {
        let node = node(&drive.key);
        if let Some(image) = &drive.image {
            self.add("-blockdev", blockdev(drive, image, &node).to_string());
        }
        let (number, is_cd) = (drive.number, drive.image.is_none());
        let mut device = match drive.bus {
            Bus::Virtio => json!({ "driver": "virtio-blk-pci" }),
            // A `q35` has no IDE; its own AHCI takes such drives.
            Bus::Ide if machine.q35 => json!({
                "driver": if is_cd { "ide-cd" } else { "ide-hd" }, "bus": format!("ide.{number}"),
            }),
            Bus::Ide => json!({
                "driver": if is_cd { "ide-cd" } else { "ide-hd" },
                "bus": format!("ide.{}", number >> 1),
                "unit": number & 1,
            }),
            Bus::Sata => json!({
                "driver": if is_cd { "ide-cd" } else { "ide-hd" }, "bus": format!("ahci0.{number}"),
            }),
            Bus::Scsi => {
                let (target, unit) = address(drive, machine.scsi);
                json!({
                    "driver": if is_cd { "scsi-cd" } else { "scsi-hd" },
                    "bus": format!("scsihw{}.0", controller(drive, machine.scsi)),
                    "scsi-id": target,
                    "lun": unit,
                })
            }
        };
        set(&mut device, "id", drive.key.as_str().into());
        if !is_cd {
            set(&mut device, "drive", node.into());
        }
        if let Some(boot) = drive.boot {
            set(&mut device, "bootindex", boot.into());
        }
        if let Some(serial) = &drive.serial {
            set(&mut device, "serial", serial.as_str().into());
        }
        if let Some((logical, physical)) = drive.sectors.filter(|_| !is_cd) {
            set(&mut device, "logical_block_size", logical.into());
            set(&mut device, "physical_block_size", physical.into());
        }
        if drive.bus != Bus::Virtio {
            if drive.ssd && !is_cd {
                set(&mut device, "rotation_rate", 1.into());
            }
            if let Some(wwn) = drive.wwn {
                set(&mut device, "wwn", wwn.into());
            }
        }
        self.device(device);
    }
}

/// The block node of a drive.
pub(in super::super) fn node(key: &str) -> String {
    format!("drive-{key}")
}

fn blockdev(drive: &Drive, image: &Image, node: &str) -> Value {
    let discard = if drive.discard { "unmap" } else { "ignore" };
    let format = match image.format {
        VolumeFormat::Qcow2 => "qcow2",
        _ => "raw",
    };
    json!({
        "driver": format,
        "node-name": node,
        "read-only": drive.read_only,
        "discard": discard,
        "file": { "driver": "file", "filename": image.file, "discard": discard },
    })
}

/// Which of the SCSI controllers a drive is at.
pub(super) fn controller(drive: &Drive, scsi: Scsi) -> u32 {
    drive.number.checked_div(scsi.drives()).unwrap_or(0)
}

/// A SCSI drive's target and unit, as Proxmox numbers them.
pub(super) fn address(drive: &Drive, scsi: Scsi) -> (u32, u32) {
    if let Some(place) = drive.place {
        place
    } else if scsi.numbers_targets() {
        (drive.number.checked_rem(scsi.drives()).unwrap_or(0), 0)
    } else {
        (0, drive.number)
    }
}

fn set(device: &mut Value, key: &str, value: Value) {
    if let Some(object) = device.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}
