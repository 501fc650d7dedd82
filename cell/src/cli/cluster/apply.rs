//! `cluster apply`: makes the cluster what the configuration says.

use std::time::Duration;

use anyhow::anyhow;
use api::body::topology::NewTopology;
use clap::Args;
use tokio::time::sleep;

use super::super::{Failure, Result, output};
use super::plan::{differences, print, wanted};
use super::target::{Target, cluster};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// Make the cluster what the configuration says
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster apply                      bring ./cluster.toml about and wait for it\n  cloudnest cluster apply --config new.toml --no-wait\n  cloudnest cluster apply --cancel             call off what is under way; what was done stays\n\nThe cluster goes on with it by itself, whatever becomes of this command. Applied twice, there is nothing to do. What would lose data or a quorum is refused before anything is changed."
)]
pub(crate) struct Apply {
    #[command(flatten)]
    target: Target,
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    /// Call off the apply that is under way
    #[arg(long, conflicts_with = "no_wait")]
    cancel: bool,
}

impl Apply {
    pub(crate) async fn run(self) -> Result {
        let config = self.target.config()?;
        let remote = self.target.remote(&config)?;
        let client = remote.client()?;
        if self.cancel {
            let ended = client.cluster_cancel().await;
            let ended = ended.map_err(|error| remote.failure("call the apply off", error))?;
            return output::line(&format!("called off: operation {}; what was done stays", ended.id));
        }
        let now = cluster(&client, &remote).await?;
        let wanted = wanted(&now, &config.topology)?;
        let resumed = now.applying.as_ref().filter(|applying| applying.wanted == wanted);
        let operation = match resumed {
            Some(applying) => {
                output::line(&format!("it is under way already: operation {}", applying.operation))?;
                applying.operation
            }
            None => {
                print(&differences(&now, &config.topology)?)?;
                let new = NewTopology {
                    after: now.version,
                    topology: wanted,
                };
                let begun = client.cluster_apply(&new).await;
                match begun.map_err(|error| remote.failure("apply", error))? {
                    Some(operation) => operation.id,
                    None => return Ok(()),
                }
            }
        };
        if self.no_wait {
            return output::line(&format!("under way: operation {operation}"));
        }
        let (mut said, mut waited) = (None, None);
        loop {
            let now = cluster(&client, &remote).await?;
            let Some(applying) = now.applying.filter(|applying| applying.operation == operation) else {
                break;
            };
            if applying.step.is_some() && applying.step != said {
                output::line(&format!("… {}", applying.step.as_deref().unwrap_or_default()))?;
                said = applying.step;
            }
            if applying.waiting.is_some() && applying.waiting != waited {
                output::line(&format!("  waiting: {}", applying.waiting.as_deref().unwrap_or_default()))?;
                waited = applying.waiting;
            }
            sleep(LOOK).await;
        }
        let left = differences(&cluster(&client, &remote).await?, &config.topology)?;
        if left.is_empty() {
            return output::line("done");
        }
        Err(Failure::Failed(anyhow!(
            "it was called off; {} differences are left",
            left.len()
        )))
    }
}
