//! The chunks of a tenant's files on their way to the other cell: those that its rows name once the rows are there, and those that a command
//! names before the command is repeated. So whoever leads there finds what the rows say.

use api::error::Error;
use storage::blob::ChunkHash;

use super::Mover;
use crate::files::uses;
use crate::machine::dispatch::Stamped;
use crate::machine::envelope::open;
use crate::service::error::internal;

/// Rows that are read at a time: nothing is pinned while chunks are sent.
const PAGE: usize = 256;

impl Mover<'_> {
    /// Sends what the rows name now.
    pub(super) async fn copy_chunks(&self) -> Result<(), Error> {
        let mut after: Option<ChunkHash> = None;
        loop {
            self.check_lead()?;
            let (named, last) = self.named(after)?;
            let Some(last) = last else { return Ok(()) };
            after = Some(last);
            self.platform
                .send_chunks(&self.source, self.moving.to, self.space(), &named)
                .await?;
        }
    }

    /// Sends what some commands name.
    pub(super) async fn send_named(&self, commands: &[(u64, Vec<u8>)]) -> Result<(), Error> {
        let mut named: Vec<ChunkHash> = Vec::new();
        for (_, command) in commands {
            let command: Stamped = open(command).map_err(|error| internal(&error))?;
            named.extend(command.payload.named_chunks());
        }
        named.sort_unstable();
        named.dedup();
        self.platform
            .send_chunks(&self.source, self.moving.to, self.space(), &named)
            .await
    }

    /// Some of the chunks that the rows name, after one; and the last that was looked at.
    fn named(&self, after: Option<ChunkHash>) -> Result<(Vec<ChunkHash>, Option<ChunkHash>), Error> {
        let rows = uses::page(&self.source.store.begin_read(), self.space(), after, PAGE);
        let rows = rows.map_err(|fault| internal(&fault))?;
        let last = rows.last().map(|(hash, _)| *hash);
        let named = rows.iter().filter(|(_, used)| used.count > 0).map(|(hash, _)| *hash);
        Ok((named.collect(), last))
    }
}
