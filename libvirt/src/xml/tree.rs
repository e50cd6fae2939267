//! XML as a tree of bounded size.

use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{Error, ErrorKind};

/// The longest domain XML that is read. libvirt's own limit for a text is 4 MiB (`REMOTE_STRING_MAX`).
pub(super) const MAX_XML: usize = 4 << 20;

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
pub(super) fn parse(text: &str) -> Result<Document<'_>, Error> {
    let document = tree(text)?;
    match document.root_element().tag_name().name() {
        "domain" => Ok(document),
        _ => Err(Error::new(
            ErrorKind::Xml,
            "the XML is not that of a domain",
        )),
    }
}

pub(super) fn tree(text: &str) -> Result<Document<'_>, Error> {
    let unusable = |message: &str| Error::new(ErrorKind::Xml, message);
    if text.len() > MAX_XML {
        return Err(unusable("XML of more than 4 MiB"));
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| unusable("the XML cannot be understood").with_source(error))?;
    match depth(&document) > MAX_DEPTH {
        true => Err(unusable("the XML has no end of levels")),
        false => Ok(document),
    }
}

/// The first child of this name, in whatever namespace.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children()
        .find(|child| child.is_element() && child.tag_name().name() == name)
}

/// All children of this name.
pub(super) fn children<'a, 'i: 'a>(
    node: Node<'a, 'i>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.is_element() && child.tag_name().name() == name)
}
