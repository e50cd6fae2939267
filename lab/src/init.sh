#!/bin/busybox sh
# The guest's first process: sets up the system. What follows depends on what the guest is for.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
    insmod "$module" || echo "cannot load $module"
done

# QEMU's guest agent, where it was packed; its port goes by name.
start_agent() {
    for port in /sys/class/virtio-ports/*; do
        [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ] &&
            LD_LIBRARY_PATH=/lib64 qemu-ga -t /run -m virtio-serial -p "/dev/${port##*/}" \
                >/tmp/agent 2>&1 </dev/null &
    done
}
