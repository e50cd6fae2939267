//! The command line.

// The paths hold wherever this file is included from: `cargo xtask assets` does so, too.
#[path = "cli/backup.rs"]
pub(crate) mod backup;
#[path = "cli/backups.rs"]
pub(crate) mod backups;
#[path = "cli/cleanup.rs"]
pub(crate) mod cleanup;
#[path = "cli/config.rs"]
pub(crate) mod config;
#[path = "cli/demo.rs"]
pub(crate) mod demo;
#[path = "cli/doctor.rs"]
pub(crate) mod doctor;
#[path = "cli/drill.rs"]
pub(crate) mod drill;
#[path = "cli/hooks.rs"]
pub(crate) mod hooks;
#[path = "cli/report.rs"]
pub(crate) mod report;
#[path = "cli/restore.rs"]
pub(crate) mod restore;
#[path = "cli/run.rs"]
pub(crate) mod run;
#[path = "cli/serve.rs"]
pub(crate) mod serve;
#[path = "cli/status.rs"]
pub(crate) mod status;
#[path = "cli/storage.rs"]
pub(crate) mod storage;
#[path = "cli/values.rs"]
pub(crate) mod values;
#[path = "cli/which.rs"]
pub(crate) mod which;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use backup::Backup;
use backups::{Delete, List, Note, Protect, Prune, Verify};
use cleanup::Cleanup;
use config::ConfigCommand;
use demo::Demo;
use doctor::Doctor;
use drill::Drill;
use report::{Metrics, Report};
use restore::Restore;
use run::Run;
use serve::Serve;
use status::Status;
use storage::StorageCommand;

/// Backs up running QEMU/KVM guests on stock QEMU without slowing them down.
///
/// Old data that the guest overwrites during a backup goes to a fleecing image on fast local storage,
/// so neither a slow nor a dead backup target holds up the guest. Archives are Proxmox's VMA.
#[derive(Debug, Parser)]
#[command(name = "fleece", version, propagate_version = true, args_override_self = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) places: Places,

    /// Print one JSON object per line instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

const EXIT_CODES: &str = "Options that are not given are looked for in the environment (FLEECE_BACKUP_TO is --to of `fleece backup`) and \
                          in /etc/fleece/fleece.toml.\n\nExit codes: 0 done; 1 error; 2 usage; 3 done with warnings; 4 damage found; \
                          5 guest or monitor; 6 storage or target; 130, 143 ended by a signal.";

/// Where things are kept.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Where records of unfinished backups, sockets and by default fleecing images are kept.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    state_dir: Option<PathBuf>,

    /// Where guests' configurations are, as <vmid>.conf [default: Proxmox's, on its hosts].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    config_dir: Option<PathBuf>,

    /// Where guests' firewall rules are, as <vmid>.fw [default: Proxmox's, if --config-dir is].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Places")]
    firewall_dir: Option<PathBuf>,

    /// The storage configuration [default: Proxmox's, on its hosts].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Places")]
    storage_config: Option<PathBuf>,
}

impl Places {
    /// The same for the library.
    pub(crate) fn settle(self) -> fleece_backup_core::Places {
        // Some of them go into records, which are read from other working directories.
        let absolute =
            |path: Option<PathBuf>| path.map(|path| std::path::absolute(&path).unwrap_or(path));
        let mut places = fleece_backup_core::Places::default();
        places.state_dir = absolute(self.state_dir);
        places.config_dir = absolute(self.config_dir);
        places.firewall_dir = absolute(self.firewall_dir);
        places.storage_config = absolute(self.storage_config);
        places
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back up a running guest into a VMA archive.
    Backup(Box<Backup>),
    /// Back up several guests: a job of the configuration, or all (docs/FLEET.md).
    ///
    /// Each guest is backed up as by `fleece backup`, with what the configuration says of it. One that fails does not
    /// keep the others from theirs, and is tried once more if that can help. Afterwards older archives are pruned and
    /// verified as configured, also those of guests that are gone. The exit code is the worst.
    Run(Box<Run>),
    /// Restore a guest from an archive: volumes on storages, and its configuration.
    ///
    /// Nothing appears half-made: the configuration is written when all disks are complete, and a failed
    /// restore frees what it made. An existing guest with this number is replaced only with --force,
    /// and its disks are freed last.
    ///
    /// With --to, without any storage: images in a directory, the archived configurations, and two
    /// ways to start the guest, start.sh for QEMU and domain.xml for libvirt.
    Restore(Restore),
    /// List the backups of a directory or storage.
    List(List),
    /// Verify backups to the last byte, and record beside each whether it is sound.
    ///
    /// In a directory or storage, backups verified within the last 30 days are skipped.
    ///
    /// An archive without an index has no checksums of its payload: only its structure is checked then,
    /// and nothing is recorded.
    Verify(Verify),
    /// Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each.
    ///
    /// The guest starts from its archive, which is only read; what it writes goes to a temporary directory among the
    /// records. It has no network but a card that leads nowhere. Exit code 4 says that one does not boot.
    Drill(Drill),
    /// Remove the backups that no rule keeps, with their side files.
    ///
    /// Proxmox's rules are applied to each guest separately. Protected backups and those with a
    /// non-standard name are kept. Rules count only sound backups: one that is damaged, empty or not an
    /// archive fills no slot, and is removed only if a newer one is sound and no rule would keep it if it
    /// were sound. One dated in the future fills no slot either, and is kept.
    Prune(Prune),
    /// Show how the backups of all guests stand: in a table, in a page for browsers, or for programs.
    ///
    /// Night by night: sound, unverified, warning, failed, or missing, where a guest's usual rhythm says that one was due. With
    /// --html also what each guest felt during each backup, what the archives take, and how long each will stay.
    ///
    /// Exit code 3 says that a guest needs a look.
    Report(Report),
    /// Print or write metrics for Prometheus.
    Metrics(Metrics),
    /// Print or replace the notes of a backup.
    Note(Note),
    /// Protect a backup from removal.
    Protect(Protect),
    /// Remove backups with their side files. Protected ones are kept.
    Delete(Delete),
    /// List, add and remove the storages of the configuration.
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md).
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Tell what a backup of a guest would do, and what stands in its way, all of it at once.
    ///
    /// Looks at the configuration, the guest's monitor and agent, the method, room, rights, the target, and what is
    /// called meanwhile. Nothing is changed.
    Doctor(Doctor),
    /// Show which backups run, since when, and how far they are.
    Status(Status),
    /// Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive.
    ///
    /// QEMU may still be running, have been restarted, or have ended. Running it twice does no harm.
    Cleanup(Cleanup),
    /// Serve disks to guests over NBD through Fleece's own filter: for any VMM, not only QEMU.
    ///
    /// Guests use nbd.sock in the socket directory; `fleece backup --native` backs the disks up while they
    /// are in use. Ends on SIGINT or SIGTERM.
    Serve(Serve),
    /// Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute.
    ///
    /// A guest writes all over its disks: without a backup, during one that saves old data straight
    /// to a slow target, and during one with fleecing. Then the archive is restored and compared.
    Demo(Demo),
}

impl Command {
    /// Whether standard output carries an archive.
    pub(crate) fn stdout_is_data(&self) -> bool {
        matches!(self, Self::Backup(backup) if backup.to.as_os_str() == "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
