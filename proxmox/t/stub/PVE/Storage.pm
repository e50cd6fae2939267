package PVE::Storage;

# As much of Proxmox's module as the plugin uses, for tests where there is no Proxmox VE.

use strict;
use warnings;

our $VERSION_OF_API = 15;

sub APIVER { return $VERSION_OF_API }

1;
