//! What a request brought, and what handlers ask of it.

use std::time::Instant;

use bytes::Bytes;
use http::Method;

use super::Asked;
use crate::error::{Code, Error, FieldError, Result};
use crate::ids::Id;
use crate::inflate;
use crate::query::Query;
use crate::read::{RequestBody, Room};
use crate::routes::table::Plane;
use crate::service::{Reach, Stage};

impl Asked<'_> {
    /// Reads a body that is not a stream, and reads the query: after this a handler does not wait for the client.
    pub(crate) async fn receive(&mut self) -> Result<()> {
        self.query = Query::parse(self.head.uri.query())?;
        self.read(Room::Unlimited).await?;
        if let RequestBody::Kept(bytes) = &self.body
            && !bytes.is_empty()
            && !self.inflated
            && inflate::is_gzip(&self.head.headers)?
        {
            self.body = RequestBody::Kept(inflate::whole(bytes.clone(), self.front.config.body_bytes)?);
            self.inflated = true;
        }
        Ok(())
    }

    /// Reads a body that is not a stream, of somebody who has passed no gate yet: there is only so much room for those.
    pub(crate) async fn receive_before_gate(&mut self) -> Result<()> {
        self.query = Query::parse(self.head.uri.query())?;
        let mut taken = self.room.take();
        let read = self.read(Room::Of(&self.front.kept_bodies, &mut taken)).await;
        self.room = taken;
        read
    }

    async fn read(&mut self, room: Room<'_, '_>) -> Result<()> {
        if !self.found.route.streams {
            let before = Instant::now();
            let (most, within) = (self.front.config.body_bytes, self.front.config.body);
            self.body.whole(most, within, room).await?;
            self.deadline += before.elapsed();
        }
        Ok(())
    }

    /// Runs the rest of the request within its time. `unknown`: being cut off, it may still have an effect.
    pub(crate) async fn limited<T>(&self, unknown: bool, work: impl Future<Output = Result<T>>) -> Result<T> {
        if self.found.route.streams {
            return work.await;
        }
        match tokio::time::timeout_at(self.deadline.into(), work).await {
            Ok(result) => result,
            Err(_) => {
                let error = Error::new(Code::Timeout, format!("no result within {:?}", self.front.config.request));
                Err(if unknown { error.unknown() } else { error })
            }
        }
    }

    /// The body, as JSON of a type.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let patch = self.head.method == Method::PATCH;
        let media_types: &[&str] = if patch {
            &["application/json", "application/merge-patch+json"]
        } else {
            &["application/json"]
        };
        crate::read::check_media_type(&self.head.headers, media_types)?;
        let body = self.bytes().await?;
        // Every body is an object. The decoder would take an array for one, its values for the members in their order.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            let message = "must be an object, not an array".to_owned();
            let pointer = String::new();
            return Err(Error::fields(vec![FieldError { pointer, message }]));
        }
        crate::json::read(&body)
    }

    /// The body, which [`Asked::receive`] has read.
    pub(crate) async fn bytes(&mut self) -> Result<Bytes> {
        let (most, within) = (self.front.config.body_bytes, self.front.config.body);
        self.body.whole(most, within, Room::Unlimited).await
    }

    /// A part of the path, as an id.
    pub(crate) fn id(&self, text: &str) -> Result<Id> {
        text.parse()
            .map_err(|error: crate::ids::IdError| Error::new(Code::InvalidParameter, error.to_string()))
    }

    /// Whether the request changes something.
    pub(crate) fn is_write(&self) -> bool {
        let at_leader = matches!(self.found.route.plane, Plane::ControlLeader | Plane::Tenant(Reach::Leader, _));
        at_leader && self.found.route.method != Method::GET
    }

    /// Adds the time since `since` to a stage, unless the service has done so itself.
    pub(crate) fn clock(&self, stage: Stage, since: Instant) {
        if self.timing.micros(stage) == 0 {
            self.timing.add(stage, since.elapsed());
        }
    }
}
