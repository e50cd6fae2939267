//! Commands of QEMU's monitor in the words of `virsh`.

use serde_json::json;
use serde_json::value::RawValue;

/// `qemu-monitor-command` for a domain, as one line that both a shell of `virsh` and its argument understand.
///
/// `virsh` takes what stands between single quotes as it is, so the JSON must have none; and it must be plain
/// ASCII, since to a line editor other bytes may be keys. Both are escaped as JSON allows.
pub(crate) fn monitor_command(
    uuid: &str,
    name: &str,
    arguments: Option<&RawValue>,
    with_descriptor: bool,
) -> String {
    let name = json!(name);
    let json = match arguments {
        Some(arguments) => format!("{{\"execute\":{name},\"arguments\":{}}}", arguments.get()),
        None => format!("{{\"execute\":{name}}}"),
    };
    let json = plain(&json);
    let descriptor = match with_descriptor {
        true => "--pass-fds 0 ",
        false => "",
    };
    format!("qemu-monitor-command {descriptor}{uuid} '{json}'")
}

/// The command of `virsh` that does what a command of QEMU's does, where libvirt has one of its own: so it knows the
/// domain's state, and a lock manager gets back the leases on its disks, which libvirt gives up when QEMU stops.
pub(crate) fn own_command(uuid: &str, name: &str) -> Option<String> {
    let own = match name {
        "stop" => "suspend",
        "cont" => "resume",
        _ => return None,
    };
    Some(format!("{own} {uuid}"))
}

/// JSON without anything but printable ASCII, and without quotes that `virsh` would take for its own.
fn plain(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        match c {
            // Between the parts of JSON it means nothing, and inside of texts it is escaped already.
            '\n' | '\r' | '\t' => plain.push(' '),
            ' '..='~' if c != '\'' => plain.push(c),
            c => {
                let escapes = c.encode_utf16(&mut units).iter();
                plain.extend(escapes.map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_that_nothing_in_it_ends() {
        let arguments = json!({"a": "it's; é\u{1f600}\n\t\"x\" \u{7f}"});
        let raw = serde_json::value::to_raw_value(&arguments).unwrap();
        let line = monitor_command("UUID", "blockdev-add", Some(&raw), true);
        let json = line
            .strip_prefix("qemu-monitor-command --pass-fds 0 UUID '")
            .and_then(|rest| rest.strip_suffix('\''))
            .unwrap();
        assert!(
            json.bytes()
                .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\'')
        );
        let read: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(read["arguments"], arguments);
        assert_eq!(read["execute"], "blockdev-add");
    }
}
