use super::*;

const CONFIG: &str = "agent: enabled=1,fstrim_cloned_disks=1\nbios: ovmf\nboot: order=scsi1;net0\n\
    cores: 3\ncpu: host,flags=+aes;-pcid\nefidisk0: l:vm-1-disk-0,efitype=4m,size=528K\n\
    hostpci0: 01:00\nide2: none,media=cdrom\nmachine: pc-q35-9.0+pve1\nmemory: current=3072\n\
    name: web\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\n\
    net1: e1000=BC:24:11:00:00:02,bridge=vmbr0,link_down=1\nonboot: 1\nostype: win11\n\
    sata0: l:vm-1-disk-1,ssd=1\nscsi1: l:vm-1-disk-2,discard=on,serial=disk0,size=4G\n\
    scsihw: virtio-scsi-single\nserial0: socket\nsmbios1: uuid=11111111-2222-4333-8444-555555555555\n\
    sockets: 2\ntablet: 0\ntpmstate0: l:vm-1-disk-3,version=v2.0\nvga: qxl,memory=32\n\
    virtio1: l:vm-1-disk-4,ro=1\n";

fn machine(text: &str) -> Machine {
    let config = GuestConfig::parse(text).unwrap();
    let drives = config.drives().unwrap();
    let disks = drives.into_iter().filter(|drive| !drive.is_cdrom);
    let images = disks.map(|drive| {
        let file = format!("disk-{}.raw", drive.device_name());
        let format = VolumeFormat::Raw;
        (drive.key, Image { file, format })
    });
    Machine::new(&config, images.collect()).unwrap()
}

fn arguments(text: &str) -> String {
    qemu::arguments(&machine(text)).join(" ")
}

#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is missing: {text}");
    }
}

#[test]
fn qemu_is_told_what_the_configuration_says() {
    let expected = [
        "-name guest=web -machine q35,accel=kvm:tcg -cpu max,+aes,-pcid -smp sockets=2,cores=3 -m 3072M",
        "-smbios type=1,uuid=11111111-2222-4333-8444-555555555555 -rtc base=localtime",
        "-vga qxl",
        r#"-netdev {"id":"net0","type":"user"}"#,
        r#"-device {"driver":"virtio-net-pci","id":"net0","mac":"BC:24:11:00:00:01","netdev":"net0","romfile":""}"#,
        r#"-device {"driver":"e1000","id":"net1","mac":"BC:24:11:00:00:02","romfile":""}"#,
        r#"-device {"bus":"ide.2","driver":"ide-cd","id":"ide2"}"#,
        r#"-device {"bus":"ahci0.0","drive":"drive-sata0","driver":"ide-hd","id":"sata0","rotation_rate":1}"#,
        r#""file":{"discard":"unmap","driver":"file","filename":"disk-drive-scsi1.raw"}"#,
        r#"-device {"bootindex":1,"bus":"scsihw0.0","drive":"drive-scsi1","driver":"scsi-hd","id":"scsi1","lun":1,"scsi-id":0,"serial":"disk0"}"#,
        r#""node-name":"drive-virtio1","read-only":true"#,
        "-drive if=pflash,unit=1,format=raw,file=disk-drive-efidisk0.raw",
        r#""name":"org.qemu.guest_agent.0""#,
        r#"-device {"chardev":"serial0","driver":"isa-serial","index":0}"#,
    ];
    let arguments = arguments(CONFIG);
    assert_has(&arguments, &expected);
    assert!(!arguments.contains("usb-tablet"), "{arguments}");
    assert!(!arguments.contains(r#""id":"net1","type""#), "{arguments}");

    let machine = machine(CONFIG);
    let script = qemu::script(&machine, false);
    assert_has(
        &script,
        &[
            "backend-uri=file://$PWD/disk-drive-tpmstate0-backup.raw",
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "# - hostpci0 has no equivalent\n",
            "# - machine: it is QEMU's newest q35",
        ],
    );
    assert!(!script.contains("onboot"), "{script}");
}

#[test]
fn libvirt_is_told_the_same() {
    let domain = libvirt::domain(&machine(CONFIG), "/srv/<a&b>").unwrap();
    let expected = [
        "<name>web</name>",
        "<memory unit=\"MiB\">3072</memory>",
        "<vcpu>6</vcpu>",
        "<os firmware=\"efi\">",
        "<type arch=\"x86_64\" machine=\"q35\">hvm</type>",
        "<nvram>/srv/&lt;a&amp;b&gt;/disk-drive-efidisk0.raw</nvram>",
        "<cpu mode=\"host-passthrough\">",
        "<feature policy=\"disable\" name=\"pcid\"/>",
        "<clock offset=\"localtime\"/>",
        "<source file=\"/srv/&lt;a&amp;b&gt;/disk-drive-scsi1.raw\"/>",
        "<mac address=\"BC:24:11:00:00:01\"/>",
        "<link state=\"down\"/>",
        "<backend type=\"emulator\" version=\"2.0\"/>",
    ];
    assert_has(&String::from_utf8(domain).unwrap(), &expected);
}

#[test]
fn a_guest_of_few_words_has_what_proxmox_gives_it() {
    let arguments = arguments("scsi0: l:vm-1-disk-0\nscsi9: l:vm-1-disk-1\nnet0: model=rtl8139\n");
    let expected = [
        "-machine pc,accel=kvm:tcg -cpu kvm64,+lahf_lm,+sep -smp sockets=1,cores=1 -m 512M",
        r#"{"driver":"lsi53c895a","id":"scsihw0"}"#,
        r#"{"bootindex":1,"bus":"scsihw0.0","drive":"drive-scsi0","driver":"scsi-hd","id":"scsi0","lun":0,"scsi-id":0}"#,
        r#""bus":"scsihw1.0","drive":"drive-scsi9","driver":"scsi-hd","id":"scsi9","lun":0,"scsi-id":2"#,
        r#"{"addr":"0x12","bus":"pci.0","driver":"rtl8139","id":"net0","netdev":"net0","romfile":""}"#,
        "usb-tablet",
    ];
    assert_has(&arguments, &expected);
}

#[test]
fn numbers_without_measure_are_left_at_their_defaults_and_named() {
    let machine = machine("memory: 99999999999\ncores: 0\nsockets: -1\nscsihw: x\nvga: y\n");
    assert_eq!(
        (machine.memory, machine.cores, machine.sockets),
        (512, 1, 1)
    );
    for key in ["memory", "cores", "sockets", "scsihw", "vga"] {
        let note = format!("{key} has no equivalent");
        assert!(machine.notes.contains(&note), "{:?}", machine.notes);
    }
}

#[test]
fn nothing_that_means_something_elsewhere_gets_through() {
    let nasty = [
        "$(touch pwned)",
        "`touch pwned`",
        "'; touch pwned; '",
        "\"; touch pwned; \"",
        "a,b=c",
        "a\rb",
        "a\u{1}b",
        "]]>",
        "<x y='z'>",
        "&amp;",
        "--",
        "\\",
        "a b",
        "%s",
        "-S",
        "\u{202e}ä",
        "\0",
    ];
    let keys = [
        "name",
        "memory",
        "cores",
        "sockets",
        "cpu",
        "machine",
        "bios",
        "scsihw",
        "smbios1",
        "vmgenid",
        "agent",
        "ostype",
        "vga",
        "boot",
        "bootdisk",
        "net0",
        "serial0",
        "hostpci0",
        "args",
        "description",
        "cpu: kvm64,flags=+",
        "net0: virtio=",
        "scsi0: l:1,serial=",
        "scsi0: l:1,wwn=0x",
        "scsi0: l:1,",
        "smbios1: uuid=",
        "machine: type=",
        "boot: order=",
        "efidisk0: l:1,efitype=",
        "ide2: l:iso/",
    ];
    for nasty in nasty {
        for key in keys {
            let colon = if key.contains(':') { "" } else { ": " };
            let text = format!("{key}{colon}{nasty}\nscsi5: l:2\ntpmstate0: l:3\n");
            fuzzing::start_of_a_guest(text.as_bytes());
            let config = GuestConfig::parse(&text).unwrap();
            let Ok(machine) = Machine::new(&config, BTreeMap::new()) else {
                continue;
            };
            let script = qemu::script(&machine, false);
            let domain = libvirt::domain(&machine, "/d").unwrap();
            let both = format!("{script}{}", String::from_utf8(domain).unwrap());
            // Signs that we write ourselves do not count.
            if nasty.len() > 2 {
                assert!(!both.contains(nasty), "{text}: {both}");
            }
            assert!(!both.contains("pwned)"), "{text}: {both}");
        }
    }
}

#[test]
fn a_processor_that_a_qemu_lacks_is_replaced_where_the_guest_starts() {
    let script = |text: &str| qemu::script(&machine(text), false);
    let newest = script("cpu: EPYC-Turin,flags=+aes\n");
    assert_has(&newest, &["'(^| )EPYC-Turin( |$)'", "set -- -cpu max"]);
    for common in ["cores: 1\n", "cpu: host\n", "cpu: x86-64-v3\n"] {
        assert!(!script(common).contains("-cpu help"), "{common}");
    }
}

/// The models that Proxmox VE offers or has offered, but for those that QEMU 7.2 does not have yet.
const MODELS: &str = "486 athlon Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Cascadelake-Server \
    Cascadelake-Server-noTSX Cascadelake-Server-v2 Cascadelake-Server-v4 Cascadelake-Server-v5 Conroe Cooperlake \
    Cooperlake-v2 core2duo coreduo EPYC EPYC-IBPB EPYC-Milan EPYC-Rome EPYC-Rome-v2 EPYC-v3 Haswell Haswell-IBRS \
    Haswell-noTSX Haswell-noTSX-IBRS host Icelake-Client Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX \
    Icelake-Server-v3 Icelake-Server-v4 Icelake-Server-v5 Icelake-Server-v6 IvyBridge IvyBridge-IBRS KnightsMill \
    kvm32 kvm64 max Nehalem Nehalem-IBRS Opteron_G1 Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 Penryn pentium \
    pentium2 pentium3 phenom qemu32 qemu64 SandyBridge SandyBridge-IBRS Skylake-Client Skylake-Client-IBRS \
    Skylake-Client-noTSX-IBRS Skylake-Client-v4 Skylake-Server Skylake-Server-IBRS Skylake-Server-noTSX-IBRS \
    Skylake-Server-v4 Skylake-Server-v5 Westmere Westmere-IBRS x86-64-v2 x86-64-v2-AES x86-64-v3 x86-64-v4";

#[test]
fn every_model_of_a_processor_is_one_that_qemu_has() {
    for qemu in fleece_lab::qemus() {
        let help = qemu.system().args(["-cpu", "help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let known: Vec<&str> = help.split_whitespace().collect();
        for model in MODELS.split_whitespace() {
            let arguments = arguments(&format!("cpu: {model}\n"));
            let (_, cpu) = arguments.split_once("-cpu ").unwrap();
            let name = cpu.split([' ', ',']).next().unwrap();
            assert!(known.contains(&name), "{model}: {name}, {}", qemu.version());
        }
    }
}

#[test]
fn of_a_tpm_whose_state_is_a_file_nobody_says_that_it_is_missing() {
    let config = GuestConfig::parse("tpmstate0: l:vm-1-disk-3,version=v2.0\n").unwrap();
    let mut machine = Machine::new(&config, BTreeMap::new()).unwrap();
    assert_eq!(machine.notes, ["tpmstate0 was not restored"]);
    machine.use_tpm_state();
    assert!(machine.notes.is_empty(), "{:?}", machine.notes);
    let script = qemu::script(&machine, false);
    assert_has(&script, &["swtpm socket --tpm2", "dir=$PWD"]);
}

#[test]
fn a_script_of_a_live_restore_starts_no_guest_whose_disks_nobody_serves() {
    let script = qemu::script(&machine("name: web\n"), true);
    let guard = "if [ -e live.json ] && [ -z \"${FLEECE_LIVE:-}\" ]; then";
    assert_has(&script, &[guard, "fleece restore --resume"]);
}

#[test]
fn an_isolated_guest_reaches_nothing_and_is_reached_only_where_it_is_asked_for() {
    let mut machine = machine("net0: virtio=BC:24:11:00:00:01\nnet1: e1000=BC:24:11:00:00:02\n");
    let isolation = Isolation::new(&[22, 80]).unwrap();
    machine.isolate(isolation.clone());
    let arguments = qemu::arguments(&machine).join(" ");
    let [ssh, web] = [22, 80].map(|port| isolation.host_port(port).unwrap());
    assert_ne!(ssh, web);
    let first = format!(
        r#"-netdev {{"hostfwd":[{{"str":"tcp:127.0.0.1:{ssh}-:22"}},{{"str":"tcp:127.0.0.1:{web}-:80"}}],"id":"net0","restrict":true,"type":"user"}}"#
    );
    let second = r#"-netdev {"id":"net1","restrict":true,"type":"user"}"#;
    assert_has(&arguments, &[&first, second, "logfile=serial0.log"]);

    let mut alone = Machine::new(&GuestConfig::parse("").unwrap(), BTreeMap::new()).unwrap();
    alone.isolate(Isolation::new(&[]).unwrap());
    let arguments = qemu::arguments(&alone).join(" ");
    assert!(!arguments.contains("netdev"), "{arguments}");
}
