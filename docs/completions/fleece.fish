# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_fleece_global_optspecs
    string join \n state-dir= config-dir= firewall-dir= storage-config= json q/quiet h/help V/version
end

function __fish_fleece_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_fleece_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_fleece_using_subcommand
    set -l cmd (__fish_fleece_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c fleece -n "__fish_fleece_needs_command" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_needs_command" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_needs_command" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_needs_command" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_needs_command" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_needs_command" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_needs_command" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "backup" -d 'Back up a running guest into a VMA archive'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "run" -d 'Back up several guests: a job of the configuration, or all (docs/FLEET.md)'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "restore" -d 'Restore a guest from an archive: volumes on storages, and its configuration'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "list" -d 'List the backups of a directory or storage'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "verify" -d 'Verify backups to the last byte, and record beside each whether it is sound'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "drill" -d 'Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "prune" -d 'Remove the backups that no rule keeps, with their side files'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "report" -d 'Show how the backups of all guests stand: in a table, in a page for browsers, or for programs'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "metrics" -d 'Print or write metrics for Prometheus'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "note" -d 'Print or replace the notes of a backup'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "protect" -d 'Protect a backup from removal'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "delete" -d 'Remove backups with their side files. Protected ones are kept'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "storage" -d 'List, add and remove the storages of the configuration'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "config" -d 'Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md)'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "doctor" -d 'Tell what a backup of a guest would do, and what stands in its way, all of it at once'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "status" -d 'Show which backups run, since when, and how far they are'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "cleanup" -d 'Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "serve" -d 'Serve disks to guests over NBD through Fleece\'s own filter: for any VMM, not only QEMU'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "demo" -d 'Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute'
complete -c fleece -n "__fish_fleece_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l qmp -d 'The guest\'s monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses [default: Proxmox\'s for --vmid]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l libvirt -d 'Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one after the other' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l connect -d 'Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l native -d 'Instead of a QEMU guest: the disks behind this control socket of `fleece serve`' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l image -d 'Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l nbd -d 'Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the instant to be backed up. With --disk, and --vmid or --name' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l vmid -d 'The guest\'s number, used in the names of its archives, records and fleecing images [default: the socket\'s name, if that is a number]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l name -d 'The guest\'s name, if it has no number [default: QEMU\'s -name; else the name of the socket or image, or of its directory]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l to -d 'Where the archive goes: a directory, a storage\'s id, a new file, or - for standard output' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l compress -d 'Compress the archive' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l encrypt-to -d 'Encrypt the archive, with all that is in it, for this public key, of age or of SSH (may be given several times). This host cannot read it again; whoever has the secret key of one of them can (docs/ENCRYPTION.md)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l recipients -d 'Encrypt for the public keys in this file, one a line (may be given several times)' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l sign -d 'Sign a list of the archive\'s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `fleece verify --signed-by` checks the archive without being able to read it' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l full-every -d 'With --incremental: read everything once after this many archives of which not everything was read' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l verify-base-after -d 'With --incremental or --base: what has not changed is taken over unread of an archive that was verified, or read in full by a backup, in the last DAYS days; of an older one it is read and checked. 0: always' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l config -d 'Put this file of at most 65,535 bytes into the archive, under its own name or this one (may be given several times). The guest\'s own configuration is in it anyway, unless a file is called qemu-server.conf' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l rename -d 'Call a disk something else in the archive, e.g. d0=scsi0 (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l disk -d 'A disk of the --nbd server; its export has the same name unless another is given, and must have this size. Of one with a dirty bitmap, what that does not mark is taken from the archive --base (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l base -d 'The archive that the bitmaps of --disk count against: at its point in time they were clear' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l include -d 'Back up only this disk (may be given several times) [default: all writable disks]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l exclude -d 'Leave this disk out (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l fleecing -d 'Where fleecing images go: a directory or a storage\'s id; fast, local and thin [default: images/ in the state directory]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l fleecing-format -d 'The fleecing images\' format: raw, or qcow2 where raw images are not thin' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l cbw-timeout -d 'Abandon a copy to the fleecing image, and the backup with it, after this many seconds; the guest\'s write continues' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l fleecing-limit -d 'End the backup before the fleecing images hold more than this, e.g. 20G [default: no limit]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l target-timeout -d 'Abandon the backup when the target takes longer than this for one write' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l notes -d 'Store these notes next to the archive. {{guestname}}, {{vmid}}, {{node}} and {{cluster}} stand for what vzdump puts there; with one of them, \\\\n is a line\'s end' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l prune-backups -d 'Afterwards remove the guest\'s older backups that no rule keeps, e.g. keep-last=3,keep-weekly=4' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l mode -d 'How the guest comes to the point in time, as with vzdump: `snapshot` while it runs; `suspend` stopped for that moment; `stop` powered down by itself, to boot again while it is read' -r -f -a "snapshot\t''
suspend\t''
stop\t''"
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l stop-wait -d 'With --mode stop: give up when the guest has not powered down after this many seconds' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l agent -d 'The guest agent\'s socket: freezes file systems for the point in time [default with --libvirt: libvirt is asked to, if an agent is connected]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l max-pause -d 'Do not begin if the guest would have to stand still for longer than this many milliseconds, as far as that can be told before; 0 if it must not at all' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l guest-latency -d 'Limit for the 99th percentile of the guest\'s write latency, in milliseconds; reading slows down to keep it [default: 1.5 times the latency with hardly any reading, at least 2 ms more]' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l finish-within -d 'Read fast enough to finish within this time, even if that slows the guest: 8h, 90m, or none' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l bwlimit -d 'Read at most this much per second, e.g. 200M' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l max-depth -d 'Maximum number of reads in flight, reached with an idle guest' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l nbd-server -d 'An NBD server that is already running in this QEMU (it can have only one)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l script -d 'Call this program at the moments at which Proxmox\'s vzdump calls its --script, in the same way; on standard input it gets JSON (docs/HOOKS.md). If it fails, so does the backup' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l hook-timeout -d 'End a program that is called after this many seconds; it counts as failed' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l on-start -d 'Call this with `sh -c` before anything else' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l on-end -d 'Call this with `sh -c` at the end, with JSON of how it went on standard input' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l on-success -d 'Like --on-end, but only if all went well' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l on-failure -d 'Like --on-end, but not if all went well; a warning is enough' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l mail-to -d 'Send a mail by `sendmail` (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l webhook -d 'Post the JSON of how it went to this address by `curl`' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l heartbeat -d 'Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file, which is rewritten at each success (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l notify -d 'When the mail and the webhook are sent' -r -f -a "failure\t'Unless all went well; a warning is enough'
always\t'In any case'"
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l of-job -d 'The job of `fleece run` of which this is a part: that calls the hooks of jobs itself' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l shared-bwlimit -d 'Read at most this much per second together with all that name the same file' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l shared-in -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l shared-fleecing-limit -d 'End the backup whose fleecing images hold the most before they hold more than this together with those of all that name a file in the same directory' -r
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l shared-fleecing-in -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l align -d 'Put all payload on 4 KiB boundaries of the archive. That makes it 0.1 % larger, and archives of one guest can share what is equal on file systems that clone (docs/INCREMENTAL.md)'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l reuse -d 'Share with the guest\'s newest archive at the target what has not changed, where its file system can (XFS, btrfs): everything is read as usual, and only what has changed takes space. The archive is as complete as any. The archives must be compressed the same way; implies --align'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l incremental -d 'Read of the guest only what has changed since its last archive at the target; the archive is as complete as any. Dirty bitmaps stay in QEMU between backups, and while they do, QEMU refuses to load snapshots (loadvm): `fleece cleanup --bitmaps` removes them. (With --native, `fleece serve` keeps account itself.) It shares like --reuse. Implies --align'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l check-unchanged -d 'With --incremental: read everything all the same, and compare with the last archive what should not have changed'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l release -d 'Discard on the --nbd server what was read. Only for exports of a point in time that take this for "not needed any more": other exports would lose their data'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l no-fleecing -d 'Save old data next to the archive instead: the guest\'s writes then wait for the backup target, for at most --cbw-timeout'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l protected -d 'Protect the archive from removal'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l verify -d 'Read the archive back and verify every byte. If it is damaged, it is kept and marked so, and nothing is pruned'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l dry-run -d 'Change nothing; show what would be backed up, how and to where, and what is in the way. The exit code is that of a backup, as far as it can be foreseen'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l keep-partial -d 'If the backup fails, keep what was written as ARCHIVE.partial; `vma recover` reads it'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l libvirt-native -d 'With --libvirt: have libvirt make the point in time by its own backup (pull mode), instead of Fleece. As much room as the disks have is reserved for it on --fleecing, and how fast it is read depends on --bwlimit alone (docs/LIBVIRT.md)'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand backup" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand run" -l guest -d 'This guest: the name of its section, or its number in Proxmox (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l qmp -d 'Guests behind these monitors: a path in which one * stands for the guest\'s number or name, as in /run/qemu/*.qmp (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l native -d 'Guests of `fleece serve`: a path of control sockets with a * in it, like --qmp' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l image -d 'Stopped guests: a path of images with a * in it, like --qmp' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l connect -d 'Where that libvirt is [default: where virsh looks]' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l exclude -d 'Leave these guests out: names or patterns with * and ? (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l jobs -d 'How many backups run at a time' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l jobs-per-target -d 'How many of them to one target [default: as many as --jobs]' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l bwlimit -d 'Read at most this much per second, e.g. 200M, all backups together; a guest\'s own limit holds, too' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l fleecing-limit -d 'The fleecing images of all backups together hold at most this, e.g. 50G; a guest\'s own limit holds, too' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l retry-after -d 'Try a backup that failed once more, behind all others and not before this many seconds; one that was refused is not tried again' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l window -d 'End what still runs after this time, and begin nothing more: 8h, 90m [default: no limit]' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l verify-after -d 'Afterwards verify the archives of the host\'s guests, also of those that are gone, that were not verified for this many days [default: none]' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l script -d 'Call this program at the moments at which Proxmox\'s vzdump calls its --script, in the same way; on standard input it gets JSON (docs/HOOKS.md). If it fails, so does the backup' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand run" -l hook-timeout -d 'End a program that is called after this many seconds; it counts as failed' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l on-start -d 'Call this with `sh -c` before anything else' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l on-end -d 'Call this with `sh -c` at the end, with JSON of how it went on standard input' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l on-success -d 'Like --on-end, but only if all went well' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l on-failure -d 'Like --on-end, but not if all went well; a warning is enough' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l mail-to -d 'Send a mail by `sendmail` (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l webhook -d 'Post the JSON of how it went to this address by `curl`' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l heartbeat -d 'Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file, which is rewritten at each success (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand run" -l notify -d 'When the mail and the webhook are sent' -r -f -a "failure\t'Unless all went well; a warning is enough'
always\t'In any case'"
complete -c fleece -n "__fish_fleece_using_subcommand run" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand run" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand run" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand run" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand run" -l all -d 'All guests that have a section [guest.NAME] of their own, besides those that are found in other ways'
complete -c fleece -n "__fish_fleece_using_subcommand run" -l libvirt -d 'All domains of libvirt; those that are off are read from their images'
complete -c fleece -n "__fish_fleece_using_subcommand run" -l proxmox -d 'All guests of this Proxmox node; those that do not run are read from their volumes'
complete -c fleece -n "__fish_fleece_using_subcommand run" -l no-retry -d 'Do not try a backup that failed once more'
complete -c fleece -n "__fish_fleece_using_subcommand run" -l dry-run -d 'Change nothing; show what would be backed up, and what is in the way'
complete -c fleece -n "__fish_fleece_using_subcommand run" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand run" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand run" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l identity -d 'Read an encrypted archive with the secret key in this file, of age or of SSH (may be given several times)' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l vmid -d 'The number of the restored guest' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l to -d 'Instead of a guest on storages: images in this directory, with scripts that start the guest' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l connect -d 'Where that libvirt is, such as qemu:///system [default: where virsh looks]' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l pool -d 'The domain\'s images go to this storage pool, which must be a directory [default: default]' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l name -d 'The domain\'s name [default: the one that it had]' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l format -d 'The images\' format with --to or --libvirt, raw (sparse) or qcow2 [default: raw with --to, qcow2 with --libvirt]' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l storage -d 'Where its disks go: a storage\'s id, or a directory, and perhaps the volumes\' format, as in fast:qcow2 [default: the storages they came from]' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l disk -d 'Where one disk goes, as DISK=STORAGE[:FORMAT] or DISK=skip, e.g. drive-scsi0=fast:qcow2 (may be given several times); with --to only DISK=skip' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l rename -d 'Make a disk of the archive another drive of the guest, as DISK=DRIVE, e.g. d0=scsi0; its line of the configuration moves with it (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l config-out -d 'Write the guest\'s configuration to this file [default: <vmid>.conf in --config-dir]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l bwlimit -d 'Write at most this much per second, e.g. 200M' -r
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l resume -d 'Go on with the live restore in this directory: behind the guest if it runs, or is started with --start; else without it' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l live-server -d 'Serve the archive of the live restore in this directory, until that is complete' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l libvirt -d 'Instead of a guest of Proxmox\'s: a domain that libvirt knows, with its images in a pool or, with --to, in a directory'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l trust-xml -d 'Take over all of the archived domain, whatever it has QEMU open, run or listen to: for archives that nobody else could write'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l unique -d 'Give the guest new MAC addresses and a new uuid, so that it can run beside the original'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l force -d 'Replace the guest that has this number. Its disks are freed after the whole archive is restored, so there must be room for both. With --to: replace existing files'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l in-place -d 'Keep the disks of the guest that has this number, which must be stopped, and write into them only what differs from the archive; its configuration becomes the archived one. With --to: keep the images that an earlier restore has made there. Of an archive with an index only what differs is read. If this is interrupted, the disks are neither old nor new: run it again'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l dry-run -d 'Change nothing; show what would be made, written and replaced, and whether there is room. The exit code is that of a restore, as far as it can be foreseen'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l start -d 'Start the guest when it is restored: with --libvirt by libvirt; with --to by its start.sh, in the background; else, on a Proxmox host, by `qm start`'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l live -d 'Start the guest at once, on the archive, and copy its disks to qcow2 images behind it; with --to. The archive must stay until that is done, and it is said when it is. What the guest writes is in its images from the first byte on: whatever is killed or loses its power in between, --resume goes on'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand restore" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand list" -l guest -d 'Only this guest\'s: its number or name' -r
complete -c fleece -n "__fish_fleece_using_subcommand list" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand list" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand list" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand list" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand list" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand list" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand list" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand list" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l outdated-after -d 'In a directory or storage, verify again what was verified longer ago than this. An archive given by name is always verified' -r
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times)' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l signed-by -d 'Check archives against the signed lists beside them, which must be by this Ed25519 key of SSH: a file of public keys, or a key itself (may be given several times). Encrypted archives need no --identity for that' -r
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l guest -d 'Only this guest\'s: its number or name' -r
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l all -d 'Verify all, no matter how recently they were verified'
complete -c fleece -n "__fish_fleece_using_subcommand verify" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand verify" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand verify" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l to -d 'Where the backups are: a directory, or a storage\'s id' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l wait -d 'What shows that the guest has booted: serial=TEXT (a line on its first serial port; * stands for anything), agent (the guest\'s agent answers), event=NAME (of QEMU), or port=NUMBER (a TCP service answers). May be given several times: then all of it [default: serial=login: or agent, whichever comes first]' -r
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l timeout -d 'How long that may take' -r
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l screenshots -d 'Keep a picture of the guest\'s screen in this directory, under the archive\'s name' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l accel -d 'QEMU\'s accelerator, such as tcg [default: KVM where that is, else tcg]' -r
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l memory -d 'Give the guest another amount of memory, in MiB' -r
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l all -d 'The newest backup of every guest in --to, one after the other'
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l fsck -d 'Let the guest power down when it has booted, and check the file systems of its disks with their own programs (e2fsck, xfs_repair, fsck.fat, btrfs), on copies: there must be room for one disk\'s data in the directory of the records'
complete -c fleece -n "__fish_fleece_using_subcommand drill" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand drill" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand drill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand drill" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l keep -d 'What to keep: keep-last=N, -hourly, -daily, -weekly, -monthly, -yearly, separated by commas [default: the prune-backups of the storage]' -r
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l guest -d 'Only this guest\'s: its number or name' -r
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l dry-run -d 'Remove nothing; show what would happen to each backup, and why'
complete -c fleece -n "__fish_fleece_using_subcommand prune" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand prune" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand prune" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand report" -l html -d 'Write a page for browsers to this file: one file that needs nothing else, and runs no script' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand report" -l keep -d 'What prune keeps, to tell how long each backup will stay [default: the prune-backups of the storage]' -r
complete -c fleece -n "__fish_fleece_using_subcommand report" -l guest -d 'Only this guest\'s: its number or name' -r
complete -c fleece -n "__fish_fleece_using_subcommand report" -l nights -d 'How many nights to show' -r
complete -c fleece -n "__fish_fleece_using_subcommand report" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand report" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand report" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand report" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand report" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand report" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand report" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -l textfile -d 'Replace this file at once, for the textfile collector of Prometheus\' node exporter; its name must end in .prom [default: standard output]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand metrics" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand note" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand note" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand note" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand note" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand note" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand note" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand note" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand note" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand protect" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand protect" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand protect" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand protect" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand protect" -l off -d 'Remove the protection'
complete -c fleece -n "__fish_fleece_using_subcommand protect" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand protect" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand protect" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand protect" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand delete" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand delete" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand delete" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand delete" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand delete" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand delete" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand delete" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand delete" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -f -a "list" -d 'List them with their free space, and what is wrong with those that do not work'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -f -a "add" -d 'Add a storage. The rest of the file stays as it is'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -f -a "remove" -d 'Remove a storage from the configuration; its data is kept'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and not __fish_seen_subcommand_from list add remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from help" -f -a "list" -d 'List them with their free space, and what is wrong with those that do not work'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add a storage. The rest of the file stays as it is'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a storage from the configuration; its data is kept'
complete -c fleece -n "__fish_fleece_using_subcommand storage; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -f -a "check" -d 'Check every file of the configuration: keys, sections and values'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -f -a "show" -d 'Show which options of a command the configuration and the environment set, and where'
complete -c fleece -n "__fish_fleece_using_subcommand config; and not __fish_seen_subcommand_from check show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from check" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -l for -d 'The command whose options are shown' -r
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from show" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check every file of the configuration: keys, sections and values'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show which options of a command the configuration and the environment set, and where'
complete -c fleece -n "__fish_fleece_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand status" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand status" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand status" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand status" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand status" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand status" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand status" -s h -l help -d 'Print help'
complete -c fleece -n "__fish_fleece_using_subcommand status" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l qmp -d 'The guest\'s monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses [default: Proxmox\'s for --vmid]' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l libvirt -d 'Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one after the other' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l connect -d 'Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks]' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l native -d 'Instead of a QEMU guest: the disks behind this control socket of `fleece serve`' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l image -d 'Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw (may be given several times)' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l nbd -d 'Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the instant to be backed up. With --disk, and --vmid or --name' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l vmid -d 'The guest\'s number, used in the names of its archives, records and fleecing images [default: the socket\'s name, if that is a number]' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l name -d 'The guest\'s name, if it has no number [default: QEMU\'s -name; else the name of the socket or image, or of its directory]' -r
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l all -d 'All guests that have a record'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l thawed -d 'The guest\'s file systems are known to be thawed: forget that its agent has not confirmed it'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l bitmaps -d 'Also remove the dirty bitmaps that `backup --incremental` has left in QEMU: the next backup reads everything, and the guest\'s snapshots can be loaded again. Needs the guest\'s monitor'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand cleanup" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand serve" -l socket -d 'Where nbd.sock and control.sock are created; a directory of its own [default: serve/ in the state directory]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand serve" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand serve" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand serve" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand serve" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand serve" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand serve" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand serve" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l size -d 'Size of the two disks together' -r
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l target-speed -d 'How much the backup target takes per second' -r
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l guest-speed -d 'How much the guest tries to write per second' -r
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l dir -d 'Where the temporary directory is created, with room for about four times the disks [default: the system\'s]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l html -d 'Write a page with the three acts to this file' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l svg -d 'Write a picture of the three acts to this file' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l state-dir -d 'Where records of unfinished backups, sockets and by default fleecing images are kept' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l config-dir -d 'Where guests\' configurations are, as <vmid>.conf [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l firewall-dir -d 'Where guests\' firewall rules are, as <vmid>.fw [default: Proxmox\'s, if --config-dir is]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l storage-config -d 'The storage configuration [default: Proxmox\'s, on its hosts]' -r -F
complete -c fleece -n "__fish_fleece_using_subcommand demo" -l json -d 'Print one JSON object per line instead of text'
complete -c fleece -n "__fish_fleece_using_subcommand demo" -s q -l quiet -d 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
complete -c fleece -n "__fish_fleece_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c fleece -n "__fish_fleece_using_subcommand demo" -s V -l version -d 'Print version'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "backup" -d 'Back up a running guest into a VMA archive'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "run" -d 'Back up several guests: a job of the configuration, or all (docs/FLEET.md)'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "restore" -d 'Restore a guest from an archive: volumes on storages, and its configuration'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "list" -d 'List the backups of a directory or storage'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "verify" -d 'Verify backups to the last byte, and record beside each whether it is sound'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "drill" -d 'Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "prune" -d 'Remove the backups that no rule keeps, with their side files'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "report" -d 'Show how the backups of all guests stand: in a table, in a page for browsers, or for programs'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "metrics" -d 'Print or write metrics for Prometheus'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "note" -d 'Print or replace the notes of a backup'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "protect" -d 'Protect a backup from removal'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "delete" -d 'Remove backups with their side files. Protected ones are kept'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "storage" -d 'List, add and remove the storages of the configuration'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "config" -d 'Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md)'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "doctor" -d 'Tell what a backup of a guest would do, and what stands in its way, all of it at once'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "status" -d 'Show which backups run, since when, and how far they are'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "cleanup" -d 'Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "serve" -d 'Serve disks to guests over NBD through Fleece\'s own filter: for any VMM, not only QEMU'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "demo" -d 'Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute'
complete -c fleece -n "__fish_fleece_using_subcommand help; and not __fish_seen_subcommand_from backup run restore list verify drill prune report metrics note protect delete storage config doctor status cleanup serve demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fleece -n "__fish_fleece_using_subcommand help; and __fish_seen_subcommand_from storage" -f -a "list" -d 'List them with their free space, and what is wrong with those that do not work'
complete -c fleece -n "__fish_fleece_using_subcommand help; and __fish_seen_subcommand_from storage" -f -a "add" -d 'Add a storage. The rest of the file stays as it is'
complete -c fleece -n "__fish_fleece_using_subcommand help; and __fish_seen_subcommand_from storage" -f -a "remove" -d 'Remove a storage from the configuration; its data is kept'
complete -c fleece -n "__fish_fleece_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Check every file of the configuration: keys, sections and values'
complete -c fleece -n "__fish_fleece_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Show which options of a command the configuration and the environment set, and where'
