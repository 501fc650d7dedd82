//! The paths below a tenant.

use super::Endpoint;
use super::paths::Resource;

/// The endpoints of a path below a tenant, with its variable parts.
pub(super) fn inner<'p>(t: &'p str, inner: &[&'p str]) -> Option<Resource<'p>> {
    use Endpoint as E;
    Some(match *inner {
        ["records", c, "import"] => (&[E::Import], t, [c, "", ""]),
        ["records", c] => (&[E::Records, E::RecordCreate], t, [c, "", ""]),
        ["records", c, id] => (&[E::Record, E::RecordPut, E::RecordPatch, E::RecordDelete], t, [c, id, ""]),
        ["records", c, id, "history"] => (&[E::History], t, [c, id, ""]),
        ["records", c, id, "restore"] => (&[E::Restore], t, [c, id, ""]),
        ["batch"] => (&[E::Batch], t, ["", "", ""]),
        ["me"] => (&[E::Me], t, ["", "", ""]),
        ["usage"] => (&[E::Usage], t, ["", "", ""]),
        ["move"] => (&[E::TenantMove], t, ["", "", ""]),
        ["restore"] => (&[E::TenantRestore], t, ["", "", ""]),
        ["search"] => (&[E::Search], t, ["", "", ""]),
        ["search", "settings"] => (&[E::SearchSettings, E::SearchSet], t, ["", "", ""]),
        ["live"] => (&[E::Live], t, ["", "", ""]),
        ["documents", c, id, field] => (&[E::Document], t, [c, id, field]),
        ["presence"] => (&[E::Presence], t, ["", "", ""]),
        ["events"] => (&[E::Events], t, ["", "", ""]),
        ["import"] => (&[E::TenantImport], t, ["", "", ""]),
        ["export"] => (&[E::Export], t, ["", "", ""]),
        ["archive"] => (&[E::Archive, E::TenantReceive], t, ["", "", ""]),
        ["collections"] => (&[E::Collections], t, ["", "", ""]),
        ["collections", c] => (&[E::Collection, E::CollectionPut, E::CollectionDelete], t, [c, "", ""]),
        ["operations"] => (&[E::TenantOperations], t, ["", "", ""]),
        ["operations", id] => (&[E::TenantOperation], t, [id, "", ""]),
        ["operations", id, "cancel"] => (&[E::OperationCancel], t, [id, "", ""]),
        ["tokens"] => (&[E::Tokens, E::TokenCreate], t, ["", "", ""]),
        ["tokens", id] => (&[E::TokenDelete], t, [id, "", ""]),
        ["files"] => (&[E::Files, E::FileCreate], t, ["", "", ""]),
        ["files", "links"] => (&[E::LinksRevoke], t, ["", "", ""]),
        ["files", "uploads"] => (&[E::UploadCreate], t, ["", "", ""]),
        ["files", "uploads", id] => (&[E::Upload, E::UploadWrite, E::UploadDelete], t, [id, "", ""]),
        ["files", id] => (&[E::File, E::FilePatch, E::FileDelete], t, [id, "", ""]),
        ["files", id, "content"] => (&[E::FileContent, E::FilePut], t, [id, "", ""]),
        ["files", id, "links"] => (&[E::LinkCreate], t, [id, "", ""]),
        ["files", id, "versions"] => (&[E::FileVersions], t, [id, "", ""]),
        ["files", id, "versions", n] => (&[E::FileVersionDelete], t, [id, n, ""]),
        ["files", id, "versions", n, "restore"] => (&[E::FileRestore], t, [id, n, ""]),
        _ => return None,
    })
}
