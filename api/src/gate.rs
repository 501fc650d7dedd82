//! The gate: who asks, and may they?
//!
//! It runs once, where the tenant's data is. What comes out of it is a [`RequestContext`]: behind it nothing sees a tenant or a
//! principal that was not checked. Reads pass the read barrier first, so that a token that was revoked before the read began is
//! not accepted by a replica that has not heard of it.
//!
//! An unknown tenant and a token of another tenant get the same reply: slugs are public, who holds which token is not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL};

use crate::body::token::Role;
use crate::error::{Code, Error, FieldError, Result};
use crate::front::Asked;
use crate::ids::Name;
use crate::limits::IDEMPOTENCY_KEY_CHARS;
use crate::routes::files;
use crate::routes::table::Endpoint;
use crate::service::{Claim, Consistency, Idempotency, Operator, Placement, Principal, Reach, RequestContext, Stage};

/// What an operator's token starts with.
pub(crate) const OPERATOR_PREFIX: &str = "cno_";
/// What a tenant's token starts with.
const TENANT_PREFIX: &str = "cnt_";
/// What comes before a token among the subprotocols of a WebSocket.
const SOCKET_PREFIX: &str = "bearer.";
/// Longest token, in bytes.
const TOKEN_BYTES: usize = 512;

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str> {
    let refused = |why: &str| Error::new(Code::Unauthenticated, why);
    if let Some(token) = offered(headers)? {
        return Ok(token);
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values
        .next()
        .ok_or_else(|| refused("send a token: Authorization: Bearer TOKEN"))?;
    if values.next().is_some() {
        return Err(refused("there is more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| refused("the Authorization header is not text"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => match token.trim() {
            token if (1..=TOKEN_BYTES).contains(&token.len()) => Ok(token),
            _ => Err(refused("the token is empty or too long")),
        },
        _ => Err(refused("use the Bearer scheme: Authorization: Bearer TOKEN")),
    }
}

/// The token of a WebSocket of a browser, which cannot send headers: `Sec-WebSocket-Protocol: cloudnest.v1, bearer.TOKEN`. Where a header
/// says who asks, that counts.
fn offered(headers: &HeaderMap) -> Result<Option<&str>> {
    if headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut tokens = offered.filter_map(|protocol| protocol.trim().strip_prefix(SOCKET_PREFIX));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) if (1..=TOKEN_BYTES).contains(&token.len()) => Ok(Some(token)),
        (None, _) => Ok(None),
        _ => Err(Error::new(
            Code::Unauthenticated,
            "Sec-WebSocket-Protocol takes one token: bearer.TOKEN",
        )),
    }
}

/// Whether the request carries an operator's token, whatever that is worth.
pub(crate) fn is_operators(headers: &HeaderMap) -> bool {
    bearer(headers).is_ok_and(|token| token.starts_with(OPERATOR_PREFIX))
}

/// Lets an operator through.
pub(crate) async fn operator(asked: &Asked<'_>) -> Result<Operator> {
    let since = Instant::now();
    let token = bearer(&asked.head.headers)?;
    if token.starts_with(TENANT_PREFIX) {
        return Err(Error::new(
            Code::Forbidden,
            "this call takes an operator's token, not a tenant's",
        ));
    }
    let operator = asked.limited(false, asked.front.service.authenticate_operator(token)).await;
    asked.clock(Stage::Gate, since);
    operator
}

/// Lets a principal of a tenant through.
pub(crate) async fn tenant(asked: &mut Asked<'_>, placement: Placement, reach: Reach, role: Role) -> Result<RequestContext> {
    let since = Instant::now();
    if let Some(claim) = link(asked)? {
        return by_link(asked, placement, &claim).await;
    }
    let token = bearer(&asked.head.headers)?;
    if token.starts_with(OPERATOR_PREFIX) {
        operator(asked).await?;
        let detail = "an operator's token cannot read a tenant's content; create a token of the tenant with it";
        return Err(Error::new(Code::Forbidden, detail));
    }
    let service = &asked.front.service;
    if reach == Reach::Replica {
        let consistency = crate::query::Query::parse(asked.head.uri.query())?.consistency()?;
        let barrier = Instant::now();
        asked
            .limited(false, service.barrier(&placement, consistency, asked.timing))
            .await?;
        asked.clock(Stage::Barrier, barrier);
    }
    let authenticated = asked
        .limited(false, service.authenticate(&placement, token, asked.timing))
        .await;
    let principal = authenticated.map_err(|error| match error.code {
        Code::NotFound => unknown_tenant(placement.slug.as_str()),
        _ => error,
    })?;
    asked.is_known.store(true, Ordering::Relaxed);
    check_role(&principal, role)?;
    asked.clock(Stage::Gate, since);
    Ok(RequestContext {
        placement,
        principal,
        timing: Arc::clone(asked.timing),
    })
}

/// What a request says that follows a link in place of sending a token.
fn link(asked: &Asked<'_>) -> Result<Option<Claim>> {
    let is_of_content = asked.found.route.endpoint == Endpoint::FileContent;
    match is_of_content && !asked.head.headers.contains_key(AUTHORIZATION) {
        true => files::content::claim(asked),
        false => Ok(None),
    }
}

/// Lets somebody through who follows a link: to what it leads to, and nothing else.
async fn by_link(asked: &Asked<'_>, placement: Placement, claim: &Claim) -> Result<RequestContext> {
    let service = &asked.front.service;
    service.barrier(&placement, Consistency::Strong, asked.timing).await?;
    let principal = service.link_principal(&placement, claim).await?;
    Ok(RequestContext {
        placement,
        principal,
        timing: Arc::clone(asked.timing),
    })
}

/// What an unknown tenant and a foreign token are answered with.
pub(crate) fn unknown_tenant(slug: &str) -> Error {
    let slug: String = slug.chars().take(60).collect();
    Error::new(
        Code::NotFound,
        format!("there is no tenant {slug:?} here, or the token is not of this tenant"),
    )
}

fn check_role(principal: &Principal, needed: Role) -> Result<()> {
    if rank(principal.role) >= rank(needed) {
        return Ok(());
    }
    let detail = format!(
        "this call needs the role {}; the token has {}",
        needed.name(),
        principal.role.name()
    );
    Err(Error::new(Code::Forbidden, detail))
}

/// A role's place: higher may do what lower may.
pub(crate) const fn rank(role: Role) -> u8 {
    match role {
        Role::Guest => 0,
        Role::Member => 1,
        Role::Admin => 2,
        Role::Owner => 3,
    }
}

/// Whether a principal may touch a collection.
pub(crate) fn in_scope(principal: &Principal, collection: &str) -> bool {
    principal
        .scopes
        .as_ref()
        .is_none_or(|scopes| scopes.iter().any(|scope| scope == collection))
}

/// The collection that the path names, if the principal may touch it.
pub(crate) fn collection(asked: &Asked<'_>, ctx: &RequestContext) -> Result<Name> {
    let name: Name = match asked.found.first.parse() {
        Ok(name) => name,
        Err(error) => return Err(Error::new(Code::InvalidParameter, format!("collection: {error}"))),
    };
    if in_scope(&ctx.principal, name.as_str()) {
        return Ok(name);
    }
    Err(out_of_scope(name.as_str()))
}

/// A collection that is not among the token's.
pub(crate) fn out_of_scope(collection: &str) -> Error {
    Error::new(
        Code::Forbidden,
        format!("the token's scopes do not include the collection {collection:?}"),
    )
}

/// A token that is made for some collections only, at a call that is about all of them.
pub(crate) fn unscoped(ctx: &RequestContext) -> Result<()> {
    match ctx.principal.scopes {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Code::Forbidden,
            "this call needs a token that is not limited to some collections",
        )),
    }
}

/// Whether `If-Match` asks for something that exists, whatever its version.
pub(crate) fn matches_any(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::IF_MATCH)
        .is_some_and(|value| value.as_bytes().trim_ascii() == b"*")
}

/// The version that `If-Match` names. None with `*` too: a call that changes what exists asks for no more.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(http::header::IF_MATCH).filter(|_| !matches_any(headers)) else {
        return Ok(None);
    };
    let version = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().strip_prefix('"')?.strip_suffix('"'))
        .and_then(crate::query::digits);
    match version {
        Some(version) => Ok(Some(version)),
        None => Err(Error::new(
            Code::InvalidParameter,
            "If-Match takes one version as an ETag, such as \"7\", or *",
        )),
    }
}

/// The idempotency key of a request, with what it stands for.
pub(crate) async fn idempotency(asked: &mut Asked<'_>) -> Result<Option<Idempotency>> {
    let Some(scope) = scope_of_key(asked)? else { return Ok(None) };
    let body = *blake3::hash(&asked.bytes().await?).as_bytes();
    Ok(Some(Idempotency { scope, body }))
}

/// The same where the body is a stream: what it stands for is what is said of it; whoever reads it adds what it is.
pub(crate) fn idempotency_of_stream(asked: &Asked<'_>) -> Result<Option<Idempotency>> {
    let Some(scope) = scope_of_key(asked)? else { return Ok(None) };
    let mut body = blake3::Hasher::new();
    let kind = asked.head.headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    for part in [asked.head.uri.query().unwrap_or_default().as_bytes(), kind] {
        body.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let body = *body.finalize().as_bytes();
    Ok(Some(Idempotency { scope, body }))
}

/// What the idempotency key of a request is a key of; none: it has none.
fn scope_of_key(asked: &Asked<'_>) -> Result<Option<[u8; 32]>> {
    if !asked.found.route.keyed {
        return Ok(None);
    }
    let Some(value) = asked.head.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.as_bytes();
    if !(1..=IDEMPOTENCY_KEY_CHARS).contains(&key.len()) || !key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        let pointer = String::new();
        let message = format!("Idempotency-Key takes 1 to {IDEMPOTENCY_KEY_CHARS} printable ASCII characters");
        let mut error = Error::new(Code::InvalidParameter, message.clone());
        error.errors.push(FieldError { pointer, message });
        return Err(error);
    }
    let mut scope = blake3::Hasher::new();
    for part in [asked.head.method.as_str().as_bytes(), asked.head.uri.path().as_bytes(), key] {
        // The length goes first, so that no two different triples read alike.
        scope.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    Ok(Some(*scope.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn a_bearer_token_is_read_and_anything_else_refused() {
        assert_eq!(bearer(&with(AUTHORIZATION, "bearer  cnt_1 ")).expect("a token"), "cnt_1");
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "cnt_1"] {
            assert_eq!(
                bearer(&with(AUTHORIZATION, bad)).expect_err(bad).code,
                Code::Unauthenticated,
                "{bad}"
            );
        }
        let mut twice = with(AUTHORIZATION, "Bearer a");
        twice.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(bearer(&twice).is_err() && bearer(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_websocket_names_its_token_among_its_subprotocols() {
        let offer = |value| with(SEC_WEBSOCKET_PROTOCOL, value);
        assert_eq!(bearer(&offer("cloudnest.v1, bearer.cnt_1")).expect("a token"), "cnt_1");
        assert!(bearer(&offer("cloudnest.v1")).is_err() && bearer(&offer("bearer.")).is_err());
        assert!(bearer(&offer("bearer.a, bearer.b")).is_err());
        let mut both = offer("bearer.cnt_1");
        both.append(AUTHORIZATION, HeaderValue::from_static("Bearer cnt_2"));
        assert_eq!(bearer(&both).expect("a token"), "cnt_2");
    }

    #[test]
    fn if_match_takes_one_strong_version() {
        let read = |value| if_match(&with(http::header::IF_MATCH, value)).map_err(|error| error.code);
        assert_eq!(read("\"7\""), Ok(Some(7)));
        assert_eq!(read("*"), Ok(None));
        for bad in ["7", "W/\"7\"", "*, \"7\"", "\"7\", \"8\"", "\"\"", "\"-1\"", "\"x\""] {
            assert_eq!(read(bad), Err(Code::InvalidParameter), "{bad}");
        }
    }

    #[test]
    fn roles_are_a_ladder() {
        let ladder = [Role::Guest, Role::Member, Role::Admin, Role::Owner];
        assert!(ladder.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
    }
}
