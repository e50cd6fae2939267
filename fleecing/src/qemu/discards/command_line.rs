//! What QEMU was told of its disks when it was started.

use std::fs::File;
use std::io::Read as _;

use fleece_qmp_client::Client;
use serde_json::Value;

/// No command line is longer: Linux gives it a quarter of a stack of 8 MiB (`execve(2)`).
const MAX_COMMAND_LINE: u64 = 2 << 20;

/// Whether any disk on it passes discards on. `false` as well where the command line cannot be read, or the
/// monitor's socket was opened by another process, as libvirt does.
pub(super) fn passes_discards_on(client: &Client) -> bool {
    let Some(process) = client.peer_process() else {
        return false;
    };
    let mut line = Vec::new();
    let read = File::open(format!("/proc/{process}/cmdline"))
        .and_then(|file| file.take(MAX_COMMAND_LINE).read_to_end(&mut line));
    read.is_ok() && in_arguments(&String::from_utf8_lossy(&line))
}

/// `line`: arguments, each with a NUL at its end.
fn in_arguments(line: &str) -> bool {
    let arguments = line.split('\0');
    let values = arguments.clone().skip(1);
    arguments
        .zip(values)
        .any(|(name, value)| match name.trim_start_matches('-') {
            "drive" => in_options(value),
            "blockdev" => match serde_json::from_str(value) {
                Ok(node) => in_node(&node),
                Err(_) => in_options(value),
            },
            _ => false,
        })
}

/// `file=a.raw,discard=unmap`, or `driver=raw,file.discard=unmap` for a node below.
fn in_options(options: &str) -> bool {
    options.split(',').any(|option| {
        option
            .split_once('=')
            .is_some_and(|(name, value)| is_discard(name) && passes_on(value))
    })
}

/// The same in JSON, where a node has those below it inside.
fn in_node(node: &Value) -> bool {
    let Value::Object(members) = node else {
        return false;
    };
    members.iter().any(|(name, value)| match value {
        Value::String(value) => is_discard(name) && passes_on(value),
        below => in_node(below),
    })
}

fn is_discard(name: &str) -> bool {
    name.rsplit('.').next() == Some("discard")
}

/// QAPI `BlockdevDiscardOptions`, and `-drive`'s other word for it.
fn passes_on(value: &str) -> bool {
    matches!(value, "unmap" | "on")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_passes_discards_on_is_found_however_it_is_written() {
        for line in [
            "qemu\0-drive\0file=a,,b.raw,if=none,discard=unmap,id=d\0",
            "qemu\0--drive\0file=a.raw,discard=on\0",
            "qemu\0-blockdev\0driver=raw,node-name=a,file.driver=file,file.discard=unmap\0",
            "qemu\0-blockdev\0{\"driver\":\"raw\",\"discard\":\"unmap\"}\0",
            "daemon\0--blockdev\0{\"driver\":\"throttle\",\"file\":{\"discard\":\"on\"}}\0",
        ] {
            assert!(in_arguments(line), "{line}");
        }
        for line in [
            "",
            "qemu\0-drive\0file=a.raw,discard=ignore\0",
            "qemu\0-drive\0file=a.raw,discard=off\0",
            "qemu\0-device\0virtio-blk-pci,discard=on\0",
            "qemu\0-name\0discard=unmap\0",
            "qemu\0-blockdev\0{\"discard\":1}\0-drive",
        ] {
            assert!(!in_arguments(line), "{line}");
        }
    }
}
