//! Events of a tenant as a stream that survives its connections.
//!
//! A feed knows the position of the last event that it gave out. Where a connection breaks, is silent for longer than the server's
//! signs of life allow, or ends although it was to follow, the next one begins behind that position: no event is missed, none comes
//! twice. What can not pass is an error: a token that was revoked, a position that is no longer kept (`Code::PositionTrimmed`: read the
//! records anew, and follow from the position that they reflect).

use std::time::Duration;

use tokio::time::Instant;

use super::TenantClient;
use crate::body::event::Event;
use crate::client::retry::pause;
use crate::client::{ClientError, EventStream, EventsFrom};
use crate::limits::SIGN_OF_LIFE_SECONDS;

/// How long a server may be silent: it gives a sign of life three times as often.
const SILENCE: Duration = Duration::from_secs(3 * SIGN_OF_LIFE_SECONDS);
/// How long a feed goes on without one event or connection.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which events to read.
#[derive(Debug)]
#[must_use = "nothing is read before send or follow"]
pub struct EventsBuilder {
    tenant: TenantClient,
    from: EventsFrom,
    silence: Duration,
    patience: Duration,
}

/// Events in the order of their positions.
pub struct EventFeed {
    tenant: TenantClient,
    from: EventsFrom,
    silence: Duration,
    patience: Duration,
    stream: Option<EventStream>,
    /// Failures since the last event or connection, and when they began.
    failures: u32,
    failing: Option<Instant>,
}

impl EventsBuilder {
    pub(super) fn new(tenant: TenantClient) -> Self {
        Self {
            tenant,
            from: EventsFrom::default(),
            silence: SILENCE,
            patience: PATIENCE,
        }
    }

    /// Events after a position. Default: 0, all that are kept.
    pub fn after(mut self, position: u64) -> Self {
        self.from.after = position;
        self
    }

    /// At most so many.
    pub fn limit(mut self, limit: usize) -> Self {
        self.from.limit = Some(limit);
        self
    }

    /// Only what is about these collections and their records.
    pub fn collections<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.from.collections = names.into_iter().map(Into::into).collect();
        self
    }

    /// Only what is about one record.
    pub fn record(mut self, collection: &str, id: crate::ids::Id) -> Self {
        self.from.record = Some(format!("{collection}/{id}"));
        self
    }

    /// Only changes that left a record of which a CEL expression is true.
    pub fn filter(mut self, expression: impl Into<String>) -> Self {
        self.from.filter = Some(expression.into());
        self
    }

    /// With the record's fields as each change left them.
    pub fn with_fields(mut self) -> Self {
        self.from.with_fields = true;
        self
    }

    /// How long a server may be silent before the feed turns to another connection. Default: 45 s, three signs of life.
    pub fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// How long a feed that fails keeps trying. Default: five minutes.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What there is now, and then the end.
    pub fn send(self) -> EventFeed {
        self.feed(false)
    }

    /// What there is, and what will be, without end.
    pub fn follow(self) -> EventFeed {
        self.feed(true)
    }

    fn feed(self, follow: bool) -> EventFeed {
        EventFeed {
            tenant: self.tenant,
            from: EventsFrom { follow, ..self.from },
            silence: self.silence,
            patience: self.patience,
            stream: None,
            failures: 0,
            failing: None,
        }
    }
}

impl EventFeed {
    /// The position of the last event that was given out: where a later feed goes on with [`EventsBuilder::after`].
    pub fn position(&self) -> u64 {
        self.from.after
    }

    /// The next event; none at the end, which a feed that follows does not have. After an error it may be called again. Nothing is
    /// lost where it is dropped before it returns.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if self.from.limit == Some(0) {
                return Ok(None);
            }
            match self.step().await {
                Ok(Some(event)) if event.position <= self.from.after => {}
                Ok(Some(event)) => {
                    self.from.after = event.position;
                    self.from.limit = self.from.limit.map(|limit| limit - 1);
                    (self.failures, self.failing) = (0, None);
                    return Ok(Some(event));
                }
                Ok(None) if !self.from.follow => return Ok(None),
                // A node that drains lets its followers go.
                Ok(None) => self.pause(ClientError::unanswered("the events ended")).await?,
                Err(error) => self.pause(error).await?,
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Event>, ClientError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = self.tenant.client.events(&self.tenant.slug, self.from.clone()).await?;
                self.stream.insert(stream.with_silence(self.silence))
            }
        };
        stream.next().await
    }

    /// Leaves the connection, and waits for the next one; an error where it would be in vain.
    async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.stream = None;
        let since = *self.failing.get_or_insert_with(Instant::now);
        if !error.is_transient() || since.elapsed() >= self.patience {
            (self.failures, self.failing) = (0, None);
            return Err(error);
        }
        tokio::time::sleep(pause(self.failures, error.retry_after())).await;
        self.failures += 1;
        Ok(())
    }
}
