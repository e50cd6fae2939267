package PVE::Storage::Custom::FleecePlugin;

# A storage of type `fleece`: a directory whose backups Fleece makes and restores. Listing, notes, protection and
# pruning are those of Proxmox's directories, since names and side files are the same.

use strict;
use warnings;

use PVE::Storage;
use PVE::Storage::DirPlugin;
use PVE::BackupProvider::Plugin::Fleece;

use base qw(PVE::Storage::DirPlugin);

# Versions of the storage API with backup providers (pve-storage, ApiChangeLog).
use constant { OLDEST_API => 11, NEWEST_API => 15 };

# What Fleece writes beside an archive, apart from what Proxmox writes, too.
my @SIDE_FILES = qw(idx verified);

sub api {
    my $api = PVE::Storage::APIVER();
    die "Fleece needs version ${\OLDEST_API} of the storage API (Proxmox VE 8.4), this is version $api\n"
        if $api < OLDEST_API;
    return $api < NEWEST_API ? $api : NEWEST_API;
}

sub type { return 'fleece' }

sub plugindata {
    return {
        content => [{ backup => 1, none => 1 }, { backup => 1 }],
        features => { 'backup-provider' => 1 },
        'sensitive-properties' => {},
    };
}

sub properties {
    return {
        'fleece-zstd' => {
            description => "How strongly Fleece compresses archives, from 1 (fast) to 19 (small).",
            type => 'integer',
            minimum => 1,
            maximum => 19,
            default => 1,
        },
    };
}

sub options {
    my $optional = { optional => 1 };
    return {
        path => { fixed => 1 },
        map { $_ => $optional } (
            'bwlimit', 'content', 'content-dirs', 'create-base-path', 'create-subdirs', 'disable', 'fleece-zstd',
            'is_mountpoint', 'max-protected-backups', 'mkdir', 'nodes', 'prune-backups', 'shared',
        ),
    };
}

sub new_backup_provider {
    my ($class, $scfg, $storeid, $log) = @_;
    return PVE::BackupProvider::Plugin::Fleece->new($class, $scfg, $storeid, $log);
}

sub free_image {
    my ($class, $storeid, $scfg, $volname, @more) = @_;
    my $archive = $class->filesystem_path($scfg, $volname);
    my $freed = $class->SUPER::free_image($storeid, $scfg, $volname, @more);
    unlink map { "$archive.$_" } @SIDE_FILES;
    return $freed;
}

1;
