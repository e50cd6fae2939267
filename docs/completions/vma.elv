
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
            cand index 'Build the index of an archive that has none'
            cand diff 'Compare the disks of two archives'
            cand reframe 'Make a seekable .vma.zst of any archive, with an index inside'
            cand optimize 'Rewrite an archive in disk order with a stable uuid, for deduplicating stores'
            cand recover 'Recover everything that is intact in a damaged archive'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'vma;list'= {
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;config'= {
            cand -c 'Name of the config'
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
            cand -v 'List the contents and report progress'
            cand --deep 'Also check the payload against the archive''s index'
            cand --progress 'Show a progress bar if standard error is a terminal'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;info'= {
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;serve'= {
            cand -d 'Only these devices, as `vma list` names them'
            cand --cache 'Directory where seekable copies are kept [default: fleece in $XDG_CACHE_HOME or ~/.cache]'
            cand --cache-size 'Most that all copies there take; those used longest ago are removed. 0 makes none'
            cand --reframe-to 'Make the seekable copy here instead, where it stays'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'vma;index'= {
            cand -o 'Where the index goes [default: ARCHIVE.idx]'
            cand --output 'Where the index goes [default: ARCHIVE.idx]'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;diff'= {
            cand -v 'List the clusters that differ'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;reframe'= {
            cand --compress 'Compression: zstd[=LEVEL], gzip[=LEVEL] or none [default: none; for reframe zstd]'
            cand --threads 'Number of compression threads (each takes memory) [default: one per processor, at most 6]'
            cand --reuse 'Share with this older archive, which is compressed the same way and has an index, what has not changed, where the file system can (XFS, btrfs); implies --align'
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
            cand --align 'Put all payload on 4 KiB boundaries: 0.1 % larger, and equal parts of archives can share space on file systems that clone'
            cand --no-index 'Write no index'
            cand --no-sync 'Do not wait until the archive is on stable storage'
            cand --json 'Print JSON, one object a line, instead of text (see docs/JSON.md)'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'vma;recover'= {
            cand --index 'Index to check against [default: the one inside, or ARCHIVE.idx]'
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
