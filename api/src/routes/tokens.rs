//! API keys, and who is asking.

use http::StatusCode;

use super::page;
use crate::body::token::{NewToken, Role};
use crate::error::{Code, Error, FieldError, Result};
use crate::front::Asked;
use crate::gate;
use crate::ids::Name;
use crate::reply::{self, Marks, Reply};
use crate::service::{Operator, Placement, RequestContext};

/// Longest name of a token, in characters.
const NAME_CHARS: usize = 100;

pub(super) async fn me(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.consistency()?;
    asked.query.finish()?;
    let me = asked.limited(false, asked.front.service.me(ctx)).await?;
    Ok(reply::json(StatusCode::OK, &me.body)?.at(me.position))
}

pub(super) async fn list(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    asked.query.consistency()?;
    let tokens = asked.limited(false, asked.front.service.tokens(ctx)).await?;
    let page = page(&mut asked.query, tokens.body, |token| token.id.to_string())?;
    Ok(reply::json(StatusCode::OK, &page)?.at(tokens.position))
}

pub(super) async fn create(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    asked.query.finish()?;
    let new: NewToken = asked.json().await?;
    check(&new)?;
    check_grant(&new, ctx)?;
    let key = gate::idempotency(asked).await?;
    let token = asked.limited(true, asked.front.service.token_create(ctx, new, key)).await?;
    Ok(reply::json_once(StatusCode::CREATED, &token.body, "secret")?.at(token.position))
}

/// A token of a tenant, minted by an operator.
pub(crate) async fn mint(asked: &mut Asked<'_>, operator: &Operator, placement: &Placement) -> Result<Reply> {
    asked.query.finish()?;
    let new: NewToken = asked.json().await?;
    check(&new)?;
    let key = gate::idempotency(asked).await?;
    let token = asked
        .limited(true, asked.front.service.tenant_token(operator, placement, new, key))
        .await?;
    reply::json_once(StatusCode::CREATED, &token, "secret")
}

pub(super) async fn delete(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    asked.query.finish()?;
    let id = asked.id(asked.found.first)?;
    let deleted = asked.limited(true, asked.front.service.token_delete(ctx, id)).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT).at(deleted.position))
}

fn check(new: &NewToken) -> Result<()> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, message: &str| {
        errors.push(FieldError {
            pointer,
            message: message.to_owned(),
        })
    };
    if !(1..=NAME_CHARS).contains(&new.name.chars().count()) {
        wrong("/name".into(), "must have 1 to 100 characters");
    }
    for (place, scope) in new.scopes.iter().flatten().enumerate() {
        if scope.parse::<Name>().is_err() {
            wrong(format!("/scopes/{place}"), "is not the name of a collection");
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::fields(errors))
    }
}

/// Nobody makes a token that may do more than its maker.
fn check_grant(new: &NewToken, ctx: &RequestContext) -> Result<()> {
    if new.role == Role::Owner && ctx.principal.role != Role::Owner {
        return Err(Error::new(Code::Forbidden, "only an owner makes tokens of owners"));
    }
    let Some(own) = &ctx.principal.scopes else { return Ok(()) };
    let within = new
        .scopes
        .as_ref()
        .is_some_and(|scopes| scopes.iter().all(|scope| own.contains(scope)));
    if within {
        Ok(())
    } else {
        Err(Error::new(
            Code::Forbidden,
            "a token's scopes must be among those of its maker",
        ))
    }
}
