//! When a call is made again: never where a second effect is possible, never at once, and spread in time, so that many
//! clients of one server that failed do not come back together.

use std::time::Duration;

use bytes::Bytes;

use super::error::problem_of;
use super::payload::Payload;
use super::{Answer, Call, Client, ClientError};
use crate::error::Outcome;

/// The pause before the first retry; it doubles with each, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause that the client chooses by itself.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest pause that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

impl Client {
    /// Makes a call until it succeeds, fails for good, or the retries are used up.
    pub(super) async fn retrying(&self, call: &Call, checked: bool) -> Result<Answer<Bytes>, ClientError> {
        let mut attempt = 0;
        // Whether an attempt may have had an effect. A later one that had none does not take that back.
        let mut doubt = false;
        loop {
            let result = match tokio::time::timeout(self.timeout, self.attempt(call)).await {
                Ok(result) => result,
                Err(_) => Err(ClientError::unanswered(format!("no reply within {:?}", self.timeout))),
            };
            let error = match result {
                Ok(answer) if answer.status.is_success() || (!checked && self.retries == 0) => return Ok(answer),
                Ok(answer) => {
                    let error = problem_of(answer.status, &answer.headers, &answer.body);
                    if !checked && !self.may_repeat(call, attempt, &error) {
                        return Ok(answer);
                    }
                    error
                }
                Err(error) => error,
            };
            if !self.may_repeat(call, attempt, &error) {
                return Err(if doubt { error.doubted() } else { error });
            }
            doubt |= error.outcome() == Outcome::Unknown;
            if error.problem().is_some() {
                self.fail_over();
            }
            tokio::time::sleep(pause(attempt, error.retry_after())).await;
            attempt += 1;
        }
    }

    fn may_repeat(&self, call: &Call, attempt: u32, error: &ClientError) -> bool {
        let harmless = error.outcome() == Outcome::NotApplied || call.is_repeatable();
        attempt < self.retries && error.is_transient() && harmless
    }

    async fn attempt(&self, call: &Call) -> Result<Answer<Bytes>, ClientError> {
        let mut exchange = self.open(call, Payload::full(call.body.clone())).await?;
        let body = exchange.whole().await?;
        let (head, _) = exchange.response.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

/// Between half and all of a time that doubles with each attempt, or what the server asked for if that is longer.
fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let full = PAUSE.saturating_mul(1 << attempt.min(10)).min(PAUSE_MAX);
    let spread = full.mul_f64(0.5 + 0.5 * random_unit());
    spread.max(
        asked
            .unwrap_or_default()
            .min(RETRY_AFTER_MAX)
            .mul_f64(1.0 + 0.1 * random_unit()),
    )
}

/// A number from 0 up to 1 that differs between callers; not for secrets.
fn random_unit() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(std::time::Instant::now());
    f64::from((bits >> 40) as u32) / f64::from(1_u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_obey_the_server() {
        for attempt in 0..40 {
            let pause = pause(attempt, None);
            assert!(pause >= PAUSE / 2 && pause <= PAUSE_MAX, "{pause:?}");
        }
        assert!(pause(0, Some(Duration::from_secs(3))) >= Duration::from_secs(3));
        assert!(pause(0, Some(Duration::from_secs(3_000))) <= RETRY_AFTER_MAX.mul_f64(1.1));
    }
}
