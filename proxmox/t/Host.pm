package Host;

# A Proxmox host as the provider sees it: a QEMU storage daemon in the place of the guest's QEMU, with each disk's point
# in time exported as `backup-access-setup` does it.

use strict;
use warnings;

use File::Temp;
use IO::Socket::UNIX;
use JSON::PP;
use POSIX ();

our $SIZE = 16 << 20;

sub new {
    my ($class, @disks) = @_;
    my $dir = File::Temp->newdir(CLEANUP => 1);
    my $self = bless { dir => "$dir", keep => $dir, disks => \@disks }, $class;
    mkdir("$dir/$_") for qw(store store/dump state bin);
    # Records of tests are not those of this host.
    open(my $script, '>', "$dir/bin/fleece") or die $!;
    print {$script} "#!/bin/sh\nexec '$ENV{FLEECE}' \"\$@\" --state-dir '$dir/state'\n";
    close($script);
    chmod(0755, "$dir/bin/fleece");
    symlink($ENV{VMA}, "$dir/bin/vma");
    my $tool = $ENV{QEMU_STORAGE_DAEMON} // 'qemu-storage-daemon';
    $self->{pid} = fork() // die "fork: $!";
    if ($self->{pid} == 0) {
        exec($tool, '--chardev', "socket,id=q,path=$dir/qmp.sock,server=on,wait=off", '--monitor', 'chardev=q')
            or POSIX::_exit(127);
    }
    for (1 .. 200) {
        last if $self->{qmp} = IO::Socket::UNIX->new("$dir/qmp.sock");
        select(undef, undef, undef, 0.05);
    }
    readline($self->{qmp});
    $self->qmp('qmp_capabilities');
    $self->qmp('nbd-server-start', { addr => { type => 'unix', data => { path => "$dir/nbd.sock" } } });
    for my $disk (@disks) {
        open(my $file, '>', "$dir/$disk.raw") or die $!;
        truncate($file, $SIZE);
        $self->blockdev($disk, { driver => 'raw', file => { driver => 'file', filename => "$dir/$disk.raw" } });
    }
    return $self;
}

sub qmp {
    my ($self, $command, $arguments) = @_;
    my $monitor = $self->{qmp};
    print {$monitor} encode_json({ execute => $command, $arguments ? (arguments => $arguments) : () }), "\n";
    while (my $line = <$monitor>) {
        my $reply = decode_json($line);
        next if $reply->{event};
        die "$command: $reply->{error}->{desc}\n" if $reply->{error};
        return $reply->{return};
    }
    die "$command: the monitor is gone\n";
}

sub blockdev {
    my ($self, $name, $options) = @_;
    $self->qmp('blockdev-add', { %$options, 'node-name' => $name });
}

sub export {
    my ($self, $name, $node, @bitmaps) = @_;
    my $on = JSON::PP::true;
    $self->qmp('block-export-add', {
        type => 'nbd', id => "export-$name", name => $name, 'node-name' => $node, writable => $on,
        @bitmaps ? (bitmaps => \@bitmaps) : (),
    });
}

# A command about a disk's bitmap: `main` counts since the last backup that has succeeded, `background` since the point in
# time.
sub bitmap {
    my ($self, $command, $disk, $name, %more) = @_;
    return $self->qmp("block-dirty-bitmap-$command", { node => $disk, name => $name, %more });
}

# What Proxmox does with the bitmaps before it takes the point in time; returns the mode of the disk's.
sub begin_bitmap {
    my ($self, $disk, $wish) = @_;
    my $is_there = delete $self->{bitmaps}->{$disk};
    $self->bitmap('remove', $disk, 'main') if $is_there && $wish ne 'use';
    return 'none' if $wish eq 'none';
    $self->{bitmaps}->{$disk} = 1;
    my @granularity = (granularity => 4 << 20);
    if ($is_there && $wish eq 'use') {
        $self->bitmap('disable', $disk, 'main');
        $self->bitmap('add', $disk, 'background', @granularity);
        return 'reuse';
    }
    $self->bitmap('add', $disk, 'main', @granularity);
    return 'new';
}

# What it does when the backup has ended: what has changed since the point in time is marked in any case.
sub end_bitmap {
    my ($self, $disk, $mode, $success) = @_;
    return if $mode ne 'reuse';
    $self->bitmap('clear', $disk, 'main') if $success;
    $self->qmp('block-dirty-bitmap-merge', { node => $disk, target => 'main', bitmaps => ['background'] });
    $self->bitmap('remove', $disk, 'background');
    $self->bitmap('enable', $disk, 'main');
}

# The point in time: filters, fleecing images, and an export for each disk. The guest goes on through `guest-`.
sub begin {
    my ($self, $wishes) = @_;
    my %volumes;
    for my $disk (@{ $self->{disks} }) {
        my $image = "$self->{dir}/$disk.fleece";
        open(my $file, '>', $image) or die $!;
        truncate($file, $SIZE);
        my $fleece = { driver => 'file', filename => $image, discard => 'unmap' };
        $self->blockdev("fleece-$disk", { driver => 'raw', discard => 'unmap', file => $fleece });
        my $mode = $self->begin_bitmap($disk, $wishes->{$disk} // 'none');
        my $main = { node => $disk, name => 'main' };
        # With a bitmap, what it does not mark can only be read in the earlier backup.
        my @changed = $mode eq 'reuse' ? ($main) : ();
        $volumes{$disk} = {
            size => $SIZE, 'bitmap-mode' => $mode, 'nbd-path' => "$self->{dir}/nbd.sock", 'bitmap-name' => 'main',
        };
        $self->blockdev("cbw-$disk", {
            @changed ? (bitmap => $main) : (),
            driver => 'copy-before-write', file => $disk, target => "fleece-$disk",
            'on-cbw-error' => 'break-snapshot', 'cbw-timeout' => 45,
        });
        $self->blockdev("access-$disk", { driver => 'snapshot-access', file => "cbw-$disk", discard => 'unmap' });
        $self->export("guest-$disk", "cbw-$disk");
        $self->export($disk, "access-$disk", @changed);
    }
    $self->{volumes} = \%volumes;
    return \%volumes;
}

sub end {
    my ($self, $success) = @_;
    for my $disk (@{ $self->{disks} }) {
        my @mine = map { "export-$_" } ($disk, "guest-$disk");
        my $left = sub {
            my %exports = map { $_->{id} => 1 } @{ $self->qmp('query-block-exports') };
            return grep { $exports{$_} } @mine;
        };
        $self->qmp('block-export-del', { id => $_, mode => 'hard' }) for $left->();
        for (1 .. 200) {
            last if !$left->();
            select(undef, undef, undef, 0.05);
        }
        $self->qmp('blockdev-del', { 'node-name' => $_ }) for ("access-$disk", "cbw-$disk", "fleece-$disk");
        unlink("$self->{dir}/$disk.fleece");
        $self->end_bitmap($disk, $self->{volumes}->{$disk}->{'bitmap-mode'}, $success);
    }
}

# What the guest does, such as `write -P 7 0 64k`.
sub guest {
    my ($self, $disk, @commands) = @_;
    my $uri = "nbd+unix:///guest-$disk?socket=$self->{dir}/nbd.sock";
    my $tool = $ENV{QEMU_IO} // 'qemu-io';
    system($tool, '-f', 'raw', $uri, map { ('-c', $_) } @commands) == 0 or die "qemu-io failed\n";
}

# Data on all disks, from before the point in time.
sub fill {
    my ($self) = @_;
    for my $disk (@{ $self->{disks} }) {
        $self->export("fill-$disk", $disk);
        my $tool = $ENV{QEMU_IO} // 'qemu-io';
        my $uri = "nbd+unix:///fill-$disk?socket=$self->{dir}/nbd.sock";
        system($tool, '-f', 'raw', $uri, '-c', 'write -P 0x77 0 16M') == 0 or die "qemu-io failed\n";
        $self->qmp('block-export-del', { id => "export-fill-$disk", mode => 'hard' });
    }
    select(undef, undef, undef, 0.2);
}

sub content {
    my ($self, $path) = @_;
    open(my $file, '<:raw', $path) or die "$path: $!";
    local $/;
    return scalar <$file>;
}

sub disk { return $_[0]->content("$_[0]->{dir}/$_[1].raw") }

# Bytes that a fleecing image takes.
sub held { return (stat("$_[0]->{dir}/$_[1].fleece"))[12] * 512 }

sub dump_files {
    my ($self) = @_;
    opendir(my $dir, "$self->{dir}/store/dump") or die $!;
    return sort grep { !/^\./ } readdir($dir);
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    kill('KILL', $self->{pid});
    waitpid($self->{pid}, 0);
}

1;
