
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'vma' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'vma'
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
        'vma' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List configs and devices')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Print a config')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Create an archive from disk images')
            [CompletionResult]::new('extract', 'extract', [CompletionResultType]::ParameterValue, 'Extract configs and disks from an archive')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check an archive for damage')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show sizes, container, order and index of an archive')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve the disks of an archive over NBD, to mount them or start a guest at once')
            [CompletionResult]::new('files', 'files', [CompletionResultType]::ParameterValue, 'List what is on the disks of an archive, and read the files there')
            [CompletionResult]::new('mount', 'mount', [CompletionResultType]::ParameterValue, 'Mount the disks of an archive, and the files on them, for any program that reads files')
            [CompletionResult]::new('index', 'index', [CompletionResultType]::ParameterValue, 'Build the index of an archive that has none')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare the disks of two archives')
            [CompletionResult]::new('reframe', 'reframe', [CompletionResultType]::ParameterValue, 'Make a seekable .vma.zst of any archive, with an index inside')
            [CompletionResult]::new('optimize', 'optimize', [CompletionResultType]::ParameterValue, 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores')
            [CompletionResult]::new('recover', 'recover', [CompletionResultType]::ParameterValue, 'Recover everything that is intact in a damaged archive')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'vma;list' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;config' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'Name of the config')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;create' {
            [CompletionResult]::new('-c', '-c', [CompletionResultType]::ParameterName, 'File to store as a config under its base name')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Disk: format=raw|qcow2:[NAME=]PATH')
            [CompletionResult]::new('--compress', '--compress', [CompletionResultType]::ParameterName, 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Number of compression threads (each takes memory) [default: one per processor, at most 6]')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align')
            [CompletionResult]::new('--encrypt-to', '--encrypt-to', [CompletionResultType]::ParameterName, 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)')
            [CompletionResult]::new('--recipients', '--recipients', [CompletionResultType]::ParameterName, 'Encrypt for the public keys in this file, one a line (may be given several times)')
            [CompletionResult]::new('--sign', '--sign', [CompletionResultType]::ParameterName, 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Report progress on standard error')
            [CompletionResult]::new('--align', '--align', [CompletionResultType]::ParameterName, 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone')
            [CompletionResult]::new('--no-index', '--no-index', [CompletionResultType]::ParameterName, 'Write no index')
            [CompletionResult]::new('--no-sync', '--no-sync', [CompletionResultType]::ParameterName, 'Do not wait until the archive is on stable storage')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show a progress bar if standard error is a terminal')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;extract' {
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Only these devices, as `vma list` names them')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'FIFO or file that says where each device goes')
            [CompletionResult]::new('--format', '--format', [CompletionResultType]::ParameterName, 'Image format of the disks written to the directory: raw or qcow2')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]')
            [CompletionResult]::new('--cache-size', '--cache-size', [CompletionResultType]::ParameterName, 'Most that all copies there take; those used longest ago are removed. 0 makes none')
            [CompletionResult]::new('--reframe-to', '--reframe-to', [CompletionResultType]::ParameterName, 'Make the seekable copy here instead, where it stays')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Report progress')
            [CompletionResult]::new('--in-place', '--in-place', [CompletionResultType]::ParameterName, 'The disks that the map names hold something already: write only what differs. Of an archive with an index only that is read. If this is interrupted, they are neither old nor new')
            [CompletionResult]::new('--no-sync', '--no-sync', [CompletionResultType]::ParameterName, 'Do not wait until the disks are on stable storage')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show a progress bar if standard error is a terminal')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;verify' {
            [CompletionResult]::new('--index', '--index', [CompletionResultType]::ParameterName, 'Index to check against with --deep [default: the one inside, or ARCHIVE.idx]')
            [CompletionResult]::new('--signed-by', '--signed-by', [CompletionResultType]::ParameterName, 'Check the archive against the signed list beside it, which must be by this Ed25519 key of SSH: a file of public keys, or a key itself (may be given several times). An encrypted archive needs no --identity for that')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List the contents and report progress')
            [CompletionResult]::new('--deep', '--deep', [CompletionResultType]::ParameterName, 'Also check the payload against the archive''s index')
            [CompletionResult]::new('--progress', '--progress', [CompletionResultType]::ParameterName, 'Show a progress bar if standard error is a terminal')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;info' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;serve' {
            [CompletionResult]::new('--tcp', '--tcp', [CompletionResultType]::ParameterName, 'Listen at this TCP port instead, of 127.0.0.1 if no other address of this machine itself is given; 0 takes any that is free, which the URIs tell [default: 0]')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Only these devices, as `vma list` names them')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]')
            [CompletionResult]::new('--cache-size', '--cache-size', [CompletionResultType]::ParameterName, 'Most that all copies there take; those used longest ago are removed. 0 makes none')
            [CompletionResult]::new('--reframe-to', '--reframe-to', [CompletionResultType]::ParameterName, 'Make the seekable copy here instead, where it stays')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'vma;files' {
            [CompletionResult]::new('--image', '--image', [CompletionResultType]::ParameterName, 'It is the image of a disk in this format, raw or qcow2 [default: by the end of its name: .raw, .img, .iso, .qcow2; a qcow2 image''s backing files are only read if this is given]')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]')
            [CompletionResult]::new('--cache-size', '--cache-size', [CompletionResultType]::ParameterName, 'Most that all copies there take; those used longest ago are removed. 0 makes none')
            [CompletionResult]::new('--reframe-to', '--reframe-to', [CompletionResultType]::ParameterName, 'Make the seekable copy here instead, where it stays')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List directories')
            [CompletionResult]::new('find', 'find', [CompletionResultType]::ParameterValue, 'List all paths below directories')
            [CompletionResult]::new('cat', 'cat', [CompletionResultType]::ParameterValue, 'Print files to standard output')
            [CompletionResult]::new('cp', 'cp', [CompletionResultType]::ParameterValue, 'Copy files, keeping modes, times and holes')
            [CompletionResult]::new('tar', 'tar', [CompletionResultType]::ParameterValue, 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'vma;files;ls' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Also modes, owners, sizes, times in the local zone, targets of links, and NTFS''s alternate streams')
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Directories themselves, not what is in them')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;files;find' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-l', '-l', [CompletionResultType]::ParameterName, 'Also modes, owners, sizes, times in the local zone, targets of links, and NTFS''s alternate streams')
            [CompletionResult]::new('-0', '-0', [CompletionResultType]::ParameterName, 'End each path with a NUL instead of a newline, and escape nothing')
            [CompletionResult]::new('--print0', '--print0', [CompletionResultType]::ParameterName, 'End each path with a NUL instead of a newline, and escape nothing')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;files;cat' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;files;cp' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-r', '-r', [CompletionResultType]::ParameterName, 'Copy directories with all that is in them')
            [CompletionResult]::new('--owners', '--owners', [CompletionResultType]::ParameterName, 'Keep owners, and with them the bits that make programs run as their owner; only root can')
            [CompletionResult]::new('--links', '--links', [CompletionResultType]::ParameterName, 'Copy symbolic links in directories as they are; they may lead anywhere')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'vma;files;tar' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;files;help' {
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List directories')
            [CompletionResult]::new('find', 'find', [CompletionResultType]::ParameterValue, 'List all paths below directories')
            [CompletionResult]::new('cat', 'cat', [CompletionResultType]::ParameterValue, 'Print files to standard output')
            [CompletionResult]::new('cp', 'cp', [CompletionResultType]::ParameterValue, 'Copy files, keeping modes, times and holes')
            [CompletionResult]::new('tar', 'tar', [CompletionResultType]::ParameterValue, 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'vma;files;help;ls' {
            break
        }
        'vma;files;help;find' {
            break
        }
        'vma;files;help;cat' {
            break
        }
        'vma;files;help;cp' {
            break
        }
        'vma;files;help;tar' {
            break
        }
        'vma;files;help;help' {
            break
        }
        'vma;mount' {
            [CompletionResult]::new('-d', '-d', [CompletionResultType]::ParameterName, 'Only these devices, as `vma list` names them')
            [CompletionResult]::new('--overlay', '--overlay', [CompletionResultType]::ParameterName, 'Let disks be written to. What is written is kept in memory, or in a new sparse FILE, until they are unmounted, and is gone then; files/ does not show it')
            [CompletionResult]::new('--cache', '--cache', [CompletionResultType]::ParameterName, 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]')
            [CompletionResult]::new('--cache-size', '--cache-size', [CompletionResultType]::ParameterName, 'Most that all copies there take; those used longest ago are removed. 0 makes none')
            [CompletionResult]::new('--reframe-to', '--reframe-to', [CompletionResultType]::ParameterName, 'Make the seekable copy here instead, where it stays')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--allow-other', '--allow-other', [CompletionResultType]::ParameterName, 'Let other users read the disks, too, and of files/ what they could read in the guest (of users, /etc/fuse.conf must say user_allow_other)')
            [CompletionResult]::new('-f', '-f', [CompletionResultType]::ParameterName, 'Stay in the foreground until DIR is unmounted, or SIGINT or SIGTERM comes, which unmount it')
            [CompletionResult]::new('--foreground', '--foreground', [CompletionResultType]::ParameterName, 'Stay in the foreground until DIR is unmounted, or SIGINT or SIGTERM comes, which unmount it')
            [CompletionResult]::new('--goes-on', '--goes-on', [CompletionResultType]::ParameterName, 'What this program starts to go on when it has returned')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'vma;index' {
            [CompletionResult]::new('-o', '-o', [CompletionResultType]::ParameterName, 'Where the index goes [default: ARCHIVE.idx]')
            [CompletionResult]::new('--output', '--output', [CompletionResultType]::ParameterName, 'Where the index goes [default: ARCHIVE.idx]')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;diff' {
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'List the clusters that differ')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;reframe' {
            [CompletionResult]::new('--compress', '--compress', [CompletionResultType]::ParameterName, 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Number of compression threads (each takes memory) [default: one per processor, at most 6]')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align')
            [CompletionResult]::new('--encrypt-to', '--encrypt-to', [CompletionResultType]::ParameterName, 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)')
            [CompletionResult]::new('--recipients', '--recipients', [CompletionResultType]::ParameterName, 'Encrypt for the public keys in this file, one a line (may be given several times)')
            [CompletionResult]::new('--sign', '--sign', [CompletionResultType]::ParameterName, 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--align', '--align', [CompletionResultType]::ParameterName, 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone')
            [CompletionResult]::new('--no-index', '--no-index', [CompletionResultType]::ParameterName, 'Write no index')
            [CompletionResult]::new('--no-sync', '--no-sync', [CompletionResultType]::ParameterName, 'Do not wait until the archive is on stable storage')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;optimize' {
            [CompletionResult]::new('--compress', '--compress', [CompletionResultType]::ParameterName, 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]')
            [CompletionResult]::new('--threads', '--threads', [CompletionResultType]::ParameterName, 'Number of compression threads (each takes memory) [default: one per processor, at most 6]')
            [CompletionResult]::new('--reuse', '--reuse', [CompletionResultType]::ParameterName, 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align')
            [CompletionResult]::new('--encrypt-to', '--encrypt-to', [CompletionResultType]::ParameterName, 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)')
            [CompletionResult]::new('--recipients', '--recipients', [CompletionResultType]::ParameterName, 'Encrypt for the public keys in this file, one a line (may be given several times)')
            [CompletionResult]::new('--sign', '--sign', [CompletionResultType]::ParameterName, 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--align', '--align', [CompletionResultType]::ParameterName, 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone')
            [CompletionResult]::new('--no-index', '--no-index', [CompletionResultType]::ParameterName, 'Write no index')
            [CompletionResult]::new('--no-sync', '--no-sync', [CompletionResultType]::ParameterName, 'Do not wait until the archive is on stable storage')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            break
        }
        'vma;recover' {
            [CompletionResult]::new('--index', '--index', [CompletionResultType]::ParameterName, 'Index to check against [default: the one inside, or ARCHIVE.idx]')
            [CompletionResult]::new('--identity', '--identity', [CompletionResultType]::ParameterName, 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print JSON, one object a line, instead of text (see docs/JSON.md)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            break
        }
        'vma;help' {
            [CompletionResult]::new('list', 'list', [CompletionResultType]::ParameterValue, 'List configs and devices')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Print a config')
            [CompletionResult]::new('create', 'create', [CompletionResultType]::ParameterValue, 'Create an archive from disk images')
            [CompletionResult]::new('extract', 'extract', [CompletionResultType]::ParameterValue, 'Extract configs and disks from an archive')
            [CompletionResult]::new('verify', 'verify', [CompletionResultType]::ParameterValue, 'Check an archive for damage')
            [CompletionResult]::new('info', 'info', [CompletionResultType]::ParameterValue, 'Show sizes, container, order and index of an archive')
            [CompletionResult]::new('serve', 'serve', [CompletionResultType]::ParameterValue, 'Serve the disks of an archive over NBD, to mount them or start a guest at once')
            [CompletionResult]::new('files', 'files', [CompletionResultType]::ParameterValue, 'List what is on the disks of an archive, and read the files there')
            [CompletionResult]::new('mount', 'mount', [CompletionResultType]::ParameterValue, 'Mount the disks of an archive, and the files on them, for any program that reads files')
            [CompletionResult]::new('index', 'index', [CompletionResultType]::ParameterValue, 'Build the index of an archive that has none')
            [CompletionResult]::new('diff', 'diff', [CompletionResultType]::ParameterValue, 'Compare the disks of two archives')
            [CompletionResult]::new('reframe', 'reframe', [CompletionResultType]::ParameterValue, 'Make a seekable .vma.zst of any archive, with an index inside')
            [CompletionResult]::new('optimize', 'optimize', [CompletionResultType]::ParameterValue, 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores')
            [CompletionResult]::new('recover', 'recover', [CompletionResultType]::ParameterValue, 'Recover everything that is intact in a damaged archive')
            [CompletionResult]::new('help', 'help', [CompletionResultType]::ParameterValue, 'Print this message or the help of the given subcommand(s)')
            break
        }
        'vma;help;list' {
            break
        }
        'vma;help;config' {
            break
        }
        'vma;help;create' {
            break
        }
        'vma;help;extract' {
            break
        }
        'vma;help;verify' {
            break
        }
        'vma;help;info' {
            break
        }
        'vma;help;serve' {
            break
        }
        'vma;help;files' {
            [CompletionResult]::new('ls', 'ls', [CompletionResultType]::ParameterValue, 'List directories')
            [CompletionResult]::new('find', 'find', [CompletionResultType]::ParameterValue, 'List all paths below directories')
            [CompletionResult]::new('cat', 'cat', [CompletionResultType]::ParameterValue, 'Print files to standard output')
            [CompletionResult]::new('cp', 'cp', [CompletionResultType]::ParameterValue, 'Copy files, keeping modes, times and holes')
            [CompletionResult]::new('tar', 'tar', [CompletionResultType]::ParameterValue, 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes')
            break
        }
        'vma;help;files;ls' {
            break
        }
        'vma;help;files;find' {
            break
        }
        'vma;help;files;cat' {
            break
        }
        'vma;help;files;cp' {
            break
        }
        'vma;help;files;tar' {
            break
        }
        'vma;help;mount' {
            break
        }
        'vma;help;index' {
            break
        }
        'vma;help;diff' {
            break
        }
        'vma;help;reframe' {
            break
        }
        'vma;help;optimize' {
            break
        }
        'vma;help;recover' {
            break
        }
        'vma;help;help' {
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
