//! Fairness: no tenant can hurt another.
//!
//! What a tenant asks for is paid for in request units ([`unit`]), after the fact, by what it cost. Three things keep tenants apart, all on
//! the node that serves the request:
//!
//! ```text
//!   request ─► gate ─► account: plan's budget, places     429 where the tenant has used up what its plan gives it
//!                        │
//!                        ▼
//!                      turns: deficit round robin          503 where nobody could serve it in time
//!                        │        ▲
//!                        ▼        │ room for more than a share
//!              decide, log, query │
//!                        │        │
//!                        └─ delays ─► governor             what interactive work has to wait for
//!                                       │
//!                                       ▼ rate
//!   import, export, rebuild ───────► elastic: deficit round robin, on threads of the lowest priority
//! ```
//!
//! - **Accounts** ([`account`]) hold a bucket of units a tenant, filled as fast as its plan says. A bucket is charged when the cost is known and
//!   may go below zero: then the next request hears 429 and when to come back. Nodes of a cell tell each other what they charged, several
//!   times a second, so that a limit is one limit wherever requests go ([`spending`]).
//! - **Turns** ([`turns`]) bound what is under way in a cell on a node, so that a cell that stands still holds up no other. While there is room a request passes at once. Each tenant has a share of
//!   places that nobody else can take; what it wants beyond passes only while interactive work does not wait (the governor says how
//!   much), and what waits is drained by deficit round robin with the weights of plans.
//! - **The elastic class** ([`elastic`]) is work that nobody waits for within a second: imports, archives, rebuilds. It takes what the
//!   interactive class leaves: its rate falls quickly where interactive work begins to wait, and rises slowly where it does not. It computes on threads
//!   of their own, to which the kernel gives the lowest priority.
//!
//! Deficit round robin: Shreedhar and Varghese, "Efficient Fair Queueing using Deficit Round Robin", SIGCOMM 1995. A rate that follows the delay
//! of the other class is what CockroachDB does for its elastic work (admission control, "elastic CPU"); multiplicative decrease and slow
//! increase are those of TCP.

pub(crate) mod account;
pub(crate) mod accounts;
pub(crate) mod bucket;
pub(crate) mod delays;
pub(crate) mod elastic;
pub(crate) mod governor;
mod kept;
mod metrics;
pub(crate) mod spending;
pub(crate) mod threads;
pub(crate) mod turns;
pub(crate) mod unit;
mod usual;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::accounts::Accounts;
use self::delays::Delays;
use self::elastic::Elastic;
use self::threads::Threads;
use self::turns::Turns;

/// What was refused since the node began, of all tenants together.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    connections: AtomicU64,
    writes: AtomicU64,
}

impl Refused {
    /// A connection beyond those of a plan.
    pub(crate) fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A write beyond what a plan stores.
    pub(crate) fn write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The scheduler of one node.
pub(crate) struct Fair {
    /// What tenants may use and have used.
    pub(crate) accounts: Accounts,
    /// Queries that take longer than a glance, each on one of the threads below.
    pub(crate) queries: Arc<Turns>,
    /// The same for searches.
    pub(crate) searches: Arc<Turns>,
    /// Large documents that are put together. What that takes is not known before, and cannot be cut short.
    pub(crate) documents: Arc<Turns>,
    /// Threads for long queries and searches.
    pub(crate) query_threads: Threads,
    /// Work that nobody waits for.
    pub(crate) elastic: Elastic,
    /// How long interactive work waits.
    pub(crate) delays: Arc<Delays>,
    /// What was refused because a plan does not give more.
    pub(crate) refused: Refused,
    /// Whether it schedules at all: switched off by the configuration, for measurements only.
    pub(crate) is_on: bool,
}

impl Fair {
    /// A scheduler for this machine. Fails where its threads cannot be started.
    pub(crate) fn new(is_on: bool) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let delays = Arc::new(Delays::default());
        Ok(Self {
            accounts: Accounts::default(),
            queries: Turns::new(cores, turns::PATIENCE),
            searches: Turns::new(cores, turns::PATIENCE),
            documents: Turns::of_shares(cores.max(2), turns::PATIENCE),
            query_threads: Threads::start("query", 1, is_on)?,
            elastic: Elastic::start(is_on)?,
            delays,
            refused: Refused::default(),
            is_on,
        })
    }
}
