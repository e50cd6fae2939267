//! Which mirror of Debian the host uses.

use std::fs;
use std::path::{Path, PathBuf};

/// Where packages come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mirrors {
    /// The archive of releases, updates and backports.
    pub(super) main: String,
    /// The archive of security updates.
    pub(super) security: String,
}

impl Mirrors {
    /// As in the host's `sources.list` and `sources.list.d` (sources.list(5)); `None` if they name no
    /// mirror of Debian.
    pub(super) fn of_host() -> Option<Self> {
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        let parts = fs::read_dir(Path::new("/etc/apt/sources.list.d"));
        let mut parts: Vec<_> = parts
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        parts.sort();
        files.append(&mut parts);
        let texts: Vec<String> = files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok())
            .collect();
        Self::of(texts.iter().map(String::as_str))
    }

    /// The first of each kind in the texts of source files, in either of apt's two formats. Where the
    /// security archive is not named, it is taken to lie beside the main one, as mirrors have it.
    fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let sources: Vec<Source<'_>> = texts
            .flat_map(|text| one_line(text).chain(stanzas(text)).collect::<Vec<_>>())
            .collect();
        let first = |path: &str| {
            let source = sources.iter().find(|source| source.is_debian(path))?;
            Some(source.uri.to_owned())
        };
        let main = first("debian")?;
        let security = first("debian-security")
            .unwrap_or_else(|| format!("{}-security", main.trim_end_matches('/')));
        Some(Self { main, security })
    }
}

/// One place that packages come from.
struct Source<'a> {
    uri: &'a str,
    components: Vec<&'a str>,
}

impl Source<'_> {
    /// Whether this is a mirror of Debian's archive `path`, and not another archive *for* Debian,
    /// which tells itself by a component of its own. A list of mirrors may stand for a mirror.
    fn is_debian(&self, path: &str) -> bool {
        let last = self.uri.trim_end_matches('/').rsplit('/').next();
        let last = last.map(|last| last.strip_suffix(".list").unwrap_or(last));
        last == Some(path) && self.components.contains(&"main")
    }
}

/// Lines such as `deb [signed-by=/k.gpg] http://mirror.example/debian bookworm main`.
fn one_line(text: &str) -> impl Iterator<Item = Source<'_>> {
    text.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("deb")?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        Some(Source {
            uri,
            components: words.skip(1).collect(),
        })
    })
}

/// Stanzas with fields such as `URIs: http://mirror.example/debian`.
fn stanzas(text: &str) -> impl Iterator<Item = Source<'_>> {
    text.split("\n\n").filter_map(|stanza| {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let is_binary = field("Types")?.split_whitespace().any(|kind| kind == "deb");
        let uri = field("URIs")?.split_whitespace().next()?;
        is_binary.then_some(Source {
            uri,
            components: field("Components")?.split_whitespace().collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(main: &str, security: &str) -> Option<Mirrors> {
        Some(Mirrors {
            main: main.to_owned(),
            security: security.to_owned(),
        })
    }

    #[test]
    fn a_host_without_sources_has_no_mirror() {
        let texts = ["", "# deb http://x.example/debian bookworm main"];
        assert_eq!(Mirrors::of(texts.into_iter()), None);
    }

    #[test]
    fn security_updates_lie_beside_the_main_archive_where_nothing_else_is_said() {
        let text = "deb http://a.example/debian/ bookworm main\n";
        assert_eq!(
            Mirrors::of([text].into_iter()),
            mirrors(
                "http://a.example/debian/",
                "http://a.example/debian-security"
            )
        );
    }

    #[test]
    fn one_line_sources_are_read_with_and_without_options() {
        let text = "deb-src http://src.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ bookworm main\n\
                    deb http://b.example/debian-security bookworm-security main contrib\n";
        assert_eq!(
            Mirrors::of([text].into_iter()),
            mirrors(
                "http://a.example/debian/",
                "http://b.example/debian-security"
            )
        );
    }

    #[test]
    fn stanzas_are_read() {
        let text = "Types: deb deb-src\n# a comment: here\nURIs: http://a.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\n\n\
                    Types: deb\nURIs: mirror+file:/etc/apt/mirrors/debian-security.list\n\
                    Suites: bookworm-security\nComponents: main\n";
        assert_eq!(
            Mirrors::of([text].into_iter()),
            mirrors(
                "http://a.example/debian",
                "mirror+file:/etc/apt/mirrors/debian-security.list"
            )
        );
    }

    #[test]
    fn another_vendors_archive_for_debian_is_no_mirror() {
        let text = "deb https://download.vendor.example/linux/debian bookworm stable\n";
        assert_eq!(Mirrors::of([text].into_iter()), None);
    }
}
