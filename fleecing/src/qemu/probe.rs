//! What the QEMU at hand can do.

use fleece_qmp_client::Client;

use crate::error::Error;
use crate::qemu::method::Features;

impl Features {
    /// Asks QEMU's schema.
    pub(crate) fn probe(client: &Client) -> Result<Self, Error> {
        let schema = client
            .schema()
            .map_err(Error::qemu("cannot read QEMU's schema"))?;
        Ok(Self {
            job_on_cbw_error: schema.has_argument("blockdev-backup", &["on-cbw-error"]),
            filter: schema.has_blockdev_option("copy-before-write", "on-cbw-error"),
            snapshot_access: schema.has_blockdev_driver("snapshot-access"),
            reopen: schema.has_command("blockdev-reopen"),
            qom_set: schema.has_command("qom-set"),
            threads_are_safe: client.greeting().version.qemu.major >= 9,
            views_span_clusters: client.greeting().version.qemu.major >= 8,
        })
    }
}
