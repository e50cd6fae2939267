//! `ls` and `find`.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;

use fleece_archive_files::{Entry, FileTree, Follow, Kind, Limits, NodeId, Walk, resolve};
use fleece_bins::advice::chain;
use fleece_bins::{events, exit};
use serde_json::json;

use super::super::cli::{FindArgs, LsArgs};
use super::super::failure::{Failure, Result, check};
use super::super::report;
use super::entry::{described, joined, named, shown, time};
use super::failed::{at, failed};
use super::permissions::permissions;

/// Lists directories, or tells of files.
pub(super) fn ls(tree: &dyn FileTree, args: &LsArgs) -> Result<()> {
    let mut out = Lines::new(args.long);
    for path in or_root(&args.paths) {
        let node = resolve(tree, path.as_encoded_bytes(), Follow::ToLink).map_err(failed)?;
        let stat = tree
            .stat(node)
            .map_err(|error| at(path.as_encoded_bytes(), &error))?;
        if stat.kind != Kind::Directory || args.directory {
            out.line(tree, path.as_encoded_bytes(), node)?;
            continue;
        }
        let mut entries: Vec<Entry> = Vec::new();
        let listed = tree.list(node, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        });
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            check()?;
            out.line(tree, &entry.name, entry.node)?;
        }
        if let Err(error) = listed {
            out.end()?;
            return Err(at(path.as_encoded_bytes(), &error));
        }
    }
    out.end()
}

/// Lists all paths below directories.
pub(super) fn find(tree: &dyn FileTree, args: &FindArgs) -> Result<()> {
    let mut out = Lines::new(args.long);
    out.ends_with_nul = args.print0;
    let mut unread = 0_usize;
    for start in or_root(&args.paths) {
        let node = resolve(tree, start.as_encoded_bytes(), Follow::ToLink).map_err(failed)?;
        for found in Walk::new(tree, node, Limits::default()) {
            check()?;
            let path = joined(start.as_encoded_bytes(), &found.path);
            for error in found.stat.as_ref().err().into_iter().chain(&found.unread) {
                unread = unread.saturating_add(1);
                report::warning(format_args!("{}: {}", shown(&path), chain(error)));
            }
            out.line(tree, &path, found.node)?;
        }
    }
    out.end()?;
    match unread {
        0 => Ok(()),
        _ => Err(Failure::silent(exit::WARNINGS)),
    }
}

fn or_root(paths: &[OsString]) -> Vec<OsString> {
    match paths {
        [] => vec!["/".into()],
        paths => paths.to_vec(),
    }
}

struct Lines {
    out: BufWriter<io::StdoutLock<'static>>,
    is_long: bool,
    ends_with_nul: bool,
}

impl Lines {
    fn new(is_long: bool) -> Self {
        Self {
            out: BufWriter::new(io::stdout().lock()),
            is_long,
            ends_with_nul: false,
        }
    }

    fn line(&mut self, tree: &dyn FileTree, path: &[u8], node: NodeId) -> Result<()> {
        if self.ends_with_nul {
            return self.write(&[path, b"\0"].concat());
        }
        if !self.is_long && !report::is_events() {
            return self.write(format!("{}\n", shown(path)).as_bytes());
        }
        let stat = match tree.stat(node) {
            Ok(stat) => stat,
            Err(error) if report::is_events() => {
                let unread = json!({"error": chain(&error)});
                return self.event(path, unread);
            }
            Err(_) => return self.write(format!("?????????? {}\n", shown(path)).as_bytes()),
        };
        let target = match stat.kind {
            Kind::Link => tree.link(node).ok(),
            _ => None,
        };
        let streams = match stat.kind {
            Kind::File | Kind::Directory => tree.streams(node).unwrap_or_default(),
            _ => Vec::new(),
        };
        if report::is_events() {
            let mut fields = described(&stat);
            if let Some(target) = target {
                fields = events::with(fields, named("target", &target));
            }
            if !streams.is_empty() {
                let streams = streams
                    .iter()
                    .map(|(name, size)| events::with(named("name", name), json!({"size": size})));
                fields = events::with(fields, json!({"streams": streams.collect::<Vec<_>>()}));
            }
            return self.event(path, fields);
        }
        let size = match stat.kind {
            Kind::Character | Kind::Block => format!("{}, {}", stat.device.0, stat.device.1),
            _ => stat.size.to_string(),
        };
        let arrow = target.map(|target| format!(" -> {}", shown(&target)));
        self.write(
            format!(
                "{} {:>3} {:>5} {:>5} {size:>12} {} {}{}\n",
                permissions(stat.kind, stat.permissions),
                stat.links,
                stat.uid,
                stat.gid,
                time(stat.modified),
                shown(path),
                arrow.unwrap_or_default(),
            )
            .as_bytes(),
        )?;
        for (name, size) in streams {
            let line = format!("{:>33} {size:>12}   stream {}\n", "", shown(&name));
            self.write(line.as_bytes())?;
        }
        Ok(())
    }

    fn event(&mut self, path: &[u8], fields: serde_json::Value) -> Result<()> {
        let event = events::status_of(events::with(named("path", path), fields));
        self.write(format!("{event}\n").as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Failure::output)
    }

    fn end(&mut self) -> Result<()> {
        self.out.flush().map_err(Failure::output)
    }
}
