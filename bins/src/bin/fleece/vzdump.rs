//! What Proxmox's `vzdump.conf` says, in our options.

use fleece_settings::Section;

/// What a line of it means: the options that it sets, with the commands that they are of. What is for containers, or for
/// what we do not do, means nothing here.
pub(crate) fn translate(key: &str, value: &str) -> Vec<(Section, String, String)> {
    let all: &[(&str, &str, Option<String>)] = &match key {
        "storage" | "dumpdir" => [backup("to", value)].to_vec(),
        "mode" => [backup("mode", value)].to_vec(),
        "prune-backups" => [backup("prune-backups", value)].to_vec(),
        "notes-template" => [backup("notes", value)].to_vec(),
        "protected" => [backup(
            "protected",
            if is_on(value) { "true" } else { "false" },
        )]
        .to_vec(),
        "bwlimit" => vec![(
            "backup",
            "bwlimit",
            positive(value).map(|kib| format!("{kib}K")),
        )],
        "stopwait" => {
            let minutes = positive(value).map(|minutes| minutes.saturating_mul(60).min(3600));
            vec![(
                "backup",
                "stop-wait",
                minutes.map(|seconds| seconds.to_string()),
            )]
        }
        "compress" => {
            let how = match value {
                "0" => "none",
                // What gzip and lzo are asked for, zstd does better.
                _ => "zstd",
            };
            [backup("compress", how)].to_vec()
        }
        "fleecing" => vec![("backup", "fleecing", fleecing(value))],
        "script" => vec![
            backup("script", value),
            ("run", "script", Some(value.to_owned())),
        ],
        "exclude" => vec![("run", "exclude", Some(value.to_owned()))],
        "mailto" => vec![("run", "mail-to", Some(value.to_owned()))],
        "mailnotification" => vec![("run", "notify", Some(value.to_owned()))],
        _ => Vec::new(),
    };
    let set = all.iter().filter_map(|(command, key, value)| {
        let section = Section::Command((*command).to_owned());
        Some((section, (*key).to_owned(), value.clone()?))
    });
    set.collect()
}

fn backup<'k>(key: &'k str, value: &str) -> (&'static str, &'k str, Option<String>) {
    ("backup", key, Some(value.to_owned()))
}

fn is_on(value: &str) -> bool {
    matches!(value, "1" | "yes" | "on" | "true")
}

/// A number that is not zero, which stands for no limit.
fn positive(value: &str) -> Option<u64> {
    value.parse().ok().filter(|number| *number > 0)
}

/// The storage of `[enabled=]1,storage=ID`.
fn fleecing(value: &str) -> Option<String> {
    let mut storage = None;
    let mut enabled = false;
    for part in value.split(',') {
        match part.split_once('=') {
            Some(("storage", id)) => storage = Some(id.to_owned()),
            Some(("enabled", on)) => enabled = is_on(on),
            Some(_) => {}
            None => enabled = is_on(part),
        }
    }
    storage.filter(|_| enabled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, value: &str) -> String {
        let set = translate(key, value)
            .into_iter()
            .map(|(section, key, value)| {
                let Section::Command(command) = section else {
                    return "?".to_owned();
                };
                format!("{command} {key}={value}")
            });
        set.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_vzdump_calls_otherwise_or_counts_otherwise_is_translated() {
        assert_eq!(line("storage", "nas"), "backup to=nas");
        assert_eq!(line("bwlimit", "102400"), "backup bwlimit=102400K");
        assert_eq!(line("bwlimit", "0"), "");
        assert_eq!(line("stopwait", "10"), "backup stop-wait=600");
        assert_eq!(line("compress", "zstd"), "backup compress=zstd");
        assert_eq!(line("compress", "0"), "backup compress=none");
        assert_eq!(
            line("fleecing", "enabled=1,storage=fast"),
            "backup fleecing=fast"
        );
        assert_eq!(line("fleecing", "1,storage=fast"), "backup fleecing=fast");
        assert_eq!(line("fleecing", "0,storage=fast"), "");
        assert_eq!(line("script", "/h"), "backup script=/h; run script=/h");
        assert_eq!(line("stdexcludes", "1"), "");
        assert_eq!(line("what-comes-later", "1"), "");
    }
}
