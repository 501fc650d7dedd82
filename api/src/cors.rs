//! Cross-origin requests: which pages of other hosts a browser lets use the API.
//!
//! `dev` lets every page. Elsewhere each tenant has a list of origins, and its paths alone can be used from them. The list is in the
//! directory, so that any node answers from its own copy: a preflight comes without a token, and is answered before anybody is asked
//! who is asking. Replies get their headers at the node that the client speaks to, whoever has made them.
//!
//! Tokens are sent by pages, never by browsers of their own accord, so a page that is let in can do nothing without one; the list keeps
//! a stolen token from being of use in a page elsewhere, and `*` is a choice.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use crate::error::{Code, Error, FieldError, Result};
use crate::front::Front;
use crate::ids::Slug;
use crate::limits::{CORS_ORIGIN_BYTES, CORS_ORIGINS};
use crate::reply::{self, Reply};

/// Every origin.
const ANY: &str = "*";
/// What comes before a tenant's name in its paths.
const TENANTS: &str = "/v1/tenants/";

/// Answers a preflight: whether a page may make the request that it is about to make. None: the request is not one.
pub(crate) fn preflight(front: &Front, head: &Parts) -> Option<Result<Reply>> {
    let is_one = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let origin = head.headers.get(ORIGIN).filter(|_| is_one)?;
    if !is_allowed(front, head, origin) {
        let origin = String::from_utf8_lossy(origin.as_bytes())
            .chars()
            .take(100)
            .collect::<String>();
        let detail = format!("pages of {origin:?} may not use this path: an operator names origins in the tenant's cors_origins");
        return Some(Err(Error::new(Code::Forbidden, detail)));
    }
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let pairs = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-encoding, content-type, idempotency-key, if-match, if-none-match, if-range, import-id, last-event-id, \
             range, traceparent, tus-resumable, upload-checksum, upload-length, upload-metadata, upload-offset, x-request-id",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in pairs {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(Ok(reply))
}

/// Lets the page that asked read a reply, if it may.
pub(crate) fn mark(front: &Front, head: &Parts, headers: &mut HeaderMap) {
    let allowed = if front.config.open_cors {
        HeaderValue::from_static(ANY)
    } else {
        let Some(origin) = head.headers.get(ORIGIN) else { return };
        // A cache must not give one page what was meant for another.
        headers.append(VARY, HeaderValue::from_static("origin"));
        if !is_allowed(front, head, origin) {
            return;
        }
        origin.clone()
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "cloudnest-endpoint, cloudnest-position, cloudnest-region, content-disposition, content-range, etag, location, ratelimit, \
             ratelimit-policy, repr-digest, retry-after, server-timing, traceparent, tus-resumable, upload-expires, upload-length, \
             upload-metadata, upload-offset, x-request-id",
        ),
    );
}

fn is_allowed(front: &Front, head: &Parts, origin: &HeaderValue) -> bool {
    if front.config.open_cors {
        return true;
    }
    let (Some(slug), Ok(origin)) = (tenant(&head.uri), origin.to_str()) else {
        return false;
    };
    let origins = front.service.cors_origins(&slug);
    origins.iter().any(|allowed| allowed == ANY || allowed == origin)
}

/// The tenant whose path it is. `/v1/tenants/acme` itself is the operator's.
fn tenant(uri: &Uri) -> Option<Slug> {
    let (slug, _) = uri.path().strip_prefix(TENANTS)?.split_once('/')?;
    slug.parse().ok()
}

/// Checks a tenant's list: each origin in the form in which browsers send it, or `*` for all.
pub(crate) fn check(origins: &[String]) -> Result<()> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, message: String| errors.push(FieldError { pointer, message });
    if origins.len() > CORS_ORIGINS {
        wrong("/cors_origins".into(), format!("has more than {CORS_ORIGINS} origins"));
    }
    for (place, origin) in origins.iter().take(CORS_ORIGINS).enumerate() {
        if !is_origin(origin) {
            let message = "is not an origin: write it as browsers send it, such as https://app.example.com, or * for every page";
            wrong(format!("/cors_origins/{place}"), message.to_owned());
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::fields(errors))
    }
}

fn is_origin(text: &str) -> bool {
    if text == ANY {
        return true;
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(host) = rest.filter(|_| text.len() <= CORS_ORIGIN_BYTES) else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let port = host.rsplit(']').next().and_then(|rest| rest.split_once(':'));
    // The parser knows about brackets.
    host.bytes().all(plain)
        && port.is_none_or(|(_, port)| port.parse::<u16>().is_ok())
        && host
            .parse::<http::uri::Authority>()
            .is_ok_and(|parsed| !parsed.host().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_the_form_in_which_browsers_send_it() {
        for good in [
            "*",
            "https://app.example.com",
            "http://localhost:5173",
            "http://[::1]:80",
            "https://xn--bcher-kva.example",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://App.example.com",
            "https://*.example.com",
            "https://u@example.com",
            "https://example.com:port",
            "ftp://example.com",
            "https://bücher.example",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
        assert!(!is_origin(&format!("https://{}.example", "a".repeat(CORS_ORIGIN_BYTES))));
    }

    #[test]
    fn all_that_is_wrong_is_said_with_its_place() {
        let error = check(&["*".into(), "x".into(), "y".into()]).expect_err("two are wrong");
        let places: Vec<&str> = error.errors.iter().map(|wrong| wrong.pointer.as_str()).collect();
        assert_eq!(places, ["/cors_origins/1", "/cors_origins/2"]);
        let many = vec!["*".to_owned(); CORS_ORIGINS + 1];
        assert_eq!(check(&many).expect_err("too many").errors[0].pointer, "/cors_origins");
    }

    #[test]
    fn only_what_is_below_a_tenant_is_the_tenants() {
        let of = |path: &'static str| tenant(&Uri::from_static(path)).map(|slug| slug.to_string());
        assert_eq!(of("/v1/tenants/acme/records/tasks?x=/"), Some("acme".into()));
        for other in [
            "/v1/tenants/acme",
            "/v1/tenants",
            "/",
            "/metrics",
            "/v1/tenants//me",
            "/v1/tenants/A%20/me",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
