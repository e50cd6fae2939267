//! What this host is called.

use std::fs;

/// Its name, without the domain.
#[must_use]
pub fn node() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().split('.').next().unwrap_or_default();
    match name {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of the Proxmox cluster that it is in, else `standalone node`.
#[must_use]
pub fn cluster() -> String {
    let config = fs::read_to_string("/etc/pve/corosync.conf").unwrap_or_default();
    cluster_of(&config).unwrap_or("standalone node").to_owned()
}

fn cluster_of(config: &str) -> Option<&str> {
    let mut lines = config.lines();
    let name = lines.find_map(|line| line.trim().strip_prefix("cluster_name:"))?;
    Some(name.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_named_in_corosyncs_configuration() {
        let config = "totem {\n  cluster_name: lab\n  version: 2\n}\n";
        assert_eq!(cluster_of(config), Some("lab"));
        assert_eq!(cluster_of(""), None);
        assert!(!node().is_empty());
    }
}
