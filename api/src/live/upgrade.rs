//! From a request to a WebSocket (RFC 6455, 4.2): what its head must say, and the reply that turns the connection over.

use std::time::Duration;

use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::body::live::SUBPROTOCOL;
use crate::error::{Code, Error, Result};
use crate::reply::{self, Reply};

/// A connection that may be turned over.
pub(super) struct Upgrade {
    on_upgrade: OnUpgrade,
    accept: String,
    /// The subprotocol that both speak, where the client has named any.
    protocol: Option<HeaderValue>,
}

/// What a request asks for, if it is a WebSocket.
pub(super) fn asked_for(head: &Parts) -> Result<Upgrade> {
    let wrong = |why: &str| {
        Error::new(
            Code::InvalidParameter,
            format!("this path takes a WebSocket (RFC 6455): {why}"),
        )
    };
    if head.version == Version::HTTP_2 {
        return Err(wrong("open it over HTTP/1.1"));
    }
    if !has(&head.headers, &CONNECTION, "upgrade") || !has(&head.headers, &UPGRADE, "websocket") {
        return Err(wrong("send Connection: Upgrade and Upgrade: websocket"));
    }
    if head.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err(wrong("send Sec-WebSocket-Version: 13"));
    }
    let key = head.headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    // 16 bytes as base64.
    let key = key.filter(|key| key.len() == 24 && key.ends_with(b"=="));
    let key = key.ok_or_else(|| wrong("send Sec-WebSocket-Key"))?;
    let protocol = match head.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        false => None,
        true if has(&head.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) => Some(HeaderValue::from_static(SUBPROTOCOL)),
        true => {
            return Err(wrong(&format!(
                "its subprotocol is {SUBPROTOCOL}: name it beside bearer.TOKEN"
            )));
        }
    };
    let on_upgrade = head.extensions.get::<OnUpgrade>().cloned();
    Ok(Upgrade {
        on_upgrade: on_upgrade.ok_or_else(|| wrong("this connection cannot be turned over"))?,
        accept: derive_accept_key(key),
        protocol,
    })
}

impl Upgrade {
    /// The reply after which the connection is a WebSocket.
    pub(super) fn reply(&self) -> Reply {
        let mut reply = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = reply.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = &self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        reply
    }

    /// The connection, once the reply has gone out; none: it has not.
    pub(super) async fn wait(self, within: Duration) -> Option<Upgraded> {
        match tokio::time::timeout(within, self.on_upgrade).await {
            Ok(Ok(upgraded)) => Some(upgraded),
            Ok(Err(error)) => {
                tracing::debug!(%error, "turn a connection into a WebSocket");
                None
            }
            Err(_) => None,
        }
    }
}

/// Whether a header with names that are separated by commas has one of them, whatever its case.
fn has(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn refusal(change: impl FnOnce(&mut HeaderMap)) -> String {
        let mut request = Request::new(());
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        change(headers);
        asked_for(&request.into_parts().0).err().expect("refused").detail
    }

    #[test]
    fn a_head_that_is_not_one_of_a_websocket_hears_what_is_missing() {
        // All is well with the head: there is just no connection under it here.
        assert!(refusal(|_| {}).contains("cannot be turned over"));
        assert!(refusal(|headers| drop(headers.remove(UPGRADE))).contains("Upgrade: websocket"));
        assert!(refusal(|headers| drop(headers.remove(SEC_WEBSOCKET_KEY))).contains("Sec-WebSocket-Key"));
        let old = |headers: &mut HeaderMap| drop(headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8")));
        assert!(refusal(old).contains("Version: 13"));
        let foreign =
            |headers: &mut HeaderMap| drop(headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("bearer.cnt_1")));
        assert!(refusal(foreign).contains(SUBPROTOCOL));
    }
}
