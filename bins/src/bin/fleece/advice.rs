//! What can be done about an error, in the words of this command line.

use fleece_backup_core::{Advice, Error};
use fleece_fleecing::{Advice as Fleecing, CleanUp};

/// An error with its causes and, at its end, what can be done about it.
pub(crate) fn text(error: &Error) -> String {
    with(&error.chain(), error.advice())
}

/// A message with what can be done about it.
pub(crate) fn with(message: &str, advice: Option<&Advice>) -> String {
    match advice.and_then(words) {
        Some(words) => format!("{message}; {words}"),
        None => message.to_owned(),
    }
}

fn words(advice: &Advice) -> Option<String> {
    match advice {
        Advice::Fleecing(advice) => fleecing(advice),
        _ => None,
    }
}

fn fleecing(advice: &Fleecing) -> Option<String> {
    let words = match advice {
        Fleecing::NameGuest => "give it a name with --name, or its number with --vmid".into(),
        Fleecing::ConfirmGuest(guest) => {
            let option = match guest.number() {
                Some(_) => "--vmid",
                None => "--name",
            };
            format!(
                "give the guest another name with --name or, if it is the same guest, say so with {option} {guest}"
            )
        }
        Fleecing::ReleaseName(file) => format!(
            "give the guest another name with --name or, if the other guest has that name no more, remove {}",
            file.display()
        ),
        Fleecing::OtherStateDirectory => "choose another directory with --state-dir".into(),
        Fleecing::ShorterStateDirectory => "choose a shorter path with --state-dir".into(),
        Fleecing::ExcludeDisks(disks) => {
            let options = disks.iter().map(|disk| format!(" --exclude {disk}"));
            format!("back up the others with{}", options.collect::<String>())
        }
        Fleecing::OtherFleecingFormat => {
            "choose another storage with --fleecing, or another format with --fleecing-format"
                .into()
        }
        Fleecing::NameNbdServer => "name its address with --nbd-server to use it".into(),
        Fleecing::NoNbdServer => "without --nbd-server one is started for the backup".into(),
        Fleecing::OtherMonitor(what) => format!(
            "make the monitor available, or name another one with `{} --qmp PATH`",
            command(what)
        ),
        Fleecing::CleanUpFirst(what) => format!("run `{}` first", command(what)),
        Fleecing::CleanUpAfterwards(what) => format!("then run `{}`", command(what)),
        Fleecing::CleanUpAbandoned(what) => format!(
            "wait for it or, if there is none, remove what it left: `{}`",
            command(what)
        ),
        Fleecing::Thaw(what) => format!(
            "run `{}` when the guest's agent answers again; if it never does, thaw the file systems in the guest \
             (`fsfreeze -u`) or restart it, and run the same with --thawed",
            command(what)
        ),
        _ => return None,
    };
    Some(words)
}

/// `fleece cleanup` with what is known.
fn command(what: &CleanUp) -> String {
    let mut words = vec!["fleece".to_owned(), "cleanup".into()];
    words.extend(what.guest.as_ref().map(ToString::to_string));
    if let Some(directory) = &what.state_directory {
        words.extend(["--state-dir".into(), directory.to_string_lossy().into()]);
    }
    if let Some(monitor) = &what.monitor {
        words.extend(["--qmp".into(), monitor.to_string()]);
    }
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_up_is_a_command_that_a_shell_understands() {
        let mut what = CleanUp::default();
        assert_eq!(command(&what), "fleece cleanup");
        what.guest = Some("7".parse().unwrap());
        what.state_directory = Some("/var/lib/my fleece".into());
        what.monitor = Some("/run/7.qmp".parse().unwrap());
        let command = command(&what);
        assert_eq!(
            command,
            "fleece cleanup 7 --state-dir '/var/lib/my fleece' --qmp /run/7.qmp"
        );
        let advice = Advice::Fleecing(Fleecing::CleanUpAfterwards(what));
        assert_eq!(
            with("it is in use", Some(&advice)),
            format!("it is in use; then run `{command}`")
        );
    }

    #[test]
    fn all_disks_that_are_in_the_way_are_excluded_by_one_command() {
        let disks = ["scsi0".to_owned(), "virtio1".into()].into();
        let words = fleecing(&Fleecing::ExcludeDisks(disks)).unwrap();
        assert!(words.ends_with("with --exclude scsi0 --exclude virtio1"));
    }
}
