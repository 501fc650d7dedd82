//! One live connection, from its first message to its end.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::end::{End, ended, refusal};
use super::presence::{Here, Presences};
use super::rate::Rate;
use super::socket::{Heard, Socket, json};
use super::subscriptions::{Subscriptions, message, query};
use super::topic;
use crate::body::live::{LiveAsk, LiveSaid, Member, Subscribe};
use crate::error::{Code, Error, Result};
use crate::limits::{LIVE_MESSAGES_A_SECOND, LIVE_MESSAGES_AT_ONCE, LIVE_PRESENCE_BYTES};
use crate::routes::events::is_visible;
use crate::server::LiveTimes;
use crate::service::{Consistency, Location, Reach, RequestContext, Service};

/// Longest wait for a position: a look comes earlier.
const WAIT: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Session {
    service: Arc<dyn Service>,
    ctx: RequestContext,
    secret: String,
    here: Here,
    times: LiveTimes,
    subscriptions: Subscriptions,
    /// The tenant's position, as far as it is known here.
    position: u64,
    rate: Rate,
    /// When the client gave a sign of life.
    heard: Instant,
}

impl Session {
    pub(super) fn new(
        service: Arc<dyn Service>,
        ctx: RequestContext,
        secret: String,
        presences: Arc<Presences>,
        times: LiveTimes,
        position: u64,
    ) -> Self {
        Self {
            here: Here::new(presences, ctx.placement.uid),
            service,
            ctx,
            secret,
            times,
            subscriptions: Subscriptions::default(),
            position,
            rate: Rate::new(LIVE_MESSAGES_A_SECOND, LIVE_MESSAGES_AT_ONCE),
            heard: Instant::now(),
        }
    }

    /// Serves the connection until it ends. What it does now and then is in boxes of its own: thousands of sessions wait most of the time.
    pub(super) async fn run(mut self: Box<Self>, mut socket: Socket, draining: impl Future<Output = ()>) {
        let mut draining = pin!(draining);
        let mut looks = tokio::time::interval(self.times.look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            let is_behind = self.subscriptions.are_behind(self.position);
            let step = tokio::select! {
                biased;
                () = &mut draining => Err(End::Resume),
                heard = socket.next() => Box::pin(self.hear(&mut socket, heard)).await,
                Some(notice) = self.here.notice() => Box::pin(self.tell(&mut socket, notice)).await,
                _ = looks.tick() => Box::pin(self.look(&mut socket)).await,
                () = ready(()), if is_behind => Box::pin(self.pump(&mut socket)).await,
                position = self.service.position(&self.ctx, self.position, WAIT), if !is_behind => self.moved(position),
            };
            if let Err(end) = step {
                break end;
            }
        };
        self.end(socket, end).await;
    }

    /// Tells the client why it ends, and where to go on.
    async fn end(self: Box<Self>, socket: Socket, end: End) {
        let Self { here, subscriptions, .. } = *self;
        // It is nowhere any more, however long the farewell takes.
        drop(here);
        let resume = || {
            let subscriptions = subscriptions.positions();
            let after = subscriptions.values().copied().min();
            Some(json(&LiveSaid::Resume { after, subscriptions }))
        };
        match end {
            End::Gone => {}
            End::Resume => {
                socket
                    .end(resume(), CloseCode::Restart, "go on with another connection")
                    .await
            }
            End::Slow => socket.end(resume(), CloseCode::Again, "too slow").await,
            End::Refused(error) => {
                socket
                    .end(Some(json(&refusal(None, &error))), CloseCode::Policy, "refused")
                    .await
            }
        }
    }

    async fn hear(&mut self, socket: &mut Socket, heard: Heard) -> Result<(), End> {
        let text = match heard {
            Heard::Gone => return Err(End::Gone),
            Heard::Wrong(why) => return Err(End::Refused(Error::new(Code::MalformedRequest, why))),
            Heard::Binary(_) => return Err(End::Refused(Error::new(Code::MalformedRequest, "messages are JSON, as text"))),
            Heard::Alive => None,
            Heard::Text(text) => Some(text),
        };
        self.heard = Instant::now();
        if !self.rate.take() {
            let detail = format!("more than {LIVE_MESSAGES_A_SECOND} messages a second");
            return Err(End::Refused(Error::new(Code::TooManyRequests, detail)));
        }
        let Some(text) = text else { return Ok(()) };
        let asked: LiveAsk = match serde_json::from_str(&text) {
            Ok(asked) => asked,
            Err(error) => {
                let error = Error::new(Code::MalformedBody, format!("the message cannot be read: {error}"));
                return Ok(socket.say(&refusal(None, &error)).await?);
            }
        };
        let about = match &asked {
            LiveAsk::Subscribe(Subscribe { id, .. }) | LiveAsk::Unsubscribe { id } => Some(id.clone()),
            LiveAsk::Presence { topic, .. } | LiveAsk::Absence { topic } => Some(topic.clone()),
            LiveAsk::Ping {} => None,
            LiveAsk::Leave {} => return Err(End::Resume),
        };
        match self.serve(asked).await {
            Ok(Some(said)) => Ok(socket.say(&said).await?),
            Ok(None) => Ok(()),
            Err(error) if error.code == Code::NotLeader => Err(End::Resume),
            Err(error) => Ok(socket.say(&refusal(about, &error)).await?),
        }
    }

    /// Does what the client asks for.
    async fn serve(&mut self, asked: LiveAsk) -> Result<Option<LiveSaid>> {
        match asked {
            LiveAsk::Subscribe(asked) => self.subscribe(asked).await.map(Some),
            LiveAsk::Unsubscribe { id } if self.subscriptions.remove(&id) => Ok(Some(LiveSaid::Unsubscribed { id })),
            LiveAsk::Unsubscribe { .. } => Err(Error::new(Code::NotFound, "there is no subscription of this id")),
            LiveAsk::Presence { topic, data } => self.enter(topic, data.unwrap_or_default()).await,
            LiveAsk::Absence { topic } if self.here.leave(&topic) => Ok(None),
            LiveAsk::Absence { .. } => Err(Error::new(Code::NotFound, "the connection is not at this topic")),
            LiveAsk::Ping {} | LiveAsk::Leave {} => Ok(Some(LiveSaid::Pong {})),
        }
    }

    async fn subscribe(&mut self, asked: Subscribe) -> Result<LiveSaid> {
        let after = match asked.after {
            Some(after) => after,
            None => {
                // What was answered before must not come as news.
                let (placement, timing) = (&self.ctx.placement, &self.ctx.timing);
                self.service.barrier(placement, Consistency::Strong, timing).await?;
                self.service.position(&self.ctx, 0, Duration::ZERO).await?
            }
        };
        let query = query(&asked, after)?;
        self.service.events_check(&self.ctx, &query)?;
        self.subscriptions.add(asked.id.clone(), query)?;
        Ok(LiveSaid::Subscribed { id: asked.id, after })
    }

    async fn enter(&mut self, topic: String, data: serde_json::Map<String, serde_json::Value>) -> Result<Option<LiveSaid>> {
        topic::check(self.service.as_ref(), &self.ctx, &topic).await?;
        if json(&data).len() > LIVE_PRESENCE_BYTES {
            let detail = format!("data: is longer than {LIVE_PRESENCE_BYTES} bytes");
            return Err(Error::new(Code::TooLarge, detail));
        }
        let principal = &self.ctx.principal;
        let member = Member {
            session: self.here.session().to_owned(),
            actor: format!("token:{}", principal.token),
            name: principal.name.to_string(),
            data,
        };
        let members = self.here.enter(&topic, member)?;
        Ok(members.map(|members| LiveSaid::Presence {
            topic,
            members: Some(members),
            joined: Vec::new(),
            left: Vec::new(),
        }))
    }

    /// Sends notices on.
    async fn tell(&mut self, socket: &mut Socket, notice: Utf8Bytes) -> Result<(), End> {
        let mut next = Some(notice);
        while let Some(notice) = next {
            socket.feed(notice).await?;
            next = self.here.another();
        }
        for whole in self.here.missed() {
            socket.feed(json(&whole)).await?;
        }
        Ok(socket.flush().await?)
    }

    /// Looks whether all is as it was: the client lives, its token holds, its topics may be seen, and the tenant is led here.
    async fn look(&mut self, socket: &mut Socket) -> Result<(), End> {
        if self.heard.elapsed() >= self.times.silence {
            return Err(End::Gone);
        }
        if !matches!(
            self.service.locate(&self.ctx.placement.slug, Reach::Leader),
            Location::Here(_)
        ) {
            return Err(End::Resume);
        }
        self.authenticate().await?;
        for topic in self.here.topics().to_vec() {
            if let Err(error) = topic::check(self.service.as_ref(), &self.ctx, &topic).await {
                self.here.leave(&topic);
                socket.feed(json(&refusal(Some(topic), &error))).await?;
            }
        }
        Ok(socket.ping().await?)
    }

    fn moved(&mut self, position: Result<u64>) -> Result<(), End> {
        self.position = position.map_err(ended)?;
        Ok(())
    }

    /// Whoever the token belongs to now.
    async fn authenticate(&mut self) -> Result<(), End> {
        let (placement, timing) = (&self.ctx.placement, &self.ctx.timing);
        let principal = self.service.authenticate(placement, &self.secret, timing).await;
        self.ctx.principal = principal.map_err(ended)?;
        Ok(())
    }

    /// Sends a page of the subscription that is furthest behind.
    async fn pump(&mut self, socket: &mut Socket) -> Result<(), End> {
        let Some((id, query)) = self.subscriptions.behind(self.position) else {
            return Ok(());
        };
        let page = match self.service.events(&self.ctx, &query, Duration::ZERO).await {
            Ok(page) => page,
            Err(error) if error.code == Code::PositionTrimmed => {
                self.subscriptions.remove(&id);
                return Ok(socket.say(&refusal(Some(id), &error)).await?);
            }
            Err(error) => return Err(ended(error)),
        };
        self.authenticate().await?;
        if page.body.is_empty() {
            self.position = self.position.min(query.after);
        }
        for seen in &page.body {
            if is_visible(&self.ctx.principal, seen) {
                socket.feed(message(&id, seen)).await?;
            }
            self.subscriptions.reached(&id, seen.position());
        }
        Ok(socket.flush().await?)
    }
}
