//! The directory: which tenants there are, in which cell each is, and who operates the cluster. Never tenant content, never
//! personal data.
//!
//! It is a group of its own (number 1) whose rows live in the system space. Every node of the region has a replica, so that
//! placement is a local read and goes on while the directory has no leader.

pub(crate) mod changes;
pub(crate) mod move_begin;
pub(crate) mod move_turn;
pub(crate) mod moves;
pub(crate) mod operation_update;
pub(crate) mod operator_put;
pub(crate) mod query;
pub(crate) mod restore_tell;
pub(crate) mod rows;
pub(crate) mod tenant_change;
pub(crate) mod tenant_delete;
pub(crate) mod tenant_forget;
pub(crate) mod tenant_land;
pub(crate) mod tenant_plan;
pub(crate) mod tenant_receive;
pub(crate) mod tenant_reserve;
pub(crate) mod topology;

/// The number of the directory's group.
pub(crate) const GROUP: u64 = 1;
