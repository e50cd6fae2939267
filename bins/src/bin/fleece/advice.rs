//! What can be done about an error, in the words of this command line.

use std::path::Path;

use fleece_backup_core::{Advice, Error};
use fleece_fleecing::{Advice as Fleecing, CleanUp, GuestAddress};
use fleece_storage::block::Look;

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
        Advice::Archive(advice) => fleece_bins::advice::words(*advice),
        advice => backup(advice),
    }
}

/// About an archive, its target, or a restore.
fn backup(advice: &Advice) -> Option<String> {
    let words = match advice {
        Advice::MakeRoom => "make room there, or use another storage with --fleecing".into(),
        Advice::SeparateFleecing => {
            "use another storage with --fleecing, or limit the images with --fleecing-limit".into()
        }
        Advice::RepairFleecing => {
            "see what is wrong there, use another storage with --fleecing, or allow more time with \
             --cbw-timeout"
                .into()
        }
        Advice::NameFormat(format) => {
            let right = match format {
                Look::Image("qcow2") => "give it as format=qcow2:PATH",
                look => fleece_bins::advice::made_raw(*look),
            };
            format!("{right}, or give it as format=raw:PATH if these are the disk's own bytes")
        }
        Advice::RaiseFleecingLimit => {
            "allow more with --fleecing-limit, or back up while the guest writes less".into()
        }
        Advice::RepairTarget => {
            "see what is wrong there, or allow more time with --target-timeout".into()
        }
        Advice::RestartServer => "see what it said, and start it again with `fleece serve`".into(),
        Advice::VerifyArchive(archive) => {
            format!("`{}` tells all of it", fleece(&["verify", &archive.to_string_lossy()]))
        }
        Advice::MakeIndex(archive) => format!("make one with `{}`", vma("index", archive)),
        Advice::Recover(archive) => {
            format!(
                "`{} DIRECTORY` recovers what is in it",
                vma("recover", archive)
            )
        }
        Advice::NameMonitor => {
            "name its monitor with --qmp, or the directory of its record with --state-dir".into()
        }
        Advice::CleanUpLater => "run `fleece cleanup` to remove it later".into(),
        Advice::NameStorage(disk) => {
            format!("choose with --storage STORAGE or --disk {disk}=STORAGE")
        }
        Advice::SkipDisk(disk) => format!("leave it out with --disk {disk}=skip"),
        Advice::OnlySkip => "leave one out with --disk DISK=skip".into(),
        Advice::ReplaceGuest => "choose another --vmid, or replace it with --force".into(),
        Advice::RestoreAnew => "restore it without --in-place".into(),
        Advice::StartYourself => "restore it without --start, and start it yourself".into(),
        Advice::OtherMode => "use --mode suspend, or back it up while it runs, without --mode".into(),
        Advice::ReplaceFiles => "choose another folder, or replace it with --force".into(),
        Advice::ResumeLive(folder) => format!(
            "`{}` goes on with it, and --start starts the guest, too",
            fleece(&["restore", "--resume", &folder.to_string_lossy()])
        ),
        Advice::NameConfig => "give --config-out or --config-dir".into(),
        Advice::NameFirewallDirectory => {
            "give --firewall-dir, or print them with `vma config -c qemu-server.fw`".into()
        }
        Advice::PrintConfig(name) => format!("`vma config -c {name}` prints it"),
        Advice::TrustDomain(name) => {
            format!("`vma config -c {name}` shows it, and --trust-xml takes it over")
        }
        Advice::InstallVirsh => "install it (Debian: libvirt-clients), or name a QMP socket with --qmp".into(),
        Advice::BecomeLibvirtUser => "run as root, or as a member of the group libvirt".into(),
        Advice::NameConnection => {
            "see whether it runs (`virsh uri`), and name it with --connect URI, such as qemu:///system".into()
        }
        Advice::ListDomains => "`virsh list --all` shows which there are".into(),
        Advice::BackUpImages { name, images } => {
            let images = images.iter().flat_map(|image| ["--image", image]);
            let words = ["fleece", "backup"].into_iter().chain(images);
            let words: Vec<&str> = words.chain(["--name", name, "--to", "DIR"]).collect();
            let command = shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "));
            format!("back up its images as they are with `{command}`, or start it")
        }
        Advice::NameFolder => "name a directory with --to".into(),
        Advice::NameDomain => "give it another with --name".into(),
        Advice::RenameDomain => {
            "choose another name with --name or, if it is to go, remove it first with `virsh undefine`".into()
        }
        Advice::NewIdentity => {
            "give the restored one an identity of its own with --unique, and another name with --name".into()
        }
        Advice::AllowPause(pause) => format!(
            "allow it with --max-pause {}, back up fewer disks with --include, or give the domain a QMP socket of \
             its own",
            pause.as_millis().saturating_add(1)
        ),
        Advice::ExtractDisks => "`vma extract` gives the disks without it".into(),
        _ => return None,
    };
    Some(words)
}

/// A command of `fleece`.
fn fleece(words: &[&str]) -> String {
    let words: Vec<&str> = [&["fleece"], words].concat();
    shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "))
}

/// A command of `vma` for an archive.
fn vma(command: &str, archive: &Path) -> String {
    let path = archive.to_string_lossy();
    let words = ["vma", command, &path];
    shlex::try_join(words).unwrap_or_else(|_| words.join(" "))
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
            "give the guest another name with --name or, if the other guest no longer has that name, remove {}",
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
        Fleecing::WaitLonger => {
            "see why it does not heed its power button, give it more time with --stop-wait, or back it up while it \
             runs, without --mode"
                .into()
        }
        Fleecing::PlainMethod => {
            "back it up without --libvirt-native: Fleece's own way needs neither".into()
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
        Fleecing::RestoreAgain(what) => {
            let archive = what.archive.as_deref().map(Path::to_string_lossy);
            let archive = archive.as_deref().unwrap_or("ARCHIVE");
            let guest = what.guest.to_string();
            let words = ["fleece", "restore", archive, "--vmid", &guest, "--in-place"];
            let command = shlex::try_join(words).unwrap_or_else(|_| words.join(" "));
            format!("run `{command}` again, or replace the guest with --force instead of --in-place")
        }
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
    match &what.monitor {
        Some(GuestAddress::Domain(domain)) => {
            words.extend(["--libvirt".into(), domain.uuid().into()]);
            words.extend(["--connect".into(), domain.uri().into()]);
        }
        Some(monitor) => words.extend(["--qmp".into(), monitor.to_string()]),
        None => {}
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
