//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

#[cfg(unix)]
use clap::builder::OsStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand};
#[cfg(unix)]
use fleece_units as units;
#[cfg(unix)]
use fleece_vma_format::container::FrameOptions;
#[cfg(unix)]
use fleece_vma_format::{Compression, HeaderBuilder};

/// VMA archives: list, extract, create, verify, and what the format itself lacks.
///
/// An ARCHIVE may be compressed with zstd, gzip or lzop, which is recognised by its content; `-` is
/// standard input. Exit codes: 0 ok, 1 error, 2 usage, 3 done with warnings, 4 damage found, 130/143 signals.
#[derive(Debug, Parser)]
#[command(name = "vma", version, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    /// Print JSON, one object a line, instead of text (see docs/JSON.md)
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times)
    /// [default: the file that FLEECE_IDENTITY names]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) identity: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List configs and devices
    List(ListArgs),
    /// Print a config
    Config(ConfigArgs),
    #[cfg(unix)]
    /// Create an archive from disk images
    Create(CreateArgs),
    /// Extract configs and disks from an archive
    Extract(ExtractArgs),
    /// Check an archive for damage
    Verify(VerifyArgs),
    /// Show sizes, container, order and index of an archive
    Info(InfoArgs),
    /// Serve the disks of an archive over NBD, to mount them or start a guest at once
    ///
    /// Prints an NBD URI for each disk, and serves it until SIGINT or SIGTERM. The archive is never
    /// changed. For example, with a URI such as nbd+unix:///drive-scsi0?socket=/run/web.sock:
    ///
    ///   guestfish --ro --format=raw -a URI -i                  # inspect its file systems
    ///   qemu-img convert -f raw -O qcow2 URI disk.qcow2        # copy it
    ///   qemu-img create -f qcow2 -F raw -b URI overlay.qcow2   # start a guest on it: its writes
    ///                                                          # go into the overlay
    ///
    /// Over TCP, every user and program of this machine can read the disks: NBD has no passwords. Other machines reach them
    /// through a tunnel, for example `ssh -L 10809:127.0.0.1:10809 HOST`.
    #[command(verbatim_doc_comment)]
    Serve(ServeArgs),
    /// List what is on the disks of an archive, and read the files there
    ///
    /// Without root, without mounting anything, without QEMU. Volumes are called after the disk and what it has: scsi0
    /// (the whole disk), scsi0:1 (its first partition), scsi0:vg/root (a logical volume), scsi0:md/0 (an array):
    ///
    ///   vma files web.vma.zst                                # what is on the disks?
    ///   vma files web.vma.zst scsi0:1 ls -l /etc             # list a directory
    ///   vma files web.vma.zst scsi0:1 cp /etc/fstab .        # copy a file
    ///   vma files web.vma.zst scsi0:vg/root cp -r /srv out   # copy a directory
    ///   vma files web.vma.zst scsi0:1 tar /var/lib/mysql > mysql.tar
    ///   vma files disk.qcow2 disk:2 cat /Users/me/notes.txt  # of an image instead of an archive
    ///
    /// Files are read of ext2/3/4, XFS, btrfs, NTFS, FAT, exFAT and ISO 9660; docs/FILES.md has more.
    #[command(verbatim_doc_comment)]
    Files(FilesArgs),
    #[cfg(unix)]
    /// Mount the disks of an archive, and the files on them, for any program that reads files
    ///
    /// DIR, which must be empty, gets a sparse file DEVICE.raw for each disk, and a directory files/VOLUME for each volume
    /// whose files `vma files` reads, until it is unmounted with `umount DIR` or `fusermount3 -u DIR`. Users other than root
    /// need fusermount3, of the package fuse3. The archive is never changed. For example:
    ///
    ///   vma mount ARCHIVE /mnt
    ///   diff -r /mnt/files/scsi0:1/etc /etc                    # what has changed since?
    ///   mount -o loop,ro,noload /mnt/drive-scsi0.raw /media    # an ext4 without partitions (XFS: norecovery)
    ///   losetup -r -P -f --show /mnt/drive-scsi0.raw           # block devices of its partitions
    ///   cp --sparse=auto /mnt/drive-scsi0.raw disk.raw         # copies only what is stored
    #[command(verbatim_doc_comment)]
    Mount(MountArgs),
    #[cfg(unix)]
    /// Build the index of an archive that has none
    Index(IndexArgs),
    /// Compare the disks of two archives
    Diff(DiffArgs),
    #[cfg(unix)]
    /// Make a seekable .vma.zst of any archive, with an index inside
    Reframe(RewriteArgs),
    #[cfg(unix)]
    /// Rewrite an archive in disk order with a stable uuid, for deduplicating stores
    Optimize(RewriteArgs),
    /// Recover everything that is intact in a damaged archive
    ///
    /// With an index, inside the archive or as ARCHIVE.idx, every cluster is checked; without one, payload
    /// cannot be checked. A map next to each disk, in the format of GNU ddrescue, says what is lost. A
    /// cluster whose content is wrong is restored and listed as lost.
    Recover(RecoverArgs),
}

impl Command {
    /// Whether standard output carries an archive, an index or a disk.
    pub(super) fn stdout_is_data(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::Create(args) => args.archive == "-",
            #[cfg(unix)]
            Self::Reframe(args) | Self::Optimize(args) => args.output == "-",
            Self::Extract(args) => args.directory.as_os_str() == "-",
            Self::Files(args) => matches!(
                args.action,
                Some(FilesAction::Cat { .. } | FilesAction::Tar { .. })
            ),
            #[cfg(unix)]
            Self::Index(args) => args
                .output
                .as_ref()
                .is_some_and(|output| output.as_os_str() == "-"),
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Archive, or - for standard input
    pub(super) archive: OsString,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Archive, or - for standard input
    pub(super) archive: OsString,
    /// Name of the config
    #[arg(short = 'c', value_name = "NAME", default_value = "qemu-server.conf")]
    pub(super) config: String,
}

#[cfg(unix)]
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// New archive: a file that does not exist, a FIFO, exec:COMMAND, or - for standard output
    pub(super) archive: OsString,
    /// Report progress on standard error
    #[arg(short)]
    pub(super) verbose: bool,
    /// File to store as a config under its base name
    #[arg(short = 'c', value_name = "CONFIG")]
    pub(super) configs: Vec<PathBuf>,
    /// Disk: format=raw|qcow2:[NAME=]PATH
    #[arg(short = 'd', value_name = "DRIVE")]
    pub(super) drives: Vec<OsString>,
    /// Raw disks as [NAME=]PATH (the older way; not together with -d)
    #[arg(value_name = "NAME=PATH")]
    pub(super) legacy: Vec<OsString>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Show a progress bar if standard error is a terminal
    #[arg(long)]
    pub(super) progress: bool,
}

#[cfg(unix)]
/// How archives are written.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]
    #[arg(long, value_name = "METHOD", value_parser = compression)]
    pub(super) compress: Option<Compression>,
    /// Number of compression threads (each takes memory) [default: one per processor, at most 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) threads: Option<u16>,
    /// Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file
    /// systems that clone
    #[arg(long)]
    pub(super) align: bool,
    /// Share with this older archive, which is compressed the same way and has an index, what has not changed, where the
    /// file system can (XFS, btrfs); implies --align
    #[arg(long, value_name = "BASE", conflicts_with = "no_index")]
    pub(super) reuse: Option<PathBuf>,
    /// Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index
    /// is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)
    #[arg(long, value_name = "RECIPIENT", conflicts_with = "reuse")]
    pub(super) encrypt_to: Vec<String>,
    /// Encrypt for the public keys in this file, one a line (may be given several times)
    #[arg(long, value_name = "FILE", conflicts_with = "reuse")]
    pub(super) recipients: Vec<PathBuf>,
    /// Sign a list of the archive's pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks
    /// the archive without being able to read it
    #[arg(long, value_name = "KEY", conflicts_with = "reuse")]
    pub(super) sign: Option<PathBuf>,
    /// Write no index
    #[arg(long)]
    pub(super) no_index: bool,
    /// Do not wait until the archive is on stable storage
    #[arg(long)]
    pub(super) no_sync: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExtractArgs {
    /// Archive, or - for standard input
    pub(super) archive: OsString,
    /// Directory to create; it must not exist. Or - for standard output, with one -d
    pub(super) directory: PathBuf,
    /// Report progress
    #[arg(short)]
    pub(super) verbose: bool,
    /// Only these devices, as `vma list` names them
    #[arg(short = 'd', value_name = "DEVICE", value_delimiter = ',')]
    pub(super) drives: Option<Vec<String>>,
    /// FIFO or file that says where each device goes
    #[arg(short = 'r', value_name = "MAP")]
    pub(super) map: Option<PathBuf>,
    /// The disks that the map names hold something already: write only what differs. Of an archive with an index only
    /// that is read. If this is interrupted, they are neither old nor new
    #[arg(long, requires = "map")]
    pub(super) in_place: bool,
    /// Image format of the disks written to the directory: raw or qcow2
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "raw",
        conflicts_with = "map"
    )]
    pub(super) format: String,
    #[cfg(unix)]
    #[command(flatten)]
    pub(super) copy: CopyArgs,
    /// Do not wait until the disks are on stable storage
    #[arg(long)]
    pub(super) no_sync: bool,
    /// Show a progress bar if standard error is a terminal
    #[arg(long)]
    pub(super) progress: bool,
}

#[cfg(windows)]
/// Nothing: no copies are made there.
#[derive(Debug, Args)]
pub(super) struct CopyArgs {}

#[cfg(unix)]
/// Seekable copies of archives that can only be read from front to back: a .vma.zst of one frame, as Proxmox
/// writes it, a .vma.gz or a .vma.lzo.
#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,
    /// Most that all copies there take; those used longest ago are removed. 0 makes none
    #[arg(long, value_name = "SIZE", default_value = "64G", value_parser = units::parse_size)]
    pub(super) cache_size: u64,
    /// Make the seekable copy here instead, where it stays
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cache", "cache_size"])]
    pub(super) reframe_to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Archive, or - for standard input
    pub(super) archive: OsString,
    /// List the contents and report progress
    #[arg(short)]
    pub(super) verbose: bool,
    /// Also check the payload against the archive's index
    #[arg(long)]
    pub(super) deep: bool,
    /// Index to check against with --deep [default: the one inside, or ARCHIVE.idx]
    #[arg(long, value_name = "FILE", requires = "deep")]
    pub(super) index: Option<PathBuf>,
    #[cfg(unix)]
    /// Check the archive against the signed list beside it, which must be by this Ed25519 key of SSH: a file of public keys, or
    /// a key itself (may be given several times). An encrypted archive needs no --identity for that
    #[arg(long, value_name = "KEY")]
    pub(super) signed_by: Vec<OsString>,
    /// Show a progress bar if standard error is a terminal
    #[arg(long)]
    pub(super) progress: bool,
}

#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// Archive, or - for standard input
    pub(super) archive: OsString,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("place").required(true)))]
pub(super) struct ServeArgs {
    /// Archive; of one that can only be read from front to back a seekable copy is made and kept
    pub(super) archive: OsString,
    /// Unix socket to create, accessible to its owner only
    #[cfg(unix)]
    #[arg(group = "place")]
    pub(super) socket: Option<PathBuf>,
    /// Listen at this TCP port instead, of 127.0.0.1 if no other address of this machine itself is given; 0 takes any that is
    /// free, which the URIs tell [default: 0]
    #[arg(
        long,
        group = "place",
        value_name = "[HOST:]PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0"
    )]
    pub(super) tcp: Option<String>,
    /// Only these devices, as `vma list` names them
    #[arg(short = 'd', value_name = "DEVICE", value_delimiter = ',')]
    pub(super) drives: Option<Vec<String>>,
    #[command(flatten)]
    pub(super) copy: CopyArgs,
}

#[cfg(unix)]
#[derive(Debug, Args)]
pub(super) struct MountArgs {
    /// Archive; of one that can only be read from front to back a seekable copy is made and kept
    pub(super) archive: OsString,
    /// Empty directory to mount at
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
    /// Only these devices, as `vma list` names them
    #[arg(short = 'd', value_name = "DEVICE", value_delimiter = ',')]
    pub(super) drives: Option<Vec<String>>,
    /// Let disks be written to. What is written is kept in memory, or in a new sparse FILE, until they are unmounted, and is
    /// gone then; files/ does not show it
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_parser = OsStringValueParser::new()
    )]
    pub(super) overlay: Option<OsString>,
    /// Let other users read the disks, too, and of files/ what they could read in the guest (of users, /etc/fuse.conf must say user_allow_other)
    #[arg(long)]
    pub(super) allow_other: bool,
    /// Stay in the foreground until DIR is unmounted, or SIGINT or SIGTERM comes, which unmount it
    #[arg(short, long)]
    pub(super) foreground: bool,
    #[command(flatten)]
    pub(super) copy: CopyArgs,
    /// What this program starts to go on when it has returned
    #[arg(long, hide = true)]
    pub(super) goes_on: bool,
}

#[derive(Debug, Args)]
pub(super) struct FilesArgs {
    /// Archive, or image of a disk; of an archive that can only be read from front to back a seekable copy is made and kept
    pub(super) archive: OsString,
    /// Volume, as `vma files ARCHIVE` lists them [default: the only one that has files]
    pub(super) volume: Option<String>,
    /// It is the image of a disk in this format, raw or qcow2 [default: by the end of its name: .raw, .img, .iso, .qcow2; a
    /// qcow2 image's backing files are only read if this is given]
    #[arg(long, value_name = "FORMAT", value_parser = ["raw", "qcow2"])]
    pub(super) image: Option<String>,
    #[command(flatten)]
    pub(super) copy: CopyArgs,
    #[command(subcommand)]
    pub(super) action: Option<FilesAction>,
}

/// What is done with files.
#[derive(Debug, Subcommand)]
pub(super) enum FilesAction {
    /// List directories
    Ls(LsArgs),
    /// List all paths below directories
    Find(FindArgs),
    /// Print files to standard output
    Cat {
        /// Files
        #[arg(required = true)]
        paths: Vec<OsString>,
    },
    #[cfg(unix)]
    /// Copy files, keeping modes, times and holes
    ///
    /// Nothing that is there is overwritten, and nothing is written outside of TARGET, whatever names and links the disk
    /// has. What cannot be read is told and left out; the exit code is then 3.
    Cp(CpArgs),
    /// Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes
    Tar {
        /// Files and directories
        #[arg(required = true)]
        paths: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// Directories and files [default: /]
    pub(super) paths: Vec<OsString>,
    /// Also modes, owners, sizes, times in the local zone, targets of links, and NTFS's alternate streams
    #[arg(short)]
    pub(super) long: bool,
    /// Directories themselves, not what is in them
    #[arg(short)]
    pub(super) directory: bool,
}

#[derive(Debug, Args)]
pub(super) struct FindArgs {
    /// Where to begin [default: /]
    pub(super) paths: Vec<OsString>,
    /// Also modes, owners, sizes, times in the local zone, targets of links, and NTFS's alternate streams
    #[arg(short)]
    pub(super) long: bool,
    /// End each path with a NUL instead of a newline, and escape nothing
    #[arg(short = '0', long, conflicts_with = "long")]
    pub(super) print0: bool,
}

#[cfg(unix)]
#[derive(Debug, Args)]
pub(super) struct CpArgs {
    /// Files and directories
    #[arg(required = true)]
    pub(super) paths: Vec<OsString>,
    /// Where they go: a directory that is there, or for one file or directory a new name
    #[arg(required = true)]
    pub(super) target: OsString,
    /// Copy directories with all that is in them
    #[arg(short)]
    pub(super) recursive: bool,
    /// Keep owners, and with them the bits that make programs run as their owner; only root can
    #[arg(long)]
    pub(super) owners: bool,
    /// Copy symbolic links in directories as they are; they may lead anywhere
    #[arg(long)]
    pub(super) links: bool,
}

#[cfg(unix)]
#[derive(Debug, Args)]
pub(super) struct IndexArgs {
    /// Archive, or - for standard input, with -o
    pub(super) archive: OsString,
    /// Where the index goes [default: ARCHIVE.idx]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// First archive
    pub(super) first: OsString,
    /// Second archive
    pub(super) second: OsString,
    /// List the clusters that differ
    #[arg(short)]
    pub(super) verbose: bool,
}

#[cfg(unix)]
#[derive(Debug, Args)]
pub(super) struct RewriteArgs {
    /// Archive
    pub(super) archive: OsString,
    /// New archive: a file that does not exist, a FIFO, exec:COMMAND, or - for standard output
    pub(super) output: OsString,
    #[command(flatten)]
    pub(super) how: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Archive, or - for standard input
    pub(super) archive: OsString,
    /// Index to check against [default: the one inside, or ARCHIVE.idx]
    #[arg(long, value_name = "FILE")]
    pub(super) index: Option<PathBuf>,
    /// Directory to create; it must not exist
    pub(super) directory: PathBuf,
}

#[cfg(unix)]
impl OutputArgs {
    pub(super) const fn is_aligned(&self) -> bool {
        self.align || self.reuse.is_some()
    }

    /// The header of a new archive.
    pub(super) fn builder(&self, uuid: [u8; 16], ctime: i64) -> HeaderBuilder {
        let builder = HeaderBuilder::new(uuid, ctime);
        if self.is_aligned() {
            builder.aligned()
        } else {
            builder
        }
    }

    /// The compression, `or` if none is given.
    pub(super) fn compression(&self, or: Compression) -> Compression {
        let mut compression = self.compress.clone().unwrap_or(or);
        if let (Some(threads), Compression::Zstd(options) | Compression::Gzip(options)) =
            (self.threads, &mut compression)
        {
            options.threads = usize::from(threads);
        }
        compression
    }
}

#[cfg(unix)]
fn compression(text: &str) -> Result<Compression, String> {
    let (method, level) = match text.split_once('=') {
        Some((method, level)) => (method, Some(level)),
        None => (text, None),
    };
    let level = level.map(|level| {
        level
            .parse::<i32>()
            .map_err(|_| format!("wrong level {level:?}"))
    });
    let level = level.transpose()?;
    let options = |default| FrameOptions::default().with_level(level.unwrap_or(default));
    match method {
        "zstd" => Ok(Compression::Zstd(options(3))),
        "gzip" => Ok(Compression::Gzip(options(6))),
        "none" if level.is_none() => Ok(Compression::None),
        _ => Err("expected zstd[=LEVEL], gzip[=LEVEL] or none".to_owned()),
    }
}
