#!/usr/bin/perl

# Calls the provider as Proxmox VE does, in the same order, with a storage daemon in the place of the guest's QEMU.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/stub", "$FindBin::Bin/../lib", $FindBin::Bin;

use POSIX ();
use Test::More;

use Host;
use PVE::Storage::Custom::FleecePlugin;

my $PLUGIN = 'PVE::Storage::Custom::FleecePlugin';
my $CONFIG = "name: web\nmemory: 512\nscsi0: lvm:vm-100-disk-0,size=16M\nvirtio1: lvm:vm-100-disk-1,size=16M\n";
my $RULES = "[OPTIONS]\n\nenable: 1\n";
my @DISKS = qw(drive-scsi0 drive-virtio1);

my $PATH = $ENV{PATH};
# Programs that this machine may have installed are not what is tested.
@PVE::BackupProvider::Fleece::Process::FOLDERS = ();
my @log;

sub provider {
    my ($host, %scfg) = @_;
    @log = ();
    $ENV{PATH} = "$host->{dir}/bin:$PATH";
    my $scfg = { type => 'fleece', path => "$host->{dir}/store", %scfg };
    return $PLUGIN->new_backup_provider($scfg, 'nightly', sub { push @log, "$_[0]: $_[1]" });
}

# One guest's part of a backup job. `meanwhile` happens at the point in time, `before` before it is read.
sub backup {
    my ($host, $provider, $time, %do) = @_;
    $provider->job_init($time);
    my $name = $provider->backup_init(100, 'qemu', $time)->{'archive-name'};
    is($provider->backup_get_mechanism(100, 'qemu'), 'nbd', 'disks come over NBD');
    my $use = $provider->backup_vm_query_incremental(100, { map { $_ => { size => $Host::SIZE } } @DISKS });
    my $volumes = $host->begin($use);
    my %then = map { $_ => $host->disk($_) } @DISKS;
    $do{meanwhile}->() if $do{meanwhile};
    my $info = { 'firewall-config' => $RULES, %{ $do{info} // {} } };
    my $ok = eval { $provider->backup_vm(100, $CONFIG, $volumes, $info); 1 };
    my $error = $ok ? undef : $@;
    my %held = map { $_ => $host->held($_) } @DISKS;
    eval { $host->end($ok); 1 } or diag($@);
    my $result = $provider->backup_cleanup(100, 'qemu', $ok, $error ? { error => $error } : {});
    my $log = "$host->{dir}/task.log";
    PVE::BackupProvider::Plugin::Fleece::write_file($log, "INFO: all of the task\n");
    $provider->backup_handle_log_file(100, $log);
    $provider->job_cleanup();
    my %mode = map { $_ => $volumes->{$_}->{'bitmap-mode'} } @DISKS;
    return { name => $name, then => \%then, error => $error, held => \%held, result => $result, mode => \%mode };
}

sub all { my ($mode) = @_; return { map { $_ => $mode } @DISKS } }

# All of a restore; returns the disks.
sub restore {
    my ($host, $provider, $name) = @_;
    my $volname = "backup/$name";
    is_deeply([$provider->restore_get_mechanism($volname)], ['qemu-img', 'qemu'], 'restored by qemu-img');
    is($provider->archive_get_guest_config($volname), $CONFIG, 'the configuration comes back as it was');
    is($provider->archive_get_firewall_config($volname), $RULES, 'and so do the firewall rules');
    my $sizes = $provider->restore_vm_init($volname);
    is_deeply($sizes, { map { $_ => { size => $Host::SIZE } } @DISKS }, 'the archive has the disks');
    my %disks;
    for my $device (sort keys %$sizes) {
        my $from = $provider->restore_vm_volume_init($volname, $device, {})->{'qemu-img-path'};
        my $to = "$host->{dir}/restored-$device.raw";
        my $tool = $ENV{QEMU_IMG} // 'qemu-img';
        is(system($tool, 'convert', '-f', 'raw', '-O', 'raw', $from, $to), 0, "qemu-img reads $device");
        $provider->restore_vm_volume_cleanup($volname, $device, {});
        $disks{$device} = $host->content($to);
    }
    $provider->restore_vm_cleanup($volname);
    return \%disks;
}

subtest 'the classes are what Proxmox VE loads' => sub {
    is($PLUGIN->api(), 15, 'the newest version that is known');
    { local $PVE::Storage::VERSION_OF_API = 11; is($PLUGIN->api(), 11, 'or that of an older host') }
    { local $PVE::Storage::VERSION_OF_API = 10; ok(!eval { $PLUGIN->api() }, 'but none without providers') }
    ok($PLUGIN->plugindata()->{features}->{'backup-provider'}, 'it is a provider');
    ok($PLUGIN->options()->{path}->{fixed}, 'a storage has a path');
    for my $method (@PVE::BackupProvider::Plugin::Base::METHODS) {
        no strict 'refs';
        ok(defined &{"PVE::BackupProvider::Plugin::Fleece::$method"}, $method);
    }
};

subtest 'a guest is backed up at the point in time while it writes, and restored' => sub {
    my $host = Host->new(@DISKS);
    my $provider = provider($host, 'fleece-zstd' => 3);
    for my $night (1, 2) {
        my $done = backup($host, $provider, 1_790_000_000 + $night * 86_400, meanwhile => sub {
            $host->guest($_, "write -P $night 0 8M", "write -P 0xf$night 12M 64k", 'discard 9M 1M') for @DISKS;
        });
        is($done->{error}, undef, 'it succeeds');
        is_deeply($done->{mode}, all($night == 1 ? 'new' : 'reuse'), 'the bitmaps are used from the second night on');
        like($done->{name}, qr/^vzdump-qemu-100-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d\.vma\.zst$/, 'named as vzdump does');
        my $size = -s "$host->{dir}/store/dump/$done->{name}";
        is($done->{result}->{stats}->{'archive-size'}, $size, 'its size is told');
        ok($_ <= 256 << 10, 'what was read is freed in the fleecing images') for values %{ $done->{held} };
        ok((grep { /^info: include disk 'drive-scsi0'/ } @log), 'the task log says what is done');
        my $disks = restore($host, $provider, $done->{name});
        ok($disks->{$_} eq $done->{then}->{$_}, "$_ is what it was") for @DISKS;
        ok($disks->{$_} ne $host->disk($_), "$_ has changed since") for @DISKS;
    }
    my @files = $host->dump_files();
    is(scalar(@files), 6, 'two archives, their logs and what they were like') or diag("@files");
    my ($first) = grep { /zst$/ } @files;
    $PLUGIN->free_image('nightly', { path => "$host->{dir}/store" }, "backup/$first");
    is(scalar(grep { /zst/ } $host->dump_files()), 1, 'one is removed, with what Fleece wrote beside it');
};

subtest 'only what has changed is read, and what is not known to have stayed is read in full' => sub {
    my $host = Host->new(@DISKS);
    my $provider = provider($host);
    my $time = 1_790_000_000;
    $host->fill();
    my $night = sub {
        my ($mode, %do) = @_;
        my $done = backup($host, $provider, $time += 86_400, %do);
        is_deeply($done->{mode}, all($mode), "$mode it is");
        return $done if $done->{error};
        my $disks = restore($host, $provider, $done->{name});
        ok($disks->{$_} eq $done->{then}->{$_}, "$_ is what it was") for @DISKS;
        return $done;
    };
    my $write = sub {
        my ($byte, $at) = @_;
        return (meanwhile => sub { $host->guest($_, "write -P $byte $at 64k") for @DISKS });
    };
    $night->('new', $write->(7, '5M'));
    # What was written while the first was read is in the second.
    $night->('reuse', $write->(8, '13M'));
    my ($read) = map { /read of the guest: (\S+ \S+); taken/ ? $1 : () } @log;
    # The mark of one write is 4 MiB.
    is($read, '8.00 MiB', 'one mark of 4 MiB on each of two disks');
    # Nothing has changed but that.
    $night->('reuse');
    ok((grep { /it is taken over unread/ } @log), 'an archive that was read in full lately is not read');

    # One that fails keeps the marks, and nobody relies on them.
    my $failed = $night->('reuse', meanwhile => sub {
        $host->qmp('block-export-del', { id => 'export-drive-virtio1', mode => 'hard' });
    });
    like($failed->{error}, qr/drive-virtio1/, 'an export that is not there');
    my $full = $night->('new', $write->(9, '1M'));
    is($full->{error}, undef, 'the next reads everything');
    my $next = $night->('reuse');

    # The archive is gone, or is another guest's.
    unlink("$host->{dir}/store/dump/$next->{name}");
    my $again = $night->('new');
    my $record = "$host->{dir}/store/dump/.fleece-nightly-100.json";
    my $base = PVE::BackupProvider::Plugin::Fleece::read_file($record);
    (my $other = $base) =~ s/"identity":"[^"]*"/"identity":"another"/;
    PVE::BackupProvider::Plugin::Fleece::write_file($record, $other);
    like($night->('reuse')->{error}, qr/count against no archive/, 'the record of another guest');
    $night->('new');

    # The archive that the bitmaps count against is damaged.
    my $last = $night->('reuse');
    my $path = "$host->{dir}/store/dump/$last->{name}";
    truncate($path, 4096);
    like($night->('reuse')->{error}, qr/\Q$last->{name}\E/, 'a damaged archive is named');
    is($night->('new')->{error}, undef, 'and the next reads everything');

    # The task was killed before it was known whether Proxmox has cleared the bitmaps.
    unlink($record);
    $night->('new');
};

subtest 'what fails leaves no archive, and says why' => sub {
    my $host = Host->new(@DISKS);
    my $provider = provider($host);
    my $gone = backup($host, $provider, 1_790_000_000, meanwhile => sub {
        $host->qmp('block-export-del', { id => 'export-drive-virtio1', mode => 'hard' });
    });
    like($gone->{error}, qr/drive-virtio1/, 'an export that is not there');
    my $none = eval { $provider->backup_vm(100, $CONFIG, {}, {}); 1 };
    ok(!$none, 'no disk at all');
    is_deeply([grep { /vma/ } $host->dump_files()], [], 'nothing is left');

    rename("$host->{dir}/store/dump", "$host->{dir}/store/away");
    my $nowhere = backup($host, $provider, 1_790_000_001);
    like($nowhere->{error}, qr/dump/, 'a directory that is not there');
    is_deeply($nowhere->{result}, {}, 'and no size');
    rename("$host->{dir}/store/away", "$host->{dir}/store/dump");

    {
        local $ENV{PATH} = '/nonexistent';
        my $missing = eval { $provider->backup_vm(100, $CONFIG, { a => { 'nbd-path' => '/x', size => 1 } }, {}); 1 };
        ok(!$missing, 'Fleece is not installed');
        like($@, qr/cannot start fleece/, 'which is what it says');
    }
    {
        my $folder = File::Temp->newdir();
        symlink('/bin/echo', "$folder/vma");
        local @PVE::BackupProvider::Fleece::Process::FOLDERS = ($folder);
        is(PVE::BackupProvider::Fleece::Process::output('vma', 'list'), "list\n", 'a vma of ours goes before others');
    }
    for my $call (
        sub { $provider->backup_init(101, 'lxc', 1) },
        sub { $provider->backup_container_prepare(101, {}) },
        sub { $provider->backup_container(101, '', {}, {}) },
        sub { $provider->restore_container_init('backup/x', 'x', {}) },
    ) {
        ok(!eval { $call->(); 1 }, 'containers are refused');
        like($@, qr/container/, 'as such');
    }
    for my $call (qw(archive_get_guest_config archive_get_firewall_config restore_vm_init)) {
        ok(!eval { $provider->$call('backup/vzdump-qemu-1-2026_01_01-00_00_00.vma.zst'); 1 }, "$call of no archive");
    }
};

subtest 'a task that is stopped ends its backup in order' => sub {
    my $host = Host->new(@DISKS);
    my $provider = provider($host);
    $host->fill();
    local $SIG{ALRM} = sub { kill('TERM', $$) };
    my $began = time();
    my $stopped = backup($host, $provider, 1_790_000_000,
        info => { 'bandwidth-limit' => 1 << 20 },
        # 32 MiB at 1 MiB a second: it has not ended when the signal comes.
        meanwhile => sub { alarm(2) });
    alarm(0);
    like($stopped->{error}, qr/interrupted by signal/, 'the task ends by the signal');
    ok(time() - $began < 15, 'soon');
    is_deeply([grep { /vma/ } $host->dump_files()], [], 'and nothing is left');
    is(waitpid(-1, POSIX::WNOHANG()), 0, 'no program of ours has gone without being waited for');
};

done_testing();
