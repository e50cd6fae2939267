use std::fs::File;

use fleece_lab::Machine;

use super::*;
use crate::discover::discover;

const SIZE: u64 = 64 << 20;

#[test]
fn a_machine_is_described_by_what_qemu_says_of_it() {
    for qemu in fleece_lab::qemus() {
        let mut machine = Machine::builder(&qemu).unwrap();
        let disk = |name: &str, size, options: &str| {
            let path = machine.folder().join(name);
            File::create(&path).unwrap().set_len(size).unwrap();
            format!("file={},format=raw,{options}", path.display())
        };
        let flash = disk("code", 1 << 20, "if=pflash,unit=0,readonly=on");
        let variables = disk("variables", 540_672, "if=pflash,unit=1");
        let drives = [
            disk("root", SIZE, "if=none,id=root"),
            disk("data", SIZE, "if=none,id=data"),
            disk("old", SIZE, "if=none,id=old"),
        ];
        machine = machine.option("-drive", flash).option("-drive", variables);
        for drive in drives {
            machine = machine.option("-drive", drive);
        }
        for device in [
            "virtio-blk-pci,drive=root,bootindex=2",
            "virtio-scsi-pci,id=controller",
            "scsi-hd,drive=data,id=data0,bus=controller.0",
            "ide-hd,drive=old,id=sata3,bootindex=0",
            "virtio-net-pci,mac=52:54:00:ab:cd:01,bootindex=1,romfile=",
            "e1000,mac=52:54:00:ab:cd:02,id=second,romfile=",
            "virtio-vga,romfile=",
            "isa-serial",
            "virtio-serial-pci",
            "virtserialport,name=org.qemu.guest_agent.0",
            "intel-hda",
        ] {
            machine = machine.option("-device", device);
        }
        let machine = machine
            .option("-smp", "4,sockets=2")
            .option("-cpu", "kvm64")
            .option("-name", "my web")
            .option("-uuid", "11111111-2222-4333-8444-555555555555")
            .start()
            .unwrap();
        let client = Client::connect_unix(machine.test_socket()).unwrap();
        let disks = discover(&client).unwrap().disks;
        let (config, maps, notes) = Hardware::of(&client).unwrap().unwrap().config(&disks);
        let expected = "agent: 1\nbios: ovmf\nboot: order=sata3;net0;virtio0\ncores: 2\ncpu: kvm64\n\
            efidisk0: none:drive-efidisk0,efitype=4m,size=528K\nmachine: q35\nmemory: 64\nname: my-web\n\
            net0: virtio=52:54:00:AB:CD:01,bridge=vmbr0\nnet1: e1000=52:54:00:AB:CD:02,bridge=vmbr0\n\
            sata3: none:drive-sata3,size=64M\nscsi0: none:drive-data0,size=64M\nscsihw: virtio-scsi-pci\n\
            serial0: socket\nsmbios1: uuid=11111111-2222-4333-8444-555555555555\nsockets: 2\ntablet: 0\nvga: virtio\n\
            virtio0: none:drive-root,size=64M\n";
        assert_eq!(config.to_string(), expected, "{}", qemu.version());
        let mut maps: Vec<_> = maps
            .iter()
            .map(|map| format!("{}={}", map.key, map.device))
            .collect();
        maps.sort();
        assert_eq!(
            maps,
            [
                "efidisk0=drive-efidisk0",
                "sata3=drive-sata3",
                "scsi0=drive-data0",
                "virtio0=drive-root"
            ]
        );
        assert_eq!(notes, ["devices that a restore cannot recreate: intel-hda"]);
    }
}

#[test]
fn firmware_of_its_own_is_uefi_by_its_name_or_told() {
    let Some(qemu) = fleece_lab::qemu("10.0") else {
        return;
    };
    for (name, uefi) in [("OVMF.fd", true), ("coreboot.rom", false)] {
        let machine = Machine::builder(&qemu).unwrap();
        let firmware = machine.folder().join(name);
        std::fs::write(&firmware, vec![0xf4; 64 << 10]).unwrap();
        let firmware = firmware.display().to_string();
        let machine = machine.option("-bios", firmware).start().unwrap();
        let client = Client::connect_unix(machine.test_socket()).unwrap();
        let hardware = Hardware::of(&client).unwrap().unwrap();
        let (config, _, notes) = hardware.config(&[]);
        assert_eq!(config.main().get("bios") == Some("ovmf"), uefi, "{name}");
        assert_eq!(
            notes.iter().any(|note| note.contains(name)),
            !uefi,
            "{notes:?}"
        );
    }
}
