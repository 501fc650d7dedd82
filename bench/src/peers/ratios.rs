//! How many times as fast CloudNest is as the others: rate over rate within each round.

use crate::report::Ratio;

/// What stands for whichever of the others was fastest in a round.
const BEST: &str = "the best of the others";

/// The rates of one program, one a round.
pub(super) struct Rates<'a> {
    /// Whose.
    pub(super) name: &'a str,
    /// In the order of the rounds.
    pub(super) rounds: Vec<f64>,
}

/// Ratios of the first over each of the others, and over the best of them in each round where there are several.
pub(super) fn ratios(workload: &str, clients: usize, programs: &[Rates<'_>]) -> Vec<Ratio> {
    let Some((first, others)) = programs.split_first() else {
        return Vec::new();
    };
    let ratio = |over: &str, below: &[f64]| Ratio {
        workload: workload.to_owned(),
        clients,
        of: first.name.to_owned(),
        over: over.to_owned(),
        rounds: first.rounds.iter().zip(below).map(|(ours, theirs)| ours / theirs).collect(),
    };
    let mut found: Vec<_> = others.iter().map(|other| ratio(other.name, &other.rounds)).collect();
    if others.len() > 1 {
        let best = |round: usize| {
            others
                .iter()
                .filter_map(|other| other.rounds.get(round))
                .copied()
                .fold(0.0, f64::max)
        };
        let best: Vec<f64> = (0..first.rounds.len()).map(best).collect();
        found.push(ratio(BEST, &best));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates<'a>(name: &'a str, rounds: &[f64]) -> Rates<'a> {
        Rates {
            name,
            rounds: rounds.to_vec(),
        }
    }

    #[test]
    fn the_best_is_chosen_anew_in_each_round() {
        let found = ratios(
            "W1",
            64,
            &[
                rates("ours", &[100.0, 300.0]),
                rates("a", &[50.0, 100.0]),
                rates("b", &[25.0, 200.0]),
            ],
        );
        let rounds = |over: &str| {
            let ratio = found.iter().find(|ratio| ratio.over == over).unwrap();
            assert_eq!((ratio.of.as_str(), ratio.clients), ("ours", 64));
            ratio.rounds.clone()
        };
        assert_eq!(rounds("a"), [2.0, 3.0]);
        assert_eq!(rounds("b"), [4.0, 1.5]);
        assert_eq!(rounds(BEST), [2.0, 1.5]);
    }

    #[test]
    fn one_other_is_the_best_and_alone_there_is_none() {
        let two = [rates("ours", &[10.0]), rates("a", &[40.0])];
        assert_eq!(ratios("W2", 1, &two).len(), 1);
        assert_eq!(ratios("W2", 1, &two)[0].rounds, [0.25]);
        assert!(ratios("W2", 1, &two[..1]).is_empty());
    }
}
