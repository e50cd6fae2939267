//! What is seen at one glance: nights, guests, space.

use fleece_backup_core::units;
use maud::{Markup, html};

use crate::figures::{Guest, Night, Report, State};
use crate::sheet::icon;
use crate::words;

/// Nights that a narrow screen has room for.
const NARROW: usize = 12;

/// A guest as people call it.
pub(super) fn called(guest: &Guest) -> String {
    match &guest.name {
        Some(name) if *name != guest.guest => format!("{name} ({})", guest.guest),
        _ => guest.guest.clone(),
    }
}

/// Where the page tells of a guest.
pub(super) fn anchor(report: &Report, guest: &Guest) -> String {
    let place = report
        .guests
        .iter()
        .position(|other| other.guest == guest.guest);
    format!("g{}", place.unwrap_or(0))
}

/// Where the page tells of a backup of a guest.
pub(super) fn backup_anchor(guest: usize, backup: usize) -> String {
    format!("g{guest}b{backup}")
}

/// Guests and nights.
pub(super) fn nights(report: &Report) -> Markup {
    let shown = report.nights.len();
    let is_old = |n: usize| n.saturating_add(NARROW) < shown;
    html! {
        section aria-labelledby="nights" {
            h2 id="nights" { "Nights" }
            table class="nights" {
                thead {
                    tr {
                        th scope="col" { span class="vh" { "Guest" } }
                        @for (n, night) in report.nights.iter().enumerate() {
                            th scope="col" class=[is_old(n).then_some("old")] title=(night.strftime("%A, %-d %B %Y")) {
                                @if night.day() == 1 || n == 0 || (n.saturating_add(NARROW) == shown) {
                                    span class=(if night.day() == 1 || n == 0 { "m" } else { "m narrow" }) { (night.strftime("%b")) }
                                }
                                (night.day())
                            }
                        }
                    }
                }
                tbody {
                    @for (g, guest) in report.guests.iter().enumerate() {
                        tr {
                            th scope="row" { a href={ "#g" (g) } { (called(guest)) } }
                            @for (n, night) in guest.nights.iter().enumerate() {
                                td class=[is_old(n).then_some("old")] {
                                    @if let Some(night) = night { (cell(g, guest, night)) }
                                }
                            }
                        }
                    }
                }
            }
            p class="legend" {
                @for state in State::ALL { span { (icon(state)) (state.word()) } }
            }
        }
    }
}

fn cell(g: usize, guest: &Guest, night: &Night) -> Markup {
    let last = night.runs.last();
    let place = guest
        .backups
        .iter()
        .position(|backup| Some(&backup.began) == last);
    let runs: Vec<String> = night
        .runs
        .iter()
        .map(|time| time.strftime("%H:%M").to_string())
        .collect();
    let told = match runs.is_empty() {
        true => night.state.word().to_owned(),
        false => format!("{}, {}", night.state.word(), runs.join(" ")),
    };
    let inner = html! { (icon(night.state)) span class="vh" { (night.state.word()) } };
    html! {
        @match place {
            Some(place) => a href={ "#" (backup_anchor(g, place)) } title=(told) { (inner) },
            None => span title=(told) { (inner) },
        }
    }
}

/// Guests with what matters of each.
pub(super) fn guests(report: &Report) -> Markup {
    html! {
        section aria-labelledby="guests" {
            h2 id="guests" { "Guests" }
            table class="guests" {
                thead {
                    tr {
                        th scope="col" { "Guest" }
                        th scope="col" { "State" }
                        th scope="col" class="n" { "Newest backup" }
                        th scope="col" class="n" { "Newest verified" }
                        th scope="col" class="n" { "Backups" }
                        th scope="col" class="n" { "Size" }
                        th scope="col" class="n" { "Growth" }
                        th scope="col" { span class="vh" { "Sizes over time" } }
                    }
                }
                tbody {
                    @for (g, guest) in report.guests.iter().enumerate() {
                        tr {
                            th scope="row" { a href={ "#g" (g) } { (called(guest)) } }
                            td data-l="State" { span class="state" { (icon(guest.state)) (guest.state.word()) } }
                            td class="n" data-l="Newest backup" { (guest.newest_age.map_or_else(|| "none".into(), |age| words::age(age) + " ago")) }
                            td class="n" data-l="Newest verified" {
                                (guest.newest_verified.map_or_else(|| "none".into(), |time| words::date(time.date())))
                            }
                            td class="n" data-l="Backups" { (guest.backups.iter().filter(|backup| backup.file.is_some()).count()) }
                            td class="n" data-l="Size" { (units::bytes(guest.size)) }
                            td class="n" data-l="Growth" { (guest.growth_percent.map_or_else(String::new, words::change)) }
                            td class="spark" { (sizes(guest)) }
                        }
                    }
                }
            }
        }
    }
}

/// The sizes of a guest's archives from the oldest to the newest; the table of its backups has the numbers.
fn sizes(guest: &Guest) -> Markup {
    let sizes = guest.backups.iter().rev().filter_map(|backup| backup.size);
    let sizes: Vec<u32> = sizes.map(mebibytes).collect();
    let most = sizes.iter().copied().max().unwrap_or(0).max(1);
    let count = u32::try_from(sizes.len()).unwrap_or(u32::MAX).max(1);
    let width = 96.0 / f64::from(count);
    let bar = (width * 0.75).min(8.0);
    let bars = sizes.iter().zip(0_u32..).map(|(size, n)| {
        let height = (f64::from(*size) / f64::from(most) * 22.0).max(1.0);
        let x = 96.0 - width * f64::from(count.saturating_sub(n));
        format!("M{:.1} 24v-{height:.1}h{bar:.1}v{height:.1}z", x)
    });
    html! {
        @if sizes.len() > 1 {
            svg viewBox="0 0 96 24" role="img" aria-label={ "Sizes of " (sizes.len()) " archives" } {
                path class="bars" d=(bars.collect::<String>()) {}
            }
        }
    }
}

fn mebibytes(size: u64) -> u32 {
    u32::try_from(size >> 20).unwrap_or(u32::MAX)
}

/// What all archives take, and what they would take if none shared with another.
pub(super) fn space(report: &Report) -> Markup {
    let totals = &report.totals;
    let whole = totals
        .used
        .unwrap_or(0)
        .saturating_add(totals.saved.unwrap_or(0));
    let part = |bytes: u64| units::percent(bytes, whole);
    html! {
        section aria-labelledby="space" {
            h2 id="space" { "Space" }
            p {
                (units::count(totals.backups, "archive", "archives")) " of " (units::bytes(totals.size)) " together"
                @match (totals.used, totals.saved) {
                    (Some(used), Some(saved)) if saved > 0 => {
                        " take " (units::bytes(used)) " of the storage: sharing what has not changed saves "
                        strong { (units::bytes(saved)) " (" (part(saved)) "%)" } "."
                    },
                    (Some(_), _) => "; none shares anything with another.",
                    _ => ". What they share with each other, this file system does not tell.",
                }
            }
            @if let (Some(used), Some(saved)) = (totals.used, totals.saved) {
                @if saved > 0 {
                    svg class="space" viewBox="0 0 100 2" preserveAspectRatio="none" role="img"
                        aria-label={ (part(used)) " percent taken, " (part(saved)) " percent saved" } {
                        rect class="saved" width="100" height="2" {}
                        rect class="used" width=(part(used)) height="2" {}
                    }
                }
            }
        }
    }
}
