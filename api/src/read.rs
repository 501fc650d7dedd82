//! The body of a request: read as a whole within limits of size and time, or as a stream of lines.

mod lines;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::lines::BodyLines;
use crate::error::{Code, Error, Result};
use crate::limits::{HEARD_OUT_BYTES, HEARD_OUT_SECONDS, KEPT_BODIES_WAIT_MILLIS};

/// The body of a request.
pub(crate) enum RequestBody {
    /// Not read yet.
    Waiting(Incoming),
    /// Read; kept for another attempt.
    Kept(Bytes),
    /// Given away as a stream.
    Gone,
}

impl RequestBody {
    /// A body that has just arrived, with its head.
    pub(crate) fn new(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            Self::Kept(Bytes::new())
        } else {
            Self::Waiting(incoming)
        }
    }

    /// All of the body, which stays for another attempt.
    pub(crate) async fn whole(&mut self, most: usize, within: Duration, room: Room<'_, '_>) -> Result<Bytes> {
        match std::mem::replace(self, Self::Gone) {
            Self::Kept(bytes) => {
                *self = Self::Kept(bytes.clone());
                Ok(bytes)
            }
            Self::Waiting(incoming) => {
                let bytes = match tokio::time::timeout(within, collect(incoming, most, room)).await {
                    Ok(result) => result?,
                    Err(_) => {
                        return Err(Error::new(
                            Code::RequestTimeout,
                            format!("the body did not arrive within {within:?}"),
                        ));
                    }
                };
                *self = Self::Kept(bytes.clone());
                Ok(bytes)
            }
            Self::Gone => Err(Error::new(Code::Internal, "a body was read twice")),
        }
    }

    /// The body as a stream; it cannot be sent again.
    pub(crate) fn stream(&mut self) -> Self {
        std::mem::replace(self, Self::Gone)
    }

    /// Hears the rest of a body out, where it was not read: see [`hear_out`].
    pub(crate) fn hear_out(&mut self) {
        if let Self::Waiting(incoming) = self.stream() {
            tokio::spawn(hear_out(incoming));
        }
    }

    /// Whether the body has been read and can be sent as often as one likes.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// How long it is, in bytes, where it has been read.
    pub(crate) fn kept_bytes(&self) -> usize {
        match self {
            Self::Kept(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Whether nothing comes.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Kept(bytes) if bytes.is_empty())
    }

    /// Whether the body can still be sent, from its start.
    pub(crate) fn is_here(&self) -> bool {
        !matches!(self, Self::Gone)
    }
}

/// Where a body that is read as a whole may be kept.
pub(crate) enum Room<'r, 'a> {
    /// Its sender has passed the gate: the limits of a request are enough.
    Unlimited,
    /// In what is left of a budget in bytes; what it has taken of that.
    Of(&'a Semaphore, &'r mut Option<SemaphorePermit<'a>>),
}

impl Room<'_, '_> {
    /// Makes room for bytes that have arrived. What a sender only announces takes none, or announcing would be enough to use up
    /// what there is.
    async fn take(&mut self, bytes: usize) -> Result<()> {
        let Self::Of(budget, taken) = self else { return Ok(()) };
        let wait = Duration::from_millis(KEPT_BODIES_WAIT_MILLIS);
        let wanted = budget.acquire_many(u32::try_from(bytes).unwrap_or(u32::MAX));
        match tokio::time::timeout(wait, wanted).await {
            Ok(Ok(more)) => {
                match taken {
                    Some(taken) => taken.merge(more),
                    None => **taken = Some(more),
                }
                Ok(())
            }
            _ => {
                let full = Error::new(
                    Code::Unavailable,
                    "this node holds too many bodies of requests for other nodes",
                );
                Err(full.retry_after(wait))
            }
        }
    }

    /// What to allocate at first for a body of an announced size.
    fn capacity(&self, announced: usize) -> usize {
        match self {
            Self::Unlimited => announced,
            Self::Of(..) => 0,
        }
    }
}

async fn collect(mut incoming: Incoming, most: usize, mut room: Room<'_, '_>) -> Result<Bytes> {
    let too_large = || Error::new(Code::TooLarge, format!("the body is larger than {most} bytes"));
    let expected = incoming.size_hint().lower();
    if expected > most as u64 {
        return Err(too_large());
    }
    let Some(first) = piece(&mut incoming).await? else {
        return Ok(Bytes::new());
    };
    room.take(first.len()).await?;
    if first.len() as u64 == expected {
        // The usual case: the whole body came in one piece, which is used as it is.
        return Ok(first);
    }
    let announced = usize::try_from(expected).unwrap_or(most);
    let mut all = BytesMut::with_capacity(room.capacity(announced).max(first.len()));
    all.extend_from_slice(&first);
    while let Some(next) = piece(&mut incoming).await? {
        if all.len() + next.len() > most {
            return Err(too_large());
        }
        room.take(next.len()).await?;
        all.extend_from_slice(&next);
    }
    if all.len() > most {
        Err(too_large())
    } else {
        Ok(all.freeze())
    }
}

/// The next data of a body; none at its end.
async fn piece(incoming: &mut Incoming) -> Result<Option<Bytes>> {
    loop {
        match incoming.frame().await {
            None => return Ok(None),
            Some(Err(error)) => {
                tracing::debug!(%error, "read a request's body");
                return Err(Error::new(
                    Code::MalformedBody,
                    "the body broke off, or its chunks are not well formed",
                ));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// The next data of a body, if it arrives before it has been quiet for so long; none at its end.
pub(crate) async fn timed_piece(incoming: &mut Incoming, idle: Duration) -> Result<Option<Bytes>> {
    let next = tokio::time::timeout(idle, piece(incoming)).await;
    next.unwrap_or_else(|_| Err(Error::new(Code::RequestTimeout, format!("nothing arrived for {idle:?}"))))
}

/// Reads on, and forgets, what comes of a body whose answer is on its way already; a sender that goes on and on is cut off.
pub(crate) async fn hear_out(mut incoming: Incoming) {
    let reading = async {
        let mut heard = 0;
        while let Ok(Some(data)) = piece(&mut incoming).await {
            heard += data.len();
            if heard > HEARD_OUT_BYTES {
                return;
            }
        }
    };
    // Late or not: nobody waits for the rest.
    let _ = tokio::time::timeout(Duration::from_secs(HEARD_OUT_SECONDS), reading).await;
}

/// Refuses a body whose media type is none of `wanted`; returns which it is.
pub(crate) fn check_media_type<'a>(headers: &HeaderMap, wanted: &[&'a str]) -> Result<&'a str> {
    let refused = || {
        Error::new(
            Code::UnsupportedMediaType,
            format!("send the body with Content-Type: {}", wanted[0]),
        )
    };
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(refused)?;
    let (media_type, parameters) = text.split_once(';').unwrap_or((text, ""));
    let known = wanted.iter().find(|wanted| wanted.eq_ignore_ascii_case(media_type.trim()));
    let known = *known.ok_or_else(refused)?;
    for parameter in parameters.split(';').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return Err(Error::new(Code::UnsupportedMediaType, "the body is sent in UTF-8"));
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_compared_without_case_and_charset_must_be_utf_8() {
        let check = |value: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(value))]);
            check_media_type(&headers, &["application/json"]).is_ok()
        };
        assert!(check("application/json") && check("Application/JSON; charset=UTF-8"));
        assert!(!check("text/plain") && !check("application/json; charset=latin1") && !check(""));
        assert!(check_media_type(&HeaderMap::new(), &["application/json"]).is_err());
    }
}
