//! libvirt's own backups in pull mode: the XML that begins one, and what it says of one that is under way.
//! (libvirt's page "Backup XML format".)

use std::path::{Path, PathBuf};

use quick_xml::Writer;

use super::tree::{child, tree};
use crate::error::{Error, ErrorKind};

/// A disk of a backup in pull mode.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a disk has a place in the domain, a name for readers, and a scratch file"
)]
pub struct PullDisk<'a> {
    /// What the domain's XML calls it, such as `vda`.
    pub target: &'a str,
    /// The name of its export.
    pub export: &'a str,
    /// A qcow2 image of the disk's size that is there: what the guest overwrites is saved there first.
    pub scratch: &'a Path,
}

/// The XML of a backup that is served on `socket`. All other disks of the domain are left out of it.
pub(crate) fn pull(socket: &Path, disks: &[PullDisk<'_>]) -> Result<String, Error> {
    let failed =
        |error| Error::new(ErrorKind::Xml, "cannot write a backup's XML").with_source(error);
    let mut out = Writer::new(Vec::new());
    let backup = out.create_element("domainbackup");
    let backup = backup.with_attribute(("mode", "pull"));
    let written = backup.write_inner_content(|out| {
        let server = out.create_element("server");
        let server = server.with_attributes([("transport", "unix"), ("socket", text(socket)?)]);
        server.write_empty()?;
        let all = out.create_element("disks");
        all.write_inner_content(|out| {
            for disk in disks {
                let element = out.create_element("disk").with_attributes([
                    ("name", disk.target),
                    ("backup", "yes"),
                    ("type", "file"),
                    ("backupmode", "full"),
                    ("exportname", disk.export),
                ]);
                element.write_inner_content(|out| {
                    let scratch = out.create_element("scratch");
                    let scratch = scratch.with_attribute(("file", text(disk.scratch)?));
                    scratch.write_empty().map(drop)
                })?;
            }
            Ok(())
        })?;
        Ok(())
    });
    written.map_err(failed)?;
    Ok(String::from_utf8_lossy(&out.into_inner()).into_owned())
}

fn text(path: &Path) -> std::io::Result<&str> {
    path.to_str().ok_or_else(|| {
        let message = format!("{} is not UTF-8", path.display());
        std::io::Error::new(std::io::ErrorKind::InvalidInput, message)
    })
}

/// The socket on which a backup in pull mode is served, from what `virsh backup-dumpxml` prints; `None` for one in push
/// mode or on a port.
///
/// # Errors
/// [`ErrorKind::Xml`] for what is no backup.
pub fn socket(text: &str) -> Result<Option<PathBuf>, Error> {
    let document = tree(text)?;
    let backup = document.root_element();
    if backup.tag_name().name() != "domainbackup" {
        let message = "the XML is not that of a backup";
        return Err(Error::new(ErrorKind::Xml, message));
    }
    let server = child(backup, "server").and_then(|server| server.attribute("socket"));
    Ok(server.map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libvirt_is_told_it_can_tell_again_whatever_the_names() {
        let (path, odd) = (Path::new("/var/lib/a & <b>/web.nbd"), "drive-\"x'");
        let disk = PullDisk {
            target: "vda",
            export: odd,
            scratch: Path::new("/s/vm-web-fleece-0.qcow2"),
        };
        let xml = pull(path, &[disk]).unwrap();
        assert_eq!(socket(&xml).unwrap().as_deref(), Some(path));
        let document = tree(&xml).unwrap();
        let disks: Vec<_> = document
            .descendants()
            .filter(|node| node.has_tag_name("disk"))
            .map(|disk| (disk.attribute("name"), disk.attribute("exportname")))
            .collect();
        assert_eq!(disks, [(Some("vda"), Some(odd))]);
        assert_eq!(socket("<domainbackup mode='push'/>").unwrap(), None);
        assert!(socket("<domain/>").is_err());
    }
}
