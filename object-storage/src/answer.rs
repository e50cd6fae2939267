//! What a store answers: XML of a few forms, of which what is needed is taken and nothing believed.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

/// More than this has no answer that describes something: a list of 1,000 keys of 1,024 bytes, each escaped, has less.
pub(crate) const MOST: u64 = 8 << 20;

/// Deeper than this is none of S3's answers.
const DEEPEST: usize = 16;

/// Why a store refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// Elements with nothing but text, by their names.
pub(crate) type Fields = BTreeMap<String, String>;

/// An answer: what stands in its outermost element, and in each element within that is a list's.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The name of the outermost element.
    pub(crate) root: String,
    pub(crate) fields: Fields,
    /// The name of each entry, and what stands in it.
    pub(crate) entries: Vec<(String, Fields)>,
}

impl Answer {
    /// Parses an answer; `None` if it is none. What is deeper than an entry's own elements belongs to the entry.
    pub(crate) fn parse(xml: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
        let mut answer = Self::default();
        let mut path: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut entry: Option<(String, Fields)> = None;
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => {
                    let name = tag.local_name().as_ref().to_owned();
                    if path.is_empty() {
                        answer.root.clone_from(&name);
                    }
                    // The second level has either text or further elements; the latter are entries.
                    if path.len() == 2
                        && entry.is_none()
                        && let Some(outer) = path.last()
                    {
                        entry = Some((outer.clone(), Fields::new()));
                    }
                    path.push(name);
                    text.clear();
                    if path.len() > DEEPEST {
                        return None;
                    }
                }
                Event::Empty(tag) if path.is_empty() => {
                    tag.local_name().as_ref().clone_into(&mut answer.root);
                    return Some(answer);
                }
                Event::Text(part) => text.push_str(&part),
                Event::CData(part) => text.push_str(&part),
                Event::GeneralRef(name) => text.push_str(&entity(&name)?),
                Event::End(_) => {
                    let name = path.pop()?;
                    match (path.len(), &mut entry) {
                        (0, _) => return Some(answer),
                        (1, Some(_)) => answer.entries.extend(entry.take()),
                        (1, None) => {
                            answer.fields.insert(name, std::mem::take(&mut text));
                        }
                        (_, Some((_, fields))) => {
                            fields.insert(name, std::mem::take(&mut text));
                        }
                        (_, None) => {}
                    }
                    text.clear();
                }
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// The entries of a name.
    pub(crate) fn entries(&self, name: &str) -> impl Iterator<Item = &Fields> {
        let named = move |(entry, _): &&(String, Fields)| entry == name;
        self.entries.iter().filter(named).map(|(_, fields)| fields)
    }

    /// A field of the outermost element; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// A field of an entry; empty if there is none.
pub(crate) fn field<'f>(fields: &'f Fields, name: &str) -> &'f str {
    fields.get(name).map_or("", String::as_str)
}

/// XML's own entities, and characters by their numbers. There are no others: nothing declares any.
fn entity(name: &str) -> Option<String> {
    Some(
        match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#')?;
                let number = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(number)?
            }
        }
        .to_string(),
    )
}

/// Why a store refuses, as far as it says so.
pub(crate) fn refusal(body: &[u8]) -> Refusal {
    let answer = Answer::parse(body).filter(|answer| answer.root == "Error");
    let answer = answer.unwrap_or_default();
    Refusal {
        code: answer.field("Code").to_owned(),
        message: answer.field("Message").to_owned(),
    }
}

/// The total size in `bytes 0-99/1234`.
pub(crate) fn total(content_range: &str) -> Option<u64> {
    let (_, total) = content_range.strip_prefix("bytes ")?.split_once('/')?;
    total.parse().ok()
}

/// An ETag without its quotes.
pub(crate) fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// Text for an element.
pub(crate) fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_entries_are_found() {
        let xml = br#"<?xml version="1.0"?><ListBucketResult xmlns="x"><IsTruncated>true</IsTruncated>
          <Contents><Key>a&amp;b&#x41;</Key><Size>7</Size><Owner><ID>me</ID></Owner></Contents>
          <Contents><Key>c</Key></Contents><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"#;
        let answer = Answer::parse(xml).unwrap();
        assert_eq!(answer.root, "ListBucketResult");
        assert_eq!(answer.field("IsTruncated"), "true");
        assert_eq!(answer.field("NextContinuationToken"), "t");
        let keys: Vec<_> = answer
            .entries("Contents")
            .map(|e| field(e, "Key"))
            .collect();
        assert_eq!(keys, ["a&bA", "c"]);
        assert_eq!(answer.entries("Contents").count(), 2);
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for bad in ["", "x", "<a>", "<a></b>", "<a>&evil;</a>", "<a><b></a></b>"] {
            assert!(Answer::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        let deep = "<a>".repeat(1000);
        assert!(Answer::parse(deep.as_bytes()).is_none());
        assert_eq!(refusal(b"<html>502</html>"), Refusal::default());
        let said = refusal(b"<Error><Code>SlowDown</Code><Message>m</Message></Error>");
        assert_eq!(
            (said.code.as_str(), said.message.as_str()),
            ("SlowDown", "m")
        );
        assert_eq!(total("bytes 0-9/1234"), Some(1234));
        assert_eq!(total("bytes 0-9/*"), None);
        assert_eq!(bare("\"ab\""), "ab");
    }
}
