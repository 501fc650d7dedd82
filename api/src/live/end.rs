//! Why a connection ends, and what its client is told of errors.

use super::socket::Unsent;
use crate::body::live::LiveSaid;
use crate::error::{Code, Error};
use crate::problem::Problem;

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// Its client has gone.
    Gone,
    /// It is to go on elsewhere.
    Resume,
    /// It does not keep up.
    Slow,
    /// It may not go on.
    Refused(Error),
}

impl From<Unsent> for End {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Slow => Self::Slow,
            Unsent::Gone => Self::Gone,
        }
    }
}

/// What an error means for a connection.
pub(super) fn ended(error: Error) -> End {
    match error.code {
        Code::NotLeader | Code::Unavailable | Code::Timeout | Code::Contention => End::Resume,
        _ => End::Refused(error),
    }
}

/// What a client is told of an error; `id`: what it is about.
pub(super) fn refusal(id: Option<String>, error: &Error) -> LiveSaid {
    let problem = Box::new(Problem::of(error));
    LiveSaid::Error { id, problem }
}
