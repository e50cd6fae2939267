use proptest::prelude::*;

use super::*;
use crate::section::SectionKind;

const TEXT: &str = "#first%3A line\n#second\n\nboot: order=scsi0\nname: a  \nnonsense\r\n\
                    scsi0: l:x,size=1G\n\n[PENDING]\ndelete: name\n\n[special:cloudinit]\nname: c\n\
                    \n[before-update]\n#snap\nname: s\nsnaptime: 5";

#[test]
fn sections_are_told_apart() {
    let config = GuestConfig::parse(TEXT).unwrap();
    let kinds: Vec<_> = config.sections().map(Section::kind).collect();
    assert_eq!(
        kinds,
        [
            SectionKind::Pending,
            SectionKind::Special("cloudinit"),
            SectionKind::Snapshot("before-update")
        ]
    );
    assert_eq!(config.main().kind(), SectionKind::Main);
    assert_eq!(config.main().get("name"), Some("a"));
    assert_eq!(
        config.section("before-update").unwrap().get("name"),
        Some("s")
    );
    assert_eq!(config.description().unwrap(), "first: line\nsecond");
}

#[test]
fn one_key_is_edited_and_all_other_bytes_stay() {
    let mut config = GuestConfig::parse(TEXT).unwrap();
    config.main_mut().set("name", "b").unwrap();
    assert_eq!(config.to_string(), TEXT.replace("name: a  \n", "name: b\n"));
    config.main_mut().set("memory", "512").unwrap();
    assert!(
        config
            .to_string()
            .contains("size=1G\nmemory: 512\n\n[PENDING]")
    );
    assert!(config.main_mut().remove("memory"));
    assert!(!config.main_mut().remove("memory"));
    assert_eq!(config.to_string(), TEXT.replace("name: a  \n", "name: b\n"));
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let mut config = GuestConfig::parse("name: a\nname: b\n").unwrap();
    assert_eq!(config.main().get("name"), Some("b"));
    config.main_mut().set("name", "c").unwrap();
    assert_eq!(config.to_string(), "name: a\nname: c\n");
    config.main_mut().remove("name");
    assert_eq!(config.to_string(), "");
}

#[test]
fn a_file_without_a_final_line_end_gets_one_before_what_is_added() {
    let mut config = GuestConfig::parse("name: a").unwrap();
    config
        .section_mut_or_insert("snap")
        .unwrap()
        .set("name", "b")
        .unwrap();
    config.main_mut().set("memory", "1").unwrap();
    assert_eq!(
        config.to_string(),
        "name: a\nmemory: 1\n\n[snap]\nname: b\n"
    );
}

#[test]
fn keys_and_values_that_would_forge_other_lines_are_refused() {
    let mut config = GuestConfig::parse("").unwrap();
    for key in ["", "Name", "a b", "a:b", "1a", "a1b", "#a", "[a]", "a\nb"] {
        let error = config.main_mut().set(key, "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey, "{key:?}");
    }
    for value in ["", " a", "a ", "a\nb: c", "a\r"] {
        let error = config.main_mut().set("a", value).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidValue, "{value:?}");
    }
    assert!(config.section_mut_or_insert("a]\n[b").is_err());
    assert_eq!(config.to_string(), "");
}

#[test]
fn escapes_that_are_none_stay_in_the_description() {
    let describe = |text| GuestConfig::parse(text).unwrap().description();
    assert_eq!(describe("#100%\n").unwrap(), "100%");
    assert_eq!(describe("#%zz%4\n").unwrap(), "%zz%4");
    assert_eq!(describe("#%ff\n").unwrap(), "%ff");
    assert_eq!(describe("description: a%0Ab\n").unwrap(), "a\nb");
    assert_eq!(describe("name: a\n"), None);
}

#[test]
fn a_text_beyond_the_limit_is_refused() {
    let error = GuestConfig::parse("#".repeat(MAX_SIZE + 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

proptest! {
    #[test]
    fn any_text_comes_back_byte_for_byte(text in "([a-z0-9:#\\[\\] \t\r,=-]{0,12}\n){0,12}.{0,6}") {
        prop_assert_eq!(GuestConfig::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        prop_assert_eq!(GuestConfig::parse(&bytes).unwrap().to_bytes(), bytes);
    }

    #[test]
    fn adding_and_removing_the_record_leaves_any_text_as_it_was(
        text in "(([a-z]{1,3}: [a-z]{1,3}|\\[[a-z:]{1,9}\\]|#[a-z]|)\n){0,12}",
    ) {
        let mut config = GuestConfig::parse(&text).unwrap();
        prop_assume!(config.section("special:fleecing").is_none());
        config.set_fleecing_images(&["a:b"]).unwrap();
        let reread = GuestConfig::parse(config.to_string()).unwrap();
        prop_assert_eq!(reread.fleecing_images(), ["a:b"]);
        config.set_fleecing_images::<&str>(&[]).unwrap();
        prop_assert_eq!(config.to_string(), text);
    }
}
