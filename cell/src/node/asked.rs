//! What other nodes ask of this node itself, and not of a group on it.

use api::body::node::NodeChange;
use bytes::Bytes;

use super::about::AboutForm;
use super::loads::LoadForm;
use super::platform::Platform;
use super::relay::{What, status};
use crate::machine::envelope::seal;

impl Platform {
    /// What is answered to a question about this node; none: it is about a group.
    pub(super) async fn answer_of_node(&self, what: u8, group: u64, payload: &[u8]) -> Option<(u8, Bytes)> {
        let done = |bytes: Vec<u8>| (status::DONE, Bytes::from(bytes));
        let refused = |why: String| (status::NOT_APPLIED, Bytes::from(why));
        let is = |one: What| one as u8 == what;
        let change = [
            (What::Drain, NodeChange::Drain),
            (What::Undrain, NodeChange::Undrain),
            (What::Restart, NodeChange::Restart),
        ];
        if let Some((_, change)) = change.into_iter().find(|(one, _)| is(*one)) {
            self.change(change);
            return Some(done(Vec::new()));
        }
        Some(match what {
            _ if is(What::Alive) => done(Vec::new()),
            _ if is(What::About) => done(seal(&AboutForm::V1(self.about(group)))),
            _ if is(What::Position) => match self.own_directory_position().await {
                Ok(position) => done(position.to_be_bytes().to_vec()),
                Err(error) => refused(error.detail),
            },
            _ if is(What::Load) => match self.own_load(group) {
                Some(load) => done(seal(&LoadForm::V1(load))),
                None => refused("the node does not lead the cell".to_owned()),
            },
            _ if is(What::Spending) => match self.hear_spending(payload) {
                Ok(()) => done(Vec::new()),
                Err(reason) => refused(reason),
            },
            _ => return None,
        })
    }
}
