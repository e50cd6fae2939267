//! A limit for the bytes that the requests of one connection hold at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A number of bytes to be lent out.
#[derive(Debug)]
pub(super) struct Budget {
    free: Mutex<u64>,
    returned: Condvar,
}

/// Borrowed bytes; they go back when this is dropped.
#[derive(Debug)]
pub(super) struct Loan<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            free: Mutex::new(bytes),
            returned: Condvar::new(),
        }
    }

    /// Waits until `bytes`, which must not be more than there ever are, can be lent.
    pub(super) fn borrow(&self, bytes: u64) -> Loan<'_> {
        let mut free = self.free();
        while *free < bytes {
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free = free.saturating_sub(bytes);
        Loan {
            budget: self,
            bytes,
        }
    }

    fn free(&self) -> MutexGuard<'_, u64> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut free = self.budget.free();
        *free = free.saturating_add(self.bytes);
        self.budget.returned.notify_one();
    }
}
