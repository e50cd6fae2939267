//! A domain's XML, read and made anew.

#![no_main]

use fleece_libvirt::xml::read::DomainXml;
use fleece_libvirt::xml::rewrite::{RestoredDisk, Rewrite, rewrite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = DomainXml::read(text);
    let mut wish = Rewrite::default();
    wish.disks.push(RestoredDisk {
        key: "virtio0".into(),
        path: "/restored/disk".into(),
        format: "raw".into(),
    });
    let Ok(made) = rewrite(text, &wish) else {
        return;
    };
    // What was made is a domain, with no file but the restored disk's and the host's own, and stays what it is.
    let read = DomainXml::read(&made.xml).expect("what was made can be read");
    assert!(read.monitors.is_empty());
    let sources = read.disks.iter().filter_map(|disk| disk.source.as_deref());
    assert!(sources.into_iter().all(|source| source == "/restored/disk"));
    let again = rewrite(&made.xml, &wish).expect("what was made can be made again");
    // An element that has lost all that was in it is written shorter then.
    let third = rewrite(&again.xml, &wish).expect("and again");
    assert_eq!(third.xml, again.xml);
    wish.is_trusted = true;
    let _ = rewrite(text, &wish);
});
