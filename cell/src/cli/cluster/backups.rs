//! What is to be said of the backups of cells.

use api::body::control::Cell;

use super::super::output::Tone;

/// What may be lost with all replicas of a cell, in seconds: a backup that is further behind is spoken of.
const LAG_SECONDS: u64 = 60;

/// How far the backup of a cell is behind, where that is too far.
pub(super) fn note(cell: &Cell) -> Option<(String, Tone)> {
    let backup = cell.backup.as_ref().filter(|backup| backup.lag_seconds > LAG_SECONDS)?;
    Some((format!("backup {} s behind", backup.lag_seconds), Tone::Bad))
}

/// The same as a sentence, with why and what to do.
pub(super) fn warning(cell: &Cell) -> Option<String> {
    let (note, _) = note(cell)?;
    let why = cell.backup.as_ref().and_then(|backup| backup.error.as_deref());
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    Some(format!(
        "{}: {note}{why}: what was written since would be lost with all its replicas; look at the store of [region.backup]",
        cell.name
    ))
}

#[cfg(test)]
mod tests {
    use api::body::backup::CellBackup;

    use super::*;

    fn cell(lag_seconds: u64, error: Option<&str>) -> Cell {
        Cell {
            name: "one".into(),
            region: "r".into(),
            kind: "shared".into(),
            replicated: true,
            leader: None,
            term: 1,
            last_log: 1,
            applied: 1,
            durable: 1,
            log_bytes: 1,
            tenants: 1,
            level: None,
            replicas: Vec::new(),
            stopped: None,
            backup: Some(CellBackup {
                lag_seconds,
                archived: 1,
                chunks_lacking: 0,
                base_at: None,
                error: error.map(str::to_owned),
            }),
        }
    }

    #[test]
    fn a_backup_that_is_behind_is_spoken_of_with_why() {
        assert_eq!(note(&cell(60, Some("slow"))), None);
        let said = warning(&cell(61, Some("the store is full"))).expect("said");
        assert!(said.contains("one: backup 61 s behind (the store is full)"), "{said}");
        let mut none = cell(0, None);
        none.backup = None;
        assert_eq!(warning(&none), None);
    }
}
