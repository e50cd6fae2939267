//! Lists of digests, signed: a file is checked by somebody who cannot read it (`docs/ENCRYPTION.md` has the format).

pub(crate) mod check;
pub(crate) mod keys;
mod list;
mod sshsig;

pub use check::{Checked, check};
pub use keys::{SigningKey, VerifyingKeys};
pub use list::{PIECE, Signer, beside};
