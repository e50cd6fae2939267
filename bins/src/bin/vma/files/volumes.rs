//! The list of volumes.

use fleece_archive_files::{Content, Volume, Volumes};
use fleece_bins::events;
use fleece_plain_text::words_of;
use fleece_units as units;
use serde_json::{Value, json};

use super::super::failure::{Failure, Result};
use super::super::report::{self, print_text};

/// Prints what is on all disks.
pub(super) fn list(found: &Volumes) -> Result<()> {
    table(&found.volumes.iter().collect::<Vec<_>>())?;
    report::summary(
        || json!({"volumes": found.volumes.iter().map(described).collect::<Vec<_>>()}),
    )?;
    match found.warnings.is_empty() {
        true => Ok(()),
        // They have been told.
        false => Err(Failure::silent(fleece_bins::exit::WARNINGS)),
    }
}

/// Prints what is on one volume, and in it.
pub(super) fn print(volume: &Volume, found: &Volumes) -> Result<()> {
    let within = format!("{}:", volume.name);
    let is_within = |other: &&Volume| other.name == volume.name || other.name.starts_with(&within);
    let some: Vec<&Volume> = found.volumes.iter().filter(is_within).collect();
    table(&some)?;
    report::summary(|| json!({"volumes": some.into_iter().map(described).collect::<Vec<_>>()}))
}

fn table(volumes: &[&Volume]) -> Result<()> {
    if report::is_events() {
        return Ok(());
    }
    let mut rows = vec![["VOLUME", "SIZE", "USED", "CONTENT", "LABEL", "UUID"].map(str::to_owned)];
    rows.extend(volumes.iter().map(|volume| row(volume)));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    print_text(&text)
}

fn row(volume: &Volume) -> [String; 6] {
    let size = units::bytes(volume.size);
    let dash = || "-".to_owned();
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let (used, content, label, uuid) = match &volume.content {
        Content::FileSystem(found) => (
            found.used.map_or_else(dash, units::bytes),
            found.kind.to_owned(),
            words_of(&found.label),
            found.uuid.clone(),
        ),
        Content::Named { what, label, uuid } => {
            (dash(), what.clone(), words_of(label), uuid.clone())
        }
        Content::Part(what) => (dash(), what.clone(), String::new(), String::new()),
        _ => (
            dash(),
            "nothing known".to_owned(),
            String::new(),
            String::new(),
        ),
    };
    [
        volume.name.clone(),
        size,
        used,
        content,
        or_dash(label),
        or_dash(uuid),
    ]
}

fn described(volume: &Volume) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let content = match &volume.content {
        Content::FileSystem(found) => json!({
            "content": "file system",
            "file_system": found.kind,
            "label": text(&found.label),
            "uuid": found.uuid,
            "file_system_size": found.size,
            "used": found.used,
        }),
        Content::Named { what, label, uuid } => json!({
            "content": "named",
            "what": what,
            "label": text(label),
            "uuid": uuid,
        }),
        Content::Part(what) => json!({"content": "part", "what": what}),
        _ => json!({"content": "unknown"}),
    };
    events::with(json!({"volume": volume.name, "size": volume.size}), content)
}
