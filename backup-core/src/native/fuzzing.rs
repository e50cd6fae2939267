//! What fuzz targets call.

use crate::native::account_file;
use crate::native::control::{Reply, Request, receive, send};

/// What a client, or a server, says on a control socket.
///
/// # Panics
///
/// If a message is not the same after it was sent on.
pub fn control_messages(data: &[u8]) {
    messages::<Request>(data);
    messages::<Reply>(data);
}

/// The file of an account of changes.
pub fn account(data: &[u8]) {
    account_file::is_account(data);
}

fn messages<T: serde::Serialize + serde::de::DeserializeOwned>(mut data: &[u8]) {
    while let Ok(Some(message)) = receive::<T>(&mut data) {
        let mut sent = Vec::new();
        let mut again = Vec::new();
        // A message that was received can be sent: there is nothing in it that JSON lacks.
        assert!(send(&mut sent, &message).is_ok());
        if let Ok(Some(received)) = receive::<T>(&mut sent.as_slice()) {
            assert!(send(&mut again, &received).is_ok());
            assert_eq!(sent, again);
        }
    }
}
