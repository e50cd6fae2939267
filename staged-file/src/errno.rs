//! What the errors of file systems mean, above all of those on a network, and what can be done.

use std::error::Error;
use std::io;

#[cfg(unix)]
use rustix::io::Errno;

/// The meaning of the system's error among an error and its causes, with the next step; `None` where the system's
/// own words say enough.
#[must_use]
pub fn meaning(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let found = match error.get_ref() {
                // What one wraps is not among its sources.
                Some(within) => meaning(within),
                None => error.raw_os_error().and_then(words),
            };
            if found.is_some() {
                return found;
            }
        }
        cause = error.source();
    }
    None
}

#[cfg(unix)]
fn words(number: i32) -> Option<&'static str> {
    Some(match Errno::from_raw_os_error(number) {
        Errno::NOLCK => {
            "the file system gives no locks: on NFS, start its lock service (rpc.statd) here and on the server, or \
             mount it with nolock if no other host uses it"
        }
        Errno::STALE => {
            "it was removed on the server, or the server exports another file system now: unmount and mount it again"
        }
        Errno::DQUOT => "the quota is used up: free space there, or have the quota raised",
        Errno::ROFS => {
            "it is mounted read-only, perhaps since an error: look at the kernel's log, then remount it"
        }
        Errno::REMOTEIO => "the server, or the device behind it, fails: look at its log",
        Errno::NOTCONN => {
            "the program or server behind it has ended: start it again, or unmount and mount it again"
        }
        Errno::SHUTDOWN => "its connection is shut down: unmount and mount it again",
        Errno::TIMEDOUT => "the server does not answer: check the network and the server",
        Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETDOWN => {
            "the server cannot be reached: check the network, and whether it runs"
        }
        Errno::KEYEXPIRED | Errno::KEYREJECTED | Errno::NOKEY => {
            "the server wants a valid key: renew the Kerberos ticket (kinit)"
        }
        Errno::IO => "the device, or the server behind it, fails: look at the kernel's log",
        _ => return None,
    })
}

/// Windows says enough.
#[cfg(not(unix))]
const fn words(_number: i32) -> Option<&'static str> {
    None
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_networks_and_quotas_have_words_of_their_own_and_a_next_step() {
        let all = [
            Errno::NOLCK,
            Errno::STALE,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::REMOTEIO,
            Errno::NOTCONN,
            Errno::SHUTDOWN,
            Errno::TIMEDOUT,
            Errno::HOSTDOWN,
            Errno::KEYEXPIRED,
            Errno::IO,
        ];
        let mut told: Vec<&str> = Vec::new();
        for errno in all {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            let words = meaning(&error).unwrap();
            assert!(words.contains(": ") && !told.contains(&words), "{words}");
            // However deep it lies.
            let wrapped = io::Error::other(io::Error::other(error));
            assert_eq!(meaning(&wrapped), Some(words));
            told.push(words);
        }
        assert_eq!(meaning(&io::Error::from(io::ErrorKind::NotFound)), None);
        let plain = io::Error::from_raw_os_error(Errno::NOENT.raw_os_error());
        assert_eq!(meaning(&plain), None);
    }
}
