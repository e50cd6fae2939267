package PVE::Storage::DirPlugin;

# As much of Proxmox's module as the plugin uses, for tests where there is no Proxmox VE.

use strict;
use warnings;

sub filesystem_path {
    my ($class, $scfg, $volname) = @_;
    my ($name) = $volname =~ m!^backup/([^/]+)$! or die "unable to parse volume name '$volname'\n";
    my $path = "$scfg->{path}/dump/$name";
    return wantarray ? ($path, undef, 'backup') : $path;
}

sub free_image {
    my ($class, $storeid, $scfg, $volname) = @_;
    my $path = $class->filesystem_path($scfg, $volname);
    unlink($path) or die "cannot remove $path: $!\n";
    return undef;
}

1;
