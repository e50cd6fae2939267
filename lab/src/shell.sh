
# The only process besides what it is told to run: runs the lines that come in by the second serial port (see
# channel.rs).

# The serial number that the host gave a disk, wherever its driver shows it, without its padding.
serial() {
    {
        cat "$1/serial" "$1/device/serial"
        # SCSI and ATA: page 0x80 after its header of 4 bytes.
        [ -r "$1/device/vpd_pg80" ] && tail -c +5 "$1/device/vpd_pg80"
    } 2>/dev/null | tr -d ' \n'
}

# /dev/disk0, /dev/disk1, ... in the host's order: the kernel's own names depend on what was found first.
link_disks() {
    found=0
    for block in /sys/block/*; do
        name=$(serial "$block")
        case $name in
        disk[0-9]*)
            ln -sf "/dev/${block##*/}" "/dev/$name"
            found=$((found + 1))
            ;;
        esac
    done
    [ "$found" -ge "$disks" ]
}

for word in $(cat /proc/cmdline); do
    case $word in disks=*) disks=${word#disks=} ;; esac
done
stty -F /dev/ttyS1 -echo -isig -ixon -onlcr
exec </dev/ttyS1 >/dev/ttyS1 2>&1
tries=0
until link_disks; do
    tries=$((tries + 1))
    [ "$tries" -gt 500 ] && echo "@@FAILED only $found of $disks disks appeared" && break
    usleep 20000
done
start_agent
echo "@@READY"
# Not `read`: when a job ends meanwhile, it begins anew and forgets what it had.
while line=$(head -n 1) && [ -n "$line" ]; do
    eval "$line" >/tmp/output 2>&1 </dev/null
    status=$?
    cat /tmp/output
    echo "@@END $status"
done
poweroff -f
