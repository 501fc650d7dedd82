//! What work of the elastic class pays before each step: units of its tenant's plan, its turn among the elastic work of others, and, where it
//! writes records, patience with a store that has much in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::error::{Code, Error, Result};
use api::service::Placement;

use crate::fair::account::{Account, Limits};
use crate::fair::unit::Units;
use crate::node::platform::Platform;
use crate::node::replica::Replica;

/// How long a step waits for units of the plan, or for the store, before the work says that it cannot go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(5);
/// The part of what a store may have in memory that elastic work leaves for others.
const LEFT: usize = 2;

/// Pays for the steps of one piece of work.
pub(super) struct Toll<'a> {
    platform: &'a Arc<Platform>,
    placement: &'a Placement,
    /// What who is told that there is no time now can do.
    advice: &'static str,
}

impl<'a> Toll<'a> {
    pub(super) fn new(platform: &'a Arc<Platform>, placement: &'a Placement, advice: &'static str) -> Self {
        Self {
            platform,
            placement,
            advice,
        }
    }

    /// Whether others are served, so that steps should be short.
    pub(super) fn is_shared(&self) -> bool {
        self.platform.fair.is_on && self.platform.fair.elastic.rate().is_some()
    }

    /// Pays for a step, and returns when it may be done.
    pub(super) async fn pay(&self, cost: Units) -> Result<()> {
        self.pay_here(cost, cost).await
    }

    /// The same for a step that costs so much in all, and so much of it at this node: the elastic class is that of this node.
    pub(super) async fn pay_here(&self, cost: Units, here: Units) -> Result<()> {
        let fair = &self.platform.fair;
        let (account, limits) = self.platform.account(self.placement);
        if fair.is_on {
            self.within_plan(&account, &limits, Instant::now() + PATIENCE).await?;
            let taken = fair.elastic.take(self.placement.uid, limits.weight, here).await;
            taken.map_err(|_| self.busy("the node has no time for it now"))?;
        }
        account.charge(&limits, cost);
        Ok(())
    }

    /// The same for a step that writes records.
    pub(super) async fn pay_to_write(&self, replica: &Replica, cost: Units) -> Result<()> {
        if self.platform.fair.is_on {
            self.below_limit(replica, Instant::now() + PATIENCE).await?;
        }
        self.pay(cost).await
    }

    /// Waits until the tenant owes nothing: what it does goes on as fast as the plan allows.
    async fn within_plan(&self, account: &Account, limits: &Limits, deadline: Instant) -> Result<()> {
        while let Some(wait) = account.level(limits).empty_for {
            if Instant::now() + wait > deadline {
                let detail = format!("the tenant has used up the request units of its plan {:?}", limits.plan);
                return Err(Error::new(Code::TooManyRequests, detail).retry_after(wait));
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Waits until the store has brought to its file what it has in memory, but for a part.
    async fn below_limit(&self, replica: &Replica, deadline: Instant) -> Result<()> {
        while replica.store.stats().delta_bytes > replica.delta_limit_bytes / LEFT {
            if Instant::now() > deadline {
                return Err(self.busy("the store does not get over what it was given"));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn busy(&self, why: &str) -> Error {
        Error::new(Code::Unavailable, format!("{why}: {}", self.advice)).retry_after(Duration::from_secs(5))
    }
}
