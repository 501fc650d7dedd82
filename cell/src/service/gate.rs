//! Who asks: from secrets to principals and operators.

use std::sync::Arc;
use std::time::Instant;

use api::error::{Code, Error, Result};
use api::service::{Operator, Placement, Principal, Stage, Timing};
use storage::Space;

use super::Front;
use super::error::internal;
use crate::access::authenticate;
use crate::access::secret;
use crate::directory::query;
use crate::node::replica::Replica;
use crate::records::time::now_micros;

impl Front {
    /// The principal of a tenant's secret. A secret that this replica does not know is looked up once more behind a read
    /// barrier: it may be younger than what the replica has applied.
    pub(super) async fn tenant_principal(&self, placement: &Placement, text: &str, timing: &Timing) -> Result<Principal> {
        let replica = self.platform.replica(placement)?;
        let space = Space(placement.uid);
        let start = Instant::now();
        let mut found = look_up(replica, space, text)?;
        if found.is_none() {
            replica.group.read_barrier().await.map_err(super::error::barrier)?;
            found = look_up(replica, space, text)?;
        }
        timing.add(Stage::Gate, start.elapsed());
        found.ok_or_else(|| Error::new(Code::Unauthenticated, "the token is not one of this tenant, has expired or was revoked"))
    }

    /// The operator behind a secret: the one that this node was started with, or one of the directory.
    pub(super) async fn operator(&self, text: &str) -> Result<Operator> {
        if self.platform.operator.is_some_and(|own| blake3::Hash::from(own) == blake3::Hash::from(secret::hash(text))) {
            return Ok(Operator { name: Arc::from("bootstrap") });
        }
        let directory = &self.platform.directory;
        let look_up = || query::operator(&directory.store.begin_read(), text).map_err(|fault| internal(&fault));
        let mut found = look_up()?;
        if found.is_none() {
            directory.group.read_barrier().await.map_err(super::error::barrier)?;
            found = look_up()?;
        }
        let found = found.ok_or_else(|| Error::new(Code::Unauthenticated, "the token is not one of an operator"))?;
        Ok(Operator { name: Arc::from(found.name) })
    }
}

fn look_up(replica: &Replica, space: Space, text: &str) -> Result<Option<Principal>> {
    let moment = match replica.moment(space) {
        Ok(moment) => moment,
        // A space that is not applied here yet is looked for behind the barrier; one that is not there at all says so then.
        Err(error) if error.code == Code::Unavailable => return Ok(None),
        Err(error) => return Err(error),
    };
    authenticate::principal(&moment.snapshot, space, &moment.header, text, now_micros()).map_err(|fault| internal(&fault))
}
