//! Permissions as `ls` shows them.

use fleece_archive_files::Kind;

/// A letter for the kind, and nine for who may do what.
pub(super) fn permissions(kind: Kind, bits: u32) -> String {
    let mut text = String::from(match kind {
        Kind::File => "-",
        Kind::Directory => "d",
        Kind::Link => "l",
        Kind::Fifo => "p",
        Kind::Socket => "s",
        Kind::Character => "c",
        Kind::Block => "b",
    });
    for (shift, special, sign) in [(6_u32, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let part = bits >> shift;
        text.push(if part & 4 != 0 { 'r' } else { '-' });
        text.push(if part & 2 != 0 { 'w' } else { '-' });
        text.push(match (part & 1 != 0, bits & special != 0) {
            (true, true) => sign,
            (false, true) => sign.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_shown_as_ls_shows_them() {
        assert_eq!(permissions(Kind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(permissions(Kind::File, 0o4644), "-rwSr--r--");
        assert_eq!(permissions(Kind::Link, 0o2755), "lrwxr-sr-x");
    }
}
