//! Names that every file system takes.

use std::borrow::Cow;

/// Names that mean a device on Windows, in every directory and whatever comes behind a '.'.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Those of which there are nine, and one for the digit 0.
const NUMBERED: [&str; 2] = ["com", "lpt"];

/// The name of the file that something of an archive becomes, which consists of letters, digits, '.', '_' and '-' only:
/// as it is, unless Windows would take it for a device or would cut dots off its end. Then what is in the way is
/// written as in a URI: `NUL.conf` becomes `%4EUL.conf`, and `a.` becomes `a%2E`. Different names stay different.
#[must_use]
pub fn portable(name: &str) -> Cow<'_, str> {
    let stem = name.split('.').next().unwrap_or_default();
    let is_device = DEVICES
        .iter()
        .any(|device| stem.eq_ignore_ascii_case(device))
        || NUMBERED.iter().any(|kind| {
            stem.get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case(kind))
                && stem.len() == 4
                && stem.ends_with(|c: char| c.is_ascii_digit())
        });
    let body = name.trim_end_matches('.');
    if !is_device && body.len() == name.len() {
        return Cow::Borrowed(name);
    }
    let mut mapped = String::new();
    let mut rest = body.chars();
    if is_device && let Some(first) = rest.next() {
        mapped.push_str(&format!("%{:02X}", u32::from(first)));
    }
    mapped.extend(rest);
    for _ in body.len()..name.len() {
        mapped.push_str("%2E");
    }
    Cow::Owned(mapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices_and_dots_at_the_end_are_written_otherwise_and_all_else_as_it_is() {
        for (name, mapped) in [
            ("qemu-server.conf", "qemu-server.conf"),
            ("nul", "%6Eul"),
            ("NUL.conf", "%4EUL.conf"),
            ("Con.tar.gz", "%43on.tar.gz"),
            ("com1", "%63om1"),
            ("LPT0.x", "%4CPT0.x"),
            ("com10", "com10"),
            ("console", "console"),
            ("nul-1", "nul-1"),
            ("a.", "a%2E"),
            ("a...", "a%2E%2E%2E"),
            ("aux.", "%61ux%2E"),
        ] {
            assert_eq!(portable(name), mapped, "{name}");
        }
    }
}
