use proptest::prelude::*;

use super::*;

const TEXT: &str = "# mine\ndir: local\n\tpath /var/lib/vz\n\tcontent iso,backup  \n\n\
    LVMThin: fast\n        thinpool data\n        vgname pve\n\tdisable\n   # inside\n\n\n\
    pbs: away\n\tserver 10.0.0.1\n\tdatastore d\n";

fn parse(text: &str) -> StorageConfig {
    StorageConfig::parse(text).unwrap()
}

#[test]
fn storages_and_their_properties_are_read() {
    let config = parse(TEXT);
    let ids: Vec<_> = config.sections().map(|s| (s.kind(), s.id())).collect();
    assert_eq!(
        ids,
        [("dir", "local"), ("lvmthin", "fast"), ("pbs", "away")]
    );
    let fast = config.section("fast").unwrap();
    assert_eq!(fast.get("vgname"), Some("pve"));
    assert!(fast.flag("disable") && !fast.flag("shared"));
    assert_eq!(
        fast.require("path").unwrap_err().kind(),
        ErrorKind::InvalidConfig
    );
    assert_eq!(
        config.section("local").unwrap().get("content"),
        Some("iso,backup")
    );
    assert!(config.problems().is_empty());
}

#[test]
fn only_an_empty_line_ends_a_section() {
    let config = parse("dir: ab\n\tpath /a\n \ndir: cd\n\tpath /b\n\ndir: ef\n\tpath /c\n");
    let ids: Vec<_> = config.sections().map(StorageSection::id).collect();
    assert_eq!(ids, ["ab", "ef"]);
    assert_eq!(config.section("ab").unwrap().get("path"), Some("/a"));
    assert_eq!(config.problems().len(), 2);
}

#[test]
fn what_is_odd_is_kept_and_told() {
    let text =
        "nonsense\ndir: ab\n\tpath /a\n\tpath /b\n\ndir: ab\n\tpath /c\n\ndir: x-\n\tpath /d\n";
    let config = parse(text);
    assert_eq!(config.to_string(), text);
    let problems = config.problems().join("|");
    for told in [
        "ignored line: \"nonsense\"",
        "'path' appears twice",
        "'ab' is configured twice",
        "\"x-\"",
    ] {
        assert!(problems.contains(told), "{told} in {problems}");
    }
}

#[test]
fn a_storage_added_and_removed_leaves_the_rest_as_it_was() {
    let mut config = parse(TEXT);
    let mut section = StorageSection::new("dir", "new").unwrap();
    section.set("path", "/srv/new").unwrap();
    section.set("disable", "").unwrap();
    config.add(section.clone()).unwrap();
    assert_eq!(
        config.to_string(),
        format!("{TEXT}\ndir: new\n\tpath /srv/new\n\tdisable\n\n")
    );
    assert_eq!(
        config.add(section).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert!(config.remove("new") && !config.remove("new"));
    assert_eq!(config.to_string(), format!("{TEXT}\n"));
}

#[test]
fn properties_that_would_forge_other_lines_are_refused() {
    let mut section = StorageSection::new("dir", "ab").unwrap();
    for (key, value) in [
        ("a b", "c"),
        ("", "c"),
        ("a", "b\nc"),
        ("a", " b"),
        ("#a", "b"),
    ] {
        let error = section.set(key, value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{key:?} {value:?}");
    }
    assert!(StorageSection::new("dir: x\n", "ab").is_err());
    assert!(StorageSection::new("dir", "a\nb").is_err());
}

proptest! {
    #[test]
    fn any_text_comes_back_byte_for_byte(text in "([a-z#: \t\r]{0,12}\n){0,12}.{0,6}") {
        prop_assert_eq!(parse(&text).to_string(), text);
    }
}
