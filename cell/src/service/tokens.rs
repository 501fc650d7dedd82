//! API keys of a tenant.

use api::body::token::{Me, NewToken, Role, Token};
use api::error::{Code, Error, Result};
use api::ids::Id;
use api::service::{Idempotency, Operator, Placement, Reply, RequestContext, Timing};
use storage::{Direction, Snapshot, Space, table};
use uuid::Uuid;

use super::Front;
use super::error::{internal, no_space, refused};
use super::tenants::operators_key;
use crate::access::token_create;
use crate::access::token_delete::TokenDelete;
use crate::access::{secret, token_row};
use crate::machine::rows::Actor;
use crate::node::replica::Proposal;
use crate::records::time::{format_stamp, now_micros};

impl Front {
    pub(super) fn whoami(&self, ctx: &RequestContext) -> Result<Reply<Me>> {
        let moment = self.moment(ctx)?;
        let body = Me {
            tenant: ctx.placement.slug.to_string(),
            principal: Actor::Token(ctx.principal.token.0).to_string(),
            name: ctx.principal.name.to_string(),
            role: ctx.principal.role,
            scopes: ctx.principal.scopes.as_ref().map(|scopes| scopes.to_vec()),
            expires_at: ctx.principal.expires_at.map(format_stamp),
        };
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }

    pub(super) fn list_tokens(&self, ctx: &RequestContext) -> Result<Reply<Vec<Token>>> {
        let moment = self.moment(ctx)?;
        let body = token_row::list(&moment.snapshot, Space(ctx.placement.uid))?;
        Ok(Reply {
            body,
            position: moment.header.position,
        })
    }

    pub(super) async fn create_token(
        &self,
        ctx: &RequestContext,
        new: NewToken,
        key: Option<Idempotency>,
    ) -> Result<Reply<Token>> {
        if new.role == Role::Owner && ctx.principal.role != Role::Owner {
            return Err(Error::new(Code::Forbidden, "only an owner may make a token of an owner"));
        }
        let (id, text) = (
            Uuid::now_v7(),
            secret::generate(secret::TENANT).map_err(|error| internal(&error))?,
        );
        let answer = self
            .write_as(ctx, key, |view, _| {
                check_room(view.snapshot, view.space)?;
                token_create::decide(view.catalog, &new, id, &text, now_micros())
            })
            .await?;
        let row = answer.result.map_err(|refusal| refused(&refusal))?;
        // The reply of an earlier attempt has no secret: it was shown once.
        let secret = (row.id == id).then_some(text);
        Ok(Reply {
            body: token_row::show(&row, secret),
            position: answer.position,
        })
    }

    pub(super) async fn delete_token(&self, ctx: &RequestContext, id: Id) -> Result<Reply<()>> {
        let owner = ctx.principal.role == Role::Owner;
        let answer = self.write_as(ctx, None, |_, _| Ok(TokenDelete { id: id.0, owner })).await?;
        Ok(Reply {
            body: (),
            position: answer.position,
        })
    }

    /// A token that an operator mints; the tenant sees it in its events.
    pub(super) async fn mint_token(
        &self,
        operator: &Operator,
        placement: &Placement,
        new: NewToken,
        key: Option<Idempotency>,
    ) -> Result<Token> {
        let key = key.map(|key| operators_key(operator, key));
        let replica = self.platform.replica(placement)?;
        let space = Space(placement.uid);
        let (id, text) = (
            Uuid::now_v7(),
            secret::generate(secret::TENANT).map_err(|error| internal(&error))?,
        );
        let answer = replica
            .write(
                space,
                Actor::Operator(operator.name.to_string()),
                key,
                &Timing::default(),
                |snapshot, header| {
                    let header = header.ok_or_else(no_space)?;
                    let catalog = replica.catalog(snapshot, space, header)?;
                    let command = token_create::decide(&catalog, &new, id, &text, now_micros())?;
                    Ok(Proposal {
                        command,
                        schema: Some(header.schema),
                        access: None,
                    })
                },
            )
            .await?;
        let row = answer.result.map_err(|refusal| refused(&refusal))?;
        // The reply of an earlier attempt has no secret: it was shown once.
        let secret = (row.id == id).then_some(text);
        Ok(token_row::show(&row, secret))
    }
}

/// Refuses one token more than a tenant may have.
fn check_room(snapshot: &Snapshot, space: Space) -> Result<()> {
    let tokens = snapshot
        .scan(table::Token::range(space), Direction::Forward)
        .take(token_create::TOKENS)
        .count();
    if tokens < token_create::TOKENS {
        return Ok(());
    }
    Err(Error::new(
        Code::TooLarge,
        format!("a tenant has at most {} tokens: revoke some", token_create::TOKENS),
    ))
}
