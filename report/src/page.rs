//! One page for people: everything in it, no script, nothing from elsewhere.
//!
//! Made with `maud`: markup is Rust that the compiler checks, every value is escaped unless it is marked as ours, and the
//! same functions make HTML and the SVG in it. `askama` escapes as well, but its templates are files in a language of their own,
//! in which nothing can be computed; `minijinja`'s are read, and wrong, at run time. Names and notes of guests are anybody's.

mod backups;
mod glance;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::Chart;
use crate::figures::{Report, State};
use crate::sheet;
use crate::words;

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let title = format!("Backups in {}", report.place);
    let body = html! {
        header {
            p class="over" { (report.place) " · " time datetime=(report.made.to_string()) { (words::time(report.made)) } }
            (verdict(report))
        }
        main {
            (glance::nights(report))
            (glance::guests(report))
            (glance::space(report))
            (backups::all(report))
        }
    };
    document(&title, &body)
}

/// A page of one chart, with what it is about, and the numbers behind it: rows, the first of which has their names.
#[must_use]
pub fn chart_page(title: &str, about: &str, chart: &Chart, rows: &[[String; 4]]) -> String {
    let (names, rows) = rows.split_first().unzip();
    let body = html! {
        header {
            h1 { (title) }
            p class="about" { (about) }
        }
        main {
            figure class="wide" { (chart.inline()) }
            table {
                thead {
                    tr { @for name in names.into_iter().flatten() { th scope="col" class="n" { (name) } } }
                }
                tbody {
                    @for [name, cells @ ..] in rows.into_iter().flatten() {
                        tr {
                            th scope="row" { (name) }
                            @for cell in cells { td class="n" { (cell) } }
                        }
                    }
                }
            }
        }
    };
    document(title, &body)
}

/// A page around this.
fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(sheet::policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                // Its hash is in the policy.
                style { (PreEscaped(sheet::STYLE)) }
            }
            body {
                (sheet::symbols())
                (body)
                footer { "Made by fleece " (env!("CARGO_PKG_VERSION")) ". This page needs nothing but itself." }
            }
        }
    };
    page.into_string()
}

/// How all stands, in one sentence and, if somebody should look, where.
fn verdict(report: &Report) -> Markup {
    let totals = &report.totals;
    let wanting = report
        .guests
        .iter()
        .filter(|guest| guest.state.needs_attention());
    let class = match totals.attention {
        0 => "good",
        _ if wanting.clone().all(|guest| guest.state == State::Warning) => "warn",
        _ => "bad",
    };
    let sentence = match (totals.guests, totals.attention) {
        (0, _) => "There are no backups here.".to_owned(),
        (1, 0) => "The guest has its backup.".to_owned(),
        (all, 0) => format!("All {all} guests have their backups."),
        (1, _) => "The guest needs a look.".to_owned(),
        (all, 1) => format!("1 of {all} guests needs a look."),
        (all, some) => format!("{some} of {all} guests need a look."),
    };
    html! {
        h1 class=(class) { (sentence) }
        @if totals.attention > 0 {
            ul class="look" {
                @for guest in wanting {
                    li {
                        (sheet::icon(guest.state))
                        span { a href={ "#" (glance::anchor(report, guest)) } { (glance::called(guest)) } ": " (guest.why) }
                    }
                }
            }
        }
    }
}
