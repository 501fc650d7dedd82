//! What can go wrong with a call, as one who retries has to tell it apart.
//!
//! ```
//! use api::client::ClientError;
//! use api::error::Code;
//!
//! fn explain(error: &ClientError) -> String {
//!     match error.kind() {
//!         Some(Code::VersionMismatch) => "somebody else changed it: read it again".to_owned(),
//!         Some(Code::InvalidFields) => error.errors().iter().map(|wrong| format!("{}: {}\n", wrong.pointer, wrong.message)).collect(),
//!         _ => format!("{error} ({:?})", error.outcome()),
//!     }
//! }
//! ```

use std::time::Duration;

use crate::error::{Code, FieldError, Outcome};
use crate::problem::Problem;

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with a problem.
    #[error("{} {}: {}", .0.status, .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// There was no answer, or none that can be read.
    #[error("{message}")]
    Transport {
        /// Whether the request may have had an effect.
        outcome: Outcome,
        /// What broke.
        message: String,
    },
    /// The call succeeded, but what was answered does not fit the type that the caller reads it as.
    #[error("{message}")]
    Unfit {
        /// What does not fit, and where.
        message: String,
    },
}

impl ClientError {
    /// A call that never reached the server.
    pub(super) fn unsent(message: impl Into<String>) -> Self {
        Self::Transport {
            outcome: Outcome::NotApplied,
            message: message.into(),
        }
    }

    /// A call whose answer is missing.
    pub(super) fn unanswered(message: impl Into<String>) -> Self {
        Self::Transport {
            outcome: Outcome::Unknown,
            message: message.into(),
        }
    }

    /// The same error of a call that had an attempt before, which may have had an effect.
    pub(super) fn doubted(mut self) -> Self {
        match &mut self {
            Self::Problem(problem) => problem.outcome = Outcome::Unknown,
            Self::Transport { outcome, .. } => *outcome = Outcome::Unknown,
            Self::Unfit { .. } => {}
        }
        self
    }

    /// The answer that sent a call to another region, where that one could not be reached.
    pub(super) fn unreached(mut self, why: &Self) -> Self {
        if let Self::Problem(problem) = &mut self {
            problem.detail = format!("{}, which could not be reached: {why}", problem.detail);
        }
        self
    }

    /// Whether it never reached a server.
    pub(super) fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Transport {
                outcome: Outcome::NotApplied,
                ..
            }
        )
    }

    /// Whether the request may have had an effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Problem(problem) => problem.outcome,
            Self::Transport { outcome, .. } => *outcome,
            // A write had its effect.
            Self::Unfit { .. } => Outcome::Unknown,
        }
    }

    /// The HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.problem().map(|problem| problem.status)
    }

    /// The problem's code, where there was an answer: such as `not_found`.
    pub fn code(&self) -> Option<&str> {
        self.problem().map(|problem| problem.code.as_str())
    }

    /// The same as a value to match: such as [`Code::VersionMismatch`]. None also for a code that this client does not know yet.
    pub fn kind(&self) -> Option<Code> {
        Code::named(self.code()?)
    }

    /// The wrong places of the body, where the server named some.
    pub fn errors(&self) -> &[FieldError] {
        self.problem().map_or(&[], |problem| &problem.errors)
    }

    /// The problem, where there was an answer.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Transport { .. } | Self::Unfit { .. } => None,
        }
    }

    /// How long the server asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.problem().and_then(|problem| problem.retry_after)
    }

    /// Whether another attempt may succeed where this one failed, its outcome aside.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Unfit { .. } => false,
            Self::Problem(problem) => {
                matches!(
                    problem.code.as_str(),
                    "contention" | "too_many_requests" | "unavailable" | "not_leader" | "timeout"
                ) || matches!(problem.status, 500 | 502 | 503 | 504)
            }
        }
    }
}
