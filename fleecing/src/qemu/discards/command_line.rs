//! What QEMU was told of its disks when it was started.

use serde_json::Value;

use crate::command_line::values;

/// Whether any disk on it passes discards on.
pub(super) fn passes_discards_on(arguments: &[String]) -> bool {
    let nodes: Vec<Value> = values(arguments, "blockdev")
        .filter_map(|value| serde_json::from_str(value).ok())
        .collect();
    let text = |node: &Value, key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
    // What is below another node passes on only what that does. libvirt has every file pass discards on, and the
    // node above it only where the domain says so.
    let below: Vec<String> = nodes.iter().filter_map(|node| text(node, "file")).collect();
    let is_top = |node: &&Value| text(node, "node-name").is_none_or(|name| !below.contains(&name));
    nodes.iter().filter(is_top).any(in_node)
        || values(arguments, "drive").any(in_options)
        || values(arguments, "blockdev").any(|value| !value.starts_with('{') && in_options(value))
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

    fn in_arguments(line: &str) -> bool {
        let line: Vec<String> = line.split_terminator('\0').map(str::to_owned).collect();
        passes_discards_on(&line)
    }

    #[test]
    fn a_disk_that_passes_discards_on_is_found_however_it_is_written() {
        for line in [
            "qemu\0-drive\0file=a,,b.raw,if=none,discard=unmap,id=d\0",
            "qemu\0--drive\0file=a.raw,discard=on\0",
            "qemu\0-blockdev\0driver=raw,node-name=a,file.driver=file,file.discard=unmap\0",
            "qemu\0-blockdev\0{\"driver\":\"raw\",\"discard\":\"unmap\"}\0",
            "qemu\0-blockdev\0{\"node-name\":\"s\",\"driver\":\"file\",\"discard\":\"unmap\"}\0-blockdev\0\
             {\"node-name\":\"f\",\"driver\":\"raw\",\"file\":\"s\",\"discard\":\"unmap\"}\0",
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
            "qemu\0-blockdev\0{\"node-name\":\"s\",\"driver\":\"file\",\"discard\":\"unmap\"}\0-blockdev\0\
             {\"node-name\":\"f\",\"driver\":\"raw\",\"file\":\"s\"}\0",
            "qemu\0-blockdev\0{\"discard\":1}\0-drive",
        ] {
            assert!(!in_arguments(line), "{line}");
        }
    }
}
