
use builtin;
use str;

set edit:completion:arg-completer[vma] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'vma'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'vma'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand -V 'Print version'
            cand --version 'Print version'
            cand list 'List configs and devices'
            cand config 'Print a config'
            cand create 'Create an archive from disk images'
            cand extract 'Extract configs and disks from an archive'
            cand verify 'Check an archive for damage'
            cand info 'Show sizes, container, order and index of an archive'
            cand serve 'Serve the disks of an archive over NBD, to mount them or start a guest at once'
            cand files 'List what is on the disks of an archive, and read the files there'
            cand mount 'Mount the disks of an archive, and the files on them, for any program that reads files'
            cand index 'Build the index of an archive that has none'
            cand diff 'Compare the disks of two archives'
            cand reframe 'Make a seekable .vma.zst of any archive, with an index inside'
            cand optimize 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores'
            cand recover 'Recover everything that is intact in a damaged archive'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'vma;list'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;config'= {
            cand -c 'Name of the config'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;create'= {
            cand -c 'File to store as a config under its base name'
            cand -d 'Disk: format=raw|qcow2:[NAME=]PATH'
            cand --compress 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]'
            cand --threads 'Number of compression threads (each takes memory) [default: one per processor, at most 6]'
            cand --reuse 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align'
            cand --encrypt-to 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)'
            cand --recipients 'Encrypt for the public keys in this file, one a line (may be given several times)'
            cand --sign 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -v 'Report progress on standard error'
            cand --align 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
            cand --no-index 'Write no index'
            cand --no-sync 'Do not wait until the archive is on stable storage'
            cand --progress 'Show a progress bar if standard error is a terminal'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;extract'= {
            cand -d 'Only these devices, as `vma list` names them'
            cand -r 'FIFO or file that says where each device goes'
            cand --format 'Image format of the disks written to the directory: raw or qcow2'
            cand --cache 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]'
            cand --cache-size 'Most that all copies there take; those used longest ago are removed. 0 makes none'
            cand --reframe-to 'Make the seekable copy here instead, where it stays'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -v 'Report progress'
            cand --in-place 'The disks that the map names hold something already: write only what differs. Of an archive with an index only that is read. If this is interrupted, they are neither old nor new'
            cand --no-sync 'Do not wait until the disks are on stable storage'
            cand --progress 'Show a progress bar if standard error is a terminal'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;verify'= {
            cand --index 'Index to check against with --deep [default: the one inside, or ARCHIVE.idx]'
            cand --signed-by 'Check the archive against the signed list beside it, which must be by this Ed25519 key of SSH: a file of public keys, or a key itself (may be given several times). An encrypted archive needs no --identity for that'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -v 'List the contents and report progress'
            cand --deep 'Also check the payload against the archive''s index'
            cand --progress 'Show a progress bar if standard error is a terminal'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;info'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;serve'= {
            cand --tcp 'Listen at this TCP port instead, of 127.0.0.1 if no other address of this machine itself is given; 0 takes any that is free, which the URIs tell [default: 0]'
            cand -d 'Only these devices, as `vma list` names them'
            cand --cache 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]'
            cand --cache-size 'Most that all copies there take; those used longest ago are removed. 0 makes none'
            cand --reframe-to 'Make the seekable copy here instead, where it stays'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'vma;files'= {
            cand --image 'It is the image of a disk in this format, raw or qcow2 [default: by the end of its name: .raw, .img, .iso, .qcow2; a qcow2 image''s backing files are only read if this is given]'
            cand --cache 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]'
            cand --cache-size 'Most that all copies there take; those used longest ago are removed. 0 makes none'
            cand --reframe-to 'Make the seekable copy here instead, where it stays'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
            cand ls 'List directories'
            cand find 'List all paths below directories'
            cand cat 'Print files to standard output'
            cand cp 'Copy files, keeping modes, times and holes'
            cand tar 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'vma;files;ls'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -l 'Also modes, owners, sizes, times in the local zone, targets of links, and NTFS''s alternate streams'
            cand -d 'Directories themselves, not what is in them'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;files;find'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -l 'Also modes, owners, sizes, times in the local zone, targets of links, and NTFS''s alternate streams'
            cand -0 'End each path with a NUL instead of a newline, and escape nothing'
            cand --print0 'End each path with a NUL instead of a newline, and escape nothing'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;files;cat'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;files;cp'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -r 'Copy directories with all that is in them'
            cand --owners 'Keep owners, and with them the bits that make programs run as their owner; only root can'
            cand --links 'Copy symbolic links in directories as they are; they may lead anywhere'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'vma;files;tar'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;files;help'= {
            cand ls 'List directories'
            cand find 'List all paths below directories'
            cand cat 'Print files to standard output'
            cand cp 'Copy files, keeping modes, times and holes'
            cand tar 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'vma;files;help;ls'= {
        }
        &'vma;files;help;find'= {
        }
        &'vma;files;help;cat'= {
        }
        &'vma;files;help;cp'= {
        }
        &'vma;files;help;tar'= {
        }
        &'vma;files;help;help'= {
        }
        &'vma;mount'= {
            cand -d 'Only these devices, as `vma list` names them'
            cand --overlay 'Let disks be written to. What is written is kept in memory, or in a new sparse FILE, until they are unmounted, and is gone then; files/ does not show it'
            cand --cache 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]'
            cand --cache-size 'Most that all copies there take; those used longest ago are removed. 0 makes none'
            cand --reframe-to 'Make the seekable copy here instead, where it stays'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --allow-other 'Let other users read the disks, too, and of files/ what they could read in the guest (of users, /etc/fuse.conf must say user_allow_other)'
            cand -f 'Stay in the foreground until DIR is unmounted, or SIGINT or SIGTERM comes, which unmount it'
            cand --foreground 'Stay in the foreground until DIR is unmounted, or SIGINT or SIGTERM comes, which unmount it'
            cand --goes-on 'What this program starts to go on when it has returned'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'vma;index'= {
            cand -o 'Where the index goes [default: ARCHIVE.idx]'
            cand --output 'Where the index goes [default: ARCHIVE.idx]'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;diff'= {
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand -v 'List the clusters that differ'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;reframe'= {
            cand --compress 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]'
            cand --threads 'Number of compression threads (each takes memory) [default: one per processor, at most 6]'
            cand --reuse 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align'
            cand --encrypt-to 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)'
            cand --recipients 'Encrypt for the public keys in this file, one a line (may be given several times)'
            cand --sign 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --align 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
            cand --no-index 'Write no index'
            cand --no-sync 'Do not wait until the archive is on stable storage'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;optimize'= {
            cand --compress 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]'
            cand --threads 'Number of compression threads (each takes memory) [default: one per processor, at most 6]'
            cand --reuse 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align'
            cand --encrypt-to 'Encrypt for this public key, of age or of SSH (may be given several times). The name must end in .age; the index is inside a .vma.zst.age, and a .vma.age has none (docs/ENCRYPTION.md)'
            cand --recipients 'Encrypt for the public keys in this file, one a line (may be given several times)'
            cand --sign 'Sign a list of the archive''s pieces with this Ed25519 key of SSH, beside it as NAME.sig: `vma verify --signed-by` checks the archive without being able to read it'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --align 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
            cand --no-index 'Write no index'
            cand --no-sync 'Do not wait until the archive is on stable storage'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;recover'= {
            cand --index 'Index to check against [default: the one inside, or ARCHIVE.idx]'
            cand --identity 'Read encrypted archives with the secret key in this file, of age or of SSH (may be given several times) [default: the file that FLEECE_IDENTITY names]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'vma;help'= {
            cand list 'List configs and devices'
            cand config 'Print a config'
            cand create 'Create an archive from disk images'
            cand extract 'Extract configs and disks from an archive'
            cand verify 'Check an archive for damage'
            cand info 'Show sizes, container, order and index of an archive'
            cand serve 'Serve the disks of an archive over NBD, to mount them or start a guest at once'
            cand files 'List what is on the disks of an archive, and read the files there'
            cand mount 'Mount the disks of an archive, and the files on them, for any program that reads files'
            cand index 'Build the index of an archive that has none'
            cand diff 'Compare the disks of two archives'
            cand reframe 'Make a seekable .vma.zst of any archive, with an index inside'
            cand optimize 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores'
            cand recover 'Recover everything that is intact in a damaged archive'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'vma;help;list'= {
        }
        &'vma;help;config'= {
        }
        &'vma;help;create'= {
        }
        &'vma;help;extract'= {
        }
        &'vma;help;verify'= {
        }
        &'vma;help;info'= {
        }
        &'vma;help;serve'= {
        }
        &'vma;help;files'= {
            cand ls 'List directories'
            cand find 'List all paths below directories'
            cand cat 'Print files to standard output'
            cand cp 'Copy files, keeping modes, times and holes'
            cand tar 'Write files and directories to standard output, as a tar stream with owners, links, holes and extended attributes'
        }
        &'vma;help;files;ls'= {
        }
        &'vma;help;files;find'= {
        }
        &'vma;help;files;cat'= {
        }
        &'vma;help;files;cp'= {
        }
        &'vma;help;files;tar'= {
        }
        &'vma;help;mount'= {
        }
        &'vma;help;index'= {
        }
        &'vma;help;diff'= {
        }
        &'vma;help;reframe'= {
        }
        &'vma;help;optimize'= {
        }
        &'vma;help;recover'= {
        }
        &'vma;help;help'= {
        }
    ]
    $completions[$command]
}
