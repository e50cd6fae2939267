//! `vma index`.

use std::io::BufWriter;
use std::path::Path;

use fleece_vma_format::Reader;
use fleece_vma_format::index::{beside, write};
use serde_json::json;

use super::cli::IndexArgs;
use super::encryption::Protection;
use super::failure::{Failure, Result};
use super::input::open;
use super::output;
use super::report;

/// Reads an archive and writes its index.
pub(super) fn index(args: &IndexArgs) -> Result<()> {
    let mut input = open(&args.archive)?;
    if input.encrypted_for().is_some() {
        return Err(Failure::usage(
            "an index beside an encrypted archive would tell what is in it; `vma reframe` with --encrypt-to makes an archive \
             that has it inside",
        ));
    }
    let path = match &args.output {
        Some(path) => path.clone(),
        None if args.archive == "-" => {
            return Err(Failure::usage(
                "say with -o where the index of standard input goes",
            ));
        }
        None => {
            let path = beside(Path::new(&args.archive));
            if path.symlink_metadata().is_ok() {
                // A FIFO that was not named is nobody's wish.
                return Err(Failure::new(format!(
                    "cannot create {}: it exists already; remove it or choose another name",
                    path.display()
                )));
            }
            path
        }
    };
    let mut reader = Reader::new(input.stream()?)?;
    let file = output::begin(
        path.as_os_str(),
        false,
        true,
        input.mode(),
        Protection::default(),
    )?;
    write(&mut reader, BufWriter::new(file.writer()))?;
    let finished = output::finish(file);
    report::summary(|| json!({"index": path}))?;
    finished
}
