//! What can be done about an archive, in the words of `vma`.

use fleece_staged_file::meaning;
#[cfg(unix)]
use fleece_storage::block::Look;
use fleece_vma_format::{Advice, Error};

/// An error and its causes in one line, and at its end what can be done about it.
#[must_use]
pub fn text(error: &Error) -> String {
    let text = chain(error);
    match error.advice().and_then(words) {
        Some(words) => format!("{text}; {words}"),
        None => text,
    }
}

/// What can be done.
#[must_use]
pub fn words(advice: Advice) -> Option<String> {
    let words = match advice {
        Advice::Pipe { what, command } => format!("{what} it first: {command} | vma … -"),
        Advice::Archive => "`vma create` puts it into an archive".into(),
        Advice::ConvertAndArchive => {
            "`qemu-img convert` makes a raw or qcow2 image of it for `vma create`".into()
        }
        Advice::MakeSeekable => "make a seekable one with `vma reframe` first".into(),
        Advice::MakeIndex => "make a new one with `vma index`".into(),
        Advice::GiveKey => "give the key's file with --identity".into(),
        _ => return None,
    };
    Some(words)
}

/// How what looks like this becomes an image that is read.
#[cfg(unix)]
#[must_use]
pub const fn made_raw(look: Look) -> &'static str {
    match look {
        Look::Packed(_) => "unpack it first",
        _ => "convert it first with `qemu-img convert`",
    }
}

/// An error and its causes in one line, without saying anything twice.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    match meaning(error) {
        Some(meaning) => format!("{text} ({meaning})"),
        None => text,
    }
}
