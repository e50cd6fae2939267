//! `vma info`.

use fleece_archive_io::{IndexPlace, Input};
use fleece_bins::events;
use fleece_vma_format::container::Container;
use fleece_vma_format::{Header, Survey};
use serde_json::{Value, json};

use super::cli::InfoArgs;
use super::failure::Result;
use super::input::{index, open, warn_of_index};
use super::list::{contents, ctime};
use super::progress::share;
use super::report;
use super::report::print_text;

/// What is known about an archive.
struct Info {
    header: Header,
    container: Container,
    file_size: Option<u64>,
    survey: Survey,
    index: Option<IndexPlace>,
    encrypted_for: Option<String>,
}

/// Prints sizes, container, order and index.
pub(super) fn info(args: &InfoArgs) -> Result<()> {
    let mut input = open(&args.archive)?;
    let info = gather(&mut input)?;
    match report::is_events() {
        true => report::summary(|| as_json(&info)),
        false => print_text(&as_text(&info)),
    }
}

fn gather(input: &mut Input) -> Result<Info> {
    let index = index(input, None)?.map(|(place, _)| place);
    let mut archive = input.archive()?;
    let survey = archive.survey()?;
    warn_of_index(&archive);
    Ok(Info {
        header: archive.header().clone(),
        container: archive.container(),
        file_size: input.size().or(survey.read),
        survey,
        index,
        encrypted_for: input.encrypted_for(),
    })
}

fn as_text(info: &Info) -> String {
    let uuid = uuid::Uuid::from_bytes(*info.header.uuid());
    let mut text = format!("uuid: {uuid}\n");
    text.push_str(&format!(
        "created: {}\n",
        ctime(info.header.ctime(), "%Y-%m-%d %H:%M:%S %Z")
    ));
    text.push_str(&format!("container: {}\n", info.container));
    if let Some(recipients) = &info.encrypted_for {
        text.push_str(&format!("encrypted for: {recipients}\n"));
    }
    if let Some(size) = info.file_size {
        text.push_str(&format!("file: {}\n", human(size)));
    }
    text.push_str(&format!(
        "archive: {} in {} extents\n",
        human(info.survey.size),
        info.survey.extents
    ));
    text.push_str(&format!(
        "clusters in order: {}\n",
        yes(info.survey.in_order)
    ));
    text.push_str(&format!(
        "random access: {}\n",
        yes(info.survey.random_access)
    ));
    text.push_str(&match &info.index {
        None => "index: none\n".to_owned(),
        Some(IndexPlace::Inside) => "index: inside\n".to_owned(),
        Some(IndexPlace::Beside(path)) => format!("index: {}\n", path.display()),
    });
    for config in info.header.configs() {
        text.push_str(&format!(
            "config {}: {} bytes\n",
            config.name(),
            config.data().len()
        ));
    }
    for (device, stored) in info.header.devices().iter().zip(&info.survey.stored) {
        let (id, name, size) = (device.id(), device.name(), device.size());
        let zero = share(size.saturating_sub(*stored), size);
        text.push_str(&format!(
            "device {id} {name}: {}, {} stored, {zero}% zero\n",
            human(size),
            human(*stored)
        ));
    }
    text
}

fn as_json(info: &Info) -> Value {
    let index = match &info.index {
        None => None,
        Some(IndexPlace::Inside) => Some("inside".to_owned()),
        Some(IndexPlace::Beside(path)) => Some(path.display().to_string()),
    };
    let more = json!({
        "file_size": info.file_size,
        "archive_size": info.survey.size,
        "extents": info.survey.extents,
        "in_order": info.survey.in_order,
        "random_access": info.survey.random_access,
        "index": index,
        "encrypted_for": info.encrypted_for,
    });
    events::with(
        contents(&info.header, info.container, &info.survey.stored),
        more,
    )
}

const fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A size in bytes and, from 1 KiB on, in the largest unit that leaves a whole number of digits.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = None;
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(larger);
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{value:.1} {unit} ({bytes} B)"),
    }
}
