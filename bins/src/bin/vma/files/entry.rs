//! Names and nodes in words.

use fleece_archive_files::{Kind, Stat, Time};
use fleece_plain_text::words_of;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use fleece_bins::events;

/// A path as text for people: what is no text is escaped, so that no two paths look the same and none paints over the
/// terminal.
pub(super) fn shown(path: &[u8]) -> String {
    let text = words_of(path);
    if text.as_bytes() == path {
        return text;
    }
    let mut shown = String::from("$'");
    for byte in path {
        match byte {
            b'\'' | b'\\' => {
                shown.push('\\');
                shown.push(char::from(*byte));
            }
            0x20..=0x7e => shown.push(char::from(*byte)),
            byte => shown.push_str(&format!("\\x{byte:02x}")),
        }
    }
    shown.push('\'');
    shown
}

/// A path for programs: as text, and as the hexadecimal digits of its bytes if that is not exactly it.
pub(super) fn named(key: &str, path: &[u8]) -> Value {
    let text = String::from_utf8_lossy(path);
    match text.as_bytes() == path {
        true => json!({key: text}),
        false => {
            let hex: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({key: text, format!("{key}_bytes"): hex})
        }
    }
}

/// What a node is, for programs.
pub(super) fn described(stat: &Stat) -> Value {
    let described = json!({
        "kind": stat.kind.word(),
        "mode": format!("{:04o}", stat.permissions),
        "uid": stat.uid,
        "gid": stat.gid,
        "size": stat.size,
        "links": stat.links,
        "modified": seconds(stat.modified),
        "accessed": seconds(stat.accessed),
        "changed": seconds(stat.changed),
    });
    let created = stat.created.map(|time| json!({"created": seconds(time)}));
    let described = events::with(described, created.unwrap_or_else(|| json!({})));
    match stat.kind {
        Kind::Character | Kind::Block => events::with(
            described,
            json!({"major": stat.device.0, "minor": stat.device.1}),
        ),
        _ => described,
    }
}

/// A time as a line has it, in the local zone.
pub(super) fn time(time: Time) -> String {
    match Timestamp::from_second(time.seconds) {
        Ok(stamp) => stamp
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M")
            .to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// A time for programs, as in RFC 3339; as seconds if no calendar has it.
fn seconds(time: Time) -> Value {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or_default();
    match Timestamp::new(time.seconds, nanoseconds) {
        Ok(stamp) => json!(stamp.to_string()),
        Err(_) => json!(time.seconds),
    }
}

/// A path below another one.
pub(super) fn joined(start: &[u8], path: &[u8]) -> Vec<u8> {
    let start = start.strip_suffix(b"/").unwrap_or(start);
    match path {
        [] if start.is_empty() => b"/".to_vec(),
        [] => start.to_vec(),
        path => [start, b"/", path].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_escaped() {
        assert_eq!(shown("etc/hosts ü".as_bytes()), "etc/hosts ü");
        assert_eq!(shown(b"a\x1b[2J\xff'"), r"$'a\x1b[2J\xff\''");
        assert_eq!(
            named("path", b"a\xff"),
            json!({"path": "a\u{fffd}", "path_bytes": "61ff"})
        );
    }
}
