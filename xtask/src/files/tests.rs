use std::path::Path;

use super::module::Module;
use super::{breaches_in, named_option};

/// The breaches in a library of these files.
fn breaches(files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &Path| {
        let file = files.iter().find(|file| Path::new(file.0) == path)?;
        Some(file.1.to_owned())
    };
    breaches_in(Path::new("src/lib.rs"), &read).unwrap()
}

fn has_circle(files: &[(&str, &str)]) -> bool {
    breaches(files).iter().any(|it| it.contains("circle"))
}

const ROOT: (&str, &str) = ("src/lib.rs", "mod a; mod b; pub use a::A; pub use b::B;");

#[test]
fn two_files_that_name_each_others_things_are_a_circle_that_is_told_with_the_names() {
    let files = [
        ROOT,
        ("src/a.rs", "use crate::b::B; pub struct A(B);"),
        (
            "src/b.rs",
            "pub struct B; impl B { fn a() -> super::a::A { A } }",
        ),
    ];
    let breaches = breaches(&files);
    assert_eq!(
        breaches,
        ["files in a circle:\n  src/a.rs → src/b.rs: B\n  src/b.rs → src/a.rs: A"]
    );
}

#[test]
fn a_way_down_is_no_circle() {
    let files = [
        ROOT,
        ("src/a.rs", "use crate::b::B; pub struct A(B);"),
        ("src/b.rs", "pub struct B;"),
    ];
    assert!(breaches(&files).is_empty());
}

#[test]
fn a_name_counts_for_the_file_that_defines_it_whoever_hands_it_on() {
    // `b` names its grandchild's thing through `a`, which hands it on and needs `b`.
    let through_a = ("src/b.rs", "use crate::a::C; pub struct B(C);");
    let a = (
        "src/a.rs",
        "mod c; pub use c::C; pub struct A(crate::b::B);",
    );
    let alone = ("src/a/c.rs", "pub struct C;");
    assert!(breaches(&[ROOT, a, through_a, alone]).is_empty());
    let needs_b = ("src/a/c.rs", "pub struct C; fn f(_: crate::b::B) {}");
    assert!(has_circle(&[ROOT, a, through_a, needs_b]));
}

#[test]
fn globs_renames_groups_and_modules_are_followed() {
    for import in [
        "use crate::b::*; fn f(_: B) {}",
        "use crate::b::B as Other;",
        "use crate::{b::{self, B}};",
        "use crate::b; fn f() { b::f(); }",
        "use super::b as other; fn f() { other::f(); }",
        "fn f() { use crate::b::f as g; g(); }",
        "fn f() { vec![1, crate::b::f()]; }",
        "mod inner { use super::super::b::B; }",
        "fn f<T: Into<crate::b::B>>() {}",
    ] {
        let a = format!("pub struct A; {import}");
        let b = "pub struct B(crate::a::A); pub fn f() {}";
        let files = [ROOT, ("src/a.rs", &a), ("src/b.rs", b)];
        assert!(has_circle(&files), "{import}");
    }
}

#[test]
fn what_names_nothing_of_the_other_file_is_no_arrow() {
    for code in [
        "pub use crate::b::B;",
        "use crate::b;",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "impl A { #[cfg(test)] fn f(_: crate::b::B) {} }",
        "use ::b::B;",
        "use std::fmt; fn f() { fmt::b(); }",
        "/// Like [`crate::b::B`].\nfn f() {}",
    ] {
        let a = format!("pub struct A; {code}");
        let b = "pub struct B(crate::a::A);";
        let files = [ROOT, ("src/a.rs", &a), ("src/b.rs", b)];
        assert!(!has_circle(&files), "{code}");
    }
}

#[test]
fn an_inner_file_may_name_the_outer_ones_types_and_not_call_its_functions() {
    let root = ("src/lib.rs", "mod a;");
    let a = "mod b; pub struct A; const N: u8 = 1; fn help() {} fn f() { b::f(); }";
    for (code, is_fine) in [
        ("use super::{A, N}; pub fn f() { A::new(N); }", true),
        ("pub fn f() { super::help(); }", false),
        ("use crate::a::help; pub fn f() { help(); }", false),
        ("pub fn f() { crate::a::help(); }", false),
    ] {
        let files = [root, ("src/a.rs", a), ("src/a/b.rs", code)];
        assert_eq!(!has_circle(&files), is_fine, "{code}");
    }
    // If the outer file calls nothing within, all goes up.
    let a = "mod b; pub use b::f; fn help() {}";
    let files = [
        root,
        ("src/a.rs", a),
        ("src/a/b.rs", "pub fn f() { super::help(); }"),
    ];
    assert!(!has_circle(&files));
}

#[test]
fn an_item_and_a_module_of_one_name_are_told_apart() {
    let root = ("src/lib.rs", "mod a; mod b;");
    let a = (
        "src/a.rs",
        "mod parse; pub fn parse() { parse::inner(crate::b::f()); }",
    );
    let parse = ("src/a/parse.rs", "pub fn inner() {}");
    // The function is of `a`, which needs `b`.
    let b = ("src/b.rs", "pub fn f() { crate::a::parse(); }");
    assert!(has_circle(&[root, a, parse, b]));
    // What is in the module is not.
    let b = ("src/b.rs", "pub fn f() { crate::a::parse::inner(); }");
    assert!(!has_circle(&[root, a, parse, b]));
}

#[test]
fn names_in_a_ring_lead_nowhere() {
    let a = (
        "src/a.rs",
        "pub use crate::b::X; pub use crate::b::*; pub struct A;",
    );
    let b = (
        "src/b.rs",
        "pub use crate::a::X; pub use crate::a::*; pub struct B; fn f(_: X) {}",
    );
    assert!(!has_circle(&[ROOT, a, b]));
}

#[test]
fn a_name_that_the_root_only_hands_on_is_taken_from_where_it_is_defined() {
    let b = ("src/b.rs", "pub struct B;");
    for (code, is_fine) in [
        ("use crate::B;", false),
        ("use super::B;", false),
        ("fn f(_: crate::B) {}", false),
        ("use crate::b::B;", true),
        ("use crate::Own;", true),
    ] {
        let root = ("src/lib.rs", "mod a; mod b; pub use b::B; pub struct Own;");
        let breaches = breaches(&[root, ("src/a.rs", code), b]);
        assert_eq!(breaches.is_empty(), is_fine, "{code}");
    }
}

#[test]
fn options_of_a_program_are_found_and_so_is_a_text_that_names_one() {
    let source = r#"struct Cli { #[arg(long, global = true)] trust_xml: bool, #[arg(short)] quiet: bool }
        fn f() { warn(format!("a {}", g("or --trust-xml"))); }
        #[cfg(test)] mod tests { fn t() { g("in a test"); } }"#;
    let module = Module::read(&syn::parse_file(source).unwrap().items);
    assert_eq!(module.options, ["trust-xml"]);
    assert_eq!(module.texts, ["a {}", "or --trust-xml"]);
    let options = module.options.into_iter().collect();
    for (text, named) in [
        ("or --trust-xml", true),
        ("see `fleece restore --trust-xml=1`", true),
        ("--trust-xml of another program", false),
        ("with --trust-xmls or --quiet", false),
        ("a--trust-xml", false),
    ] {
        assert_eq!(named_option(text, &options).is_some(), named, "{text}");
    }
}
