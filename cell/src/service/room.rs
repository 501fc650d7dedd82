//! Room: whether a tenant's plan stores what a write would add.
//!
//! The leader looks, before it proposes: at the totals of its view (`records::totals`, and those of files). Writes that are decided at the same
//! time do not see each other, so that together they can go beyond a limit by what is under way; none of them does by itself.
//! Where much room is left, it is looked at ten times a second and not with every write, and again after each file that comes.
//!
//! Two things are held against a plan's storage. What is stored: records, documents and files; a deleted record frees its bytes at once.
//! And the versions that changes and deletions leave behind, which go with time: they may take as much again, and besides what is free of
//! the storage. Without that bound somebody who changes the same records over and over would fill the disks of a cell; were versions
//! counted with what is stored, a tenant that deletes to make room would have none for as long as its plan keeps history.
//!
//! So a deletion, which makes a version of what is stored, takes nothing from the sum, and is served always: nobody asks for room for it.
//! Whatever stores is refused while versions are beyond their bound, records that are new among it: created and deleted again they would be
//! versions without end. A change that makes nothing longer is served also where a plan was made smaller than what is there.
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

/// With so much room nobody comes near a limit before it is looked at again: the part of a limit, and the least and the most that it is. The
/// least is more than comes between two looks, what imports have under way included. Raised: imports wait for their own commands earlier.
const ROOMY_PART: u64 = 8;
const ROOMY_RECORDS: (u64, u64) = (10_000, 100_000);
const ROOMY_BYTES: (u64, u64) = (64 << 20, 256 << 20);

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

    /// Bytes of what is stored.
    fn bytes(&self) -> u64 {
        self.files.saturating_add(self.records.map_or(0, |records| records.bytes))
    }

    /// Whether much room is left, or nothing is counted that could be too much.
    fn is_roomy(&self, limits: &Limits) -> bool {
        let Some(records) = self.records else { return true };
        let much = |limit: u64, (least, most): (u64, u64)| (limit / ROOMY_PART).clamp(least, most);
        let (used, quota) = (self.bytes(), limits.storage_bytes);
        let left = quota.saturating_sub(used);
        let left_for_versions = for_versions(used, quota).saturating_sub(records.versions);
        limits
            .records
            .is_none_or(|most| most.saturating_sub(records.records) >= much(most, ROOMY_RECORDS))
            && left.min(left_for_versions) >= much(quota, ROOMY_BYTES)
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
        let grown = used.saturating_add_signed(growth.bytes);
        if growth.bytes > 0 && grown > quota {
            return full(format!(
                "the tenant's records and files have {used} bytes of the {quota} that its plan {plan:?} stores: delete some"
            ));
        }
        let most = for_versions(grown, quota);
        if records.versions.saturating_add_signed(growth.versions) > most {
            return full(format!(
                "what the tenant's records were before they were changed or deleted has {} bytes of the {most} that its plan {plan:?} \
                 has for that: wait until history is trimmed",
                records.versions
            ));
        }
        Ok(())
    }
}

/// What versions may take, in bytes, beside so much that is stored: as much as the plan stores, and what of that is free.
fn for_versions(used: u64, quota: u64) -> u64 {
    quota.saturating_add(quota.saturating_sub(used))
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

    /// Counts a write that was refused because the plan has no room for it.
    pub(super) fn count_full(&self, error: &Error) {
        // Only a disk that is full may have room in a moment.
        if error.code == Code::StorageFull && error.retry_after.is_none() {
            self.fair.refused.write();
        }
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
        stored.check(&limits, growth)
    }

    /// Refuses so many bytes that the plan has no room for.
    pub(super) fn check_room_for(&self, ctx: &RequestContext, snapshot: &Snapshot, bytes: usize) -> Result<()> {
        let Some((limits, stored)) = self.platform.near_full(&ctx.placement, snapshot)? else {
            return Ok(());
        };
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let growth = Growth {
            bytes,
            ..Growth::default()
        };
        stored.check(&limits, growth)
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
        let versions = 0;
        Stored {
            records: Some(Totals {
                records,
                bytes,
                versions,
            }),
            files,
        }
    }

    /// With so many bytes of versions.
    fn with_versions(bytes: u64, versions: u64) -> Stored {
        let records = 1;
        Stored {
            records: Some(Totals {
                records,
                bytes,
                versions,
            }),
            files: 0,
        }
    }

    fn grown(records: i64, bytes: i64) -> Growth {
        let versions = 0;
        Growth {
            records,
            bytes,
            versions,
        }
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
    }

    #[test]
    fn versions_have_as_much_again_and_what_is_free() {
        const GIB: u64 = 1 << 30;
        let limits = limits(None);
        let change = Growth {
            records: 0,
            bytes: 0,
            versions: 1_000,
        };
        with_versions(GIB, GIB - 1_000)
            .check(&limits, change)
            .expect("the last change");
        let refused = with_versions(GIB, GIB - 999)
            .check(&limits, change)
            .expect_err("one too many");
        assert!(
            refused.code == Code::StorageFull && refused.detail.contains("1073741824") && refused.detail.contains("history"),
            "{}",
            refused.detail
        );
        // The plan was made smaller than what is there.
        with_versions(3 * GIB, GIB - 1_000)
            .check(&limits, change)
            .expect("a change as long as before");
        with_versions(3 * GIB, GIB - 999)
            .check(&limits, change)
            .expect_err("one too many");
        // All that was stored was deleted, and there is room for as much again.
        with_versions(0, 2 * GIB - 100)
            .check(&limits, grown(1, 100))
            .expect("a new one");
        with_versions(0, 2 * GIB - 99)
            .check(&limits, grown(1, 100))
            .expect_err("created and deleted without end");
    }

    #[test]
    fn with_much_room_and_for_what_is_not_counted_nothing_is_asked() {
        assert!(stored(10, 10, 10).is_roomy(&limits(None)));
        assert!(stored(10, 10, 10).is_roomy(&limits(Some(100_009))), "an eighth is left");
        assert!(stored(87_000, 10, 10).is_roomy(&limits(Some(100_000))));
        assert!(!stored(88_000, 10, 10).is_roomy(&limits(Some(100_000))));
        assert!(!stored(9_900_001, 10, 10).is_roomy(&limits(Some(10_000_000))));
        assert!(!stored(5, 10, 10).is_roomy(&limits(Some(10_004))), "it could come at once");
        assert!(stored(10, 7 << 27, 0).is_roomy(&limits(None)), "128 MiB of a GiB are left");
        assert!(!stored(10, (7 << 27) + 1, 0).is_roomy(&limits(None)));
        assert!(!stored(10, 1 << 30, 0).is_roomy(&limits(None)));
        assert!(!with_versions(10, 1 << 31).is_roomy(&limits(None)));
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
