//! What nodes tell each other of what tenants used, so that a limit is one limit wherever requests go.
//!
//! Several times a second a node tells the other nodes of its region what it charged since. What is lost on the way is lost for the limit
//! alone: nothing else counts on it.

use std::sync::Arc;
use std::time::Duration;

use api::error::Error;
use bytes::Bytes;
use futures_util::future::join_all;
use raft::NodeId;
use serde::{Deserialize, Serialize};

use super::unit::Units;
use crate::machine::envelope::{open, seal};
use crate::node::platform::Platform;
use crate::node::relay::What;

/// Between two tellings. Raised: a tenant gets more than its plan gives, over several nodes, for longer. Lowered: more messages.
const PAUSE: Duration = Duration::from_millis(250);
/// Tenants of one message.
const TENANTS: usize = 20_000;

/// Versions of what is told: thousandths of a unit by tenant.
#[derive(Serialize, Deserialize)]
enum SpendingForm {
    /// The first.
    V1(Vec<(u64, u64)>),
}

/// Tells for as long as the platform is there.
pub(crate) async fn run(platform: Arc<Platform>) {
    if !platform.fair.is_on {
        return;
    }
    loop {
        tokio::time::sleep(PAUSE).await;
        let untold = platform.fair.accounts.take_untold();
        for part in untold.chunks(TENANTS) {
            platform.tell_spending(part).await;
        }
    }
}

impl Platform {
    async fn tell_spending(&self, spent: &[(u64, Units)]) {
        let form = SpendingForm::V1(spent.iter().map(|(tenant, units)| (*tenant, units.0)).collect());
        let payload = Bytes::from(seal(&form));
        let topology = self.topology();
        let others = topology.region_nodes(&self.me.region).into_iter().map(|node| node.number);
        let others = others.filter(|number| *number != self.me.number && self.host.reachable(NodeId(*number)));
        let told = others.map(|number| {
            let payload = payload.clone();
            async move {
                let asked = self.ask(NodeId(number), What::Spending, 0, &payload);
                match tokio::time::timeout(PAUSE, asked).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(Error { detail, .. })) => {
                        tracing::debug!(node = number, detail, "a node was not told what tenants use")
                    }
                    Err(_) => tracing::debug!(node = number, "a node takes long to be told what tenants use"),
                }
            }
        });
        join_all(told).await;
    }

    /// Takes what another node has charged.
    pub(crate) fn hear_spending(&self, payload: &[u8]) -> Result<(), String> {
        let SpendingForm::V1(spent) = open(payload).map_err(|error| error.to_string())?;
        for (tenant, units) in spent {
            // Who has no account here opens a full one when it comes.
            if let Some(account) = self.fair.accounts.known(tenant) {
                account.charge_told(Units(units));
            }
        }
        Ok(())
    }
}
