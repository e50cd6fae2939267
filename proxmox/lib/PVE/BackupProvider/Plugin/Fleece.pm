package PVE::BackupProvider::Plugin::Fleece;

# Backups by Fleece for Proxmox VE (PVE::BackupProvider::Plugin::Base, since libpve-storage-perl 8.3.4). Proxmox locks
# and freezes the guest, takes the point in time and exports it over NBD; `fleece backup --nbd` makes the archive of
# it, `vma serve` exports an archive for a restore. Archives are those of vzdump and can be restored without this.

use strict;
use warnings;

use File::Basename qw(basename dirname);
use File::Temp;
use JSON::PP;
use POSIX qw(strftime);

use PVE::BackupProvider::Fleece::Process qw(run output start stop);

use base qw(PVE::BackupProvider::Plugin::Base);

my $GUEST_CONFIG = 'qemu-server.conf';
my $FIREWALL = 'qemu-server.fw';

sub new {
    my ($class, $plugin, $scfg, $storeid, $log) = @_;
    return bless {
        plugin => $plugin,
        scfg => $scfg,
        storeid => $storeid,
        log => $log // sub { },
        archives => {},
        # What the bitmaps of each guest will count against when its backup has succeeded.
        tracked => {},
        served => {},
    }, $class;
}

sub provider_name { return 'Fleece' }

# The whole job: there is nothing to prepare.
sub job_init { return }
sub job_cleanup { return }

# Backup

sub backup_init {
    my ($self, $vmid, $vmtype, $start_time) = @_;
    must_be_vm($vmtype);
    my $time = strftime('%Y_%m_%d-%H_%M_%S', localtime($start_time));
    my $name = "vzdump-qemu-$vmid-$time.vma.zst";
    $self->{archives}->{$vmid} = $self->path($name);
    return { 'archive-name' => $name };
}

sub backup_get_mechanism {
    my ($self, $vmid, $vmtype) = @_;
    must_be_vm($vmtype);
    return 'nbd';
}

# Proxmox keeps a dirty bitmap for each disk, and clears it when a backup has succeeded. So it counts against the archive
# of that backup, which is on record; without a record everything is read.
sub backup_vm_query_incremental {
    my ($self, $vmid, $volumes) = @_;
    my $base = $self->read_base($vmid);
    return { map { $_ => $base && $base->{disks}->{$_} ? 'use' : 'new' } keys %$volumes };
}

sub backup_vm {
    my ($self, $vmid, $guest_config, $volumes, $info) = @_;
    my $archive = $self->{archives}->{$vmid} or die "the backup of VM $vmid was not begun\n";
    my @disks = sort keys %$volumes;
    my ($server, @other) = keys %{{ map { $volumes->{$_}->{'nbd-path'} // '' => 1 } @disks }};
    die "the disks of VM $vmid are not on one NBD server\n" if !$server || @other;

    my $base = $self->read_base($vmid);
    # It is not known which archive the bitmaps count against until Proxmox has cleared them or kept them.
    unlink($self->base_file($vmid));
    my $identity = identity($guest_config);
    my $mode = sub { return $volumes->{$_[0]}->{'bitmap-mode'} // 'none' };
    my @changed = grep { $mode->($_) eq 'reuse' } @disks;
    if (@changed && (!$base || $base->{identity} ne $identity)) {
        die "the bitmaps of VM $vmid count against no archive that is known; the next backup reads everything\n";
    }
    $self->{tracked}->{$vmid} = {
        archive => basename($archive),
        identity => $identity,
        disks => { map { $_ => JSON::PP::true } grep { $mode->($_) ne 'none' } @disks },
    };
    my $disk = sub {
        my ($name) = @_;
        my $volume = $volumes->{$name};
        my $bitmap = $mode->($name) eq 'reuse' ? ",bitmap=$volume->{'bitmap-name'}" : '';
        return "$name,size=$volume->{size}$bitmap";
    };

    # For its owner only: configurations hold passwords.
    my $configs = File::Temp->newdir('fleece-XXXXXXXX', TMPDIR => 1);
    write_file("$configs/$vmid.conf", $guest_config);
    write_file("$configs/$vmid.fw", $info->{'firewall-config'}) if defined($info->{'firewall-config'});

    my $level = $self->{scfg}->{'fleece-zstd'} // 1;
    my $limit = $info->{'bandwidth-limit'};
    run(
        $self->{log},
        'fleece', 'backup', '--vmid', $vmid, '--nbd', $server,
        (map { ('--disk', $disk->($_)) } @disks),
        (@changed ? ('--base', $self->path($base->{archive})) : ()),
        # Proxmox's exports keep the point in time in a fleecing image, which a discard frees.
        '--release',
        '--config-dir', "$configs", '--firewall-dir', "$configs",
        '--compress', "zstd=$level",
        # So that the next archive can take over unread what has not changed.
        '--align',
        ($limit ? ('--bwlimit', $limit) : ()),
        '--to', $archive,
    );
    return;
}

sub backup_handle_log_file {
    my ($self, $vmid, $file) = @_;
    my $archive = $self->{archives}->{$vmid};
    return if !$archive || !-e $archive;
    (my $log = $archive) =~ s/\.vma\.zst$/.log/;
    write_file($log, read_file($file));
    return;
}

sub backup_cleanup {
    my ($self, $vmid, $vmtype, $success, $info) = @_;
    my $archive = $self->{archives}->{$vmid};
    my $tracked = delete $self->{tracked}->{$vmid};
    return {} if !$success || !$archive;
    write_file($self->base_file($vmid), encode_json($tracked)) if $tracked && %{ $tracked->{disks} };
    return { stats => { 'archive-size' => -s $archive } };
}

# Containers are files, and Fleece is about disks.
sub backup_container_prepare { die "Fleece backs up virtual machines, not containers\n" }
sub backup_container { die "Fleece backs up virtual machines, not containers\n" }

# Restore

sub restore_get_mechanism { return ('qemu-img', 'qemu') }

sub archive_get_guest_config {
    my ($self, $volname) = @_;
    my $config = output('vma', 'config', $self->path_of($volname), '-c', $GUEST_CONFIG);
    # Which device was which drive: Proxmox knows that by the names of the devices.
    $config =~ s/^#qmdump#.*\n//mg;
    return $config;
}

sub archive_get_firewall_config {
    my ($self, $volname) = @_;
    my $archive = $self->path_of($volname);
    return undef if output('vma', 'list', $archive) !~ m/^CFG: .*name: \Q$FIREWALL\E$/m;
    return output('vma', 'config', $archive, '-c', $FIREWALL);
}

sub restore_vm_init {
    my ($self, $volname) = @_;
    my $archive = $self->path_of($volname);
    my $list = output('vma', 'list', $archive);
    my $sizes = {};
    $sizes->{$2} = { size => $1 + 0 } while $list =~ m/^DEV: .*size: (\d+) devname: (\S+)$/mg;
    my $directory = File::Temp->newdir('fleece-XXXXXXXX', TMPDIR => 1);
    my ($process, @uris) = start(scalar(keys %$sizes), 'vma', 'serve', $archive, "$directory/nbd.sock");
    # One line for each disk, in the order of the archive.
    my %uri = map { m{^nbd\+unix:///([^?]*)\?} ? (decode($1) => $_) : () } @uris;
    $self->{served}->{$volname} = { process => $process, directory => $directory, uri => \%uri };
    return $sizes;
}

sub restore_vm_volume_init {
    my ($self, $volname, $device, $info) = @_;
    my $served = $self->{served}->{$volname} or die "the restore of $volname was not begun\n";
    my $uri = $served->{uri}->{$device} or die "$volname has no disk $device\n";
    return { 'qemu-img-path' => $uri };
}

sub restore_vm_volume_cleanup { return }

sub restore_vm_cleanup {
    my ($self, $volname) = @_;
    my $served = delete $self->{served}->{$volname} or return;
    stop($served->{process});
    return;
}

sub restore_container_init { die "a backup by Fleece holds no container\n" }
sub restore_container_cleanup { return }

# A restore that was ended before its clean-up.
sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->restore_vm_cleanup($_) for keys %{ $self->{served} };
}

# Helpers

# The record of the archive that a guest's bitmaps count against.
sub base_file {
    my ($self, $vmid) = @_;
    return dirname($self->path('x')) . "/.fleece-$self->{storeid}-$vmid.json";
}

# Nothing if there is none, or the archive is gone.
sub read_base {
    my ($self, $vmid) = @_;
    my $base = eval { decode_json(read_file($self->base_file($vmid))) };
    return undef if ref($base) ne 'HASH' || ref($base->{disks}) ne 'HASH';
    return undef if ($base->{archive} // '') !~ m/^vzdump-qemu-\Q$vmid\E-[0-9_-]+\.vma\.zst$/;
    return -e $self->path($base->{archive}) ? $base : undef;
}

# What tells a guest from another that has its number on another host.
sub identity {
    my ($config) = @_;
    my ($current) = split(m/^\[/m, $config);
    return join("\n", sort($current =~ m/^((?:vmgenid|smbios1): .*)$/mg));
}

sub must_be_vm {
    my ($vmtype) = @_;
    die "Fleece backs up virtual machines, not containers\n" if $vmtype ne 'qemu';
}

sub path {
    my ($self, $name) = @_;
    return scalar $self->{plugin}->filesystem_path($self->{scfg}, "backup/$name");
}

sub path_of {
    my ($self, $volname) = @_;
    my $path = $self->{plugin}->filesystem_path($self->{scfg}, $volname);
    return $path;
}

sub decode {
    my ($text) = @_;
    $text =~ s/%([0-9A-Fa-f]{2})/chr(hex($1))/ge;
    return $text;
}

sub read_file {
    my ($path) = @_;
    open(my $file, '<:raw', $path) or die "cannot read $path: $!\n";
    local $/;
    return scalar <$file>;
}

sub write_file {
    my ($path, $content) = @_;
    open(my $file, '>:raw', $path) or die "cannot write $path: $!\n";
    print {$file} $content;
    close($file) or die "cannot write $path: $!\n";
    return;
}

1;
