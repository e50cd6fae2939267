# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_vma_global_optspecs
    string join \n json identity= h/help V/version
end

function __fish_vma_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_vma_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_vma_using_subcommand
    set -l cmd (__fish_vma_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c vma -n "__fish_vma_needs_command" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_needs_command" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vma -n "__fish_vma_needs_command" -s V -l version -d 'Print version'
complete -c vma -n "__fish_vma_needs_command" -f -a "list" -d 'List configs and devices'
complete -c vma -n "__fish_vma_needs_command" -f -a "config" -d 'Print a config'
complete -c vma -n "__fish_vma_needs_command" -f -a "create" -d 'Create an archive from disk images'
complete -c vma -n "__fish_vma_needs_command" -f -a "extract" -d 'Extract configs and disks from an archive'
complete -c vma -n "__fish_vma_needs_command" -f -a "verify" -d 'Check an archive for damage'
complete -c vma -n "__fish_vma_needs_command" -f -a "info" -d 'Show sizes, container, order and index of an archive'
complete -c vma -n "__fish_vma_needs_command" -f -a "serve" -d 'Serve the disks of an archive over NBD, to mount them or start a guest at once'
complete -c vma -n "__fish_vma_needs_command" -f -a "files" -d 'List what is on the disks of an archive, and read the files there'
complete -c vma -n "__fish_vma_needs_command" -f -a "mount" -d 'Mount the disks of an archive, and the files on them, for any program that reads files'
complete -c vma -n "__fish_vma_needs_command" -f -a "index" -d 'Build the index of an archive that has none'
complete -c vma -n "__fish_vma_needs_command" -f -a "diff" -d 'Compare the disks of two archives'
complete -c vma -n "__fish_vma_needs_command" -f -a "reframe" -d 'Make a seekable .vma.zst of any archive, with an index inside'
complete -c vma -n "__fish_vma_needs_command" -f -a "optimize" -d 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores'
complete -c vma -n "__fish_vma_needs_command" -f -a "recover" -d 'Recover everything that is intact in a damaged archive'
complete -c vma -n "__fish_vma_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vma -n "__fish_vma_using_subcommand list" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand list" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand list" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand config" -s c -d 'Name of the config' -r
complete -c vma -n "__fish_vma_using_subcommand config" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand config" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand config" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand create" -s c -d 'File to store as a config under its base name' -r -F
complete -c vma -n "__fish_vma_using_subcommand create" -s d -d 'Disk: format=raw|qcow2:[NAME=]PATH' -r
complete -c vma -n "__fish_vma_using_subcommand create" -l compress -d 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]' -r
complete -c vma -n "__fish_vma_using_subcommand create" -l threads -d 'Number of compression threads (each takes memory) [default: one per processor, at most 6]' -r
complete -c vma -n "__fish_vma_using_subcommand create" -l reuse -d 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align' -r -F
complete -c vma -n "__fish_vma_using_subcommand create" -l encrypt-to -d 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)' -r
complete -c vma -n "__fish_vma_using_subcommand create" -l recipients -d 'Encrypt for the public keys in this file, one a line (may be given several times)' -r -F
complete -c vma -n "__fish_vma_using_subcommand create" -l sign -d 'Sign a list of the archive\'s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it' -r -F
complete -c vma -n "__fish_vma_using_subcommand create" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand create" -s v -d 'Report progress on standard error'
complete -c vma -n "__fish_vma_using_subcommand create" -l align -d 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
complete -c vma -n "__fish_vma_using_subcommand create" -l no-index -d 'Write no index'
complete -c vma -n "__fish_vma_using_subcommand create" -l no-sync -d 'Do not wait until the archive is on stable storage'
complete -c vma -n "__fish_vma_using_subcommand create" -l progress -d 'Show a progress bar if standard error is a terminal'
complete -c vma -n "__fish_vma_using_subcommand create" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand create" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand extract" -s d -d 'Only these devices, as `vma list` names them' -r
complete -c vma -n "__fish_vma_using_subcommand extract" -s r -d 'FIFO or file that says where each device goes' -r -F
complete -c vma -n "__fish_vma_using_subcommand extract" -l format -d 'Image format of the disks written to the directory: raw or qcow2' -r
complete -c vma -n "__fish_vma_using_subcommand extract" -l cache -d 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c vma -n "__fish_vma_using_subcommand extract" -l cache-size -d 'Most that all copies there take; those used longest ago are removed. 0 makes none' -r
complete -c vma -n "__fish_vma_using_subcommand extract" -l reframe-to -d 'Make the seekable copy here instead, where it stays' -r -F
complete -c vma -n "__fish_vma_using_subcommand extract" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand extract" -s v -d 'Report progress'
complete -c vma -n "__fish_vma_using_subcommand extract" -l in-place -d 'The disks that the map names hold something already: write only what differs. Of an archive with an index only that is read. If this is interrupted, they are neither old nor new'
complete -c vma -n "__fish_vma_using_subcommand extract" -l no-sync -d 'Do not wait until the disks are on stable storage'
complete -c vma -n "__fish_vma_using_subcommand extract" -l progress -d 'Show a progress bar if standard error is a terminal'
complete -c vma -n "__fish_vma_using_subcommand extract" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand extract" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand verify" -l index -d 'Index to check against with --deep [default: the one inside, or ARCHIVE.idx]' -r -F
complete -c vma -n "__fish_vma_using_subcommand verify" -l signed-by -d 'Check the archive against the signed list beside it, which must be by this Ed25519 key of SSH: a file of public keys, or a key itself (may be given several times). An encrypted archive needs no --identity for that' -r
complete -c vma -n "__fish_vma_using_subcommand verify" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand verify" -s v -d 'List the contents and report progress'
complete -c vma -n "__fish_vma_using_subcommand verify" -l deep -d 'Also check the payload against the archive\'s index'
complete -c vma -n "__fish_vma_using_subcommand verify" -l progress -d 'Show a progress bar if standard error is a terminal'
complete -c vma -n "__fish_vma_using_subcommand verify" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand verify" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand info" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand info" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand info" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand serve" -l tcp -d 'Listen at this TCP port instead, of 127.0.0.1 if no other address of this machine itself is given; 0 takes any that is free, which the URIs tell [default: 0]' -r
complete -c vma -n "__fish_vma_using_subcommand serve" -s d -d 'Only these devices, as `vma list` names them' -r
complete -c vma -n "__fish_vma_using_subcommand serve" -l cache -d 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c vma -n "__fish_vma_using_subcommand serve" -l cache-size -d 'Most that all copies there take; those used longest ago are removed. 0 makes none' -r
complete -c vma -n "__fish_vma_using_subcommand serve" -l reframe-to -d 'Make the seekable copy here instead, where it stays' -r -F
complete -c vma -n "__fish_vma_using_subcommand serve" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand serve" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -l image -d 'It is the image of a disk in this format, raw or qcow2 [default: by the end of its name: .raw, .img, .iso, .qcow2; a qcow2 image\'s backing files are only read if this is given]' -r -f -a "raw\t''
qcow2\t''"
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -l cache -d 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -l cache-size -d 'Most that all copies there take; those used longest ago are removed. 0 makes none' -r
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -l reframe-to -d 'Make the seekable copy here instead, where it stays' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -a "ls" -d 'List directories'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -a "find" -d 'List all paths below directories'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -a "cat" -d 'Print files to standard output'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -a "cp" -d 'Copy files, keeping modes, times and holes'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -a "tar" -d 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes'
complete -c vma -n "__fish_vma_using_subcommand files; and not __fish_seen_subcommand_from ls find cat cp tar help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from ls" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from ls" -s l -d 'Also modes, owners, sizes, times in the local zone, targets of links, and NTFS\'s alternate streams'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from ls" -s d -d 'Directories themselves, not what is in them'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from find" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from find" -s l -d 'Also modes, owners, sizes, times in the local zone, targets of links, and NTFS\'s alternate streams'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from find" -s 0 -l print0 -d 'End each path with a NUL instead of a newline, and escape nothing'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from find" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from find" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cat" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cat" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cat" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cp" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cp" -s r -d 'Copy directories with all that is in them'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cp" -l owners -d 'Keep owners, and with them the bits that make programs run as their owner; only root can'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cp" -l links -d 'Copy symbolic links in directories as they are; they may lead anywhere'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cp" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from cp" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from tar" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from tar" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from tar" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List directories'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from help" -f -a "find" -d 'List all paths below directories'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from help" -f -a "cat" -d 'Print files to standard output'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from help" -f -a "cp" -d 'Copy files, keeping modes, times and holes'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from help" -f -a "tar" -d 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes'
complete -c vma -n "__fish_vma_using_subcommand files; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vma -n "__fish_vma_using_subcommand mount" -s d -d 'Only these devices, as `vma list` names them' -r
complete -c vma -n "__fish_vma_using_subcommand mount" -l overlay -d 'Let disks be written to. What is written is kept in memory, or in a new sparse FILE, until they are unmounted, and is gone then; files/ does not show it' -r
complete -c vma -n "__fish_vma_using_subcommand mount" -l cache -d 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c vma -n "__fish_vma_using_subcommand mount" -l cache-size -d 'Most that all copies there take; those used longest ago are removed. 0 makes none' -r
complete -c vma -n "__fish_vma_using_subcommand mount" -l reframe-to -d 'Make the seekable copy here instead, where it stays' -r -F
complete -c vma -n "__fish_vma_using_subcommand mount" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand mount" -l allow-other -d 'Let other users read the disks, too, and of files/ what they could read in the guest (of users, /etc/fuse.conf must say user_allow_other)'
complete -c vma -n "__fish_vma_using_subcommand mount" -s f -l foreground -d 'Stay in the foreground until DIR is unmounted, or SIGINT or SIGTERM comes, which unmount it'
complete -c vma -n "__fish_vma_using_subcommand mount" -l goes-on -d 'What this program starts to go on when it has returned'
complete -c vma -n "__fish_vma_using_subcommand mount" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vma -n "__fish_vma_using_subcommand index" -s o -l output -d 'Where the index goes [default: ARCHIVE.idx]' -r -F
complete -c vma -n "__fish_vma_using_subcommand index" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand index" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand index" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand diff" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand diff" -s v -d 'List the clusters that differ'
complete -c vma -n "__fish_vma_using_subcommand diff" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand diff" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand reframe" -l compress -d 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]' -r
complete -c vma -n "__fish_vma_using_subcommand reframe" -l threads -d 'Number of compression threads (each takes memory) [default: one per processor, at most 6]' -r
complete -c vma -n "__fish_vma_using_subcommand reframe" -l reuse -d 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align' -r -F
complete -c vma -n "__fish_vma_using_subcommand reframe" -l encrypt-to -d 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)' -r
complete -c vma -n "__fish_vma_using_subcommand reframe" -l recipients -d 'Encrypt for the public keys in this file, one a line (may be given several times)' -r -F
complete -c vma -n "__fish_vma_using_subcommand reframe" -l sign -d 'Sign a list of the archive\'s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it' -r -F
complete -c vma -n "__fish_vma_using_subcommand reframe" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand reframe" -l align -d 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
complete -c vma -n "__fish_vma_using_subcommand reframe" -l no-index -d 'Write no index'
complete -c vma -n "__fish_vma_using_subcommand reframe" -l no-sync -d 'Do not wait until the archive is on stable storage'
complete -c vma -n "__fish_vma_using_subcommand reframe" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand reframe" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand optimize" -l compress -d 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]' -r
complete -c vma -n "__fish_vma_using_subcommand optimize" -l threads -d 'Number of compression threads (each takes memory) [default: one per processor, at most 6]' -r
complete -c vma -n "__fish_vma_using_subcommand optimize" -l reuse -d 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align' -r -F
complete -c vma -n "__fish_vma_using_subcommand optimize" -l encrypt-to -d 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)' -r
complete -c vma -n "__fish_vma_using_subcommand optimize" -l recipients -d 'Encrypt for the public keys in this file, one a line (may be given several times)' -r -F
complete -c vma -n "__fish_vma_using_subcommand optimize" -l sign -d 'Sign a list of the archive\'s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it' -r -F
complete -c vma -n "__fish_vma_using_subcommand optimize" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand optimize" -l align -d 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
complete -c vma -n "__fish_vma_using_subcommand optimize" -l no-index -d 'Write no index'
complete -c vma -n "__fish_vma_using_subcommand optimize" -l no-sync -d 'Do not wait until the archive is on stable storage'
complete -c vma -n "__fish_vma_using_subcommand optimize" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand optimize" -s h -l help -d 'Print help'
complete -c vma -n "__fish_vma_using_subcommand recover" -l index -d 'Index to check against [default: the one inside, or ARCHIVE.idx]' -r -F
complete -c vma -n "__fish_vma_using_subcommand recover" -l identity -d 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]' -r -F
complete -c vma -n "__fish_vma_using_subcommand recover" -l json -d 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
complete -c vma -n "__fish_vma_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "list" -d 'List configs and devices'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "config" -d 'Print a config'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "create" -d 'Create an archive from disk images'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "extract" -d 'Extract configs and disks from an archive'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "verify" -d 'Check an archive for damage'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "info" -d 'Show sizes, container, order and index of an archive'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "serve" -d 'Serve the disks of an archive over NBD, to mount them or start a guest at once'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "files" -d 'List what is on the disks of an archive, and read the files there'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "mount" -d 'Mount the disks of an archive, and the files on them, for any program that reads files'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "index" -d 'Build the index of an archive that has none'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "diff" -d 'Compare the disks of two archives'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "reframe" -d 'Make a seekable .vma.zst of any archive, with an index inside'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "optimize" -d 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "recover" -d 'Recover everything that is intact in a damaged archive'
complete -c vma -n "__fish_vma_using_subcommand help; and not __fish_seen_subcommand_from list config create extract verify info serve files mount index diff reframe optimize recover help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c vma -n "__fish_vma_using_subcommand help; and __fish_seen_subcommand_from files" -f -a "ls" -d 'List directories'
complete -c vma -n "__fish_vma_using_subcommand help; and __fish_seen_subcommand_from files" -f -a "find" -d 'List all paths below directories'
complete -c vma -n "__fish_vma_using_subcommand help; and __fish_seen_subcommand_from files" -f -a "cat" -d 'Print files to standard output'
complete -c vma -n "__fish_vma_using_subcommand help; and __fish_seen_subcommand_from files" -f -a "cp" -d 'Copy files, keeping modes, times and holes'
complete -c vma -n "__fish_vma_using_subcommand help; and __fish_seen_subcommand_from files" -f -a "tar" -d 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes'
