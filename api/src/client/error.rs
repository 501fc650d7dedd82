//! What can go wrong with a call, as one who retries has to tell it apart.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::error::Outcome;
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
        }
        self
    }

    /// Whether the request may have had an effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Problem(problem) => problem.outcome,
            Self::Transport { outcome, .. } => *outcome,
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

    /// The problem, where there was an answer.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Transport { .. } => None,
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
            Self::Problem(problem) => {
                matches!(
                    problem.code.as_str(),
                    "contention" | "too_many_requests" | "unavailable" | "not_leader" | "timeout"
                ) || problem.status == 500
            }
        }
    }
}

/// The error that a reply stands for.
pub(super) fn problem_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut problem: Problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Not a CloudNest reply").to_owned(),
        status: status.as_u16(),
        detail: String::from_utf8_lossy(body).chars().take(200).collect(),
        code: "unrecognised".to_owned(),
        outcome: Outcome::Unknown,
        errors: Vec::new(),
        region: None,
        endpoint: None,
        retry_after: None,
        request_id: None,
    });
    problem.retry_after = text(RETRY_AFTER.as_str())
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    problem.request_id = text("x-request-id").map(str::to_owned);
    ClientError::Problem(Box::new(problem))
}
