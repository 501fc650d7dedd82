//! Every command that there is, by the level that it came with.
//!
//! The order is the format: variants are appended, never moved, and a changed behaviour is a new variant.

use serde::{Deserialize, Serialize};

use super::catalog::Catalogs;
use super::dispatch::run;
use super::idempotency::IdempotencyKey;
use super::level::LevelRaise;
use super::refusal::Fault;
use super::world::World;
use crate::access::{token_create::TokenCreate, token_delete::TokenDelete};
use crate::backup::turn::BackupTurn;
use crate::cluster::{begin::ApplyBegin, limited::TopologyLimited, turn::ApplyTurn};
use crate::directory::restore_tell::RestoreTell;
use crate::directory::{
    move_begin::{MoveAcross, MoveBegin},
    move_turn::MoveTurn,
    operation_update::OperationUpdate,
};
use crate::directory::{operator_put::OperatorPut, tenant_change::TenantChange};
use crate::directory::{
    tenant_delete::TenantDelete, tenant_forget::TenantForget, tenant_land::TenantLand, tenant_plan::TenantPlan,
    tenant_receive::TenantReceive, tenant_reserve::TenantReserve, topology::TopologyPut,
};
use crate::documents::{settle::DocumentSettle, update::DocumentUpdate};
use crate::files::{
    abort::UploadAbort, advance::UploadAdvance, change::FileChange, create::FileCreate, delete::FileDelete, delete::FileSweep,
    forget::ChunksForget, restore::FileRestoreVersion, secret::LinkSecretSet, upload::UploadBegin, version_add::FileVersionAdd,
    version_delete::FileVersionDelete,
};
use crate::placement::{arrive::SpaceArrive, clear::SpaceClear, follow::SpaceFollow, turn::SpaceTurn};
use crate::records::change::RecordsChange;
use crate::records::count::RecordsCount;
use crate::records::evolve::{cancel::OperationCancel, change::CollectionChange, drop::CollectionDrop, step::OperationStep};
use crate::records::restore_lines::RecordsRestore;
use crate::records::{collection_define::CollectionDefine, collection_delete::CollectionDelete, collection_put::CollectionPut};
use crate::records::{import::ImportChunk, import_lines::ImportLines, trim::SpaceTrim, write::RecordsWrite};
use crate::scrub::begin::ScrubBegin;
use crate::search::language::SearchSet;
use crate::space::{create::SpaceCreate, erase::SpaceErase, open::SpaceOpen, open::SpaceOpenCounted};

macro_rules! payloads {
    ($($level:literal: [$($command:ident),* $(,)?])*) => {
        /// Every command. Append only.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub(crate) enum Payload { $($(#[allow(missing_docs)] $command($command),)*)* }

        $($(impl From<$command> for Payload {
            fn from(command: $command) -> Self { Self::$command(command) }
        })*)*

        impl Payload {
            pub(super) fn apply(self, world: World<'_>, key: Option<IdempotencyKey>, catalogs: &Catalogs) -> Result<Vec<u8>, Fault> {
                match self { $($(Self::$command(command) => run(command, world, key, catalogs),)*)* }
            }

            /// The level that a group must have for the command to be proposed in it.
            pub(crate) fn level(&self) -> u32 {
                match self { $($(Self::$command(_) => $level,)*)* }
            }
        }
    };
}

payloads!(
    1: [
        SpaceCreate,
        SpaceErase,
        CollectionPut,
        CollectionDelete,
        TokenCreate,
        TokenDelete,
        RecordsWrite,
        ImportChunk,
        TenantReserve,
        TenantPlan,
        TenantDelete,
        TenantForget,
        OperatorPut,
        OperationUpdate,
        ScrubBegin,
        CollectionDefine,
        SpaceOpen,
        RecordsChange,
        ImportLines,
        SpaceTrim,
        CollectionChange,
        CollectionDrop,
        OperationStep,
        OperationCancel,
        RecordsRestore,
        TenantChange,
        SpaceTurn,
        SpaceClear,
        SpaceArrive,
        SpaceFollow,
        MoveBegin,
        MoveTurn,
        TopologyPut,
        ApplyBegin,
        ApplyTurn,
    ]
    // Proposed at any level: it needs the one that it raises to.
    0: [LevelRaise]
    2: [MoveAcross, TenantReceive, TenantLand, BackupTurn, RestoreTell, SearchSet,
        FileCreate, FileVersionAdd, FileRestoreVersion, FileVersionDelete, FileDelete, FileSweep, FileChange,
        UploadBegin, UploadAdvance, UploadAbort, ChunksForget, LinkSecretSet, DocumentUpdate, DocumentSettle,
        SpaceOpenCounted, RecordsCount, TopologyLimited]
);
