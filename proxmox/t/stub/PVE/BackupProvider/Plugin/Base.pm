package PVE::BackupProvider::Plugin::Base;

# Proxmox's class dies in every method. Which there are is what matters: a provider must have them all.

use strict;
use warnings;

our @METHODS = qw(
    new provider_name job_init job_cleanup backup_init backup_cleanup backup_get_mechanism backup_handle_log_file
    backup_vm_query_incremental backup_vm backup_container_prepare backup_container restore_get_mechanism
    archive_get_guest_config archive_get_firewall_config restore_vm_init restore_vm_cleanup restore_vm_volume_init
    restore_vm_volume_cleanup restore_container_init restore_container_cleanup
);

1;
