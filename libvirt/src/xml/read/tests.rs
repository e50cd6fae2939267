use std::path::Path;

use super::*;
use crate::error::ErrorKind;

const DOMAIN: &str = "<domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <os><type>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
    <nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/d/a.qcow2' index='2'/>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>
    <disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/b'/>
      <target dev='sdb' bus='scsi'/><alias name='scsi0-0-0-1'/></disk>
    <disk type='file' device='cdrom'><target dev='sdc' bus='sata'/><readonly/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qmp'/><qemu:arg value='unix:/run/web.qmp,server=on,wait=off'/>
    <qemu:arg value='-chardev'/><qemu:arg value='socket,id=two,path=/run/two.qmp,server,nowait'/>
    <qemu:arg value='-mon'/><qemu:arg value='chardev=two,mode=control'/>
    <qemu:arg value='-chardev'/><qemu:arg value='socket,id=hmp,path=/run/hmp,server=on'/>
    <qemu:arg value='-mon'/><qemu:arg value='chardev=hmp,mode=readline'/>
    <qemu:arg value='-qmp'/><qemu:arg value='unix:/run/elsewhere'/>
    <qemu:arg value='-qmp'/>
  </qemu:commandline>
</domain>";

#[test]
fn disks_monitors_and_firmware_are_read() {
    let domain = DomainXml::read(DOMAIN).unwrap();
    let disks: Vec<_> = domain
        .disks
        .iter()
        .map(|disk| disk.target.as_str())
        .collect();
    assert_eq!(disks, ["vda", "sdb", "sdc"]);
    let first = &domain.disks[0];
    assert_eq!(first.alias.as_deref(), Some("virtio-disk0"));
    assert_eq!(first.source.as_deref(), Some(Path::new("/d/a.qcow2")));
    assert_eq!(first.format.as_deref(), Some("qcow2"));
    assert_eq!(
        domain.disks[1].source.as_deref(),
        Some(Path::new("/dev/vg/b"))
    );
    assert_eq!(domain.agent, Some(true));
    assert!(domain.disks[2].readonly && domain.disks[2].device == "cdrom");
    assert_eq!(
        domain.monitors,
        [Path::new("/run/web.qmp"), Path::new("/run/two.qmp")]
    );
    let nvram = Path::new("/var/lib/libvirt/qemu/nvram/web_VARS.fd");
    assert_eq!(domain.nvram.as_deref(), Some(nvram));
}

#[test]
fn disks_are_called_as_proxmox_would() {
    for (target, bus, key) in [
        ("vda", "virtio", Some("virtio0")),
        ("vdp", "virtio", Some("virtio15")),
        ("vdq", "virtio", None),
        ("sdb", "scsi", Some("scsi1")),
        ("sdae", "scsi", Some("scsi30")),
        ("sda", "sata", Some("sata0")),
        ("hdc", "ide", Some("ide2")),
        ("sda", "usb", None),
        ("v$a", "virtio", None),
        ("vd", "virtio", None),
        ("vd1", "virtio", None),
        ("vdé", "virtio", None),
        ("é", "virtio", None),
        ("vdaaaa", "virtio", None),
    ] {
        let disk = DomainDisk {
            target: target.into(),
            bus: bus.into(),
            ..DomainDisk::default()
        };
        assert_eq!(disk.key().as_deref(), key, "{target} on {bus}");
    }
}

#[test]
fn what_is_no_domain_is_an_error_and_takes_no_memory() {
    let entities =
        "<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><domain>&b;</domain>";
    let long = format!("<domain>{}</domain>", " ".repeat(crate::xml::tree::MAX_XML));
    let many = format!("<domain>{}</domain>", "<a/>".repeat(300_000));
    let deep = "<domain>".repeat(100_000);
    for text in ["", "<pool/>", "<domain", entities, &long, &many, &deep] {
        let error = DomainXml::read(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Xml);
    }
    assert_eq!(DomainXml::read("<domain/>").unwrap(), DomainXml::default());
}
