//! The rule that outside tests a lint is switched off by `expect` with a reason, never by `allow`: an exception that
//! is needed no more is then found.

use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, Meta};

use crate::files::module::{attributes, is_for_tests};
use crate::run::{Outcome, Run, workspace};

pub(crate) fn check() -> Outcome {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.rs",
    ];
    let files = Run::new("git", &list).quietly()?;
    let mut breaches = Vec::new();
    for file in files.lines().filter(|file| !is_test(Path::new(file))) {
        // One that was deleted and not committed is still listed.
        let Ok(text) = fs::read_to_string(workspace().join(file)) else {
            continue;
        };
        let count = allowed(&text).map_err(|error| format!("{file}: {error}"))?;
        if count > 0 {
            breaches.push(format!(
                "{file}: {count} × `allow` where `expect` should be"
            ));
        }
    }
    if breaches.is_empty() {
        Ok(String::new())
    } else {
        Err(breaches.join("\n"))
    }
}

fn is_test(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.iter().any(|part| part == "tests")
}

/// How often a file's text has `allow` in what is not for tests only.
fn allowed(text: &str) -> syn::Result<u32> {
    let mut count = Count(0);
    count.visit_file(&syn::parse_file(text)?);
    Ok(count.0)
}

struct Count(u32);

impl<'ast> Visit<'ast> for Count {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let is_conditional = |list: &syn::MetaList| {
            let text = list.tokens.to_string();
            !text.starts_with("test ,") && text.contains(", allow (")
        };
        let is_breach = match &attribute.meta {
            Meta::List(list) if list.path.is_ident("cfg_attr") => is_conditional(list),
            meta => meta.path().is_ident("allow"),
        };
        self.0 = self.0.saturating_add(u32::from(is_breach));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_is_found_wherever_it_stands_but_in_tests() {
        for (code, count) in [
            ("#![allow(dead_code, reason = \"x\")]", 1),
            (
                "#[allow(dead_code)] fn f() { #[allow(unused)] let x = 1; }",
                2,
            ),
            ("#![cfg_attr(windows, allow(dead_code))]", 1),
            ("#![cfg_attr(test, allow(dead_code))]", 0),
            ("#[expect(dead_code, reason = \"allow(it)\")] fn f() {}", 0),
            ("#[cfg(test)] #[allow(dead_code)] mod tests;", 0),
            (
                "#[cfg(test)] mod tests { #[allow(dead_code)] fn f() {} }",
                0,
            ),
            ("impl A { #[cfg(test)] #[allow(dead_code)] fn f() {} }", 0),
        ] {
            assert_eq!(allowed(code).unwrap(), count, "{code}");
        }
    }

    #[test]
    fn files_of_tests_are_known_by_their_names() {
        assert!(is_test(Path::new("nbd/src/client/tests.rs")));
        assert!(is_test(Path::new("bins/tests/support/vma.rs")));
        assert!(!is_test(Path::new("bins/src/latests.rs")));
    }
}
