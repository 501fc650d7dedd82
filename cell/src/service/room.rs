//! Room: whether a tenant's plan stores what a write would add.
//!
//! The leader looks, before it proposes: at the totals of its view (`records::totals`, and those of files). Writes that are decided at the same
//! time do not see each other, so that together they can go beyond a limit by what is under way; none of them does by itself.
//! Where much room is left, it is looked at ten times a second and not with every write, and again after each file that comes.
//!
//! What takes away, and what does not make a record longer, is served always. A change leaves the version before it behind, which goes with
//! time: so that nobody stores without end by changing, an eighth above the plan's storage ends that, too.
//!
//! A tenant whose records are not counted yet is held to nothing but what bounds its files.

use std::sync::Arc;

use api::error::{Code, Error, Result};
use api::service::{Placement, RequestContext};
use storage::{Snapshot, Space};

use super::Front;
use super::error::internal;
use crate::fair::account::Limits;
use crate::files::rows;
use crate::machine::refusal::Fault;
use crate::node::platform::Platform;
use crate::records::decide::View;
use crate::records::growth;
use crate::records::totals::{self, Growth, Totals};
use crate::records::write::Operation;

/// With so much room nobody comes near a limit before it is looked at again.
const ROOMY_RECORDS: u64 = 100_000;
const ROOMY_BYTES: u64 = 256 << 20;
/// The part of a plan's storage that versions may take beyond it.
const BEYOND: u64 = 8;

/// What a tenant stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Its records; none: they are being counted.
    pub(super) records: Option<Totals>,
    /// Bytes of its files, and of what is being uploaded.
    pub(super) files: u64,
}

impl Stored {
    /// As of a snapshot.
    pub(super) fn read(snapshot: &Snapshot, space: Space) -> std::result::Result<Self, Fault> {
        let files = rows::totals(snapshot, space)?;
        Ok(Self {
            records: totals::read(snapshot, space)?,
            files: files.bytes.saturating_add(files.uploading),
        })
    }

    /// All bytes.
    fn bytes(&self) -> u64 {
        self.files.saturating_add(self.records.map_or(0, |records| records.bytes))
    }

    /// Whether much room is left, or nothing is counted that could be too much.
    fn is_roomy(&self, limits: &Limits) -> bool {
        let Some(records) = self.records else { return true };
        let left = limits.records.map_or(u64::MAX, |most| most.saturating_sub(records.records));
        left >= ROOMY_RECORDS && limits.storage_bytes.saturating_sub(self.bytes()) >= ROOMY_BYTES
    }

    /// Refuses what would be more than the plan stores.
    pub(super) fn check(&self, limits: &Limits, growth: Growth) -> Result<()> {
        let Some(records) = self.records else { return Ok(()) };
        let plan = &limits.plan;
        let full = |detail: String| {
            let detail = format!("{detail}, or take another plan; GET …/usage shows what is used");
            Err(Error::new(Code::StorageFull, detail))
        };
        if let Some(most) = limits.records
            && growth.records > 0
            && records.records.saturating_add_signed(growth.records) > most
        {
            return full(format!(
                "the tenant has {} records, and its plan {plan:?} gives it {most}: delete records",
                records.records
            ));
        }
        let (used, quota) = (self.bytes(), limits.storage_bytes);
        if growth.bytes > 0 && used.saturating_add_signed(growth.bytes) > quota {
            return full(format!(
                "the tenant's records and files have {used} bytes of the {quota} that its plan {plan:?} stores: delete some (what records \
                 were is kept for as long as the plan keeps history)"
            ));
        }
        if used > quota.saturating_add(quota / BEYOND) {
            return full(format!(
                "with the versions that changes left behind the tenant has {used} bytes, and its plan {plan:?} stores {quota}: delete files \
                 or wait until history is trimmed"
            ));
        }
        Ok(())
    }
}

/// What of a plan's storage is left for files: what its records do not take.
pub(super) fn left_for_files(stored: &Stored, limits: &Limits) -> u64 {
    let records = stored.records.map_or(0, |records| records.bytes);
    limits.storage_bytes.saturating_sub(records)
}

impl Platform {
    /// What a tenant's plan gives and what it stores, where that has to be looked at; none: much room is left.
    pub(super) fn near_full(&self, placement: &Placement, snapshot: &Snapshot) -> Result<Option<(Arc<Limits>, Stored)>> {
        let (account, limits) = self.account(placement);
        if account.is_roomy() {
            return Ok(None);
        }
        let stored = Stored::read(snapshot, Space(placement.uid)).map_err(|fault| internal(&fault))?;
        if stored.is_roomy(&limits) {
            account.set_roomy();
            return Ok(None);
        }
        Ok(Some((limits, stored)))
    }

    /// Refuses what would be more than the plan stores, and counts that.
    pub(super) fn hold(&self, limits: &Limits, stored: Stored, growth: Growth) -> Result<()> {
        stored.check(limits, growth).inspect_err(|_| self.fair.refused.write())
    }
}

impl Front {
    /// Refuses operations that the plan has no room for.
    pub(super) fn check_room(&self, ctx: &RequestContext, view: &View<'_>, operations: &[Operation]) -> Result<()> {
        let Some((limits, stored)) = self.platform.near_full(&ctx.placement, view.snapshot)? else {
            return Ok(());
        };
        if !operations
            .iter()
            .any(|operation| matches!(operation, Operation::Store { .. }))
        {
            return Ok(());
        }
        let growth = growth::of_operations(view.snapshot, view.space, operations).map_err(|fault| internal(&fault))?;
        self.platform.hold(&limits, stored, growth)
    }

    /// Refuses so many bytes that the plan has no room for.
    pub(super) fn check_room_for(&self, ctx: &RequestContext, snapshot: &Snapshot, bytes: usize) -> Result<()> {
        let Some((limits, stored)) = self.platform.near_full(&ctx.placement, snapshot)? else {
            return Ok(());
        };
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.platform.hold(&limits, stored, Growth { records: 0, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Plan;

    fn limits(records: Option<u64>) -> Limits {
        Limits::of(&Plan {
            name: "team".to_owned(),
            storage_gib: 1,
            records,
            ..Plan::default()
        })
    }

    fn stored(records: u64, bytes: u64, files: u64) -> Stored {
        Stored {
            records: Some(Totals { records, bytes }),
            files,
        }
    }

    fn grown(records: i64, bytes: i64) -> Growth {
        Growth { records, bytes }
    }

    #[test]
    fn what_goes_beyond_is_refused_and_what_does_not_grow_never() {
        let limits = limits(Some(10));
        stored(9, 900, 0).check(&limits, grown(1, 100)).expect("the last one");
        let refused = stored(9, 900, 0).check(&limits, grown(2, 100)).expect_err("one too many");
        assert_eq!(
            (refused.code, refused.outcome),
            (Code::StorageFull, api::error::Outcome::NotApplied)
        );
        assert!(
            refused.detail.contains("9 records") && refused.detail.contains("10"),
            "{}",
            refused.detail
        );
        stored(12, 900, 0)
            .check(&limits, grown(0, 5))
            .expect("a change, after the plan was lowered");
        stored(12, 900, 0).check(&limits, grown(-1, 0)).expect("one less");

        let full = stored(1, 1 << 29, 1 << 29);
        full.check(&limits, grown(0, 0)).expect("it grows by nothing");
        let refused = full.check(&limits, grown(0, 1)).expect_err("a byte too many");
        assert!(refused.detail.contains("1073741824"), "{}", refused.detail);
        let beyond = stored(1, (1 << 30) + (1 << 27) + 1, 0);
        assert!(beyond.check(&limits, grown(0, 0)).is_err(), "versions without end");
    }

    #[test]
    fn with_much_room_and_for_what_is_not_counted_nothing_is_asked() {
        assert!(stored(10, 10, 10).is_roomy(&limits(None)));
        assert!(!stored(10, 10, 10).is_roomy(&limits(Some(100_009))));
        assert!(!stored(10, 1 << 30, 0).is_roomy(&limits(None)));
        let unknown = Stored { records: None, files: 5 };
        assert!(unknown.is_roomy(&limits(Some(1))));
        unknown.check(&limits(Some(1)), grown(5, 5)).expect("it is not counted");
    }

    #[test]
    fn files_get_what_records_leave() {
        let limits = limits(None);
        assert_eq!(left_for_files(&stored(1, 1 << 20, 7), &limits), (1 << 30) - (1 << 20));
        let unknown = Stored { records: None, files: 5 };
        assert_eq!(left_for_files(&unknown, &limits), 1 << 30);
    }
}
