package PVE::BackupProvider::Fleece::Process;

# Programs that a backup provider runs. They are ended in order when the task is: Fleece removes what it has begun when
# it gets SIGTERM, and could not after SIGKILL.

use strict;
use warnings;

use Exporter qw(import);
use POSIX ();

our @EXPORT_OK = qw(run output start stop);

# Where the programs are looked for first: Proxmox's daemons search the system's folders only, and Proxmox's own `vma` is in
# one of them.
our @FOLDERS = ('/usr/local/bin', '/usr/lib/fleece');

# The programs' exit code when all is done and there were warnings.
use constant WARNINGS => 3;

# Runs a program, and passes on each line of its standard error to `log` (level, line).
sub run {
    my ($log, @command) = @_;
    my ($process, $lines) = spawn('STDERR', @command);
    my $last = '';
    my $status = supervised($process, sub {
        while (my $line = <$lines>) {
            chomp $line;
            my ($level, $text) = $line =~ m/^(INFO|WARN|ERROR): ?(.*)$/ ? ($1, $2) : ('INFO', $line);
            $last = $text if $level eq 'ERROR';
            $log->({ INFO => 'info', WARN => 'warn', ERROR => 'err' }->{$level}, $text);
        }
    });
    die($last ne '' ? "$last\n" : failure($status, @command)) if $status != 0 && $status != WARNINGS << 8;
    return;
}

# Runs a program, and returns its standard output.
sub output {
    my (@command) = @_;
    my ($process, $lines) = spawn('STDOUT', @command);
    my $text = '';
    my $status = supervised($process, sub { local $/; $text = <$lines> // '' });
    die failure($status, @command) if $status != 0;
    return $text;
}

# Starts a program that goes on after it has printed so many lines; returns it and them.
sub start {
    my ($count, @command) = @_;
    my ($process, $lines) = spawn('STDOUT', @command);
    my @printed;
    my $ok = eval {
        while (@printed < $count && defined(my $line = <$lines>)) {
            chomp $line;
            push @printed, $line;
        }
        1;
    };
    my $error = $@;
    if (!$ok || @printed < $count) {
        my $status = stop($process);
        die($ok ? failure($status, @command) : $error);
    }
    return ($process, @printed);
}

# Ends a program in order; returns its status.
sub stop {
    my ($process) = @_;
    kill('TERM', $process);
    waitpid($process, 0);
    return $?;
}

# Waits for what `read` reads and then for the program. If that is interrupted, the program ends first.
sub supervised {
    my ($process, $read) = @_;
    my $ok = eval {
        local $SIG{INT} = local $SIG{TERM} = local $SIG{HUP} = local $SIG{QUIT} =
            sub { die "interrupted by signal\n" };
        $read->();
        waitpid($process, 0);
        1;
    };
    return $? if $ok;
    my $error = $@;
    stop($process);
    die $error;
}

# Starts a program of which one stream is read.
sub spawn {
    my ($stream, @command) = @_;
    pipe(my $read, my $write) or die "cannot make a pipe: $!\n";
    my $process = fork() // die "cannot start $command[0]: $!\n";
    if ($process == 0) {
        # Signals to the task's group are ours to pass on, when we know of them.
        setpgrp(0, 0);
        my $fd = { STDOUT => 1, STDERR => 2 }->{$stream};
        POSIX::dup2(fileno($write), $fd);
        $ENV{PATH} = join(':', @FOLDERS, $ENV{PATH} // ());
        if (!exec { $command[0] } @command) {
            print {*STDERR} "ERROR: cannot start $command[0]: $!\n";
            POSIX::_exit(127);
        }
    }
    close($write);
    return ($process, $read);
}

sub failure {
    my ($status, @command) = @_;
    my $how = $status & 127 ? 'was ended by signal ' . ($status & 127) : 'failed with exit code ' . ($status >> 8);
    return "'$command[0] $command[1]' $how\n";
}

1;
