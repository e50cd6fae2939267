
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'fleece' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'fleece'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $completions = @(switch ($command) {
        'fleece' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Back up a running guest into a VMA archive')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Back up several guests: a job of the configuration, or all (docs/FLEET.md)')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Restore a guest from an archive: volumes on storages, and its configuration')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the backups of a directory or storage')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Verify backups to the last byte, and record beside each whether it is sound')
            [CompletionResult]::new('drill', 'drill', [CompletionResultType]::ParameterValue, 'Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove the backups that no rule keeps, with their side files')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Show how the backups of all guests stand: in a table, in a page for browsers, or for programs')
            [CompletionResult]::new('metrics', 'metrics', [CompletionResultType]::ParameterValue, 'Print or write metrics for Prometheus')
            [CompletionResult]::new('note', 'note', [CompletionResultType]::ParameterValue, 'Print or replace the notes of a backup')
            [CompletionResult]::new('protect', 'protect', [CompletionResultType]::ParameterValue, 'Protect a backup from removal')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Remove backups with their side files. Protected ones are kept')
            [CompletionResult]::new('storage', 'storage', [CompletionResultType]::ParameterValue, 'List, add and remove the storages of the configuration')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md)')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Tell what a backup of a guest would do, and what stands in its way, all of it at once')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show which backups run, since when, and how far they are')
            [CompletionResult]::new('cleanup', 'cleanup', [CompletionResultType]::ParameterValue, 'Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve disks to guests over NBD through Fleece''s own filter: for any VMM, not only QEMU')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'fleece;backup' {
            [CompletionResult]::new('--qmp', '--qmp', [CompletionResultType]::ParameterName, 'The guest''s monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses [default: Proxmox''s for --vmid]')
            [CompletionResult]::new('--libvirt', '--libvirt', [CompletionResultType]::ParameterName, 'Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one after the other')
            [CompletionResult]::new('--connect', '--connect', [CompletionResultType]::ParameterName, 'Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks]')
            [CompletionResult]::new('--native', '--native', [CompletionResultType]::ParameterName, 'Instead of a QEMU guest: the disks behind this control socket of `fleece serve`')
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw (may be given several times)')
            [CompletionResult]::new('--nbd', '--nbd', [CompletionResultType]::ParameterName, 'Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the instant to be backed up. With --disk, and --vmid or --name')
            [CompletionResult]::new('--vmid', '--vmid', [CompletionResultType]::ParameterName, 'The guest''s number, used in the names of its archives, records and fleecing images [default: the socket''s name, if that is a number]')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The guest''s name, if it has no number [default: QEMU''s -name; else the name of the socket or image, or of its directory]')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where the archive goes: a directory, a storage''s id, a new file, or - for standard output')
            [CompletionResult]::new('--compress', '--compress', [CompletionResultType]::ParameterName, 'Compress the archive')
            [CompletionResult]::new('--encrypt-to', '--encrypt-to', [CompletionResultType]::ParameterName, 'Encrypt the archive, with all that is in it, for this public key, of age or of SSH (may be given several times). This host cannot read it again; whoever has the secret key of one of them can (docs/ENCRYPTION.md)')
            [CompletionResult]::new('--recipients', '--recipients', [CompletionResultType]::ParameterName, 'Encrypt for the public keys in this file, one a line (may be given several times)')
            [CompletionResult]::new('--sign', '--sign', [CompletionResultType]::ParameterName, 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `fleece verify --signed-by` checks the archive without being able to read it')
            [CompletionResult]::new('--full-every', '--full-every', [CompletionResultType]::ParameterName, 'With --incremental: read everything once after this many archives of which not everything was read')
            [CompletionResult]::new('--verify-base-after', '--verify-base-after', [CompletionResultType]::ParameterName, 'With --incremental or --base: what has not changed is taken over unread of an archive that was verified, or read in full by a backup, in the last DAYS days; of an older one it is read and checked. 0: always')
            [CompletionResult]::new('--config', '--config', [CompletionResultType]::ParameterName, 'Put this file of at most 65,535 bytes into the archive, under its own name or this one (may be given several times). The guest''s own configuration is in it anyway, unless a file is called qemu-server.conf')
            [CompletionResult]::new('--rename', '--rename', [CompletionResultType]::ParameterName, 'Call a disk something else in the archive, e.g. d0=scsi0 (may be given several times)')
            [CompletionResult]::new('--disk', '--disk', [CompletionResultType]::ParameterName, 'A disk of the --nbd server; its export has the same name unless another is given, and must have this size. Of one with a dirty bitmap, what that does not mark is taken from the archive --base (may be given several times)')
            [CompletionResult]::new('--base', '--base', [CompletionResultType]::ParameterName, 'The archive that the bitmaps of --disk count against: at its point in time they were clear')
            [CompletionResult]::new('--include', '--include', [CompletionResultType]::ParameterName, 'Back up only this disk (may be given several times) [default: all writable disks]')
            [CompletionResult]::new('--exclude', '--exclude', [CompletionResultType]::ParameterName, 'Leave this disk out (may be given several times)')
            [CompletionResult]::new('--fleecing', '--fleecing', [CompletionResultType]::ParameterName, 'Where fleecing images go: a directory or a storage''s id; fast, local and thin [default: images/ in the state directory]')
            [CompletionResult]::new('--fleecing-format', '--fleecing-format', [CompletionResultType]::ParameterName, 'The fleecing images'' format: raw, or qcow2 where raw images are not thin')
            [CompletionResult]::new('--cbw-timeout', '--cbw-timeout', [CompletionResultType]::ParameterName, 'Abandon a copy to the fleecing image, and the backup with it, after this many seconds; the guest''s write continues')
            [CompletionResult]::new('--fleecing-limit', '--fleecing-limit', [CompletionResultType]::ParameterName, 'End the backup before the fleecing images hold more than this, e.g. 20G [default: no limit]')
            [CompletionResult]::new('--target-timeout', '--target-timeout', [CompletionResultType]::ParameterName, 'Abandon the backup when the target takes longer than this for one write')
            [CompletionResult]::new('--notes', '--notes', [CompletionResultType]::ParameterName, 'Store these notes next to the archive. {{guestname}}, {{vmid}}, {{node}} and {{cluster}} stand for what vzdump puts there; with one of them, \\n is a line''s end')
            [CompletionResult]::new('--prune-backups', '--prune-backups', [CompletionResultType]::ParameterName, 'Afterwards remove the guest''s older backups that no rule keeps, e.g. keep-last=3,keep-weekly=4')
            [CompletionResult]::new('--mode', '--mode', [CompletionResultType]::ParameterName, 'How the guest comes to the point in time, as with vzdump: `snapshot` while it runs; `suspend` stopped for that moment; `stop` powered down by itself, to boot again while it is read')
            [CompletionResult]::new('--stop-wait', '--stop-wait', [CompletionResultType]::ParameterName, 'With --mode stop: give up when the guest has not powered down after this many seconds')
            [CompletionResult]::new('--agent', '--agent', [CompletionResultType]::ParameterName, 'The guest agent''s socket: freezes file systems for the point in time [default with --libvirt: libvirt is asked to, if an agent is connected]')
            [CompletionResult]::new('--max-pause', '--max-pause', [CompletionResultType]::ParameterName, 'Do not begin if the guest would have to stand still for longer than this many milliseconds, as far as that can be told before; 0 if it must not at all')
            [CompletionResult]::new('--guest-latency', '--guest-latency', [CompletionResultType]::ParameterName, 'Limit for the 99th percentile of the guest''s write latency, in milliseconds; reading slows down to keep it [default: 1.5 times the latency with hardly any reading, at least 2 ms more]')
            [CompletionResult]::new('--finish-within', '--finish-within', [CompletionResultType]::ParameterName, 'Read fast enough to finish within this time, even if that slows the guest: 8h, 90m, or none')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Read at most this much per second, e.g. 200M')
            [CompletionResult]::new('--max-depth', '--max-depth', [CompletionResultType]::ParameterName, 'Maximum number of reads in flight, reached with an idle guest')
            [CompletionResult]::new('--nbd-server', '--nbd-server', [CompletionResultType]::ParameterName, 'An NBD server that is already running in this QEMU (it can have only one)')
            [CompletionResult]::new('--script', '--script', [CompletionResultType]::ParameterName, 'Call this program at the moments at which Proxmox''s vzdump calls its --script, in the same way; on standard input it gets JSON (docs/HOOKS.md). If it fails, so does the backup')
            [CompletionResult]::new('--hook-timeout', '--hook-timeout', [CompletionResultType]::ParameterName, 'End a program that is called after this many seconds; it counts as failed')
            [CompletionResult]::new('--on-start', '--on-start', [CompletionResultType]::ParameterName, 'Call this with `sh -c` before anything else')
            [CompletionResult]::new('--on-end', '--on-end', [CompletionResultType]::ParameterName, 'Call this with `sh -c` at the end, with JSON of how it went on standard input')
            [CompletionResult]::new('--on-success', '--on-success', [CompletionResultType]::ParameterName, 'Like --on-end, but only if all went well')
            [CompletionResult]::new('--on-failure', '--on-failure', [CompletionResultType]::ParameterName, 'Like --on-end, but not if all went well; a warning is enough')
            [CompletionResult]::new('--mail-to', '--mail-to', [CompletionResultType]::ParameterName, 'Send a mail by `sendmail` (may be given several times)')
            [CompletionResult]::new('--webhook', '--webhook', [CompletionResultType]::ParameterName, 'Post the JSON of how it went to this address by `curl`')
            [CompletionResult]::new('--heartbeat', '--heartbeat', [CompletionResultType]::ParameterName, 'Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file, which is rewritten at each success (may be given several times)')
            [CompletionResult]::new('--notify', '--notify', [CompletionResultType]::ParameterName, 'When the mail and the webhook are sent')
            [CompletionResult]::new('--of-job', '--of-job', [CompletionResultType]::ParameterName, 'The job of `fleece run` of which this is a part: that calls the hooks of jobs itself')
            [CompletionResult]::new('--shared-bwlimit', '--shared-bwlimit', [CompletionResultType]::ParameterName, 'Read at most this much per second together with all that name the same file')
            [CompletionResult]::new('--shared-in', '--shared-in', [CompletionResultType]::ParameterName, 'shared-in')
            [CompletionResult]::new('--shared-fleecing-limit', '--shared-fleecing-limit', [CompletionResultType]::ParameterName, 'End the backup whose fleecing images hold the most before they hold more than this together with those of all that name a file in the same directory')
            [CompletionResult]::new('--shared-fleecing-in', '--shared-fleecing-in', [CompletionResultType]::ParameterName, 'shared-fleecing-in')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--align', '--align', [CompletionResultType]::ParameterName, 'Put all payload on 4 KiB boundaries of the archive. That makes it 0.1 % larger, and archives of one guest can share what is equal on file systems that clone (docs/INCREMENTAL.md)')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Share with the guest''s newest archive at the target what has not changed, where its file system can (XFS, btrfs): everything is read as usual, and only what has changed takes space. The archive is as complete as any. The archives must be compressed the same way; implies --align')
            [CompletionResult]::new('--incremental', '--incremental', [CompletionResultType]::ParameterName, 'Read of the guest only what has changed since its last archive at the target; the archive is as complete as any. Dirty bitmaps stay in QEMU between backups, and while they do, QEMU refuses to load snapshots (loadvm): `fleece cleanup --bitmaps` removes them. (With --native, `fleece serve` keeps account itself.) It shares like --reuse. Implies --align')
            [CompletionResult]::new('--check-unchanged', '--check-unchanged', [CompletionResultType]::ParameterName, 'With --incremental: read everything all the same, and compare with the last archive what should not have changed')
            [CompletionResult]::new('--release', '--release', [CompletionResultType]::ParameterName, 'Discard on the --nbd server what was read. Only for exports of a point in time that take this for "not needed any more": other exports would lose their data')
            [CompletionResult]::new('--no-fleecing', '--no-fleecing', [CompletionResultType]::ParameterName, 'Save old data next to the archive instead: the guest''s writes then wait for the backup target, for at most --cbw-timeout')
            [CompletionResult]::new('--protected', '--protected', [CompletionResultType]::ParameterName, 'Protect the archive from removal')
            [CompletionResult]::new('--verify', '--verify', [CompletionResultType]::ParameterName, 'Read the archive back and verify every byte. If it is damaged, it is kept and marked so, and nothing is pruned')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Change nothing; show what would be backed up, how and to where, and what is in the way. The exit code is that of a backup, as far as it can be foreseen')
            [CompletionResult]::new('--keep-partial', '--keep-partial', [CompletionResultType]::ParameterName, 'If the backup fails, keep what was written as ARCHIVE.partial; `vma recover` reads it')
            [CompletionResult]::new('--libvirt-native', '--libvirt-native', [CompletionResultType]::ParameterName, 'With --libvirt: have libvirt make the point in time by its own backup (pull mode), instead of Fleece. As much room as the disks have is reserved for it on --fleecing, and how fast it is read depends on --bwlimit alone (docs/LIBVIRT.md)')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;run' {
            [CompletionResult]::new('--guest', '--guest', [CompletionResultType]::ParameterName, 'This guest: the name of its section, or its number in Proxmox (may be given several times)')
            [CompletionResult]::new('--qmp', '--qmp', [CompletionResultType]::ParameterName, 'Guests behind these monitors: a path in which one * stands for the guest''s number or name, as in /run/qemu/*.qmp (may be given several times)')
            [CompletionResult]::new('--native', '--native', [CompletionResultType]::ParameterName, 'Guests of `fleece serve`: a path of control sockets with a * in it, like --qmp')
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'Stopped guests: a path of images with a * in it, like --qmp')
            [CompletionResult]::new('--connect', '--connect', [CompletionResultType]::ParameterName, 'Where that libvirt is [default: where virsh looks]')
            [CompletionResult]::new('--exclude', '--exclude', [CompletionResultType]::ParameterName, 'Leave these guests out: names or patterns with * and ? (may be given several times)')
            [CompletionResult]::new('--jobs', '--jobs', [CompletionResultType]::ParameterName, 'How many backups run at a time')
            [CompletionResult]::new('--jobs-per-target', '--jobs-per-target', [CompletionResultType]::ParameterName, 'How many of them to one target [default: as many as --jobs]')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Read at most this much per second, e.g. 200M, all backups together; a guest''s own limit holds, too')
            [CompletionResult]::new('--fleecing-limit', '--fleecing-limit', [CompletionResultType]::ParameterName, 'The fleecing images of all backups together hold at most this, e.g. 50G; a guest''s own limit holds, too')
            [CompletionResult]::new('--retry-after', '--retry-after', [CompletionResultType]::ParameterName, 'Try a backup that failed once more, behind all others and not before this many seconds; one that was refused is not tried again')
            [CompletionResult]::new('--window', '--window', [CompletionResultType]::ParameterName, 'End what still runs after this time, and begin nothing more: 8h, 90m [default: no limit]')
            [CompletionResult]::new('--verify-after', '--verify-after', [CompletionResultType]::ParameterName, 'Afterwards verify the archives of the host''s guests, also of those that are gone, that were not verified for this many days [default: none]')
            [CompletionResult]::new('--script', '--script', [CompletionResultType]::ParameterName, 'Call this program at the moments at which Proxmox''s vzdump calls its --script, in the same way; on standard input it gets JSON (docs/HOOKS.md). If it fails, so does the backup')
            [CompletionResult]::new('--hook-timeout', '--hook-timeout', [CompletionResultType]::ParameterName, 'End a program that is called after this many seconds; it counts as failed')
            [CompletionResult]::new('--on-start', '--on-start', [CompletionResultType]::ParameterName, 'Call this with `sh -c` before anything else')
            [CompletionResult]::new('--on-end', '--on-end', [CompletionResultType]::ParameterName, 'Call this with `sh -c` at the end, with JSON of how it went on standard input')
            [CompletionResult]::new('--on-success', '--on-success', [CompletionResultType]::ParameterName, 'Like --on-end, but only if all went well')
            [CompletionResult]::new('--on-failure', '--on-failure', [CompletionResultType]::ParameterName, 'Like --on-end, but not if all went well; a warning is enough')
            [CompletionResult]::new('--mail-to', '--mail-to', [CompletionResultType]::ParameterName, 'Send a mail by `sendmail` (may be given several times)')
            [CompletionResult]::new('--webhook', '--webhook', [CompletionResultType]::ParameterName, 'Post the JSON of how it went to this address by `curl`')
            [CompletionResult]::new('--heartbeat', '--heartbeat', [CompletionResultType]::ParameterName, 'Give a sign of life to what watches for it: an address of healthchecks.io or a service like it, which is requested as URL/start at the beginning, and at the end as URL, or as URL/fail after a failure; or the absolute path of a file, which is rewritten at each success (may be given several times)')
            [CompletionResult]::new('--notify', '--notify', [CompletionResultType]::ParameterName, 'When the mail and the webhook are sent')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All guests that have a section [guest.NAME] of their own, besides those that are found in other ways')
            [CompletionResult]::new('--libvirt', '--libvirt', [CompletionResultType]::ParameterName, 'All domains of libvirt; those that are off are read from their images')
            [CompletionResult]::new('--proxmox', '--proxmox', [CompletionResultType]::ParameterName, 'All guests of this Proxmox node; those that do not run are read from their volumes')
            [CompletionResult]::new('--no-retry', '--no-retry', [CompletionResultType]::ParameterName, 'Do not try a backup that failed once more')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Change nothing; show what would be backed up, and what is in the way')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;restore' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read an encrypted archive with the secret key in this file, of age or of SSH (may be given several times)')
            [CompletionResult]::new('--vmid', '--vmid', [CompletionResultType]::ParameterName, 'The number of the restored guest')
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Instead of a guest on storages: images in this directory, with scripts that start the guest')
            [CompletionResult]::new('--connect', '--connect', [CompletionResultType]::ParameterName, 'Where that libvirt is, such as qemu:///system [default: where virsh looks]')
            [CompletionResult]::new('--pool', '--pool', [CompletionResultType]::ParameterName, 'The domain''s images go to this storage pool, which must be a directory [default: default]')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The domain''s name [default: the one that it had]')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'The images'' format with --to or --libvirt, raw (sparse) or qcow2 [default: raw with --to, qcow2 with --libvirt]')
            [CompletionResult]::new('--storage', '--storage', [CompletionResultType]::ParameterName, 'Where its disks go: a storage''s id, or a directory, and perhaps the volumes'' format, as in fast:qcow2 [default: the storages they came from]')
            [CompletionResult]::new('--disk', '--disk', [CompletionResultType]::ParameterName, 'Where one disk goes, as DISK=STORAGE[:FORMAT] or DISK=skip, e.g. drive-scsi0=fast:qcow2 (may be given several times); with --to only DISK=skip')
            [CompletionResult]::new('--rename', '--rename', [CompletionResultType]::ParameterName, 'Make a disk of the archive another drive of the guest, as DISK=DRIVE, e.g. d0=scsi0; its line of the configuration moves with it (may be given several times)')
            [CompletionResult]::new('--config-out', '--config-out', [CompletionResultType]::ParameterName, 'Write the guest''s configuration to this file [default: <vmid>.conf in --config-dir]')
            [CompletionResult]::new('--bwlimit', '--bwlimit', [CompletionResultType]::ParameterName, 'Write at most this much per second, e.g. 200M')
            [CompletionResult]::new('--resume', '--resume', [CompletionResultType]::ParameterName, 'Go on with the live restore in this directory: behind the guest if it runs, or is started with --start; else without it')
            [CompletionResult]::new('--live-server', '--live-server', [CompletionResultType]::ParameterName, 'Serve the archive of the live restore in this directory, until that is complete')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--libvirt', '--libvirt', [CompletionResultType]::ParameterName, 'Instead of a guest of Proxmox''s: a domain that libvirt knows, with its images in a pool or, with --to, in a directory')
            [CompletionResult]::new('--trust-xml', '--trust-xml', [CompletionResultType]::ParameterName, 'Take over all of the archived domain, whatever it has QEMU open, run or listen to: for archives that nobody else could write')
            [CompletionResult]::new('--unique', '--unique', [CompletionResultType]::ParameterName, 'Give the guest new MAC addresses and a new uuid, so that it can run beside the original')
            [CompletionResult]::new('--force', '--force', [CompletionResultType]::ParameterName, 'Replace the guest that has this number. Its disks are freed after the whole archive is restored, so there must be room for both. With --to: replace existing files')
            [CompletionResult]::new('--in-place', '--in-place', [CompletionResultType]::ParameterName, 'Keep the disks of the guest that has this number, which must be stopped, and write into them only what differs from the archive; its configuration becomes the archived one. With --to: keep the images that an earlier restore has made there. Of an archive with an index only what differs is read. If this is interrupted, the disks are neither old nor new: run it again')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Change nothing; show what would be made, written and replaced, and whether there is room. The exit code is that of a restore, as far as it can be foreseen')
            [CompletionResult]::new('--start', '--start', [CompletionResultType]::ParameterName, 'Start the guest when it is restored: with --libvirt by libvirt; with --to by its start.sh, in the background; else, on a Proxmox host, by `qm start`')
            [CompletionResult]::new('--live', '--live', [CompletionResultType]::ParameterName, 'Start the guest at once, on the archive, and copy its disks to qcow2 images behind it; with --to. The archive must stay until that is done, and it is said when it is. What the guest writes is in its images from the first byte on: whatever is killed or loses its power in between, --resume goes on')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;list' {
            [CompletionResult]::new('--guest', '--guest', [CompletionResultType]::ParameterName, 'Only this guest''s: its number or name')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;verify' {
            [CompletionResult]::new('--outdated-after', '--outdated-after', [CompletionResultType]::ParameterName, 'In a directory or storage, verify again what was verified longer ago than this. An archive given by name is always verified')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times)')
            [CompletionResult]::new('--signed-by', '--signed-by', [CompletionResultType]::ParameterName, 'Check archives against the signed lists beside them, which must be by this Ed25519 key of SSH: a file of public keys, or a key itself (may be given several times). Encrypted archives need no --identity for that')
            [CompletionResult]::new('--guest', '--guest', [CompletionResultType]::ParameterName, 'Only this guest''s: its number or name')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Verify all, no matter how recently they were verified')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;drill' {
            [CompletionResult]::new('--to', '--to', [CompletionResultType]::ParameterName, 'Where the backups are: a directory, or a storage''s id')
            [CompletionResult]::new('--wait', '--wait', [CompletionResultType]::ParameterName, 'What shows that the guest has booted: serial=TEXT (a line on its first serial port; * stands for anything), agent (the guest''s agent answers), event=NAME (of QEMU), or port=NUMBER (a TCP service answers). May be given several times: then all of it [default: serial=login: or agent, whichever comes first]')
            [CompletionResult]::new('--timeout', '--timeout', [CompletionResultType]::ParameterName, 'How long that may take')
            [CompletionResult]::new('--screenshots', '--screenshots', [CompletionResultType]::ParameterName, 'Keep a picture of the guest''s screen in this directory, under the archive''s name')
            [CompletionResult]::new('--accel', '--accel', [CompletionResultType]::ParameterName, 'QEMU''s accelerator, such as tcg [default: KVM where that is, else tcg]')
            [CompletionResult]::new('--memory', '--memory', [CompletionResultType]::ParameterName, 'Give the guest another amount of memory, in MiB')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'The newest backup of every guest in --to, one after the other')
            [CompletionResult]::new('--fsck', '--fsck', [CompletionResultType]::ParameterName, 'Let the guest power down when it has booted, and check the file systems of its disks with their own programs (e2fsck, xfs_repair, fsck.fat, btrfs), on copies: there must be room for one disk''s data in the directory of the records')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;prune' {
            [CompletionResult]::new('--keep', '--keep', [CompletionResultType]::ParameterName, 'What to keep: keep-last=N, -hourly, -daily, -weekly, -monthly, -yearly, separated by commas [default: the prune-backups of the storage]')
            [CompletionResult]::new('--guest', '--guest', [CompletionResultType]::ParameterName, 'Only this guest''s: its number or name')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--dry-run', '--dry-run', [CompletionResultType]::ParameterName, 'Remove nothing; show what would happen to each backup, and why')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;report' {
            [CompletionResult]::new('--html', '--html', [CompletionResultType]::ParameterName, 'Write a page for browsers to this file: one file that needs nothing else, and runs no script')
            [CompletionResult]::new('--keep', '--keep', [CompletionResultType]::ParameterName, 'What prune keeps, to tell how long each backup will stay [default: the prune-backups of the storage]')
            [CompletionResult]::new('--guest', '--guest', [CompletionResultType]::ParameterName, 'Only this guest''s: its number or name')
            [CompletionResult]::new('--nights', '--nights', [CompletionResultType]::ParameterName, 'How many nights to show')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;metrics' {
            [CompletionResult]::new('--textfile', '--textfile', [CompletionResultType]::ParameterName, 'Replace this file at once, for the textfile collector of Prometheus'' node exporter; its name must end in .prom [default: standard output]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;note' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;protect' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--off', '--off', [CompletionResultType]::ParameterName, 'Remove the protection')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;delete' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;storage' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List them with their free space, and what is wrong with those that do not work')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a storage. The rest of the file stays as it is')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a storage from the configuration; its data is kept')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'fleece;storage;list' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;storage;add' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;storage;remove' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;storage;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List them with their free space, and what is wrong with those that do not work')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a storage. The rest of the file stays as it is')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a storage from the configuration; its data is kept')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'fleece;storage;help;list' {
            break
        }
        'fleece;storage;help;add' {
            break
        }
        'fleece;storage;help;remove' {
            break
        }
        'fleece;storage;help;help' {
            break
        }
        'fleece;config' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every file of the configuration: keys, sections and values')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show which options of a command the configuration and the environment set, and where')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'fleece;config;check' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;config;show' {
            [CompletionResult]::new('--for', '--for', [CompletionResultType]::ParameterName, 'The command whose options are shown')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;config;help' {
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every file of the configuration: keys, sections and values')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show which options of a command the configuration and the environment set, and where')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'fleece;config;help;check' {
            break
        }
        'fleece;config;help;show' {
            break
        }
        'fleece;config;help;help' {
            break
        }
        'fleece;doctor' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;status' {
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;cleanup' {
            [CompletionResult]::new('--qmp', '--qmp', [CompletionResultType]::ParameterName, 'The guest''s monitor: a QMP socket (path, unix:PATH, or tcp:HOST:PORT) that nobody else uses [default: Proxmox''s for --vmid]')
            [CompletionResult]::new('--libvirt', '--libvirt', [CompletionResultType]::ParameterName, 'Instead of a monitor: a domain of libvirt, by its name or UUID. For a backup without either: all that run, one after the other')
            [CompletionResult]::new('--connect', '--connect', [CompletionResultType]::ParameterName, 'Where that libvirt is, such as qemu:///system or qemu:///session [default: where virsh looks]')
            [CompletionResult]::new('--native', '--native', [CompletionResultType]::ParameterName, 'Instead of a QEMU guest: the disks behind this control socket of `fleece serve`')
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'Instead of a running guest: an image of a stopped one, as [format=raw|qcow2:][NAME=]PATH; by default qcow2 if the path ends in .qcow2, else raw (may be given several times)')
            [CompletionResult]::new('--nbd', '--nbd', [CompletionResultType]::ParameterName, 'Instead of a running guest: the disks that this NBD server (a socket, or HOST:PORT) exports, each at the instant to be backed up. With --disk, and --vmid or --name')
            [CompletionResult]::new('--vmid', '--vmid', [CompletionResultType]::ParameterName, 'The guest''s number, used in the names of its archives, records and fleecing images [default: the socket''s name, if that is a number]')
            [CompletionResult]::new('--name', '--name', [CompletionResultType]::ParameterName, 'The guest''s name, if it has no number [default: QEMU''s -name; else the name of the socket or image, or of its directory]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'All guests that have a record')
            [CompletionResult]::new('--thawed', '--thawed', [CompletionResultType]::ParameterName, 'The guest''s file systems are known to be thawed: forget that its agent has not confirmed it')
            [CompletionResult]::new('--bitmaps', '--bitmaps', [CompletionResultType]::ParameterName, 'Also remove the dirty bitmaps that `backup --incremental` has left in QEMU: the next backup reads everything, and the guest''s snapshots can be loaded again. Needs the guest''s monitor')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;serve' {
            [CompletionResult]::new('--socket', '--socket', [CompletionResultType]::ParameterName, 'Where nbd.sock and control.sock are created; a directory of its own [default: serve/ in the state directory]')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;demo' {
            [CompletionResult]::new('--size', '--size', [CompletionResultType]::ParameterName, 'Size of the two disks together')
            [CompletionResult]::new('--target-speed', '--target-speed', [CompletionResultType]::ParameterName, 'How much the backup target takes per second')
            [CompletionResult]::new('--guest-speed', '--guest-speed', [CompletionResultType]::ParameterName, 'How much the guest tries to write per second')
            [CompletionResult]::new('--dir', '--dir', [CompletionResultType]::ParameterName, 'Where the temporary directory is created, with room for about four times the disks [default: the system''s]')
            [CompletionResult]::new('--html', '--html', [CompletionResultType]::ParameterName, 'Write a page with the three acts to this file')
            [CompletionResult]::new('--svg', '--svg', [CompletionResultType]::ParameterName, 'Write a picture of the three acts to this file')
            [CompletionResult]::new('--state-dir', '--state-dir', [CompletionResultType]::ParameterName, 'Where records of unfinished backups, sockets and by default fleecing images are kept')
            [CompletionResult]::new('--config-dir', '--config-dir', [CompletionResultType]::ParameterName, 'Where guests'' configurations are, as <vmid>.conf [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--firewall-dir', '--firewall-dir', [CompletionResultType]::ParameterName, 'Where guests'' firewall rules are, as <vmid>.fw [default: Proxmox''s, if --config-dir is]')
            [CompletionResult]::new('--storage-config', '--storage-config', [CompletionResultType]::ParameterName, 'The storage configuration [default: Proxmox''s, on its hosts]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print one JSON object per line instead of text')
            [CompletionResult]::new('-q', '-q', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('--quiet', '--quiet', [CompletionResultType]::ParameterName, 'Say only what is wrong. Results are printed all the same, but for the table of a run in which all went well')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'fleece;help' {
            [CompletionResult]::new('backup', 'backup', [CompletionResultType]::ParameterValue, 'Back up a running guest into a VMA archive')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Back up several guests: a job of the configuration, or all (docs/FLEET.md)')
            [CompletionResult]::new('restore', 'restore', [CompletionResultType]::ParameterValue, 'Restore a guest from an archive: volumes on storages, and its configuration')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List the backups of a directory or storage')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Verify backups to the last byte, and record beside each whether it is sound')
            [CompletionResult]::new('drill', 'drill', [CompletionResultType]::ParameterValue, 'Try whether guests boot from their backups, in a QEMU that reaches nothing, and record that beside each')
            [CompletionResult]::new('prune', 'prune', [CompletionResultType]::ParameterValue, 'Remove the backups that no rule keeps, with their side files')
            [CompletionResult]::new('report', 'report', [CompletionResultType]::ParameterValue, 'Show how the backups of all guests stand: in a table, in a page for browsers, or for programs')
            [CompletionResult]::new('metrics', 'metrics', [CompletionResultType]::ParameterValue, 'Print or write metrics for Prometheus')
            [CompletionResult]::new('note', 'note', [CompletionResultType]::ParameterValue, 'Print or replace the notes of a backup')
            [CompletionResult]::new('protect', 'protect', [CompletionResultType]::ParameterValue, 'Protect a backup from removal')
            [CompletionResult]::new('delete', 'delete', [CompletionResultType]::ParameterValue, 'Remove backups with their side files. Protected ones are kept')
            [CompletionResult]::new('storage', 'storage', [CompletionResultType]::ParameterValue, 'List, add and remove the storages of the configuration')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Check the configuration files, or show what they set and in which line (docs/CONFIGURATION.md)')
            [CompletionResult]::new('doctor', 'doctor', [CompletionResultType]::ParameterValue, 'Tell what a backup of a guest would do, and what stands in its way, all of it at once')
            [CompletionResult]::new('status', 'status', [CompletionResultType]::ParameterValue, 'Show which backups run, since when, and how far they are')
            [CompletionResult]::new('cleanup', 'cleanup', [CompletionResultType]::ParameterValue, 'Remove what a killed backup or restore left: jobs, filters, exports, images, half an archive')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve disks to guests over NBD through Fleece''s own filter: for any VMM, not only QEMU')
            [CompletionResult]::new('demo', 'demo', [CompletionResultType]::ParameterValue, 'Show what fleecing is for, on two disks in this process: no QEMU, no root, less than a minute')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'fleece;help;backup' {
            break
        }
        'fleece;help;run' {
            break
        }
        'fleece;help;restore' {
            break
        }
        'fleece;help;list' {
            break
        }
        'fleece;help;verify' {
            break
        }
        'fleece;help;drill' {
            break
        }
        'fleece;help;prune' {
            break
        }
        'fleece;help;report' {
            break
        }
        'fleece;help;metrics' {
            break
        }
        'fleece;help;note' {
            break
        }
        'fleece;help;protect' {
            break
        }
        'fleece;help;delete' {
            break
        }
        'fleece;help;storage' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List them with their free space, and what is wrong with those that do not work')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a storage. The rest of the file stays as it is')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a storage from the configuration; its data is kept')
            break
        }
        'fleece;help;storage;list' {
            break
        }
        'fleece;help;storage;add' {
            break
        }
        'fleece;help;storage;remove' {
            break
        }
        'fleece;help;config' {
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Check every file of the configuration: keys, sections and values')
            [CompletionResult]::new('show', 'show', [CompletionResultType]::ParameterValue, 'Show which options of a command the configuration and the environment set, and where')
            break
        }
        'fleece;help;config;check' {
            break
        }
        'fleece;help;config;show' {
            break
        }
        'fleece;help;doctor' {
            break
        }
        'fleece;help;status' {
            break
        }
        'fleece;help;cleanup' {
            break
        }
        'fleece;help;serve' {
            break
        }
        'fleece;help;demo' {
            break
        }
        'fleece;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
