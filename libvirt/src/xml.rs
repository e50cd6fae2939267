//! What a domain's XML says that a backup needs: its disks, and monitors of its own.

pub mod read;
pub mod rewrite;

use roxmltree::{Document, ParsingOptions};

use crate::error::{Error, ErrorKind};

/// The longest domain XML that is read. libvirt's own limit for a text is 4 MiB (`REMOTE_STRING_MAX`).
pub const MAX_XML: usize = 4 << 20;

/// The most elements, attributes and texts: a domain with a thousand disks has some 20,000.
const MAX_NODES: u32 = 200_000;

/// The most levels of elements: libvirt's own have some ten.
const MAX_DEPTH: usize = 64;

/// The levels of elements, counted without descending.
fn depth(document: &Document<'_>) -> usize {
    let mut depths: Vec<usize> = Vec::new();
    for node in document.descendants() {
        let above = node
            .parent()
            .and_then(|parent| depths.get(parent.id().get_usize()));
        let depth = above.map_or(0, |depth| depth.saturating_add(1));
        // Nodes come in the order of their numbers.
        depths.push(depth);
    }
    depths.into_iter().max().unwrap_or_default()
}

/// Parses a domain, without DTD and entities of its own.
pub(crate) fn parse(text: &str) -> Result<Document<'_>, Error> {
    let unusable = |message: &str| Error::new(ErrorKind::Xml, message);
    if text.len() > MAX_XML {
        return Err(unusable("a domain's XML of more than 4 MiB"));
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| unusable("the domain's XML cannot be understood").with_source(error))?;
    match document.root_element().tag_name().name() {
        "domain" if depth(&document) > MAX_DEPTH => {
            Err(unusable("the domain's XML has no end of levels"))
        }
        "domain" => Ok(document),
        _ => Err(unusable("the XML is not that of a domain")),
    }
}
