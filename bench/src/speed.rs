//! How fast searches are over many made-up documents, how long the index takes for them, how large it is, and how soon what was written is found.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::search::SearchQuery;
use hdrhistogram::Histogram;
use rig::cluster::Cluster;
use rig::http::Request;
use rig::import;
use rig::load::{self, Pacing, Plan, Refused, Script, summarize};
use rig::tenant::{self, Tenant};
use rig::wait;
use serde_json::json;

use crate::corpus::Corpus;
use crate::report::{Latency, Measured, Row};
use crate::search::{index_bytes, whole};
use crate::tasks::{Place, expect};
use crate::{bulk, setup};

/// The collection that documents are in.
const COLLECTION: &str = "documents";
/// Documents of one import request.
const REQUEST_DOCUMENTS: u64 = 10_000;
/// How long one request may take, repetitions included.
const REQUEST_WITHIN: Duration = Duration::from_secs(600);
/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a document may take to be found.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

/// How much.
#[derive(Clone, Debug, clap::Args)]
pub struct Size {
    /// Documents, of 40 to 79 words
    #[arg(long, default_value_t = 100_000)]
    pub documents: u64,
    /// Seconds of a run
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// Runs of each row
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pub clients: Vec<usize>,
    /// Documents that are written one by one and looked for until they are found
    #[arg(long, default_value_t = 100)]
    pub fresh: u64,
    /// Write the documents and questions here, for other programs to be measured with, and measure nothing
    #[arg(long, value_name = "DIR")]
    pub write: Option<PathBuf>,
}

/// Imports documents, waits until all can be found, and asks. A row for the index, one for each number of clients, one for what is new.
pub fn run(cluster: &Cluster, size: &Size) -> Result<Vec<Row>> {
    let corpus = Arc::new(Corpus::default());
    let runtime = setup::runtime()?;
    let (tenant, indexed) = runtime.block_on(fill(cluster, &corpus, size.documents))?;
    let place = runtime.block_on(setup::place(&tenant, false))?;
    let mut rows = vec![indexed];
    for clients in &size.clients {
        let mut runs = Vec::new();
        for run in 0..size.runs {
            runs.push(questions(cluster, &place, &corpus, *clients, size.seconds, run)?);
        }
        let title = format!("two words, best 10 of {} documents", size.documents);
        rows.push(Row::new(&title, Some(*clients), runs));
    }
    rows.push(runtime.block_on(fresh(&tenant, size.fresh))?);
    Ok(rows)
}

async fn fill(cluster: &Cluster, corpus: &Corpus, documents: u64) -> Result<(Tenant, Row)> {
    let tenant = tenant::create(cluster, "documents", None).await?;
    let schema = json!({ "fields": { "body": { "type": "text" } }, "search": ["body"] });
    let schema = serde_json::from_value(schema).context("the schema of documents")?;
    let made = tenant.client.collection_put(&tenant.slug, COLLECTION, &schema, None).await;
    made.context("make the collection")?;
    let started = Instant::now();
    for from in (0..documents).step_by(usize::try_from(REQUEST_DOCUMENTS)?) {
        let to = documents.min(from + REQUEST_DOCUMENTS);
        let lines: String = (from..to)
            .map(|number| format!("{{\"body\":\"{}\"}}\n", corpus.document(number)))
            .collect();
        let id = format!("documents-{from}");
        let lines = lines.as_bytes();
        let done = import::import(&tenant.client, &tenant.slug, COLLECTION, &id, lines, REQUEST_WITHIN).await?;
        ensure!(done.summary.imported == to - from, "not all went in: {:?}", done.failures);
    }
    let imported = started.elapsed().as_secs_f64();
    whole(&tenant).await?;
    let seconds = started.elapsed().as_secs_f64();
    bulk::settled(cluster).await?;
    let bytes = index_bytes(&cluster.data())? as f64 / cluster.nodes().len() as f64;
    let mut measured = Measured {
        rate: documents as f64 / seconds,
        seconds,
        ..Measured::default()
    };
    let more = [
        ("s of import", imported),
        ("s until all is found after the import", seconds - imported),
        ("index MB a replica", bytes / 1e6),
        ("index bytes a document", bytes / documents.max(1) as f64),
    ];
    measured.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let title = format!(
        "{documents} documents imported and indexed on {} replicas",
        cluster.nodes().len()
    );
    println!("{title}: {:.0}/s {:#?}", measured.rate, measured.more);
    Ok((tenant, Row::new(&title, Some(1), vec![measured])))
}

/// Asks one question after the other.
struct Ask {
    place: Place,
    corpus: Arc<Corpus>,
    next: u64,
}

impl Script for Ask {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let question = self.corpus.question(self.next).replace(' ', "+");
        self.next += 1;
        let path = format!("/v1/tenants/{}/search?q={question}&limit=10", self.place.tenant);
        Request {
            method: "GET",
            path: &path,
            token: &self.place.token,
            headers: "",
            body: b"",
        }
        .write(out);
        0
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        expect(status, 200, body)?;
        let whole = body.starts_with(b"{\"items\":[") && body.ends_with(b"}");
        if whole { Ok(()) } else { Err("no_items".to_owned()) }
    }
}

fn questions(
    cluster: &Cluster,
    place: &Place,
    corpus: &Arc<Corpus>,
    clients: usize,
    seconds: u64,
    run: usize,
) -> Result<Measured> {
    let plan = Plan {
        targets: cluster.addresses(),
        refused: Refused::Fails,
        connections: clients,
        pacing: Pacing::Closed,
        warmup: Duration::from_secs(1),
        window: Duration::from_secs(seconds),
        timeout: TIMEOUT,
        classes: vec!["all"],
        probe: Some(setup::probe(cluster)?),
        slot: None,
    };
    let outcome = load::drive(&plan, |connection| {
        Box::new(Ask {
            place: place.clone(),
            corpus: Arc::clone(corpus),
            next: (run * 97 + connection * 131) as u64,
        })
    })?;
    println!(
        "searches {clients:>4} clients {:>9.0}/s  {}",
        outcome.rate(),
        summarize(&outcome.latency)
    );
    ensure!(
        outcome.successes > 0,
        "no search succeeded: {:?}\n{}",
        outcome.errors,
        cluster.tails()
    );
    Ok(Measured::of(&outcome, false))
}

/// Writes documents with a word of their own and looks for each until it is found, without asking for more than is there.
async fn fresh(tenant: &Tenant, count: u64) -> Result<Row> {
    let mut times: Histogram<u64> = Histogram::new(3)?;
    let started = Instant::now();
    for number in 0..count {
        let word = format!("fresh{number}word");
        let new = serde_json::from_value(json!({ "fields": { "body": word } }))?;
        let written = Instant::now();
        let made = tenant.client.record_create(&tenant.slug, COLLECTION, &new, None).await;
        made.context("write a document")?;
        let query = SearchQuery {
            q: word.clone(),
            limit: 1,
            ..SearchQuery::default()
        };
        loop {
            let answer = tenant.client.search(&tenant.slug, &query, None).await;
            if !answer.context("look for it")?.body.items.is_empty() {
                break;
            }
            ensure!(written.elapsed() < FOUND_WITHIN, "{word} is not found after {FOUND_WITHIN:?}");
            tokio::time::sleep(wait::LOOK).await;
        }
        times.record(u64::try_from(written.elapsed().as_micros())?)?;
    }
    let measured = Measured {
        seconds: started.elapsed().as_secs_f64(),
        rate: count as f64 / started.elapsed().as_secs_f64(),
        latency: Some(Latency::of(&times)),
        ..Measured::default()
    };
    println!("from writing to finding: {}", summarize(&times));
    Ok(Row::new("from sending a document until it is found", Some(1), vec![measured]))
}

#[cfg(test)]
mod tests {
    use rig::http::find;

    use super::*;

    #[test]
    fn a_search_asks_for_two_words_and_wants_an_answer() {
        let mut ask = Ask {
            place: Place {
                tenant: "bench".to_owned(),
                token: "secret".to_owned(),
            },
            corpus: Arc::default(),
            next: 0,
        };
        let mut out = Vec::new();
        ask.request(&mut out);
        let question = ask.corpus.question(0).replace(' ', "+");
        assert!(find(&out, format!("/v1/tenants/bench/search?q={question}&limit=10 ").as_bytes()).is_some());
        assert_eq!(ask.check(200, br#"{"items":[],"building":false}"#), Ok(()));
        assert!(ask.check(200, b"{}").is_err() && ask.check(503, b"").is_err());
    }
}
