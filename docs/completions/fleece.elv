
use builtin;
use str;

set edit:completion:arg-completer[fleece] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'fleece'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'fleece'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand backup 'Back up a running guest into a VMA archive'
            cand run 'Back up several guests: a job of the configuration, or all (docs/FLEET.md)'
            cand restore 'Restore a guest from an archive: volumes on storages, and its configuration'
            cand list 'List the backups of a directory or storage'
            cand verify 'Verify backups to the last byte, and record beside each whether it is sound'
            cand drill 'Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each'
            cand prune 'Remove the backups that no rule keeps, with their side files'
            cand report 'Show how the backups of all guests stand: in a table, in a page for browsers, or for programs'
            cand metrics 'Print or write metrics for Prometheus'
            cand note 'Print or replace the notes of a backup'
            cand protect 'Protect a backup from removal'
            cand delete 'Remove backups with their side files. Protected ones are kept'
            cand storage 'List, add and remove the storages of the configuration'
            cand config 'Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md)'
            cand doctor 'Tell what a backup of a guest would do, and what stands in its way, all of it at once'
            cand status 'Show which backups run, since when, and how far they are'
            cand cleanup 'Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive'
            cand serve 'Serve disks to guests over NBD through Fleece''s own filter: for any VMM, not only QEMU'
            cand demo 'Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'fleece;backup'= {
            cand --qmp 'The guest''s monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses [default: Proxmox''s for --vmid]'
            cand --libvirt 'Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one after the other'
            cand --connect 'Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks]'
            cand --native 'Instead of a QEMU guest: the disks behind this control socket of `fleece serve`'
            cand --image 'Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw (may be given several times)'
            cand --nbd 'Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the instant to be backed up. With --disk, and --vmid or --name'
            cand --vmid 'The guest''s number, used in the names of its archives, records and fleecing images [default: the socket''s name, if that is a number]'
            cand --name 'The guest''s name, if it has no number [default: QEMU''s -name; else the name of the socket or image, or of its directory]'
            cand --to 'Where the archive goes: a directory, a storage''s id, a new file, or - for standard output'
            cand --compress 'Compress the archive'
            cand --encrypt-to 'Encrypt the archive, with all that is in it, for this public key, of age or of SSH (may be given several times). This host cannot read it again; whoever has the secret key of one of them can (docs/ENCRYPTION.md)'
            cand --recipients 'Encrypt for the public keys in this file, one a line (may be given several times)'
            cand --sign 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `fleece verify --signed-by` checks the archive without being able to read it'
            cand --full-every 'With --incremental: read everything once after this many archives of which not everything was read'
            cand --verify-base-after 'With --incremental or --base: what has not changed is taken over unread of an archive that was verified, or read in full by a backup, in the last DAYS days; of an older one it is read and checked. 0: always'
            cand --config 'Put this file of at most 65,535 bytes into the archive, under its own name or this one (may be given several times). The guest''s own configuration is in it anyway, unless a file is called qemu-server.conf'
            cand --rename 'Call a disk something else in the archive, e.g. d0=scsi0 (may be given several times)'
            cand --disk 'A disk of the --nbd server; its export has the same name unless another is given, and must have this size. Of one with a dirty bitmap, what that does not mark is taken from the archive --base (may be given several times)'
            cand --base 'The archive that the bitmaps of --disk count against: at its point in time they were clear'
            cand --include 'Back up only this disk (may be given several times) [default: all writable disks]'
            cand --exclude 'Leave this disk out (may be given several times)'
            cand --fleecing 'Where fleecing images go: a directory or a storage''s id; fast, local and thin [default: images/ in the state directory]'
            cand --fleecing-format 'The fleecing images'' format: raw, or qcow2 where raw images are not thin'
            cand --cbw-timeout 'Abandon a copy to the fleecing image, and the backup with it, after this many seconds; the guest''s write continues'
            cand --fleecing-limit 'End the backup before the fleecing images hold more than this, e.g. 20G [default: no limit]'
            cand --target-timeout 'Abandon the backup when the target takes longer than this for one write'
            cand --notes 'Store these notes next to the archive. {{guestname}}, {{vmid}}, {{node}} and {{cluster}} stand for what vzdump puts there; with one of them, \\n is a line''s end'
            cand --prune-backups 'Afterwards remove the guest''s older backups that no rule keeps, e.g. keep-last=3,keep-weekly=4'
            cand --mode 'How the guest comes to the point in time, as with vzdump: `snapshot` while it runs; `suspend` stopped for that moment; `stop` powered down by itself, to boot again while it is read'
            cand --stop-wait 'With --mode stop: give up when the guest has not powered down after this many seconds'
            cand --agent 'The guest agent''s socket: freezes file systems for the point in time [default with --libvirt: libvirt is asked to, if an agent is connected]'
            cand --max-pause 'Do not begin if the guest would have to stand still for longer than this many milliseconds, as far as that can be told before; 0 if it must not at all'
            cand --guest-latency 'Limit for the 99th percentile of the guest''s write latency, in milliseconds; reading slows down to keep it [default: 1.5 times the latency with hardly any reading, at least 2 ms more]'
            cand --finish-within 'Read fast enough to finish within this time, even if that slows the guest: 8h, 90m, or none'
            cand --bwlimit 'Read at most this much per second, e.g. 200M'
            cand --max-depth 'Maximum number of reads in flight, reached with an idle guest'
            cand --nbd-server 'An NBD server that is already running in this QEMU (it can have only one)'
            cand --script 'Call this program at the moments at which Proxmox''s vzdump calls its --script, in the same way; on standard input it gets JSON (docs/HOOKS.md). If it fails, so does the backup'
            cand --hook-timeout 'End a program that is called after this many seconds; it counts as failed'
            cand --on-start 'Call this with `sh -c` before anything else'
            cand --on-end 'Call this with `sh -c` at the end, with JSON of how it went on standard input'
            cand --on-success 'Like --on-end, but only if all went well'
            cand --on-failure 'Like --on-end, but not if all went well; a warning is enough'
            cand --mail-to 'Send a mail by `sendmail` (may be given several times)'
            cand --webhook 'Post the JSON of how it went to this address by `curl`'
            cand --heartbeat 'Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file, which is rewritten at each success (may be given several times)'
            cand --notify 'When the mail and the webhook are sent'
            cand --of-job 'The job of `fleece run` of which this is a part: that calls the hooks of jobs itself'
            cand --shared-bwlimit 'Read at most this much per second together with all that name the same file'
            cand --shared-in 'shared-in'
            cand --shared-fleecing-limit 'End the backup whose fleecing images hold the most before they hold more than this together with those of all that name a file in the same directory'
            cand --shared-fleecing-in 'shared-fleecing-in'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --align 'Put all payload on 4 KiB boundaries of the archive. That makes it 0.1 % larger, and archives of one guest can share what is equal on file systems that clone (docs/INCREMENTAL.md)'
            cand --reuse 'Share with the guest''s newest archive at the target what has not changed, where its file system can (XFS, btrfs): everything is read as usual, and only what has changed takes space. The archive is as complete as any. The archives must be compressed the same way; implies --align'
            cand --incremental 'Read of the guest only what has changed since its last archive at the target; the archive is as complete as any. Dirty bitmaps stay in QEMU between backups, and while they do, QEMU refuses to load snapshots (loadvm): `fleece cleanup --bitmaps` removes them. (With --native, `fleece serve` keeps account itself.) It shares like --reuse. Implies --align'
            cand --check-unchanged 'With --incremental: read everything all the same, and compare with the last archive what should not have changed'
            cand --release 'Discard on the --nbd server what was read. Only for exports of a point in time that take this for "not needed any more": other exports would lose their data'
            cand --no-fleecing 'Save old data next to the archive instead: the guest''s writes then wait for the backup target, for at most --cbw-timeout'
            cand --protected 'Protect the archive from removal'
            cand --verify 'Read the archive back and verify every byte. If it is damaged, it is kept and marked so, and nothing is pruned'
            cand --dry-run 'Change nothing; show what would be backed up, how and to where, and what is in the way. The exit code is that of a backup, as far as it can be foreseen'
            cand --keep-partial 'If the backup fails, keep what was written as ARCHIVE.partial; `vma recover` reads it'
            cand --libvirt-native 'With --libvirt: have libvirt make the point in time by its own backup (pull mode), instead of Fleece. As much room as the disks have is reserved for it on --fleecing, and how fast it is read depends on --bwlimit alone (docs/LIBVIRT.md)'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;run'= {
            cand --guest 'This guest: the name of its section, or its number in Proxmox (may be given several times)'
            cand --qmp 'Guests behind these monitors: a path in which one * stands for the guest''s number or name, as in /run/qemu/*.qmp (may be given several times)'
            cand --native 'Guests of `fleece serve`: a path of control sockets with a * in it, like --qmp'
            cand --image 'Stopped guests: a path of images with a * in it, like --qmp'
            cand --connect 'Where that libvirt is [default: where virsh looks]'
            cand --exclude 'Leave these guests out: names or patterns with * and ? (may be given several times)'
            cand --jobs 'How many backups run at a time'
            cand --jobs-per-target 'How many of them to one target [default: as many as --jobs]'
            cand --bwlimit 'Read at most this much per second, e.g. 200M, all backups together; a guest''s own limit holds, too'
            cand --fleecing-limit 'The fleecing images of all backups together hold at most this, e.g. 50G; a guest''s own limit holds, too'
            cand --retry-after 'Try a backup that failed once more, behind all others and not before this many seconds; one that was refused is not tried again'
            cand --window 'End what still runs after this time, and begin nothing more: 8h, 90m [default: no limit]'
            cand --verify-after 'Afterwards verify the archives of the host''s guests, also of those that are gone, that were not verified for this many days [default: none]'
            cand --script 'Call this program at the moments at which Proxmox''s vzdump calls its --script, in the same way; on standard input it gets JSON (docs/HOOKS.md). If it fails, so does the backup'
            cand --hook-timeout 'End a program that is called after this many seconds; it counts as failed'
            cand --on-start 'Call this with `sh -c` before anything else'
            cand --on-end 'Call this with `sh -c` at the end, with JSON of how it went on standard input'
            cand --on-success 'Like --on-end, but only if all went well'
            cand --on-failure 'Like --on-end, but not if all went well; a warning is enough'
            cand --mail-to 'Send a mail by `sendmail` (may be given several times)'
            cand --webhook 'Post the JSON of how it went to this address by `curl`'
            cand --heartbeat 'Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file, which is rewritten at each success (may be given several times)'
            cand --notify 'When the mail and the webhook are sent'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --all 'All guests that have a section [guest.NAME] of their own, besides those that are found in other ways'
            cand --libvirt 'All domains of libvirt; those that are off are read from their images'
            cand --proxmox 'All guests of this Proxmox node; those that do not run are read from their volumes'
            cand --no-retry 'Do not try a backup that failed once more'
            cand --dry-run 'Change nothing; show what would be backed up, and what is in the way'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;restore'= {
            cand --identity 'Read an encrypted archive with the secret key in this file, of age or of SSH (may be given several times)'
            cand --vmid 'The number of the restored guest'
            cand --to 'Instead of a guest on storages: images in this directory, with scripts that start the guest'
            cand --connect 'Where that libvirt is, such as qemu:///system [default: where virsh looks]'
            cand --pool 'The domain''s images go to this storage pool, which must be a directory [default: default]'
            cand --name 'The domain''s name [default: the one that it had]'
            cand --format 'The images'' format with --to or --libvirt, raw (sparse) or qcow2 [default: raw with --to, qcow2 with --libvirt]'
            cand --storage 'Where its disks go: a storage''s id, or a directory, and perhaps the volumes'' format, as in fast:qcow2 [default: the storages they came from]'
            cand --disk 'Where one disk goes, as DISK=STORAGE[:FORMAT] or DISK=skip, e.g. drive-scsi0=fast:qcow2 (may be given several times); with --to only DISK=skip'
            cand --rename 'Make a disk of the archive another drive of the guest, as DISK=DRIVE, e.g. d0=scsi0; its line of the configuration moves with it (may be given several times)'
            cand --config-out 'Write the guest''s configuration to this file [default: <vmid>.conf in --config-dir]'
            cand --bwlimit 'Write at most this much per second, e.g. 200M'
            cand --resume 'Go on with the live restore in this directory: behind the guest if it runs, or is started with --start; else without it'
            cand --live-server 'Serve the archive of the live restore in this directory, until that is complete'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --libvirt 'Instead of a guest of Proxmox''s: a domain that libvirt knows, with its images in a pool or, with --to, in a directory'
            cand --trust-xml 'Take over all of the archived domain, whatever it has QEMU open, run or listen to: for archives that nobody else could write'
            cand --unique 'Give the guest new MAC addresses and a new uuid, so that it can run beside the original'
            cand --force 'Replace the guest that has this number. Its disks are freed after the whole archive is restored, so there must be room for both. With --to: replace existing files'
            cand --in-place 'Keep the disks of the guest that has this number, which must be stopped, and write into them only what differs from the archive; its configuration becomes the archived one. With --to: keep the images that an earlier restore has made there. Of an archive with an index only what differs is read. If this is interrupted, the disks are neither old nor new: run it again'
            cand --dry-run 'Change nothing; show what would be made, written and replaced, and whether there is room. The exit code is that of a restore, as far as it can be foreseen'
            cand --start 'Start the guest when it is restored: with --libvirt by libvirt; with --to by its start.sh, in the background; else, on a Proxmox host, by `qm start`'
            cand --live 'Start the guest at once, on the archive, and copy its disks to qcow2 images behind it; with --to. The archive must stay until that is done, and it is said when it is. What the guest writes is in its images from the first byte on: whatever is killed or loses its power in between, --resume goes on'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;list'= {
            cand --guest 'Only this guest''s: its number or name'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;verify'= {
            cand --outdated-after 'In a directory or storage, verify again what was verified longer ago than this. An archive given by name is always verified'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times)'
            cand --signed-by 'Check archives against the signed lists beside them, which must be by this Ed25519 key of SSH: a file of public keys, or a key itself (may be given several times). Encrypted archives need no --identity for that'
            cand --guest 'Only this guest''s: its number or name'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --all 'Verify all, no matter how recently they were verified'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;drill'= {
            cand --to 'Where the backups are: a directory, or a storage''s id'
            cand --wait 'What shows that the guest has booted: serial=TEXT (a line on its first serial port; * stands for anything), agent (the guest''s agent answers), event=NAME (of QEMU), or port=NUMBER (a TCP service answers). May be given several times: then all of it [default: serial=login: or agent, whichever comes first]'
            cand --timeout 'How long that may take'
            cand --screenshots 'Keep a picture of the guest''s screen in this directory, under the archive''s name'
            cand --accel 'QEMU''s accelerator, such as tcg [default: KVM where that is, else tcg]'
            cand --memory 'Give the guest another amount of memory, in MiB'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --all 'The newest backup of every guest in --to, one after the other'
            cand --fsck 'Let the guest power down when it has booted, and check the file systems of its disks with their own programs (e2fsck, xfs_repair, fsck.fat, btrfs), on copies: there must be room for one disk''s data in the directory of the records'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;prune'= {
            cand --keep 'What to keep: keep-last=N, -hourly, -daily, -weekly, -monthly, -yearly, separated by commas [default: the prune-backups of the storage]'
            cand --guest 'Only this guest''s: its number or name'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --dry-run 'Remove nothing; show what would happen to each backup, and why'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;report'= {
            cand --html 'Write a page for browsers to this file: one file that needs nothing else, and runs no script'
            cand --keep 'What prune keeps, to tell how long each backup will stay [default: the prune-backups of the storage]'
            cand --guest 'Only this guest''s: its number or name'
            cand --nights 'How many nights to show'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;metrics'= {
            cand --textfile 'Replace this file at once, for the textfile collector of Prometheus'' node exporter; its name must end in .prom [default: standard output]'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;note'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;protect'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --off 'Remove the protection'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;delete'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;storage'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand list 'List them with their free space, and what is wrong with those that do not work'
            cand add 'Add a storage. The rest of the file stays as it is'
            cand remove 'Remove a storage from the configuration; its data is kept'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'fleece;storage;list'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;storage;add'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;storage;remove'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;storage;help'= {
            cand list 'List them with their free space, and what is wrong with those that do not work'
            cand add 'Add a storage. The rest of the file stays as it is'
            cand remove 'Remove a storage from the configuration; its data is kept'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'fleece;storage;help;list'= {
        }
        &'fleece;storage;help;add'= {
        }
        &'fleece;storage;help;remove'= {
        }
        &'fleece;storage;help;help'= {
        }
        &'fleece;config'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand check 'Check every file of the configuration: keys, sections and values'
            cand show 'Show which options of a command the configuration and the environment set, and where'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'fleece;config;check'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;config;show'= {
            cand --for 'The command whose options are shown'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;config;help'= {
            cand check 'Check every file of the configuration: keys, sections and values'
            cand show 'Show which options of a command the configuration and the environment set, and where'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'fleece;config;help;check'= {
        }
        &'fleece;config;help;show'= {
        }
        &'fleece;config;help;help'= {
        }
        &'fleece;doctor'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;status'= {
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;cleanup'= {
            cand --qmp 'The guest''s monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses [default: Proxmox''s for --vmid]'
            cand --libvirt 'Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one after the other'
            cand --connect 'Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks]'
            cand --native 'Instead of a QEMU guest: the disks behind this control socket of `fleece serve`'
            cand --image 'Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw (may be given several times)'
            cand --nbd 'Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the instant to be backed up. With --disk, and --vmid or --name'
            cand --vmid 'The guest''s number, used in the names of its archives, records and fleecing images [default: the socket''s name, if that is a number]'
            cand --name 'The guest''s name, if it has no number [default: QEMU''s -name; else the name of the socket or image, or of its directory]'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --all 'All guests that have a record'
            cand --thawed 'The guest''s file systems are known to be thawed: forget that its agent has not confirmed it'
            cand --bitmaps 'Also remove the dirty bitmaps that `backup --incremental` has left in QEMU: the next backup reads everything, and the guest''s snapshots can be loaded again. Needs the guest''s monitor'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;serve'= {
            cand --socket 'Where nbd.sock and control.sock are created; a directory of its own [default: serve/ in the state directory]'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;demo'= {
            cand --size 'Size of the two disks together'
            cand --target-speed 'How much the backup target takes per second'
            cand --guest-speed 'How much the guest tries to write per second'
            cand --dir 'Where the temporary directory is created, with room for about four times the disks [default: the system''s]'
            cand --html 'Write a page with the three acts to this file'
            cand --svg 'Write a picture of the three acts to this file'
            cand --state-dir 'Where records of unfinished backups, sockets and by default fleecing images are kept'
            cand --config-dir 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]'
            cand --firewall-dir 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]'
            cand --storage-config 'The storage configuration [default: Proxmox''s, on its hosts]'
            cand --json 'Print one JSON object per line instead of text'
            cand -q 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand --quiet 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
        }
        &'fleece;help'= {
            cand backup 'Back up a running guest into a VMA archive'
            cand run 'Back up several guests: a job of the configuration, or all (docs/FLEET.md)'
            cand restore 'Restore a guest from an archive: volumes on storages, and its configuration'
            cand list 'List the backups of a directory or storage'
            cand verify 'Verify backups to the last byte, and record beside each whether it is sound'
            cand drill 'Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each'
            cand prune 'Remove the backups that no rule keeps, with their side files'
            cand report 'Show how the backups of all guests stand: in a table, in a page for browsers, or for programs'
            cand metrics 'Print or write metrics for Prometheus'
            cand note 'Print or replace the notes of a backup'
            cand protect 'Protect a backup from removal'
            cand delete 'Remove backups with their side files. Protected ones are kept'
            cand storage 'List, add and remove the storages of the configuration'
            cand config 'Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md)'
            cand doctor 'Tell what a backup of a guest would do, and what stands in its way, all of it at once'
            cand status 'Show which backups run, since when, and how far they are'
            cand cleanup 'Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive'
            cand serve 'Serve disks to guests over NBD through Fleece''s own filter: for any VMM, not only QEMU'
            cand demo 'Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'fleece;help;backup'= {
        }
        &'fleece;help;run'= {
        }
        &'fleece;help;restore'= {
        }
        &'fleece;help;list'= {
        }
        &'fleece;help;verify'= {
        }
        &'fleece;help;drill'= {
        }
        &'fleece;help;prune'= {
        }
        &'fleece;help;report'= {
        }
        &'fleece;help;metrics'= {
        }
        &'fleece;help;note'= {
        }
        &'fleece;help;protect'= {
        }
        &'fleece;help;delete'= {
        }
        &'fleece;help;storage'= {
            cand list 'List them with their free space, and what is wrong with those that do not work'
            cand add 'Add a storage. The rest of the file stays as it is'
            cand remove 'Remove a storage from the configuration; its data is kept'
        }
        &'fleece;help;storage;list'= {
        }
        &'fleece;help;storage;add'= {
        }
        &'fleece;help;storage;remove'= {
        }
        &'fleece;help;config'= {
            cand check 'Check every file of the configuration: keys, sections and values'
            cand show 'Show which options of a command the configuration and the environment set, and where'
        }
        &'fleece;help;config;check'= {
        }
        &'fleece;help;config;show'= {
        }
        &'fleece;help;doctor'= {
        }
        &'fleece;help;status'= {
        }
        &'fleece;help;cleanup'= {
        }
        &'fleece;help;serve'= {
        }
        &'fleece;help;demo'= {
        }
        &'fleece;help;help'= {
        }
    ]
    $completions[$command]
}
