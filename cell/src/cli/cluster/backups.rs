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

/// What is wrong with the backup of a cell, as sentences with why and what to do.
pub(super) fn warnings(cell: &Cell) -> impl Iterator<Item = String> {
    behind(cell).into_iter().chain(lacking(cell))
}

/// Chunks of files that the backup has not.
fn lacking(cell: &Cell) -> Option<String> {
    let chunks = cell.backup.as_ref()?.chunks_lacking;
    (chunks > 0).then(|| {
        format!(
            "{}: {chunks} chunks of files were on no replica when they were to be archived: what is restored has none of them; \
             the log of the leader names them, look for disks that lost something",
            cell.name
        )
    })
}

fn behind(cell: &Cell) -> Option<String> {
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
        let said = |cell: &Cell| warnings(cell).collect::<Vec<String>>();
        let late = said(&cell(61, Some("the store is full")));
        assert!(
            late.len() == 1 && late[0].contains("one: backup 61 s behind (the store is full)"),
            "{late:?}"
        );
        let mut lacks = cell(0, None);
        if let Some(backup) = &mut lacks.backup {
            backup.chunks_lacking = 2;
        }
        let lacking = said(&lacks);
        assert!(
            lacking.len() == 1 && lacking[0].contains("one: 2 chunks of files were on no replica"),
            "{lacking:?}"
        );
        let mut none = cell(0, None);
        none.backup = None;
        assert!(said(&none).is_empty() && said(&cell(0, None)).is_empty());
    }
}
