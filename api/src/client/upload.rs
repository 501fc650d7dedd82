//! Calls whose body is a stream, and archives, both ways.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::Method;
use tokio::sync::mpsc;

use super::payload::Payload;
use super::pool::Exchange;
use super::tenant::push_parameter;
use super::{Answer, Call, Client, ClientError};
use crate::ARCHIVE;
use crate::body::control::Tenant;

/// Pieces between the source of a body and its connection.
const PIECES: usize = 4;

/// A tenant that is to be made of an archive.
#[derive(Clone, Debug, Default)]
pub struct FromArchive {
    /// Its region.
    pub region: String,
    /// Its plan; the first of the configuration where it is none.
    pub plan: Option<String>,
    /// Whether the archive's tokens stay behind; the tenant gets one, which the answer shows.
    pub drops_tokens: bool,
}

/// An archive as it comes.
pub struct ArchiveStream {
    exchange: Exchange,
}

impl Client {
    /// A tenant as one file. Operators and admins of the tenant may have it.
    pub async fn archive(&self, tenant: &str) -> Result<ArchiveStream, ClientError> {
        let call = Call::new(Method::GET, format!("/v1/tenants/{tenant}/archive"));
        let exchange = self.reading(&call, Duration::ZERO).await?;
        Ok(ArchiveStream { exchange })
    }

    /// A new tenant out of an archive; pieces may be cut anywhere.
    pub async fn tenant_from_archive<S>(&self, slug: &str, new: &FromArchive, source: S) -> Result<Answer<Tenant>, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let mut path = format!("/v1/tenants/{slug}/archive");
        push_parameter(&mut path, "region", &new.region);
        if let Some(plan) = &new.plan {
            push_parameter(&mut path, "plan", plan);
        }
        if new.drops_tokens {
            push_parameter(&mut path, "tokens", "drop");
        }
        let call = Call::new(Method::POST, path).body(ARCHIVE, Bytes::new());
        self.upload(&call, source, async |mut exchange| {
            let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
            let body = exchange.whole().await?;
            Answer { status, headers, body }.parse()
        })
        .await
    }

    /// Sends a body as it comes, and reads what is answered, which may be before all of it is sent.
    pub(super) async fn upload<S, T>(
        &self,
        call: &Call,
        source: S,
        answer: impl AsyncFnOnce(Exchange) -> Result<T, ClientError>,
    ) -> Result<T, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>>,
    {
        let (sender, receiver) = mpsc::channel(PIECES);
        let pump = async {
            let mut source = std::pin::pin!(source);
            while let Some(piece) = source.next().await {
                let failed = piece
                    .as_ref()
                    .err()
                    .map(|error| ClientError::unanswered(format!("read the import: {error}")));
                // A closed channel: the server has answered already, and its answer says why.
                if sender.send(piece.map(Some)).await.is_err() {
                    return Ok(());
                }
                if let Some(error) = failed {
                    return Err(error);
                }
            }
            // Only this is the body's end: where all of this is dropped half way, the body breaks off.
            let _ = sender.send(Ok(None)).await;
            Ok(())
        };
        let talk = async {
            let opened = self.open_stream(call, Payload::Stream(receiver)).await;
            // The source cannot be read twice here; a second import goes to the right region at once.
            let opened = opened.inspect_err(|error| {
                if !self.regions.learn(&call.path, error, self.trust.as_ref()) && error.problem().is_none() {
                    self.missed(&call.path);
                }
            });
            answer(opened?).await
        };
        let (mut pump, mut talk) = (std::pin::pin!(pump), std::pin::pin!(talk));
        let mut pumping = true;
        loop {
            tokio::select! {
                result = &mut talk => return result,
                pumped = &mut pump, if pumping => {
                    pumping = false;
                    pumped?;
                }
            }
        }
    }
}

impl ArchiveStream {
    /// The next piece; none at the end. Whether the archive is whole, its trailer says.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.exchange.piece().await
    }

    /// The tenant's position.
    pub fn position(&self) -> Option<u64> {
        let position = self.exchange.response.headers().get("cloudnest-position")?;
        position.to_str().ok()?.parse().ok()
    }
}
