//! Who asks: from secrets to principals and operators.

use std::sync::Arc;

use api::error::{Code, Error, Result};
use api::service::{Operator, Placement, Principal};
use storage::Space;

use super::Front;
use super::error::internal;
use crate::access::authenticate::{self, Identity};
use crate::access::secret;
use crate::directory::query;
use crate::machine::reader::Reader;
use crate::machine::rows::SpaceStatus;
use crate::node::replica::Replica;
use crate::records::time::now_micros;

impl Front {
    /// The principal of a tenant's secret. A secret that this replica does not know is looked up once more behind a read
    /// barrier: it may be younger than what the replica has applied. A token of another tenant is answered like a tenant that
    /// does not exist.
    pub(super) async fn tenant_principal(&self, placement: &Placement, text: &str) -> Result<Principal> {
        if !secret::is_well_formed(text, secret::TENANT) {
            return Err(Error::new(
                Code::Unauthenticated,
                "the token is not one: tokens of tenants look like cnt_…, with a check at their end",
            ));
        }
        let replica = self.platform.replica(placement)?;
        let mut found = look_up(&replica, placement, text)?;
        if !matches!(found, Identity::Known(_)) {
            replica.group.read_barrier().await.map_err(super::error::barrier)?;
            found = look_up(&replica, placement, text)?;
        }
        match found {
            Identity::Known(principal) => Ok(principal),
            Identity::Ended => Err(Error::new(Code::Unauthenticated, "the token has expired or was revoked")),
            Identity::Foreign => Err(Error::new(Code::NotFound, "the token is not one of this tenant")),
        }
    }

    /// The operator behind a secret: the one that this node was started with, or one of the directory.
    pub(super) async fn operator(&self, text: &str) -> Result<Operator> {
        if self
            .platform
            .operator
            .is_some_and(|own| blake3::Hash::from(own) == blake3::Hash::from(secret::hash(text)))
        {
            return Ok(Operator {
                name: Arc::from("bootstrap"),
            });
        }
        let look_up = || query::operator(&self.platform.directory.read()?, text).map_err(|fault| internal(&fault));
        let mut found = look_up()?;
        if found.is_none() {
            if !self.platform.freshen_directory().await {
                return Err(Error::new(
                    Code::Unavailable,
                    "the directory cannot be asked now whether there is such an operator",
                ));
            }
            found = look_up()?;
        }
        let found = found.ok_or_else(|| Error::new(Code::Unauthenticated, "the token is not one of an operator"))?;
        Ok(Operator {
            name: Arc::from(found.name),
        })
    }
}

fn look_up(replica: &Replica, placement: &Placement, text: &str) -> Result<Identity> {
    let space = Space(placement.uid);
    let (hash, now) = (secret::hash(text), now_micros());
    let snapshot = replica.store.begin_read();
    let (header, place) = snapshot.placed(space).map_err(|fault| internal(&fault))?.unzip();
    if place.is_some_and(|place| !place.is_read_in(placement.epoch)) {
        return Err(super::error::moved());
    }
    // A space that is not applied here yet is looked for behind the barrier.
    let Some(header) = header.filter(|header| header.status == SpaceStatus::Live) else {
        return Ok(Identity::Foreign);
    };
    if let Some(known) = replica.principals.get(space, hash, header.access, now) {
        return Ok(Identity::Known(known));
    }
    let found = authenticate::identity(&snapshot, space, &header, hash, now).map_err(|fault| internal(&fault))?;
    if let Identity::Known(principal) = &found {
        replica.principals.put(space, hash, principal.clone());
    }
    Ok(found)
}
