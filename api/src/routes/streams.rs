//! Import and export: lines both ways, for as long as it takes.
//!
//! The service writes lines into a small channel; the reply's body is the other end. The head of the reply waits for the first
//! line, so that what fails at once is answered with its own status. What fails later is the stream's last line: a problem.

use http::header::HeaderName;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::csv::CsvLines;
use crate::error::{Code, Error, Result};
use crate::front::Asked;
use crate::inflate::Pieces;
use crate::limits::IMPORT_ID_CHARS;
use crate::lines::Line;
use crate::query::invalid;
use crate::read::{BodyLines, check_media_type};
use crate::reply::{self, Lines, Marks, NDJSON, Reply};
use crate::service::{Import, LineSource, RequestContext};
use crate::{gate, inflate};

/// Lines between the service and the client.
pub(super) const LINES: usize = 64;
const IMPORT_ID: HeaderName = HeaderName::from_static("import-id");
const CSV: &str = "text/csv";
const LINE_TYPES: [&str; 5] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-lines",
];
const IMPORT_TYPES: [&str; 6] = [LINE_TYPES[0], LINE_TYPES[1], LINE_TYPES[2], LINE_TYPES[3], LINE_TYPES[4], CSV];

pub(super) async fn import(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    let collection = gate::collection(asked, ctx)?;
    let upsert = asked.query.take("upsert");
    let upsert = upsert.map(|name| {
        name.parse()
            .map_err(|_| invalid("upsert", "takes the name of a unique field"))
    });
    let upsert = upsert.transpose()?;
    asked.query.finish()?;
    let media_type = check_media_type(&asked.head.headers, &IMPORT_TYPES)?;
    let import = Import {
        id: import_id(asked)?,
        upsert,
    };
    let gzip = inflate::is_gzip(&asked.head.headers)?;
    let pieces = Pieces::new(asked.body.stream(), gzip, asked.front.config.stream_idle);
    let lines: Box<dyn LineSource> = match media_type {
        CSV => Box::new(CsvLines::new(pieces)),
        _ => Box::new(BodyLines::new(pieces)),
    };
    let (sender, receiver) = mpsc::channel(LINES);
    let (service, ctx) = (asked.front.service.clone(), ctx.clone());
    let work = async move {
        if let Err(error) = service.import(&ctx, &collection, import, lines, sender.clone()).await {
            // A closed channel: the client has gone, and nobody is left to tell.
            let _ = sender.send(Err(Box::new(error))).await;
        }
    };
    tokio::spawn(work.in_current_span());
    answer(receiver, "import").await.map(|(reply, _)| reply)
}

pub(super) async fn tenant_import(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    asked.query.finish()?;
    check_media_type(&asked.head.headers, &LINE_TYPES)?;
    let import = import_id(asked)?;
    let gzip = inflate::is_gzip(&asked.head.headers)?;
    let pieces = Pieces::new(asked.body.stream(), gzip, asked.front.config.stream_idle);
    let lines = Box::new(BodyLines::new(pieces));
    let (sender, receiver) = mpsc::channel(LINES);
    let (service, ctx) = (asked.front.service.clone(), ctx.clone());
    let work = async move {
        if let Err(error) = service.tenant_import(&ctx, import, lines, sender.clone()).await {
            // A closed channel: the client has gone, and nobody is left to tell.
            let _ = sender.send(Err(Box::new(error))).await;
        }
    };
    tokio::spawn(work.in_current_span());
    answer(receiver, "import").await.map(|(reply, _)| reply)
}

fn import_id(asked: &Asked<'_>) -> Result<Option<String>> {
    let Some(value) = asked.head.headers.get(IMPORT_ID) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if (1..=IMPORT_ID_CHARS).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(Error::new(
            Code::InvalidParameter,
            format!("Import-Id takes 1 to {IMPORT_ID_CHARS} ASCII characters"),
        )),
    }
}

pub(super) async fn export(asked: &mut Asked<'_>, ctx: &RequestContext) -> Result<Reply> {
    gate::unscoped(ctx)?;
    asked.query.consistency()?;
    asked.query.finish()?;
    let (sender, receiver) = mpsc::channel(LINES);
    let (service, ctx) = (asked.front.service.clone(), ctx.clone());
    let work = async move {
        if let Err(error) = service.export(&ctx, sender.clone()).await {
            // A closed channel: the client has gone, and nobody is left to tell.
            let _ = sender.send(Err(Box::new(error))).await;
        }
    };
    tokio::spawn(work.in_current_span());
    let (reply, first) = answer(receiver, "export").await?;
    Ok(match position_of(&first) {
        Some(position) => reply.at(position),
        None => reply,
    })
}

/// The reply that starts with the first line, and that line.
async fn answer(mut receiver: mpsc::Receiver<Line>, what: &str) -> Result<(Reply, bytes::Bytes)> {
    match receiver.recv().await {
        Some(Ok(first)) => Ok((reply::lines(NDJSON, Lines::new(Some(Ok(first.clone())), receiver)), first)),
        Some(Err(error)) => Err(*error),
        None => Err(Error::new(Code::Internal, format!("the {what} ended without a line")).unknown()),
    }
}

/// The position in an export's first line, which may have come with others.
fn position_of(first: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Header {
        position: u64,
    }
    let line = first.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice::<Header>(line).ok().map(|header| header.position)
}
