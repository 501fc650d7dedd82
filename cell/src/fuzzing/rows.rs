//! Bytes as every row that there is.

use crate::machine::dispatch;
use crate::machine::envelope::{open, seal};

macro_rules! read_as {
    ($data:ident: $($row:ty),* $(,)?) => {$(
        if let Ok(row) = open::<$row>($data) {
            let again = seal(&row);
            let back: $row = open(&again).unwrap_or_else(|error| panic!("a row that was encoded: {error}"));
            assert_eq!(seal(&back), again, "a row that was encoded twice");
        }
    )*};
}

/// Reads bytes as every row that there is.
pub fn rows(data: &[u8]) {
    use crate::{access, cluster, directory, machine, records};
    read_as!(data:
        machine::rows::HeaderRow,
        machine::rows::EventRow,
        machine::level::LevelRow,
        crate::node::about::AboutForm,
        records::schema::CollectionRow,
        records::policy::PolicyRow,
        records::value::RecordRow,
        records::history::HistoryRow,
        records::evolve::pending::ChangeRow,
        records::evolve::work::WorkRow,
        records::import::ImportRowVersion,
        crate::search::language::SettingsRow,
        crate::files::rows::FileRow,
        crate::files::rows::VersionRow,
        crate::files::rows::UseRow,
        crate::files::rows::TotalsRow,
        crate::files::upload::UploadRow,
        crate::files::upload::LeafRow,
        crate::files::secret::SecretRow,
        crate::documents::rows::UpdateRow,
        records::totals::TotalsRow,
        access::token_row::TokenVersion,
        directory::rows::TenantRow,
        directory::rows::CellRow,
        directory::rows::OperationRow,
        directory::rows::OperatorRow,
        directory::rows::CorsRow,
        directory::changes::ChangeRow,
        directory::changes::Delta,
        directory::topology::TopologyRow,
        cluster::begin::WantedRow,
        directory::moves::MoveRow,
        crate::scrub::begin::LastRow,
        crate::backup::turn::ArchivedRow,
        dispatch::Answer<Vec<records::write::Written>>,
        dispatch::Answer<records::import::Imported>,
    );
}
