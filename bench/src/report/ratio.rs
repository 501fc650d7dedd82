//! One program over another: a ratio for each round of a sitting in which they took turns.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::markdown::figure;
use super::median;

/// How many times as much one does as the other, round by round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The workload.
    pub workload: String,
    /// Connections.
    pub clients: usize,
    /// The one above the line.
    pub of: String,
    /// The one below it.
    pub over: String,
    /// Rate over rate, each pair of one round, in the order of the rounds.
    pub rounds: Vec<f64>,
}

/// The head of their table.
pub(super) const COLUMNS: [&str; 5] = ["workload", "clients", "of", "over", "ratio of the rates (least to most)"];

impl Ratio {
    /// The cells of its row, in the order of [`COLUMNS`].
    pub(super) fn cells(&self) -> [String; 5] {
        let rounds = || self.rounds.iter().copied();
        let mut ratio = figure(median(rounds()));
        if self.rounds.len() > 1 {
            let (least, most) = (rounds().reduce(f64::min), rounds().reduce(f64::max));
            let _ = write!(ratio, " ({} to {})", figure(least), figure(most));
        }
        [
            self.workload.clone(),
            self.clients.to_string(),
            self.of.clone(),
            self.over.clone(),
            ratio,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_its_rounds() {
        let mut ratio = Ratio {
            workload: "W1".to_owned(),
            clients: 64,
            of: "A".to_owned(),
            over: "B".to_owned(),
            rounds: vec![3.0, 1.0, 1.5],
        };
        assert_eq!(ratio.cells(), ["W1", "64", "A", "B", "1.50 (1.00 to 3.00)"]);
        ratio.rounds.truncate(1);
        assert_eq!(ratio.cells()[4], "3.00");
    }
}
