//! What has changed on a served disk since an archive of it, kept while the server runs and across its clean end.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cbw::Filter;

/// The account of one disk. Without an archive that it counts against it says nothing.
#[derive(Debug)]
pub(super) struct Account {
    filter: Arc<Filter>,
    since: Mutex<Option<String>>,
}

/// What an account was at one time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Balance {
    /// The archive's uuid, in hexadecimal digits.
    pub(super) since: String,
    /// The clusters that have changed since, as [`Changes`](crate::cbw::changes::Changes) has them.
    pub(super) marked: Vec<u64>,
}

impl Account {
    pub(super) fn new(filter: Arc<Filter>) -> Self {
        Self {
            filter,
            since: Mutex::default(),
        }
    }

    /// Goes on from where an earlier server has ended. What was marked meanwhile counts, too.
    pub(super) fn resume(&self, balance: &Balance) {
        self.filter.changes().add(&balance.marked);
        self.set(Some(balance.since.clone()));
    }

    /// Counts against another archive, or none, from the next mark on.
    fn set(&self, since: Option<String>) -> Option<String> {
        let mut known = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut known, since)
    }

    /// All of it, when nobody uses the disk any more.
    pub(super) fn balance(&self) -> Option<Balance> {
        let since = self.set(None)?;
        let marked = self.filter.changes().marked();
        Some(Balance { since, marked })
    }
}

/// The accounts of all disks as of the instant of an archive that is being made. If that is not completed, they go on as
/// if nothing had been.
#[derive(Debug)]
pub(super) struct Closed {
    new: String,
    accounts: Vec<(Arc<Account>, Option<String>, Vec<u64>)>,
}

impl Closed {
    /// Takes what was marked of each disk before the instant of the archive `new`.
    pub(super) fn at(new: String, accounts: Vec<(Arc<Account>, Vec<u64>)>) -> Self {
        let close = |(account, marked): (Arc<Account>, _)| {
            let since = account.set(None);
            (account, since, marked)
        };
        Self {
            new,
            accounts: accounts.into_iter().map(close).collect(),
        }
    }

    /// What had changed of a disk, and since which archive.
    pub(super) fn balance(&self, disk: usize) -> Option<Balance> {
        let (_, since, marked) = self.accounts.get(disk)?;
        Some(Balance {
            since: since.clone()?,
            marked: marked.clone(),
        })
    }

    /// The new archive is complete: what has changed since counts against it.
    pub(super) fn complete(mut self) {
        for (account, ..) in self.accounts.drain(..) {
            account.set(Some(self.new.clone()));
        }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        for (account, since, marked) in self.accounts.drain(..) {
            account.filter.changes().add(&marked);
            account.set(since);
        }
    }
}
