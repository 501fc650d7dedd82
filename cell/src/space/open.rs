//! The command that makes a tenant's space as its template says: collections and their policies.

use serde::{Deserialize, Serialize};

use super::create::SpaceCreate;
use crate::directory::rows::Tenant;
use crate::machine::catalog::Catalogs;
use crate::machine::dispatch::Command;
use crate::machine::refusal::Stop;
use crate::machine::world::World;
use crate::records::collection_define;
use crate::records::policy::Policy;
use crate::records::template::Template;
use crate::records::totals;

/// Makes a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpaceOpen {
    /// The space, with its collections.
    pub(crate) create: SpaceCreate,
    /// The policies of some of them, by the collection's number.
    pub(crate) policies: Vec<(u32, Policy)>,
}

impl SpaceOpen {
    /// The space of a tenant, named after its slug until it has another name.
    pub(crate) fn new(tenant: &Tenant, start: Template) -> Self {
        let create = SpaceCreate {
            tenant: tenant.id,
            slug: tenant.slug.clone(),
            name: tenant.slug.clone(),
            collections: start.collections,
            token: None,
        };
        Self {
            create,
            policies: start.policies,
        }
    }
}

/// Makes a space whose records are counted from the beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SpaceOpenCounted(pub(crate) SpaceOpen);

impl From<SpaceOpen> for SpaceOpenCounted {
    fn from(open: SpaceOpen) -> Self {
        Self(open)
    }
}

impl Command for SpaceOpenCounted {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<(), Stop> {
        self.0.apply(world, catalogs)?;
        totals::begin_empty(world);
        Ok(())
    }
}

impl Command for SpaceOpen {
    type Reply = ();

    fn apply(self, world: &mut World<'_>, catalogs: &Catalogs) -> Result<(), Stop> {
        self.create.apply(world, catalogs)?;
        for (collection, policy) in &self.policies {
            collection_define::write(world, *collection, policy);
        }
        Ok(())
    }
}
