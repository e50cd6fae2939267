//! The state of the guest's TPM, as far as it can be that of the instant.

use fleece_fleecing::Tpm;
use fleece_qmp_client::Client;
use fleece_vma_format::MAX_BLOB_SIZE;

use super::lasting::lasting;
use crate::job::archive::content::{Content, TPM_STATE};
use crate::report::Counting;
use crate::report::error::Error;

/// A TPM, and its state before the switch.
#[derive(Debug)]
pub(super) struct TpmState {
    tpm: Tpm,
    before: Vec<u8>,
}

impl TpmState {
    /// Puts the state into the archive as it is before the guest is touched. One that cannot be read is a warning.
    pub(super) fn before(
        client: &Client,
        content: &mut Content,
        reporter: &Counting<'_>,
    ) -> Result<Option<Self>, Error> {
        let Some(tpm) = Tpm::of(client)? else {
            return Ok(None);
        };
        if content.configs.iter().any(|(name, _)| name == TPM_STATE) {
            return Ok(None);
        }
        match tpm.read(MAX_BLOB_SIZE) {
            Ok(before) => {
                reporter.info(format!(
                    "the state of the guest's TPM, which is key material, is in the archive as {TPM_STATE}"
                ));
                content.configs.push((TPM_STATE.to_owned(), before.clone()));
                Ok(Some(Self { tpm, before }))
            }
            Err(error) => {
                let error = Error::from(error).chain();
                reporter.warning(format!(
                    "{error}; the archive is without it, and what the guest has sealed with its TPM (BitLocker, for \
                     example) opens only with a recovery key after a restore"
                ));
                Ok(None)
            }
        }
    }

    /// Reads it again, after the switch: it is that of the instant if it is the same, and else the first that
    /// lasted for a moment, since `swtpm` writes beside QEMU.
    pub(super) fn after(&self, content: &mut Content, reporter: &Counting<'_>) {
        let now = match lasting(&self.before, || self.tpm.read(MAX_BLOB_SIZE)) {
            Ok(now) => now,
            Err(error) => {
                let error = Error::from(error).chain();
                reporter.warning(format!(
                    "{error}; the archive has the state before the switch"
                ));
                return;
            }
        };
        let own = content.configs.iter_mut();
        let own = own.into_iter().find(|(name, _)| name == TPM_STATE);
        match (now, own) {
            (Some(now), Some((_, state))) => *state = now,
            (Some(_), None) => {}
            (None, _) => reporter.warning(
                "the state of the guest's TPM changes all the time; the archive has the state before the switch"
                    .to_owned(),
            ),
        }
    }
}
