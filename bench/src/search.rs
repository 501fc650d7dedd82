//! Search over real records: how long until all is indexed, how large the index is, how fast questions are answered, and how well.
//!
//! How well: nDCG@10 over questions with what people would want to find, written by hand (`bench/data/relevance.tsv`): 1 means that the best
//! records come first in every answer, and a record counts less the further down it comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use api::body::search::{SearchQuery, SearchReply};
use api::service::Consistency;
use hdrhistogram::Histogram;
use rig::cluster::Cluster;
use rig::tenant::{self, Tenant};
use rig::{import, wait};
use serde_json::Value;

use crate::data::{self, COLLECTION};
use crate::report::{Latency, Measured, Row};

/// The questions.
const RELEVANCE: &str = include_str!("../data/relevance.tsv");
/// How long one file may take.
const FILE_WITHIN: Duration = Duration::from_secs(600);
/// How often all questions are asked.
const ROUNDS: usize = 20;
/// Records of an answer that count.
const DEPTH: usize = 10;
/// How long an index may take.
const INDEXED_WITHIN: Duration = Duration::from_secs(600);

/// A question with what it should find.
struct Judged {
    source: &'static str,
    question: &'static str,
    /// How well a record answers it, by its number.
    grades: BTreeMap<u64, f64>,
}

fn judged() -> Result<Vec<Judged>> {
    let lines = RELEVANCE.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let mut parts = line.split('\t');
        let mut next = || parts.next().with_context(|| format!("{line:?} has too few parts"));
        let (source, question, grades) = (next()?, next()?, next()?);
        let grade = |pair: &str| {
            let (number, grade) = pair.split_once(':')?;
            Some((number.parse().ok()?, grade.parse().ok()?))
        };
        let grades: Option<_> = grades.split(' ').map(grade).collect();
        Ok(Judged {
            source,
            question,
            grades: grades.with_context(|| format!("{line:?} has grades that are none"))?,
        })
    });
    parsed.collect()
}

/// Imports every file, waits until it can be searched, and asks all questions. One row a figure.
pub async fn measure(cluster: &Cluster, directory: &Path) -> Result<Vec<Row>> {
    let (mut rows, mut tenants, mut records) = (Vec::new(), BTreeMap::new(), 0);
    let mut lag = 0.0;
    for source in data::sources(directory)? {
        let tenant = tenant::create(cluster, &source.slug, Some("workspace")).await?;
        let count = import::count_lines(&source.lines);
        let started = Instant::now();
        import::import(&tenant.client, &source.slug, COLLECTION, "data", &source.lines, FILE_WITHIN).await?;
        let imported = started.elapsed();
        whole(&tenant).await?;
        lag += (started.elapsed() - imported).as_secs_f64();
        println!(
            "{:<14} {count:>6} records, imported in {imported:.2?}, all of it found {:.2?} later",
            source.slug,
            started.elapsed() - imported
        );
        records += count;
        tenants.insert(source.slug.clone(), tenant);
    }
    let mut indexing = Measured {
        rate: records as f64 / lag.max(f64::EPSILON),
        seconds: lag,
        ..Measured::default()
    };
    let bytes = index_bytes(&cluster.data())? as f64 / cluster.nodes().len() as f64;
    indexing.more.insert("records".to_owned(), records as f64);
    indexing.more.insert("index MB a replica".to_owned(), bytes / 1e6);
    indexing
        .more
        .insert("index bytes a record".to_owned(), bytes / records.max(1) as f64);
    rows.push(Row::new("records indexed after their import", None, vec![indexing]));
    rows.extend(answers(&tenants, &judged()?).await?);
    Ok(rows)
}

/// Waits until a tenant's index shows all of it.
pub(crate) async fn whole(tenant: &Tenant) -> Result<()> {
    let deadline = Instant::now() + INDEXED_WITHIN;
    loop {
        let reply = ask(tenant, "nothing", 1, Some(Consistency::Strong)).await;
        if reply.is_ok_and(|reply| !reply.building) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} is not indexed after {INDEXED_WITHIN:?}",
            tenant.slug
        );
        tokio::time::sleep(wait::LOOK).await;
    }
}

async fn ask(tenant: &Tenant, question: &str, limit: usize, fresh: Option<Consistency>) -> Result<SearchReply> {
    let query = SearchQuery {
        q: question.to_owned(),
        limit,
        ..SearchQuery::default()
    };
    let answer = tenant.client.search(&tenant.slug, &query, fresh).await;
    Ok(answer.with_context(|| format!("ask {} for {question:?}", tenant.slug))?.body)
}

/// All questions, several times, one after the other: how fast, and how well.
async fn answers(tenants: &BTreeMap<String, Tenant>, questions: &[Judged]) -> Result<Vec<Row>> {
    let (mut whole, mut typed) = (histogram()?, histogram()?);
    let (mut gains, start) = (Vec::new(), Instant::now());
    for round in 0..ROUNDS {
        for judged in questions {
            let tenant = tenants
                .get(judged.source)
                .with_context(|| format!("there is no {}", judged.source))?;
            let asked = Instant::now();
            let reply = ask(tenant, judged.question, DEPTH, None).await?;
            whole.record(micros(asked))?;
            if round == 0 {
                let gain = ndcg(&judged.grades, &numbers(&reply));
                println!("{gain:.3}  {}: {}", judged.source, judged.question);
                gains.push(gain);
            }
            // As it is typed: its beginning.
            let beginning: String = judged.question.chars().take(4).collect();
            let asked = Instant::now();
            ask(tenant, &beginning, DEPTH, None).await.ok();
            typed.record(micros(asked))?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let count = (whole.len() + typed.len()) as f64;
    let mut row = Measured {
        rate: count / seconds,
        seconds,
        latency: Some(Latency::of(&whole)),
        ..Measured::default()
    };
    row.by_class.insert("as it is typed".to_owned(), Latency::of(&typed));
    let mean = gains.iter().sum::<f64>() / gains.len().max(1) as f64;
    row.more.insert(format!("nDCG@{DEPTH}"), mean);
    row.more.insert("questions".to_owned(), gains.len() as f64);
    println!("nDCG@{DEPTH} {mean:.3} over {} questions", gains.len());
    Ok(vec![Row::new("questions, one after the other", Some(1), vec![row])])
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new(3).context("make a histogram")
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The numbers of what was found, in its order.
fn numbers(reply: &SearchReply) -> Vec<u64> {
    let number = |fields: &str| serde_json::from_str::<Value>(fields).ok()?["number"].as_u64();
    let items = reply.items.iter();
    items.filter_map(|item| number(item.record.fields.get())).collect()
}

/// The discounted gain of an answer, as a share of the best that there could be.
fn ndcg(grades: &BTreeMap<u64, f64>, found: &[u64]) -> f64 {
    let gain = |(place, grade): (usize, f64)| (grade.exp2() - 1.0) / ((place + 2) as f64).log2();
    let got = found.iter().map(|number| grades.get(number).copied().unwrap_or_default());
    let got: f64 = got.take(DEPTH).enumerate().map(gain).sum();
    let mut best: Vec<f64> = grades.values().copied().collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let best: f64 = best.into_iter().take(DEPTH).enumerate().map(gain).sum();
    got / best.max(f64::EPSILON)
}

/// Bytes of all search indexes below a directory.
pub(crate) fn index_bytes(data: &Path) -> Result<u64> {
    let (mut bytes, mut left) = (0, vec![(data.to_owned(), false)]);
    while let Some((directory, is_index)) = left.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
            let entry = entry.context("list a directory")?;
            // What is merged meanwhile goes.
            let Ok(found) = entry.metadata() else { continue };
            match found.is_dir() {
                true => left.push((entry.path(), is_index || entry.file_name() == "search")),
                false => bytes += if is_index { found.len() } else { 0 },
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_answer_gains_one_and_a_late_one_less() {
        let grades = BTreeMap::from([(7, 3.0), (8, 1.0)]);
        assert!((ndcg(&grades, &[7, 8, 9]) - 1.0).abs() < 1e-9);
        let late = ndcg(&grades, &[9, 7, 8]);
        assert!(late > 0.5 && late < 0.7, "{late}");
        assert!(ndcg(&grades, &[1, 2, 3]).abs() < 1e-9);
    }

    #[test]
    fn the_questions_can_be_read() {
        let questions = judged().expect("questions");
        assert_eq!(questions.len(), 40);
        assert!(
            questions
                .iter()
                .all(|judged| judged.grades.values().any(|grade| *grade >= 3.0))
        );
    }
}
