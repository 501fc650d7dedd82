//! Admission, as the tests want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::body::usage::{Usage, UsageLimits, UsedStorage, UsedUnits};
use api::error::{Code, Error, Result};
use api::ids::Slug;
use api::service::{Admission, Admitted, Budget, Counted, Following, Kind, RequestContext};
use async_trait::async_trait;

use super::Memory;

/// What a request was, and how long its reply: noted when it is over.
struct Let(Arc<AtomicU64>, u64);

impl Admitted for Let {
    fn budget(&self) -> Option<Budget> {
        Some(Budget {
            quota: 600,
            window: Duration::from_secs(60),
            left: 590,
            full_in: Duration::from_millis(1_500),
        })
    }

    fn answered(&mut self, bytes: u64) {
        self.1 = bytes;
    }
}

impl Drop for Let {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::Relaxed);
    }
}

/// A place among the followers that there may be.
struct Follower(Arc<AtomicU64>);

impl Following for Follower {}

impl Counted for Follower {}

fn crowded() -> Error {
    Error::new(Code::TooManyRequests, "too many connections").retry_after(Duration::from_secs(1))
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Admission for Memory {
    async fn admit(&self, _: &RequestContext, kind: Kind) -> Result<Box<dyn Admitted>> {
        self.admissions.lock().expect("no panic").push(kind);
        if kind != Kind::Free && self.spent.load(Ordering::Relaxed) {
            return Err(Error::new(Code::TooManyRequests, "used up").retry_after(Duration::from_secs(3)));
        }
        Ok(Box::new(Let(Arc::clone(&self.answered), 0)))
    }

    fn follow(&self, _: &RequestContext) -> Result<Box<dyn Following>> {
        let taken = self
            .followers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match taken {
            Ok(_) => Ok(Box::new(Follower(Arc::clone(&self.followers)))),
            Err(_) => Err(Error::new(Code::TooManyRequests, "too many followers").retry_after(Duration::from_secs(1))),
        }
    }

    fn may_connect(&self, _: &Slug) -> Result<()> {
        match self.connections.load(Ordering::Relaxed) {
            0 => Err(crowded()),
            _ => Ok(()),
        }
    }

    fn connected(&self, _: &Slug) -> Result<Option<Box<dyn Counted>>> {
        let taken = self
            .connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.map_err(|_| crowded())?;
        Ok(Some(Box::new(Follower(Arc::clone(&self.connections)))))
    }

    async fn usage(&self, _: &RequestContext) -> Result<Usage> {
        Ok(Usage {
            plan: "free".into(),
            limits: UsageLimits {
                units_per_second: 10,
                burst_units: 600,
                weight: 1,
                requests_at_once: 32,
                event_streams: 100,
                connections: 1_000,
                records: None,
                storage_bytes: 1 << 30,
            },
            units: UsedUnits {
                left: 590,
                used: 10.5,
                used_elsewhere: 0.0,
            },
            requests: 3,
            refused: 0,
            requests_at_once: 1,
            event_streams: 0,
            connections: 1,
            stored: UsedStorage {
                records: Some(3),
                records_bytes: Some(900),
                versions_bytes: Some(100),
                files_bytes: 0,
            },
            counted_seconds: 60,
        })
    }
}
