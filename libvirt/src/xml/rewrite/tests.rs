use super::*;
use crate::xml::read::DomainXml;

const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

fn domain(inner: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm' xmlns:qemu='{QEMU}'><name>web</name>\
         <uuid>6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10</uuid><memory unit='KiB'>65536</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>{inner}<devices>{devices}</devices></domain>"
    )
}

fn wish() -> Rewrite {
    let disk = |key: &str, path: &str| RestoredDisk {
        key: key.into(),
        path: path.into(),
        format: "qcow2".into(),
    };
    Rewrite {
        disks: vec![
            disk("virtio0", "/new/web-virtio0.qcow2"),
            disk("scsi1", "/new/web-scsi1.qcow2"),
        ],
        ..Rewrite::default()
    }
}

const DISKS: &str = "<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>\
    <source file='/old/a.raw'><encryption format='luks'/></source><backingStore type='file'><source file='/etc/shadow'/>\
    </backingStore><target dev='vda' bus='virtio'/><boot order='1'/><serial>S1</serial>\
    <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></disk>\
    <disk type='block' device='disk'><source dev='/dev/sda'/><target dev='sdb' bus='scsi'/></disk>";

#[test]
fn a_harmless_domain_comes_back_with_its_disks_where_they_are_now() {
    let rest = "<controller type='scsi' index='0' model='virtio-scsi'/>\
        <interface type='network'><mac address='52:54:00:01:02:03'/><source network='default'/><model type='virtio'/></interface>\
        <channel type='unix'><source mode='bind' path='/x'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
        <disk type='file' device='cdrom'><source file='/iso'/><target dev='sdc' bus='sata'/><readonly/></disk>";
    let cpu = "<vcpu placement='static'>2</vcpu><cpu mode='host-passthrough'><topology sockets='1' cores='2' threads='1'/></cpu>\
        <features><acpi/><hyperv mode='custom'><relaxed state='on'/></hyperv></features><on_crash>destroy</on_crash>";
    let made = rewrite(&domain(cpu, &format!("{DISKS}{rest}")), &wish()).unwrap();
    assert!(made.dropped.is_empty(), "{:?}", made.dropped);
    assert!(made.unused.is_empty());
    assert_eq!(
        made.uuid.as_deref(),
        Some("6a3f0f3e-8c0e-4b0f-9c3e-2f7f4a1d8b10")
    );
    for kept in [
        "<source file=\"/new/web-virtio0.qcow2\"/>",
        "<source file=\"/new/web-scsi1.qcow2\"/>",
        "cache=\"none\"",
        "<serial>S1</serial>",
        "bus=\"0x02\"",
        "52:54:00:01:02:03",
        "<relaxed state=\"on\"/>",
        "cores=\"2\"",
        "org.qemu.guest_agent.0",
        "dev=\"sdc\"",
        "<on_crash>destroy</on_crash>",
    ] {
        assert!(made.xml.contains(kept), "{kept}: {}", made.xml);
    }
    for gone in ["/old", "/etc", "/dev/sda", "/iso", "encryption", "'/x'"] {
        assert!(!made.xml.contains(gone), "{gone}: {}", made.xml);
    }
    assert_eq!(DomainXml::read(&made.xml).unwrap().disks.len(), 3);
    // What is made is what is made of it once more.
    assert_eq!(rewrite(&made.xml, &wish()).unwrap().xml, made.xml);
}

#[test]
fn another_name_and_another_identity_are_given() {
    let card = "<interface type='user'><mac address='52:54:00:01:02:03'/></interface>";
    let wish = Rewrite {
        name: Some("other".into()),
        unique: true,
        ..wish()
    };
    for is_trusted in [false, true] {
        let wish = Rewrite {
            is_trusted,
            ..wish.clone()
        };
        let made = rewrite(
            &domain("<genid>x</genid>", &format!("{DISKS}{card}")),
            &wish,
        )
        .unwrap();
        assert!(made.xml.contains("<name>other</name>"), "{}", made.xml);
        for gone in ["6a3f0f3e", "52:54:00:01:02:03", "genid", ">web<"] {
            assert!(!made.xml.contains(gone), "{gone}: {}", made.xml);
        }
    }
}

/// Everything that libvirt can be told to open, run or reach.
const HARMFUL: [&str; 24] = [
    "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/etc/shadow'/></qemu:commandline>",
    "<bootloader>/tmp/evil</bootloader>",
    "<memoryBacking><source type='file'/><allocation mode='immediate'/></memoryBacking>",
    "<seclabel type='none'/>",
    "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>",
    "<metadata><x xmlns='urn:x'>evil</x></metadata>",
    "<launchSecurity type='sev'><dhCert>evil</dhCert></launchSecurity>",
    "<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>",
    "<devices><emulator>/tmp/evil</emulator></devices>",
    "<devices><emulator>/usr/bin/../../tmp/evil</emulator></devices>",
    "<devices><hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0'/></source></hostdev></devices>",
    "<devices><filesystem type='mount'><source dir='/evil'/><target dir='x'/></filesystem></devices>",
    "<devices><interface type='ethernet'><script path='/tmp/evil'/></interface></devices>",
    "<devices><interface type='direct'><source dev='evil0'/></interface></devices>",
    "<devices><interface type='vhostuser'><source type='unix' path='/tmp/evil'/></interface></devices>",
    "<devices><serial type='file'><source path='/tmp/evil'/></serial></devices>",
    "<devices><serial type='tcp'><source mode='connect' host='evil' service='1'/></serial></devices>",
    "<devices><channel type='dev'><source path='/tmp/evil'/><target type='virtio' name='a'/></channel></devices>",
    "<devices><rng model='virtio'><backend model='egd' type='tcp'><source host='evil'/></backend></rng></devices>",
    "<devices><tpm model='tpm-tis'><backend type='passthrough'><device path='/tmp/evil'/></backend></tpm></devices>",
    "<devices><disk type='network' device='disk'><source protocol='nbd' name='evil'/><target dev='vdz' bus='virtio'/></disk></devices>",
    "<devices><disk type='block' device='lun'><source dev='/tmp/evil'/><target dev='sdz' bus='scsi'/></disk></devices>",
    "<devices><input type='evdev'><source dev='/tmp/evil'/></input></devices>",
    "<devices><shmem name='evil'/></devices>",
];

#[test]
fn whatever_opens_runs_or_reaches_something_of_the_host_is_left_out_and_told() {
    for harm in HARMFUL {
        let (inner, devices) = match harm.strip_prefix("<devices>") {
            Some(device) => ("", device.strip_suffix("</devices>").unwrap()),
            None => (harm, ""),
        };
        let made = rewrite(&domain(inner, &format!("{DISKS}{devices}")), &wish()).unwrap();
        for gone in [
            "evil",
            "/etc/shadow",
            "qemu:",
            "sev",
            "fwcfg\"><entry",
            "pcipin",
            "memoryBacking",
        ] {
            assert!(!made.xml.contains(gone), "{gone}: {}", made.xml);
        }
        let is_told = !made.dropped.is_empty() || harm.contains("<rng");
        assert!(is_told, "{harm}: {}", made.xml);
    }
    // Kernels and firmware outside of what the host itself has.
    let os = "<domain><name>a</name><os><kernel>/tmp/evil</kernel><initrd>/tmp/evil</initrd><loader>/tmp/evil</loader>\
              <nvram template='/tmp/evil'>/etc/shadow</nvram></os></domain>";
    let made = rewrite(os, &Rewrite::default()).unwrap();
    assert!(
        !made.xml.contains("evil") && !made.xml.contains("shadow"),
        "{}",
        made.xml
    );
    assert_eq!(made.dropped.len(), 3);
}

#[test]
fn a_screen_is_for_this_host_and_keeps_its_password() {
    let screen = "<graphics type='vnc' port='5900' listen='0.0.0.0' passwd='a&quot;/b' socket='/tmp/evil'>\
                  <listen type='address' address='0.0.0.0'/></graphics>";
    let made = rewrite(&domain("", screen), &Rewrite::default()).unwrap();
    assert!(
        !made.xml.contains("0.0.0.0") && !made.xml.contains("evil"),
        "{}",
        made.xml
    );
    assert!(made.xml.contains("passwd=\"a&quot;/b\""), "{}", made.xml);
    assert_eq!(made.dropped.len(), 1);
}

#[test]
fn a_trusted_domain_keeps_everything_but_where_its_disks_were() {
    let own = "<qemu:commandline><qemu:arg value='-qmp'/></qemu:commandline>";
    let wish = Rewrite {
        is_trusted: true,
        ..wish()
    };
    let made = rewrite(&domain(own, DISKS), &wish).unwrap();
    assert!(made.xml.contains(own), "{}", made.xml);
    assert!(!made.xml.contains("/old") && made.xml.contains("/new/web-scsi1.qcow2"));
    assert!(made.unused.is_empty());
    assert!(parse(&made.xml).is_ok());
}

#[test]
fn the_variables_of_the_firmware_come_back() {
    let text = "<domain><name>a</name><os firmware='efi'><type>hvm</type><nvram template='/x'>/old</nvram></os></domain>";
    let wish = Rewrite {
        nvram: Some("/new/vars".into()),
        ..Rewrite::default()
    };
    let made = rewrite(text, &wish).unwrap();
    assert!(
        made.xml.contains("<nvram>/new/vars</nvram>"),
        "{}",
        made.xml
    );
}

#[test]
fn names_that_lead_elsewhere_and_bottomless_trees_are_refused() {
    for name in ["", "..", "a/b", "-x", "a\nb", &"n".repeat(300)] {
        let text = format!("<domain><name>{name}</name></domain>");
        assert!(rewrite(&text, &Rewrite::default()).is_err(), "{name}");
    }
    let deep = format!(
        "<domain><name>a</name>{}{}</domain>",
        "<cpu>".repeat(20_000),
        "</cpu>".repeat(20_000)
    );
    assert!(rewrite(&deep, &Rewrite::default()).is_err());
}
