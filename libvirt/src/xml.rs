//! What a domain's XML says that a backup needs: its disks, and monitors of its own.

pub mod read;

use roxmltree::{Document, ParsingOptions};

use crate::error::{Error, ErrorKind};

/// The longest domain XML that is read. libvirt's own limit for a text is 4 MiB (`REMOTE_STRING_MAX`).
pub const MAX_XML: usize = 4 << 20;

/// The most elements, attributes and texts: a domain with a thousand disks has some 20,000.
const MAX_NODES: u32 = 200_000;

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
        "domain" => Ok(document),
        _ => Err(unusable("the XML is not that of a domain")),
    }
}
