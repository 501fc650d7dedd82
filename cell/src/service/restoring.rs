//! An archive read back: what `GET …/export` wrote becomes a tenant's again, with ids, versions and times.
//!
//! Its collections come first. They must not be there, or have no records; all names are made before what they refer to, because two
//! collections may refer to each other. Then come the records, as an import with its checkpoint. Secrets of tokens are in no archive:
//! their lines are passed over.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::body::collection::{Collection as Body, CollectionSchema};
use api::body::import::ExportLine;
use api::error::{Code, Error, Result};
use api::ids::Name;
use api::service::{LineSender, LineSource, RequestContext};
use bytes::Bytes;
use storage::{Direction, Space, table};
use tracing::Instrument;
use uuid::Uuid;

use super::Front;
use super::archived::{Chunk, parse, send};
use super::error::{barrier, internal, refused};
use super::pipeline::Pipeline;
use super::schema::decide_change;
use crate::machine::rows::Header;
use crate::records::decide::View;
use crate::records::evolve::change::Changed;
use crate::records::export::FORMAT;
use crate::records::import::digest;
use crate::records::restore_lines::dangling;
use crate::records::schema_check::COLLECTIONS;

/// Most bytes of all collections of an archive: they are held until all are known. A large schema has some 20 KiB.
const PROLOGUE_BYTES: usize = 16 * 1024 * 1024;

/// What stands before the records.
struct Prologue {
    collections: Vec<Body>,
    /// The first line after it, with its number.
    next: Option<(u64, Bytes)>,
}

impl Front {
    /// Reads an export back, as work of the elastic class.
    pub(super) async fn restore_archive(
        &self,
        ctx: &RequestContext,
        import: Option<String>,
        lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        let (front, ctx) = (self.clone(), ctx.clone());
        let work = async move { front.restore_here(&ctx, import, lines, out).await };
        let done = self.platform.fair.elastic.run(work.in_current_span()).await;
        done.map_err(|error| internal(&error))?
    }

    async fn restore_here(
        &self,
        ctx: &RequestContext,
        import: Option<String>,
        mut lines: Box<dyn LineSource>,
        out: LineSender,
    ) -> Result<()> {
        let replica = self.platform.replica(&ctx.placement)?;
        let space = Space(ctx.placement.uid);
        replica.group.read_barrier().await.map_err(barrier)?;
        // No collection has this name.
        let key = digest("", &import.unwrap_or_else(|| Uuid::now_v7().to_string()));
        let before = Pipeline::resume(self, &replica, ctx, key, &replica.moment(space)?, out.clone())?.done;
        let prologue = prologue(&mut lines).await?;
        if before.last == 0 {
            self.define(ctx, &prologue.collections).await?;
        }
        let moment = replica.moment(space)?;
        let catalog = Arc::clone(&moment.catalog);
        let mut pipeline = Pipeline::resume(self, &replica, ctx, key, &moment, out)?;
        drop(moment);
        let settled = pipeline.done.last;
        let mut chunk = Chunk::after(settled);
        let (mut seen, mut whole) = (0, false);
        let mut next = prologue.next.map(|(number, line)| (number, Ok(line)));
        loop {
            let line = match next.take() {
                Some(line) => Some(line),
                None => lines.next().await?,
            };
            let Some((number, text)) = line else { break };
            let parsed = text.and_then(|text| parse(&text).map(|line| (text.len(), line)));
            match parsed {
                Ok((_, ExportLine::Trailer { records })) => {
                    whole = records == seen;
                    break;
                }
                Ok((_, ExportLine::Record(_))) => seen += 1,
                _ => {}
            }
            if number > settled {
                chunk.take(&catalog, number, parsed);
            }
            if chunk.is_full(pipeline.chunk_lines()) {
                send(&mut pipeline, std::mem::take(&mut chunk)).await?;
            }
        }
        send(&mut pipeline, chunk).await?;
        pipeline.drain().await?;
        if !whole {
            let detail =
                "the archive is not whole: its last line is missing, or does not count the records; what there was is stored";
            return Err(Error::new(Code::MalformedBody, detail).unknown());
        }
        self.check_references(ctx).await?;
        pipeline.finish().await
    }

    /// Makes the collections of an archive.
    async fn define(&self, ctx: &RequestContext, collections: &[Body]) -> Result<()> {
        let bare: CollectionSchema = CollectionSchema {
            fields: BTreeMap::new(),
            indexes: BTreeMap::new(),
            search: Vec::new(),
            rules: api::body::policy::Rules::default(),
            workflow: None,
        };
        let known = self.moment(ctx)?.catalog;
        for collection in collections {
            if known.named(&collection.name).is_none() {
                self.define_one(ctx, &collection.name, &bare, None).await?;
            }
        }
        for collection in collections {
            self.define_one(ctx, &collection.name, &collection.schema, Some(collection.version))
                .await?;
        }
        Ok(())
    }

    async fn define_one(&self, ctx: &RequestContext, name: &str, schema: &CollectionSchema, version: Option<u64>) -> Result<()> {
        let invalid = |_| Error::new(Code::InvalidFields, format!("/name: {name:?} is no name of a collection"));
        let name: Name = name.parse().map_err(invalid)?;
        let operation = Uuid::now_v7();
        let decide = |view: &View<'_>, header: &Header| {
            let mut change = decide_change(view, header, &name, schema, None, operation).map_err(|error| Error {
                detail: format!("the collection {}: {}", name.as_str(), error.detail),
                ..error
            })?;
            let number = change.define.put.collection.number;
            let mut records = view
                .snapshot
                .scan(table::Record::range(view.space, number), Direction::Forward);
            if records.next().transpose().map_err(|error| internal(&error))?.is_some() {
                return Err(not_empty(&name));
            }
            if let Some(version) = version {
                change.define.put.collection.version = version;
            }
            Ok(change)
        };
        let answer = self.write_as(ctx, None, decide).await?;
        match answer.result.map_err(|refusal| refused(&refusal))? {
            Changed::Stored(_) => Ok(()),
            // Somebody stored a record just then.
            Changed::Begun(_) => Err(not_empty(&name)),
        }
    }

    /// Says so where records refer to others that are not there.
    async fn check_references(&self, ctx: &RequestContext) -> Result<()> {
        let moment = self.moment(ctx)?;
        let space = Space(ctx.placement.uid);
        let look = move || dangling(&moment.snapshot, space, &moment.catalog);
        let found = tokio::task::spawn_blocking(look).await.map_err(|error| internal(&error))?;
        match found.map_err(|fault| internal(&fault))? {
            None => Ok(()),
            Some((count, example)) => {
                let detail = format!("the archive is stored, but {count} references lead nowhere, such as: {example}");
                Err(Error::new(Code::ReferenceViolation, detail).unknown())
            }
        }
    }
}

fn not_empty(name: &Name) -> Error {
    let detail = format!(
        "{} has records already: an archive is read into collections that are not there, or empty",
        name.as_str()
    );
    Error::new(Code::AlreadyExists, detail)
}

/// Reads up to the first line that is neither the header nor a collection.
async fn prologue(lines: &mut Box<dyn LineSource>) -> Result<Prologue> {
    let mut collections: Vec<Body> = Vec::new();
    let mut bytes = 0;
    let mut first = true;
    while let Some((number, text)) = lines.next().await? {
        let text = text?;
        match parse(&text)? {
            ExportLine::Header { format, .. } if first && format == FORMAT => {}
            ExportLine::Header { format, .. } if first => {
                let detail = format!("the archive has format {format}; this version reads {FORMAT}");
                return Err(Error::new(Code::InvalidFields, detail));
            }
            _ if first => {
                return Err(Error::new(
                    Code::MalformedBody,
                    "the first line is not the header of an export",
                ));
            }
            ExportLine::Collection(collection) => {
                bytes += text.len();
                if collections.len() == COLLECTIONS || bytes > PROLOGUE_BYTES {
                    let detail = format!("an archive has at most {COLLECTIONS} collections, of {PROLOGUE_BYTES} bytes together");
                    return Err(Error::new(Code::TooLarge, detail));
                }
                collections.push(collection);
            }
            _ => {
                let next = Some((number, text));
                return Ok(Prologue { collections, next });
            }
        }
        first = false;
    }
    Ok(Prologue { collections, next: None })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// A header, and collections without an end.
    struct Endless(u64);

    #[async_trait]
    impl LineSource for Endless {
        async fn next(&mut self) -> Result<Option<(u64, Result<Bytes>)>> {
            self.0 += 1;
            assert!(self.0 < 10_000, "it reads for ever");
            let line = match self.0 {
                1 => format!(r#"{{"kind":"header","format":{FORMAT},"tenant":"acme","position":1}}"#),
                number => format!(r#"{{"kind":"collection","name":"c{number}","version":1,"fields":{{}},"indexes":{{}}}}"#),
            };
            Ok(Some((self.0, Ok(line.into()))))
        }
    }

    #[tokio::test]
    async fn an_archive_that_never_comes_to_its_records_is_refused() {
        let mut lines: Box<dyn LineSource> = Box::new(Endless(0));
        let refused = prologue(&mut lines).await.err().expect("refused");
        assert_eq!(refused.code, Code::TooLarge, "{refused}");
    }
}
