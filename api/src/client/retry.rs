//! When a call is made again: never where a second effect is possible, never at once, and spread in time, so that many
//! clients of one server that failed do not come back together.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::time::Instant;

use super::call::problem_of;
use super::payload::Payload;
use super::pool::Exchange;
use super::{Answer, Call, Client, ClientError};
use crate::error::Outcome;

/// The pause before the first retry; it doubles with each, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause that the client chooses by itself.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest pause that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Most times that one call is sent to another region. More than two means that regions disagree.
const REGIONS: u32 = 3;

/// The attempts at one call.
struct Attempts<'c> {
    client: &'c Client,
    call: &'c Call,
    /// Longest time for one attempt.
    within: Duration,
    /// When the call as a whole has taken too long.
    until: Option<Instant>,
    /// Whether a 421 is followed.
    follows: bool,
    made: u32,
    regions: u32,
    /// The last answer that was followed.
    sent_on: Option<ClientError>,
    /// Whether an attempt may have had an effect. A later one that had none does not take that back.
    doubt: bool,
}

impl Client {
    /// Makes a call until it succeeds, fails for good, or the retries are used up. `checked`: what is not 2xx is an error, and what is
    /// missing for a retry to be safe is added; otherwise the call goes out as it is, and the last answer comes back as it is.
    pub(super) async fn retrying(&self, call: &Call, checked: bool) -> Result<Answer<Bytes>, ClientError> {
        let call = if checked { self.keyed(call) } else { Cow::Borrowed(call) };
        let mut attempts = Attempts {
            until: self.deadline.map(|deadline| Instant::now() + deadline),
            ..Attempts::of(self, &call, checked)
        };
        loop {
            match attempts.timed(self.attempt(&call)).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(answer) => {
                    let error = problem_of(answer.status, &answer.headers, &answer.body);
                    match attempts.again(error).await {
                        Err(error) if checked => return Err(error),
                        Err(_) => return Ok(answer),
                        Ok(()) => {}
                    }
                }
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// Opens a stream that has no body, up to its head, as often as a read may be made. `wait`: how long the server is asked to keep its
    /// head back.
    pub(super) async fn reading(&self, call: &Call, wait: Duration) -> Result<Exchange, ClientError> {
        let mut attempts = Attempts {
            within: self.timeout + wait,
            ..Attempts::of(self, call, true)
        };
        loop {
            match attempts.timed(self.open_stream(call, Payload::full(Bytes::new()))).await {
                Ok(exchange) => return Ok(exchange),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    /// A call with an idempotency key, where it needs one to be made again.
    fn keyed<'c>(&self, call: &'c Call) -> Cow<'c, Call> {
        let needs = self.retries > 0 && matches!(call.method, Method::POST | Method::PATCH) && !call.is_repeatable();
        if !needs {
            return Cow::Borrowed(call);
        }
        Cow::Owned(call.clone().keyed(Some(&uuid::Uuid::now_v7().to_string())))
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

impl<'c> Attempts<'c> {
    fn of(client: &'c Client, call: &'c Call, follows: bool) -> Self {
        Self {
            client,
            call,
            within: client.timeout,
            until: None,
            follows,
            made: 0,
            regions: 0,
            sent_on: None,
            doubt: false,
        }
    }

    /// One attempt, within the time that is left.
    async fn timed<T>(&self, attempt: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let within = left.map_or(self.within, |left| left.min(self.within));
        match tokio::time::timeout(within, attempt).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::unanswered(format!("no reply within {within:?}"))),
        }
    }

    /// Waits until the call may be made again; an error where it may not.
    async fn again(&mut self, error: ClientError) -> Result<(), ClientError> {
        let (client, path) = (self.client, self.call.path.as_str());
        if self.follows && self.regions < REGIONS && client.regions.learn(path, &error, client.trust.as_ref()) {
            self.regions += 1;
            self.sent_on = Some(error);
            return Ok(());
        }
        // Two regions that send on to each other: the tenant is on its way from the one to the other.
        let lost = self.regions > 0 && error.problem().is_some_and(|problem| problem.status == 421);
        if lost {
            self.regions = 0;
        }
        if error.problem().is_none() {
            client.missed(path);
        } else if error.is_transient() && self.made < client.retries && client.regions.place(path).is_none() {
            client.fail_over();
        }
        let harmless = error.outcome() == Outcome::NotApplied || self.call.is_repeatable();
        let pause = pause(self.made, error.retry_after());
        let in_time = self.until.is_none_or(|until| Instant::now() + pause < until);
        if self.made >= client.retries || !(lost || error.is_transient()) || !harmless || !in_time {
            let error = match self.sent_on.take() {
                Some(elsewhere) if error.is_unsent() => elsewhere.unreached(&error),
                _ => error,
            };
            return Err(if self.doubt { error.doubted() } else { error });
        }
        self.doubt |= error.outcome() == Outcome::Unknown;
        self.made += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Between half and all of a time that doubles with each attempt, or what the server asked for if that is longer.
pub(super) fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
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
