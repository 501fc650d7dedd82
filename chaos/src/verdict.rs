//! What a run amounts to.

use serde::{Deserialize, Serialize};

/// The verdict of a checker, or of a run (its worst).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Green,
    /// It does not hold: what was seen, one line each, the plainest first.
    Violated {
        /// What.
        findings: Vec<String>,
    },
    /// It says nothing: why.
    Invalid {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    /// Green without findings, else violated.
    pub fn of(findings: Vec<String>) -> Self {
        if findings.is_empty() {
            Self::Green
        } else {
            Self::Violated { findings }
        }
    }

    /// Whether it is green.
    pub const fn is_green(&self) -> bool {
        matches!(self, Self::Green)
    }
}
