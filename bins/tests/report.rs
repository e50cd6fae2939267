//! `fleece report` and `metrics`, the page in a real browser.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_sign_loss,
    reason = "a test may fail by a panic"
)]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fleece_backup_core::units;
use fleece_fleet::status::{Status, StatusFile};
use serde_json::{Value, json};
use support::ended::Ended;
use tempfile::TempDir;

/// What nobody may run or load.
const HOSTILE: &str = "</title></style><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">'\"&";

/// A directory of backups that were never made.
struct Dumps(TempDir);

impl Dumps {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A backup of `guest` on that many nights ago, at two in the morning; returns the archive's path.
    fn backup(&self, guest: &str, nights_ago: i64, size: u64) -> PathBuf {
        let path = self.path(&format!("{}.vma.zst", stem(guest, nights_ago)));
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    }

    fn verified(&self, archive: &Path) {
        let modified = fs::metadata(archive).unwrap();
        let seconds = modified.modified().unwrap();
        let seconds = seconds
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let line = format!("sound 2026-01-01T00:00:00Z {} {seconds}\n", modified.len());
        fs::write(format!("{}.verified", archive.display()), line).unwrap();
    }

    fn record(&self, guest: &str, nights_ago: i64, stats: &Value) {
        let name = format!("{}.stats.json", stem(guest, nights_ago));
        fs::write(self.path(&name), stats.to_string()).unwrap();
    }

    fn fleece(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleece"));
        command.current_dir(self.0.path()).args(arguments);
        // Whenever this runs: at night, tonight's would not be missed yet.
        command
            .env("TZ", "UTC")
            .env("FLEECE_CLOCK", format!("{TODAY}T12:00:00Z"));
        command.output().unwrap()
    }

    /// Guests and, last, totals.
    fn json(&self) -> Vec<Value> {
        let output = self.fleece(&["report", ".", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// By the program's clock.
const TODAY: &str = "2026-11-30";

fn today() -> jiff::civil::Date {
    TODAY.parse().unwrap()
}

fn stem(guest: &str, nights_ago: i64) -> String {
    let night = today().saturating_sub(jiff::Span::new().days(nights_ago));
    format!(
        "vzdump-qemu-{guest}-{}-02_00_00",
        night.strftime("%Y_%m_%d")
    )
}

/// What a run was like that took so many seconds.
fn stats(result: &str, points: u64) -> Value {
    let column = |of: &dyn Fn(u64) -> u64| -> Value { (1..=points).map(of).collect() };
    json!({
        "version": 1, "guest": "ignored", "name": null, "archive": "ignored", "began": "2026-11-03T01:00:00Z",
        "seconds": points, "result": result, "error": null, "warnings": 0, "warning_texts": [], "size": 1000,
        "shared": 400, "disks": 5000, "zero": 1000, "read": 4000, "read_of_guest": null, "read_of_archive": null,
        "disks_by_bitmap": null, "switch_ms": 3.2, "paused_ms": 1.5, "frozen_ms": null, "down_ms": null,
        "fleecing_peak": 9000, "fleecing_limit": null, "before_us": 210,
        "series": {
            "until": column(&|n| n), "writes": column(&|_| 500), "p50_us": column(&|n| 100 + n % 7),
            "p99_us": column(&|n| 900 + n * 37 % 400), "rate": column(&|_| 1 << 27), "write_rate": column(&|_| 1 << 24),
            "depth": column(&|_| 2), "fleecing": column(&|n| n.min(points - n) << 20),
        },
        "earlier": [],
    })
}

/// Six guests of all states.
fn six() -> Dumps {
    let dumps = Dumps::new();
    for night in 0..10 {
        for guest in ["100", "db", "web"] {
            let archive = dumps.backup(guest, night, (30 + night as u64) << 20);
            if guest == "100" {
                dumps.verified(&archive);
            }
            dumps.record(guest, night, &stats("ok", 300));
        }
        if night != 3 {
            dumps.backup("mail", night, 1 << 20);
        }
        if night >= 2 {
            dumps.backup("gone", night, 1 << 20);
        }
    }
    let mut named = stats("warnings", 40);
    named["name"] = HOSTILE.into();
    named["bitmaps"] = json!({ "scsi0": true, "scsi1": false });
    named["warnings"] = 1.into();
    named["warning_texts"] = json!([HOSTILE]);
    dumps.record("web", 0, &named);
    fs::write(
        dumps.path(&format!("{}.vma.zst.notes", stem("web", 0))),
        HOSTILE,
    )
    .unwrap();
    let mut failed = stats("failed", 25);
    failed["error"] = json!({ "kind": "target", "message": "no space is left on the target" });
    fs::remove_file(dumps.path(&format!("{}.vma.zst", stem("db", 0)))).unwrap();
    dumps.record("db", 0, &failed);
    dumps
}

#[test]
fn the_table_and_the_exit_code_tell_who_needs_a_look() {
    let dumps = six();
    let ended = Ended::from(dumps.fleece(&["report", "."]));
    let said = ended.expect(
        3,
        &["no space is left on the target", "no backup for 2 nights"],
    );
    let state = |guest: &str| {
        let mut lines = said.lines().filter(|line| line.starts_with(guest));
        lines.next().unwrap().contains("  missing  ")
    };
    assert!(state("gone") && !state("mail"), "{said}");
    let of_one = Ended::from(dumps.fleece(&["report", ".", "--guest", "100"]));
    of_one.expect(0, &["sound"]);
    let guests = dumps.json();
    let nights = |guest: &str| -> Vec<Value> {
        let guest = guests.iter().find(|one| one["guest"] == guest).unwrap();
        let nights = guest["nights"].as_array().unwrap();
        nights
            .iter()
            .rev()
            .take(4)
            .map(|night| night["state"].clone())
            .collect()
    };
    assert_eq!(nights("100"), ["sound", "sound", "sound", "sound"]);
    assert_eq!(
        nights("mail"),
        ["unverified", "unverified", "unverified", "missing"]
    );
    assert_eq!(nights("db")[..2], ["failed", "unverified"]);
    assert_eq!(nights("web")[0], "warning");
    let totals = guests.last().unwrap();
    assert_eq!(
        (&totals["guests"], &totals["attention"]),
        (&json!(5), &json!(3))
    );
}

#[test]
fn retention_is_told_until_the_day_on_which_each_backup_goes() {
    let dumps = six();
    let output = dumps.fleece(&[
        "report",
        ".",
        "--json",
        "--guest",
        "mail",
        "--keep",
        "keep-last=8",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let guest: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let backups = guest["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 9);
    let today = today();
    let day = |days: i64| {
        today
            .saturating_add(jiff::Span::new().days(days))
            .to_string()
    };
    assert_eq!(backups[8]["until"], "next prune");
    assert_eq!(backups[7]["until"], day(1));
    assert_eq!(backups[0]["until"], day(8));
}

/// What Chromium makes of a page: its document after all is done, and what it complains of. Screenshots go where
/// `FLEECE_SCREENSHOTS` says.
fn browse(page: &Path, profile: &Path, shot: Option<&str>) -> (String, Vec<String>) {
    let sizes: &[(&str, &str)] = match std::env::var_os("FLEECE_SCREENSHOTS") {
        Some(_) if shot.is_some() => &[("desktop", "1280,1400"), ("phone", "390,1400")],
        _ => &[],
    };
    for (kind, size) in sizes {
        for scheme in ["light", "dark"] {
            let folder = PathBuf::from(std::env::var_os("FLEECE_SCREENSHOTS").unwrap());
            let file = folder.join(format!("{}-{kind}-{scheme}.png", shot.unwrap()));
            let mut chromium = chromium(profile);
            chromium.arg(format!("--window-size={size}"));
            chromium.arg(format!("--screenshot={}", file.display()));
            if scheme == "dark" {
                chromium.arg("--blink-settings=preferredColorScheme=0");
            }
            chromium.arg(page).output().unwrap();
        }
    }
    let output = chromium(profile)
        .arg("--dump-dom")
        .arg(page)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let complaints = said.lines().filter(|line| line.contains("CONSOLE"));
    let complaints = complaints.map(str::to_owned).collect();
    (String::from_utf8(output.stdout).unwrap(), complaints)
}

fn chromium(profile: &Path) -> Command {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--hide-scrollbars",
    ]);
    command.args([
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command
}

#[test]
fn a_browser_shows_the_page_without_complaint_and_the_figures_are_those_of_the_json() {
    if fleece_lab::require("chromium").is_none() {
        return;
    }
    let (dumps, profile) = (six(), tempfile::tempdir().unwrap());
    let page = dumps.path("page.html");
    let report = [
        "report",
        ".",
        "--keep",
        "keep-last=9",
        "--html",
        "page.html",
    ];
    Ended::from(dumps.fleece(&report)).expect_code(3);
    let (dom, complaints) = browse(&page, profile.path(), Some("six"));
    assert!(complaints.is_empty(), "{complaints:?}");

    let guests = dumps.json();
    let (totals, guests) = guests.split_last().unwrap();
    let title = between(&dom, "<title>", "</title>");
    assert_eq!(
        title,
        format!("Backups in {}", totals["place"].as_str().unwrap())
    );
    let attention = totals["attention"].as_u64().unwrap();
    assert!(
        dom.contains(&format!(
            "{attention} of {} guests need a look.",
            guests.len()
        )),
        "{dom:.2000}"
    );
    let calendar = between(&dom, "class=\"nights\"", "</table>");
    let table = between(&dom, "class=\"guests\"", "</table>");
    for (n, guest) in guests.iter().enumerate() {
        let row = between(calendar, &format!("<a href=\"#g{n}\">"), "</tr>");
        for state in [
            "sound",
            "unverified",
            "warning",
            "failed",
            "missing",
            "removed",
        ] {
            let nights = guest["nights"].as_array().unwrap().iter();
            let expected = nights.filter(|night| night["state"] == state).count();
            let shown = row.matches(&format!("href=\"#i-{state}\"")).count();
            assert_eq!(shown, expected, "{state}: {row}");
        }
        let row = between(table, &format!("<a href=\"#g{n}\">"), "</tr>");
        let size = units::bytes(guest["size"].as_u64().unwrap());
        assert!(row.contains(&format!(">{size}<")), "{size}: {row}");
        let section = between(&dom, &format!("<section id=\"g{n}\""), "</section>");
        let backups = guest["backups"].as_array().unwrap();
        assert_eq!(section.matches("class=\"backup\"").count(), backups.len());
        let charts = backups
            .iter()
            .filter(|backup| !backup["slowest_us"].is_null());
        assert_eq!(section.matches("class=\"chart\"").count(), charts.count());
    }

    let demo = [
        "demo",
        "--size",
        "8M",
        "--target-speed",
        "4M",
        "--dir",
        ".",
        "--html",
        "demo.html",
    ];
    Ended::from(dumps.fleece(&demo)).expect_code(0);
    let (shown, complaints) = browse(&dumps.path("demo.html"), profile.path(), Some("demo"));
    assert!(
        complaints.is_empty() && shown.contains("(c) fleecing"),
        "{complaints:?}"
    );

    // The name, the warning and the note are text, and did nothing.
    assert!(
        !dom.contains("<img") && !dom.contains("<script"),
        "something of it became an element"
    );
    assert!(dom.matches("&lt;script&gt;").count() >= 3);

    // What if a value had not been escaped? The policy stops it, and the browser says so.
    let torn = fs::read_to_string(&page)
        .unwrap()
        .replace("<header>", &format!("<header>{HOSTILE}"));
    fs::write(&page, torn).unwrap();
    let (dom, complaints) = browse(&page, profile.path(), None);
    assert!(dom.contains("<script>") && !between(&dom, "<title>", "</title>").contains("owned"));
    assert!(
        complaints
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{complaints:?}"
    );
}

#[test]
fn two_thousand_backups_are_quickly_made_into_a_page_that_is_quickly_shown() {
    if fleece_lab::require("chromium").is_none() {
        return;
    }
    let (dumps, profile) = (Dumps::new(), tempfile::tempdir().unwrap());
    let record = stats("ok", 300);
    for guest in 100..140 {
        for night in 0..50 {
            dumps.backup(&guest.to_string(), night, 10 << 20);
            dumps.record(&guest.to_string(), night, &record);
        }
    }
    let start = Instant::now();
    let rules = "keep-daily=30,keep-weekly=8,keep-monthly=12";
    Ended::from(dumps.fleece(&["report", ".", "--keep", rules, "--html", "page.html"]))
        .expect_code(0);
    let made = start.elapsed();
    let page = dumps.path("page.html");
    let size = fs::metadata(&page).unwrap().len();
    let start = Instant::now();
    let (dom, complaints) = browse(&page, profile.path(), None);
    let shown = start.elapsed();
    println!("made in {made:?}, {size} bytes, shown in {shown:?}");
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!(dom.matches("class=\"backup\"").count(), 2000);
    assert!(size < 8 << 20, "{size} bytes");
    // With a debug build on a busy machine; `docs/REPORT.md` has the usual times.
    assert!(
        made < Duration::from_secs(60) && shown < Duration::from_secs(60),
        "{made:?}, {shown:?}"
    );
}

#[test]
fn metrics_are_written_at_once_in_the_form_that_prometheus_reads() {
    let dumps = six();
    let output = dumps.fleece(&["metrics", "."]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "# TYPE fleece_backup_last_success_timestamp_seconds gauge",
        "fleece_backup_result{guest=\"100\"} 0",
        "fleece_backup_result{guest=\"web\"} 1",
        "fleece_backup_result{guest=\"db\"} 2",
        "fleece_backup_missed_nights{guest=\"gone\"} 2",
        "fleece_guest_paused_seconds{guest=\"100\"} 0.0015",
        "fleece_backup_reused_bytes{guest=\"100\"} 400",
        "fleece_backup_new_bytes{guest=\"100\"} 600",
        "fleece_bitmap_ok{guest=\"web\",disk=\"scsi0\"} 1",
        "fleece_bitmap_ok{guest=\"web\",disk=\"scsi1\"} 0",
        "fleece_guest_write_latency_before_seconds{guest=\"100\"} 0.00021",
    ] {
        assert!(
            text.lines().any(|it| it == line),
            "{line} is missing:\n{text}"
        );
    }
    let quantile = "fleece_guest_write_latency_seconds{guest=\"100\",quantile=\"0.99\"} 0.00";
    assert!(text.contains(quantile), "{text}");
    // What runs is this process's.
    fs::create_dir(dumps.path("state")).unwrap();
    let mut status = Status::begin("web");
    status.fleecing = Some(7 << 20);
    let file = StatusFile::new(&dumps.path("state"), "web");
    file.write(&mut status).unwrap();
    let output = dumps.fleece(&["metrics", ".", "--state-dir", "state"]);
    drop(file);
    let running = String::from_utf8(output.stdout).unwrap();
    for line in [
        "fleece_backup_running{guest=\"web\"} 1",
        "fleece_fleecing_used_bytes{guest=\"web\"} 7340032",
    ] {
        assert!(running.lines().any(|it| it == line), "{line}:\n{running}");
    }
    let wrong = Ended::from(dumps.fleece(&["metrics", ".", "--textfile", "fleece.txt"]));
    wrong.expect(1, &["names end in .prom"]);
    Ended::from(dumps.fleece(&["metrics", ".", "--textfile", "fleece.prom"])).expect_code(0);
    assert_eq!(fs::read_to_string(dumps.path("fleece.prom")).unwrap(), text);
}

/// What is between the first of `from` and the next of `to`.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text
        .split_once(from)
        .unwrap_or_else(|| panic!("{from} is missing: {text:.3000}"));
    rest.1.split(to).next().unwrap()
}
