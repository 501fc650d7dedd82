//! The command that makes a tenant's space, with the collections of its template and its first token.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::token_row::{self, TokenRow};
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::{Refusal, Stop};
use crate::machine::rows::{EventKind, Header, SpaceStatus, Subject};
use crate::machine::world::World;
use crate::records::collection_put;
use crate::records::schema::Collection;

/// Makes a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpaceCreate {
    /// The tenant's public id.
    pub(crate) tenant: Uuid,
    /// Its slug.
    pub(crate) slug: String,
    /// Its display name: it stays in the cell.
    pub(crate) name: String,
    /// The collections of its template.
    pub(crate) collections: Vec<Collection>,
    /// Its first token; none where nobody is there to receive the secret.
    pub(crate) token: Option<TokenRow>,
}

impl Command for SpaceCreate {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, _: &Catalogs) -> Result<(), Stop> {
        if world.header().is_some() {
            return Err(Refusal::AlreadyExists {
                what: format!("the space of {}", self.slug),
            }
            .into());
        }
        world.create(Header {
            tenant: self.tenant,
            slug: self.slug,
            name: self.name,
            status: SpaceStatus::Live,
            position: 0,
            stamp: 0,
            schema: 0,
            access: 0,
            next: 1,
        });
        world.event(EventKind::TenantCreated, Subject::Tenant)?;
        for collection in self.collections {
            collection_put::write(world, collection, true)?;
        }
        if let Some(token) = self.token {
            token_row::write(world, token)?;
        }
        Ok(())
    }
}
