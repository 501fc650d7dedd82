//! The accounts of all tenants that this node serves.
//!
//! An account is opened with the first request and closed once nothing would be lost without it. What its plan gives is looked up again
//! several times a second, so that a changed plan holds at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::account::{Account, Limits};
use super::unit::Units;

/// For how long what a plan gives is not looked up again. Raised: a changed plan holds later. Lowered: more lookups.
const FRESH: Duration = Duration::from_millis(250);
/// How many accounts there are before idle ones are closed.
const MANY: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Accounts(RwLock<Book>);

#[derive(Debug, Default)]
struct Book {
    accounts: HashMap<u64, Arc<Account>>,
    /// At how many the next closing is due.
    closing_at: usize,
}

impl Accounts {
    /// The account of a tenant, and what its plan gives; `look_up` is asked where that is not known, or was asked long ago.
    pub(crate) fn of(&self, tenant: u64, look_up: impl FnOnce() -> Limits) -> (Arc<Account>, Arc<Limits>) {
        let now = Instant::now();
        if let Some(account) = self.known(tenant) {
            let (limits, at) = account.limits();
            if now.saturating_duration_since(at) < FRESH {
                return (account, limits);
            }
            let fresh = look_up();
            let limits = if fresh == *limits { limits } else { Arc::new(fresh) };
            account.set_limits(Arc::clone(&limits), now);
            return (account, limits);
        }
        let limits = Arc::new(look_up());
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        book.close_idle();
        let opened = || Arc::new(Account::new(Arc::clone(&limits), now));
        let account = Arc::clone(book.accounts.entry(tenant).or_insert_with(opened));
        (account, limits)
    }

    /// The account of a tenant that was served here lately.
    pub(crate) fn known(&self, tenant: u64) -> Option<Arc<Account>> {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        book.accounts.get(&tenant).cloned()
    }

    /// What was charged here and others have not been told yet, by tenant.
    pub(super) fn take_untold(&self) -> Vec<(u64, Units)> {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let untold = book.accounts.iter().map(|(tenant, account)| (*tenant, account.take_untold()));
        untold.filter(|(_, units)| *units > Units::default()).collect()
    }

    /// Connections of all of them.
    pub(super) fn connections(&self) -> usize {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        book.accounts.values().map(|account| account.connections()).sum()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).accounts.len()
    }
}

impl Book {
    /// Closes what nobody would miss, each time that there are twice as many as were left the last time.
    fn close_idle(&mut self) {
        if self.accounts.len() < self.closing_at.max(MANY) {
            return;
        }
        self.accounts
            .retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle());
        self.closing_at = 2 * self.accounts.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Budget;
    use super::*;

    fn limits() -> Limits {
        Limits {
            plan: Arc::from("free"),
            weight: 1,
            budget: Budget { rate: 100, burst: 100 },
            at_once: 1,
            connections: 10,
            records: None,
            followers: 1,
            storage_bytes: 1,
        }
    }

    #[test]
    fn idle_accounts_are_closed_and_others_are_kept() {
        let accounts = Accounts::default();
        let (busy, of_plan) = accounts.of(7, limits);
        busy.charge(&of_plan, Units::whole(1_000_000));
        drop(busy);
        for tenant in 100..100 + 3 * MANY as u64 {
            accounts.of(tenant, limits);
        }
        assert!(accounts.len() <= 2 * MANY, "{} accounts", accounts.len());
        assert!(accounts.known(7).is_some(), "who owes is not forgotten");
    }

    #[test]
    fn each_charge_is_told_once() {
        let accounts = Accounts::default();
        let (account, of_plan) = accounts.of(7, limits);
        account.charge(&of_plan, Units::whole(2));
        assert_eq!(accounts.take_untold(), [(7, Units::whole(2))]);
        assert!(accounts.take_untold().is_empty());
    }
}
