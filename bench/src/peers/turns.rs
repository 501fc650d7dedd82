//! Rounds and turns: who is measured when, and what comes of it.

use anyhow::{Context, Result};

use super::quiet::{Quiet, Watched};
use super::ratios::{Rates, ratios};
use super::{Peer, Size, Turn, processes, title};
use crate::report::{Findings, MEMORY_MIB, Measured, Row};
use crate::run::Workload;

/// Lets all programs take turns. The first is the one whose ratios over the others are told.
pub(super) fn take(peers: &mut [Box<dyn Peer + '_>], workloads: &[Workload], size: &Size) -> Result<Findings> {
    let cases: Vec<_> = workloads
        .iter()
        .flat_map(|workload| size.clients.iter().map(|clients| (*workload, *clients)))
        .collect();
    let quiet = Quiet::learn(&pids(peers, None)?)?;
    // By case, then by program.
    let mut taken: Vec<Vec<Vec<Measured>>> = cases.iter().map(|_| peers.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..size.runs {
        for ((workload, clients), taken) in cases.iter().zip(&mut taken) {
            for place in order(peers.len(), round) {
                let turn = Turn {
                    workload: *workload,
                    clients: *clients,
                    seconds: size.seconds,
                    round,
                };
                taken[place].push(one(peers, place, turn, quiet)?);
            }
        }
    }
    let mut found = Findings::default();
    for ((workload, clients), taken) in cases.into_iter().zip(taken) {
        let title = title(workload);
        let rates: Vec<_> = peers
            .iter()
            .zip(&taken)
            .map(|(peer, runs)| Rates {
                name: peer.name(),
                rounds: runs.iter().map(|run| run.rate).collect(),
            })
            .collect();
        found.ratios.extend(ratios(title, clients, &rates));
        let rows = peers.iter().zip(taken);
        found
            .rows
            .extend(rows.map(|(peer, runs)| Row::new(title, Some(clients), runs).at(peer.name())));
    }
    Ok(found)
}

/// Who comes after whom in a round: each round begins with the next.
fn order(programs: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..programs).map(move |turn| (turn + round) % programs)
}

/// The processes of all servers, but for those of one program.
fn pids(peers: &[Box<dyn Peer + '_>], without: Option<usize>) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for (_, peer) in peers.iter().enumerate().filter(|(at, _)| Some(*at) != without) {
        pids.extend(peer.pids()?);
    }
    Ok(pids)
}

/// One turn of one program, when all are quiet.
fn one(peers: &mut [Box<dyn Peer + '_>], place: usize, turn: Turn, quiet: Quiet) -> Result<Measured> {
    let (own, others) = (peers[place].pids()?, pids(peers, Some(place))?);
    quiet.wait(&[others.as_slice(), &own].concat())?;
    let watched = Watched::begin(&others)?;
    let name = peers[place].name();
    let mut measured = peers[place].take(turn).with_context(|| format!("measure {name}"))?;
    let share = watched.share()?;
    let memory = processes::memory_bytes(&own)? as f64 / own.len().max(1) as f64;
    let more = [
        ("% of a core that the other programs took", share * 100.0),
        (MEMORY_MIB, memory / 1024.0 / 1024.0),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes when it was asked, by the rate that it gives: the number of all turns so far, times its own.
    struct Made {
        name: &'static str,
        rate: f64,
    }

    impl Peer for Made {
        fn name(&self) -> &'static str {
            self.name
        }

        fn pids(&self) -> Result<Vec<u32>> {
            Ok(vec![std::process::id()])
        }

        fn take(&mut self, turn: Turn) -> Result<Measured> {
            Ok(Measured {
                rate: self.rate * (turn.round + 1) as f64,
                ..Measured::default()
            })
        }
    }

    #[test]
    fn every_round_begins_with_another() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }

    #[test]
    fn a_round_gives_a_row_for_each_program_and_ratios_within_it() {
        let made = |name, rate| -> Box<dyn Peer> { Box::new(Made { name, rate }) };
        let mut peers = vec![made("ours", 30.0), made("theirs", 20.0)];
        let size = Size {
            peers: Vec::new(),
            workload: Vec::new(),
            seconds: 1,
            runs: 2,
            clients: vec![4, 8],
        };
        let found = take(&mut peers, &[Workload::Create], &size).unwrap();
        let names: Vec<_> = found.rows.iter().map(|row| (row.at.clone().unwrap(), row.clients)).collect();
        let named = |name: &str, clients| (name.to_owned(), Some(clients));
        assert_eq!(
            names,
            [named("ours", 4), named("theirs", 4), named("ours", 8), named("theirs", 8)]
        );
        assert!(found.rows.iter().all(|row| row.runs.len() == 2));
        assert_eq!(found.ratios.len(), 2);
        assert_eq!(found.ratios[0].rounds, [1.5, 1.5]);
        assert!(found.rows[0].runs[0].more.contains_key(MEMORY_MIB));
    }
}
