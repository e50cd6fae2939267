//! The measurements, and the pages that show them.

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use crate::run::{Outcome, Run, has, workspace};

const PAGE: &str = "docs/BENCHMARKS.md";

/// A table of the page, and the program that prints it.
#[derive(Clone, Copy)]
struct Table {
    name: &'static str,
    program: Program,
}

#[derive(Clone, Copy)]
enum Program {
    /// One of `benches`, with its arguments; `ROUNDS` stands for how often.
    Bench(&'static str, &'static [&'static str]),
    /// The models of guests and disks.
    Models,
    /// All rows that one test on models prints, by its name.
    Test(&'static str),
}

const TABLES: [Table; 16] = [
    bench("calls", "syscalls", &["target"]),
    bench("holes", "holes", &["target", "1024", "ROUNDS"]),
    bench("archive", "archive", &["target", "2048", "ROUNDS"]),
    bench("encrypted", "encrypted", &["1024", "ROUNDS"]),
    bench("restore", "restore-vs-convert", &["2048", "ROUNDS"]),
    bench("instant", "instant", &["3072", "ROUNDS"]),
    bench("files", "files", &["512", "ROUNDS"]),
    bench("native", "native", &["2048", "3", "ROUNDS"]),
    bench("targets", "guest-latency", &["targets", "ROUNDS", "5"]),
    bench(
        "guest-10.0",
        "guest-latency",
        &["whole", "ROUNDS", "1024", "all", "10.0"],
    ),
    bench(
        "guest-11.1",
        "guest-latency",
        // One at a time, on storage with latency, and with an iothread: QEMUs differ there.
        &["whole", "ROUNDS", "1024", "0,3,4", "11.1"],
    ),
    bench(
        "frontier",
        "guest-latency",
        &["frontier", "ROUNDS", "1024", "0,3", "10.0"],
    ),
    Table {
        name: "models",
        program: Program::Models,
    },
    Table {
        name: "predicted",
        program: Program::Test("models_predict"),
    },
    Table {
        name: "order",
        program: Program::Test("reading_first"),
    },
    bench("incremental", "changed", &["1024", "ROUNDS"]),
];

/// The programs that are measured, or measure.
const NEEDED: [&str; 10] = [
    "age-keygen",
    "fio",
    "mke2fs",
    "nbdcopy",
    "nbdfuse",
    "nbdkit",
    "qemu-img",
    "sha256sum",
    "strace",
    "zstd",
];

/// The tables of which the README's is made.
const IN_SUMMARY: [&str; 3] = ["archive", "targets", "guest-10.0"];

const fn bench(
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
) -> Table {
    Table {
        name,
        program: Program::Bench(program, arguments),
    }
}

/// Measures, and puts the tables, or some of them, into the page.
pub(crate) fn run(rounds: usize, only: &[String]) -> Outcome {
    let known = |name: &String| TABLES.iter().any(|table| table.name == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names = TABLES.map(|table| table.name).join(", ");
        return Err(format!("no table {unknown}; there are: {names}"));
    }
    let missing: Vec<_> = NEEDED.into_iter().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        return Err(format!("install first: {}", missing.join(", ")));
    }
    let chosen = |table: &&Table| only.is_empty() || only.iter().any(|name| name == table.name);
    let lab = fleece_lab::prepare().map_err(|error| format!("{error:?}"))?;
    let is_program = |table: &Table| matches!(table.program, Program::Bench(..));
    if TABLES.iter().filter(chosen).any(is_program) {
        build()?;
    }
    put(PAGE, "machine", &machine(&lab.accelerator))?;
    let start = Instant::now();
    let mut written = Vec::new();
    for table in TABLES.iter().filter(chosen) {
        let begun = Instant::now();
        let text = measure(table.program, rounds)?;
        println!("{}, {} s\n{text}", table.name, begun.elapsed().as_secs());
        put(PAGE, table.name, &text)?;
        written.push(table.name);
        if IN_SUMMARY.contains(&table.name) {
            put("README.md", "bench", &summary()?)?;
        }
    }
    let minutes = start.elapsed().as_secs().div_ceil(60);
    let written = written.join(", ");
    Ok(format!(
        "{PAGE} has new tables, in {minutes} minutes: {written}"
    ))
}

/// Builds what is measured, and what measures it. Together: otherwise libraries that both need are built twice.
fn build() -> Result<(), String> {
    let build = ["build", "--release", "--bins"];
    let packages = ["--package=fleece-bins", "--package=fleece-benches"];
    Run::cargo(&[&build[..], &packages].concat()).openly(|_| false)?;
    Ok(())
}

fn measure(program: Program, rounds: usize) -> Result<String, String> {
    let rounds = rounds.to_string();
    match program {
        Program::Bench(name, arguments) => {
            let path = format!("target/release/{name}");
            let with = arguments.iter().map(|argument| match *argument {
                "ROUNDS" => rounds.as_str(),
                other => other,
            });
            Run::new(&path, &with.collect::<Vec<_>>()).quietly()
        }
        Program::Models => Ok(models(&tests_of_pace("")?)),
        Program::Test(name) => Ok(all_rows(&tests_of_pace(name)?)),
    }
}

/// What the tests on models print.
fn tests_of_pace(only: &str) -> Result<String, String> {
    let test = [
        "test",
        "--quiet",
        "--package=fleece-backup-core",
        "--test=pace",
    ];
    let said = Run::cargo(&[&test[..], &["--", "--nocapture", only]].concat()).quietly()?;
    // A dot for each test that has ended comes in between.
    let rows = said.lines().map(|line| line.trim_start_matches('.'));
    Ok(rows.collect::<Vec<_>>().join("\n"))
}

/// All rows, of which the first is the head.
fn all_rows(said: &str) -> String {
    let mut rows: Vec<&str> = said.lines().filter(|line| line.starts_with("| ")).collect();
    let columns = rows.first().map_or(0, |head| head.matches('|').count());
    let rule = "|---".repeat(columns.saturating_sub(1)) + "|";
    rows.insert(rows.len().min(1), &rule);
    rows.join("\n")
}

/// The rows with 8 cores, without the column of cores and without those that are idle.
fn models(said: &str) -> String {
    let rows = said.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let is_head = cells.first() == Some(&"| disk");
        let is_row = cells.get(2) == Some(&"8") && cells.get(1) != Some(&"idle");
        let (before, after) = cells.split_at_checked(2)?;
        let row = [before, after.get(1..)?].concat().join(" | ");
        (is_head || is_row).then_some((is_head, row))
    });
    let (mut head, mut body) = (String::new(), Vec::new());
    for (is_head, row) in rows {
        match is_head {
            true => head = row,
            false => body.push(row),
        }
    }
    body.sort();
    let rule = "|---".repeat(head.matches('|').count().saturating_sub(1));
    format!("{head}\n{rule}|\n{}", body.join("\n"))
}

/// What it was measured on, with guests on this accelerator.
fn machine(accelerator: &str) -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_start_matches([':', '\t', ' ']).trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = first("/proc/cpuinfo", "model name").unwrap_or_default();
    let memory = first("/proc/meminfo", "MemTotal")
        .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib.div_ceil(1 << 20));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default();
    let file_system = Run::new("findmnt", &["-no", "FSTYPE", "-T", "target"]).quietly();
    format!(
        "{cores} processors ({model}), {memory} GiB, Linux {}, {}, guests on {accelerator}.",
        kernel.trim(),
        file_system.unwrap_or_default().trim()
    )
}

/// The rows that most people ask for.
fn summary() -> Result<String, String> {
    let page = read(PAGE)?;
    let rows = |name: &str| -> Result<Vec<Vec<&str>>, String> {
        let lines = table(&page, name)?.lines();
        Ok(lines
            .map(|row| row.split('|').map(str::trim).collect())
            .collect())
    };
    let mut text = String::from(
        "| the guest writes 4 KiB at random | p99 / no backup | slowest / no backup | writes % |\n|---|---|---|---|\n",
    );
    for row in rows("targets")? {
        if let [_, what, _, p99, slowest, writes, _] = row[..]
            && p99.parse::<f64>().is_ok()
        {
            let _ = writeln!(text, "| {what} | {p99} | {slowest} | {writes} |");
        }
    }
    text.push_str(
        "\n| the guest writes, `fleece backup` to a target that takes everything | time / no limit | p99 / no backup | p99 ms more | writes % |\n\
         |---|---|---|---|---|\n",
    );
    for row in rows("guest-10.0")? {
        if let [_, load, "default", _, time, _, p99, more, _, writes, ..] = row[..]
            && p99.parse::<f64>().is_ok()
        {
            let _ = writeln!(text, "| {load} | {time} | {p99} | {more} | {writes} |");
        }
    }
    text.push_str("\n| compared | ratio of times |\n|---|---|\n");
    for row in rows("archive")? {
        if let [_, what, ratio, aim, ..] = row[..]
            && aim.starts_with("<=")
            && !what.contains("--no-sync")
        {
            let _ = writeln!(text, "| `vma` {what} | {ratio} |");
        }
    }
    Ok(text)
}

fn read(page: &str) -> Result<String, String> {
    let path = workspace().join(page);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// What stands between the marks of a table.
fn table<'a>(page: &'a str, name: &str) -> Result<&'a str, String> {
    let (begin, end) = marks(name);
    let text = page
        .split_once(&begin)
        .and_then(|(_, rest)| rest.split_once(&end));
    text.map(|(text, _)| text)
        .ok_or_else(|| format!("no marks {begin} and {end}"))
}

/// Puts `text` between the marks of a table.
fn put(page: &str, name: &str, text: &str) -> Result<(), String> {
    let old = read(page)?;
    let (begin, end) = marks(name);
    table(&old, name).map_err(|error| format!("{page}: {error}"))?;
    let (before, rest) = old.split_once(&begin).unwrap_or_default();
    let (_, after) = rest.split_once(&end).unwrap_or_default();
    let new = format!("{before}{begin}\n{}\n{end}{after}", text.trim());
    fs::write(workspace().join(page), new).map_err(|error| format!("{page}: {error}"))
}

fn marks(name: &str) -> (String, String) {
    (
        format!("<!-- table: {name} -->"),
        format!("<!-- end: {name} -->"),
    )
}
