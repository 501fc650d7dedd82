//! `cluster scrub`: compare all that the replicas of a cell hold, and have the odd one out rebuilt.

use std::time::Duration;

use api::body::control::{Scrub as Body, ScrubbedReplica};
use clap::Args;
use tokio::time::sleep;

use super::super::output::{self, Tone, plain};
use super::super::remote::Remote;
use super::super::{Failure, Result};

/// Between two looks at a scrub that is at work.
const LOOK: Duration = Duration::from_millis(500);

/// Compare all that the replicas of a cell hold, and rebuild the odd one out
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest cluster scrub --token cno_…                    every cell of the region, the directory too\n  cloudnest cluster scrub us-east-1-shared --token cno_…   one cell\n\nExit code 0: all replicas hold the same, or those that do not are being rebuilt; 1: not all could be compared, or nobody can tell who is right."
)]
pub(crate) struct Scrub {
    /// The cells; all of the region where none is given
    #[arg(value_name = "CELL")]
    cells: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Scrub {
    pub(crate) async fn run(self) -> Result {
        let client = self.remote.client()?;
        let failed = |error| self.remote.failure("scrub a cell", error);
        let cells = match self.cells.is_empty() {
            true => client
                .cells()
                .await
                .map_err(failed)?
                .into_iter()
                .map(|cell| cell.name)
                .collect(),
            false => self.cells.clone(),
        };
        let mut ended = Vec::new();
        for cell in &cells {
            let mut scrub = client.scrub_begin(cell).await.map_err(failed)?;
            let id = scrub.id;
            while scrub.ended_at.is_none() {
                sleep(LOOK).await;
                scrub = client.cell_scrub(cell).await.map_err(failed)?;
                if scrub.id != id {
                    return Err(Failure::Failed(anyhow::anyhow!(
                        "the leader of {cell} changed and forgot the scrub: begin another"
                    )));
                }
            }
            ended.push(scrub);
        }
        if self.json {
            output::json(&ended)?;
        } else {
            let head = ["CELL", "POSITION", "NODE", "KEYS", "HASH", "BLOCKS", "", ""];
            output::table(&head, ended.iter().flat_map(rows).collect())?;
        }
        match ended.iter().all(|scrub| matches!(scrub.status.as_str(), "equal" | "damaged")) {
            true => Ok(()),
            false => Err(Failure::Reported),
        }
    }
}

fn rows(scrub: &Body) -> Vec<Vec<(String, Tone)>> {
    scrub.replicas.iter().map(|replica| row(scrub, replica)).collect()
}

fn row(scrub: &Body, replica: &ScrubbedReplica) -> Vec<(String, Tone)> {
    let number = |number: Option<u64>| plain(number.map_or_else(|| "?".to_owned(), |number| number.to_string()));
    let tone = match replica.status.as_str() {
        "equal" => Tone::Good,
        "missing" => Tone::Warning,
        _ => Tone::Bad,
    };
    let hash: String = replica.hash.iter().flat_map(|hash| hash.chars().take(12)).collect();
    vec![
        plain(&*scrub.cell),
        number(scrub.position),
        plain(&*replica.node),
        number(replica.keys),
        plain(hash),
        number(replica.blocks),
        (replica.status.clone(), tone),
        plain(replica.detail.clone().unwrap_or_default()),
    ]
}
