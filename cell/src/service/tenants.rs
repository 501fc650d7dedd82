//! Tenants: created by two commits (the directory's entry, the cell's space), erased as an operation.

use api::body::control::{NewTenant, Tenant as Body, TenantStatus};
use api::body::token::Role;
use api::error::{Code, Error, FieldError, Result};
use api::service::{Idempotency, Operator};
use bytes::Bytes;
use storage::Space;
use uuid::Uuid;

use super::Front;
use super::error::{internal, refused};
use crate::access::secret;
use crate::access::token_create::TokenCreate;
use crate::access::token_row::TokenRow;
use crate::backup::turn;
use crate::directory::rows::{self, Tenant};
use crate::directory::tenant_reserve::TenantReserve;
use crate::machine::dispatch::{Command, answer};
use crate::machine::idempotency::IdempotencyKey;
use crate::machine::refusal::Refusal;
use crate::machine::rows::Actor;
use crate::mutant;
use crate::node::proposing::stamped;
use crate::node::replica::Proposal;
use crate::records::template::{self, Template};
use crate::records::totals;
use crate::space::open::{SpaceOpen, SpaceOpenCounted};

/// Longest display name, in characters.
const NAME_CHARS: usize = 200;

impl Front {
    pub(super) async fn create_tenant(&self, operator: &Operator, new: NewTenant, key: Option<Idempotency>) -> Result<Body> {
        if new.region != self.platform.me.region {
            return Err(self.other_region(&new.region));
        }
        let start = new.template.as_deref().map_or(Ok(Template::default()), template::find)?;
        let plan = self.plan(new.plan.as_deref()).await?;
        let name = new.name.clone().unwrap_or_else(|| new.slug.to_string());
        if name.is_empty() || name.chars().count() > NAME_CHARS {
            return Err(wrong("/name", format!("must be 1 to {NAME_CHARS} characters long")));
        }
        let id = Uuid::now_v7();
        let key = key.map(|key| directory_key(operator, &new, key));
        let actor = Actor::Operator(operator.name.to_string());
        let reserve = |snapshot: &storage::Snapshot| {
            let known = rows::tenant(snapshot, new.slug.as_str()).map_err(|fault| internal(&fault))?;
            if known.is_some() {
                let detail = format!("there is a tenant {:?} already", new.slug.as_str());
                return Err(Error::new(Code::AlreadyExists, detail));
            }
            Ok(TenantReserve {
                id,
                slug: new.slug.to_string(),
                region: new.region.clone(),
                cell: self.choose_cell(snapshot, new.slug.as_str(), &new.region, new.dedicated)?,
                dedicated: new.dedicated,
                plan: plan.clone(),
                template: new.template.clone(),
            })
        };
        let told = Actor::Operator(mutant::creator(&operator.name, &name));
        let mut entered = self.platform.directory_write(told.clone(), key, &reserve).await;
        if new.dedicated && entered.as_ref().is_err_and(|error| error.code == Code::Unavailable) {
            self.make_dedicated(&actor).await?;
            entered = self.platform.directory_write(told, key, &reserve).await;
        }
        let tenant = entered?;
        if tenant.id != id && self.has_space(&tenant).await? {
            // The answer of an earlier attempt: its token was shown once.
            return self.show_tenant(&tenant, None);
        }
        let text = secret::generate(secret::TENANT).map_err(|error| internal(&error))?;
        // The entry is there: whatever fails now, the tenant exists, and the same key goes on from here.
        self.make_space(&tenant, name, start, &text, actor).await.map_err(begun)?;
        let body = self.show_tenant(&tenant, Some(text))?;
        // This node's replica of the cell may not have applied it yet.
        let status = TenantStatus::Active;
        Ok(Body { status, ..body })
    }

    /// Whether the space of a tenant is made, asked of this node's replica of its cell; else it may be made. A cell without a replica here
    /// is taken to have it: making it again would be refused there. An error also where it was made and lost with its cell.
    async fn has_space(&self, tenant: &Tenant) -> Result<bool> {
        let Some(replica) = self.platform.cell(tenant.cell) else {
            return Ok(true);
        };
        replica.group.read_barrier().await.map_err(super::error::barrier)?;
        let is_there = is_made(replica.moment(Space(tenant.uid)).err());
        is_shown(is_there, || turn::may_make(&replica, tenant.created))
    }

    /// The second commit: the space in the cell, wherever that is led.
    async fn make_space(&self, tenant: &Tenant, name: String, start: Template, text: &str, actor: Actor) -> Result<()> {
        let token = first_token(text);
        let mut command = SpaceOpen::new(tenant, start);
        command.create.name = name;
        command.create.token = Some(token.clone());
        // Where this node does not know, the cell's leader counts by itself.
        let is_counted = self
            .platform
            .cell(tenant.cell)
            .is_some_and(|replica| replica.level.group() >= totals::LEVEL);
        let made = match is_counted {
            true => self.at_cell(tenant, actor.clone(), SpaceOpenCounted(command)).await?,
            false => self.at_cell(tenant, actor.clone(), command).await?,
        };
        match made {
            Ok(()) => Ok(()),
            // Somebody has gone on with the creation in the meantime, but had no token to give.
            Err(Refusal::AlreadyExists { .. }) => self
                .at_cell(tenant, actor, TokenCreate { row: token })
                .await?
                .map(|_| ())
                .map_err(|refusal| refused(&refusal)),
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    async fn at_cell<C: Command>(
        &self,
        tenant: &Tenant,
        actor: Actor,
        command: C,
    ) -> Result<std::result::Result<C::Reply, Refusal>> {
        let proposal = Proposal {
            command,
            schema: None,
            access: None,
        };
        let bytes: Bytes = stamped(Space(tenant.uid), actor, None, proposal);
        let reply = self.platform.propose_at_leader(tenant.cell, bytes).await?;
        Ok(answer::<C::Reply>(&reply).map_err(|fault| internal(&fault))?.result)
    }
}

/// The row of a tenant's first token.
pub(super) fn first_token(secret: &str) -> TokenRow {
    TokenRow {
        id: Uuid::now_v7(),
        hash: secret::hash(secret),
        name: "admin".to_owned(),
        role: Role::Owner.into(),
        scopes: None,
        created: 0,
        expires: None,
    }
}

pub(super) fn wrong(pointer: &str, message: String) -> Error {
    Error::fields(vec![FieldError {
        pointer: pointer.to_owned(),
        message,
    }])
}

/// Whether a tenant has a space, after a look at it in its cell. One that is not served there is on its way to another.
pub(super) fn is_made(failed: Option<Error>) -> bool {
    failed.is_none_or(|error| error.code == Code::NotLeader)
}

/// Whether a creation that is sent again shows what is there; else it goes on. What was lost is not made empty: who has the key of the
/// first request does not know that it was.
fn is_shown(is_there: bool, may_make: impl FnOnce() -> Result<bool>) -> Result<bool> {
    if is_there || may_make()? {
        return Ok(is_there);
    }
    let detail = "the tenant is entered, but its space is missing: it was lost with its cell, and `cell restore` brings it back; or the \
                  cell's backup does not tell yet";
    Err(Error::new(Code::Unavailable, detail).unknown())
}

/// The failure of a creation that has begun.
fn begun(error: Error) -> Error {
    let detail = format!(
        "the tenant is entered, but its space is not made yet ({}); send the request again with the same Idempotency-Key",
        error.detail
    );
    Error::new(Code::Unavailable, detail).unknown()
}

/// An operator's key. Nothing of a tenant's content comes into the directory, not even as a digest: the display name is not part of what
/// tells whether a request is the same.
fn directory_key(operator: &Operator, new: &NewTenant, key: Idempotency) -> IdempotencyKey {
    let mut hasher = blake3::Hasher::new();
    for part in [
        Some(new.slug.as_str()),
        Some(new.region.as_str()),
        new.plan.as_deref(),
        new.template.as_deref(),
    ] {
        hasher.update(&[u8::from(part.is_some())]);
        hasher.update(part.unwrap_or_default().as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(&[u8::from(new.dedicated)]);
    let body = *hasher.finalize().as_bytes();
    operators_key(operator, Idempotency { body, ..key })
}

/// An idempotency key within its operator.
pub(super) fn operators_key(operator: &Operator, key: Idempotency) -> IdempotencyKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(operator.name.as_bytes());
    hasher.update(&key.scope);
    IdempotencyKey {
        scope: *hasher.finalize().as_bytes(),
        body: key.body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_creation_that_is_sent_again_goes_on_unless_the_tenant_was_there_and_lost() {
        assert!(is_shown(true, || panic!("it is there")).expect("shown"));
        assert!(!is_shown(false, || Ok(true)).expect("made"));
        let lost = is_shown(false, || Ok(false)).expect_err("not made empty");
        assert!(
            lost.code == Code::Unavailable && lost.detail.contains("cell restore"),
            "{lost}"
        );
        let untold = is_shown(false, || Err(Error::new(Code::Internal, "a fault")));
        assert_eq!(untold.map_err(|error| error.code), Err(Code::Internal));
    }
}
