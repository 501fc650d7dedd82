//! `records import`: many records from a file, through failures of nodes, every line once.
//!
//! One request streams the lines and receives how many are settled. When it breaks, the next one goes to the next URL under the
//! same Import-Id and goes on where the server is. The id is made of the content, so a command that is run again after it was
//! killed continues, and one that is run again after it was done stores nothing twice.
//!
//! CAVEAT: the server tells of a refused line once. What it told a connection that broke, or a command that was killed, it only counts
//! afterwards; the summary says so.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use api::body::import::{ImportFailure, ImportLine, ImportSummary};
use api::client::{Balance, Client, ClientError, ImportOptions};
use api::error::Outcome;
use api::ids::{Name, Slug};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::super::remote::Remote;
use super::super::tenant::slug;
use super::super::{Failure, Result, output};
use super::failed::Failed;
use super::form::Form;
use super::map::Rename;
use super::progress::{bar, follow};
use super::source::Source;
use super::window::Window;

/// The pause after a failure; it doubles with each, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long an import goes on failing without any line settled.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long a server that owes an answer may be silent before the connection is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(200);

/// Import records from a file: JSON objects, one a line, or CSV
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest records import acme tasks tasks.jsonl.gz --token cnt_…\n  cloudnest records import acme tasks tasks.csv --map title=Summary --map =Internal --failed refused.csv --token cnt_…\n  zcat old.jsonl.gz | cloudnest records import acme tasks - --map title=summary --token cnt_…\n\nA line that is refused is reported with its number and stops nothing else; the exit code is then 1. --failed keeps such lines with\nwhat is wrong with them: mend them there, and import that file as it is, without --map.\nA CSV file begins with the names of the fields; a cell that is empty is left out, tags are separated by commas.\nThe same content is stored once: run the command again to continue it, or give another --import-id to store it again."
)]
pub(crate) struct Import {
    /// The tenant
    #[arg(value_parser = slug)]
    tenant: Slug,
    /// The collection
    #[arg(value_parser = collection)]
    collection: Name,
    /// The file, plain or gzip; - reads standard input
    file: PathBuf,
    /// How it is written; where it is left out, CSV if its name ends with .csv or .csv.gz, and JSON otherwise
    #[arg(long, value_name = "FORM")]
    format: Option<Form>,
    /// FIELD takes the value of the file's key or column SOURCE; =SOURCE leaves one out; repeat it for several
    #[arg(long, value_name = "FIELD=SOURCE")]
    map: Vec<Rename>,
    /// Keep refused lines in this new file, of the same form, to be mended and imported again
    #[arg(long, value_name = "FILE")]
    failed: Option<PathBuf>,
    /// What this import is called; made of the content where it is left out
    #[arg(long, value_name = "ID")]
    import_id: Option<String>,
    /// Print JSON: refused lines and the summary, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Import {
    /// The servers and the token.
    #[cfg(test)]
    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    pub(crate) async fn run(self) -> Result {
        // A wrong URL is known before the file is read.
        let client = self.remote.client()?;
        let form = self.format.unwrap_or_else(|| Form::of(&self.file));
        let id = match &self.import_id {
            Some(id) => id.clone(),
            None => self.content_id(form)?,
        };
        let source = Source::open(&self.file, form, self.map.clone())?;
        let failed = self.failed.clone().map(|path| Failed::create(path, form)).transpose()?;
        let mut run = Run {
            import: &self,
            client,
            options: ImportOptions {
                import_id: Some(id),
                csv: form == Form::Csv,
            },
            form,
            window: Window::new(form, source.chunks),
            bar: bar(source.length),
            reached: false,
            reported: BTreeSet::new(),
            failed,
        };
        let (bar, window) = (run.bar.clone(), run.window.clone());
        let started = Instant::now();
        let summary = tokio::select! {
            summary = run.until_done() => summary,
            () = follow(&bar, &window, form) => Err(Failure::Reported),
        };
        bar.finish_and_clear();
        let kept = run.failed.take().map(Failed::finish).transpose();
        self.report(&summary?, run.reported.len() as u64, kept?, started.elapsed())
    }

    /// An id that the same content has again.
    fn content_id(&self, form: Form) -> Result<String> {
        if self.file == Path::new("-") {
            return Ok(uuid::Uuid::now_v7().to_string());
        }
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{} {:?}\n", self.collection, self.map).as_bytes());
        if form == Form::Csv {
            hash.update(b"csv\n");
        }
        let file = File::open(&self.file).with_context(|| format!("open {}", self.file.display()))?;
        hash.update_reader(file)
            .with_context(|| format!("read {}", self.file.display()))?;
        Ok(format!("content-{}", &hash.finalize().to_hex()[..32]))
    }

    fn report(&self, summary: &ImportSummary, reported: u64, kept: Option<u64>, took: Duration) -> Result {
        if self.json {
            output::json_line(summary)?;
        } else {
            let ImportSummary {
                imported,
                failed,
                position,
            } = summary;
            output::line(&format!(
                "imported {imported}, failed {failed}, position {position}, in {:.1} s",
                took.as_secs_f64()
            ))?;
        }
        if let (Some(path), Some(kept @ 1..)) = (&self.failed, kept) {
            let path = path.display();
            eprintln!("{kept} refused lines are in {path}: mend them, and import that file");
        }
        let untold = summary.failed.saturating_sub(reported);
        if untold > 0 {
            eprintln!(
                "{untold} more were refused and told of earlier, to a run or a connection that ended: they are not named here"
            );
        }
        if summary.failed > 0 { Err(Failure::Reported) } else { Ok(()) }
    }
}

/// One import on its way, over however many connections.
struct Run<'i> {
    import: &'i Import,
    /// What all connections share, such as the region of the tenant.
    client: Client,
    options: ImportOptions,
    form: Form,
    window: std::sync::Arc<Window>,
    bar: ProgressBar,
    /// Whether any server ever took a connection.
    reached: bool,
    /// Numbers of refused lines that were printed: a second connection may name them again.
    reported: BTreeSet<u64>,
    /// Where refused lines are kept.
    failed: Option<Failed>,
}

impl Run<'_> {
    async fn until_done(&mut self) -> Result<ImportSummary> {
        let (mut attempt, mut pauses, mut settled, mut since) = (0_u32, 0_u32, 0, Instant::now());
        let mut said = String::new();
        loop {
            let error = match self.connection(attempt).await {
                Ok(summary) => return Ok(summary),
                Err(error) => error,
            };
            if let Some(why) = self.window.failed() {
                return Err(Failure::Failed(anyhow!("read {}: {why}", self.import.file.display())));
            }
            let now = self.window.settled();
            if now > settled {
                (settled, since, pauses) = (now, Instant::now(), 0);
            }
            // A name that nobody serves, a token that is refused: it would be the same again.
            if !may_pass(&error, pauses) || since.elapsed() > PATIENCE || !self.worth_waiting(&error, attempt) {
                return Err(self.import.remote.failure(&format!("import after line {now}"), error));
            }
            let why = format!("after line {now}: {}; going on", first_line(&error));
            if why != said {
                self.bar.suspend(|| eprintln!("{why}"));
                said = why;
            }
            tokio::time::sleep(PAUSE.saturating_mul(1 << pauses.min(10)).min(PAUSE_MAX)).await;
            attempt = attempt.saturating_add(1);
            pauses += 1;
        }
    }

    /// A server that was never there is an error of the one who typed; one that went away comes back.
    fn worth_waiting(&mut self, error: &ClientError, attempt: u32) -> bool {
        let not_there = error.problem().is_none() && error.outcome() == Outcome::NotApplied;
        self.reached |= !not_there || self.window.settled() > 0;
        self.reached || usize::try_from(attempt).is_ok_and(|attempt| attempt + 1 < self.import.remote.urls().len())
    }

    /// One connection, up to the summary or its end.
    async fn connection(&mut self, attempt: u32) -> std::result::Result<ImportSummary, ClientError> {
        let urls = self.import.remote.urls();
        let mut turned = urls.to_vec();
        turned.rotate_left(usize::try_from(attempt).unwrap_or_default() % urls.len().max(1));
        let Ok(client) = self.client.clone().with_base_urls(&turned, Balance::Failover) else {
            return Err(ClientError::Transport {
                outcome: Outcome::NotApplied,
                message: "no usable URL".to_owned(),
            });
        };
        let heard = std::cell::Cell::new(Instant::now());
        let window = self.window.clone();
        let (tenant, collection) = (self.import.tenant.as_str(), self.import.collection.as_str());
        let (json, bar, form) = (self.import.json, &self.bar, self.form);
        let (reported, failed) = (&mut self.reported, &mut self.failed);
        let on_line = |line: &ImportLine| {
            heard.set(Instant::now());
            match line {
                ImportLine::Progress(progress) => window.settle(progress.stored),
                ImportLine::Failure(failure) if reported.insert(failure.line) => {
                    bar.suspend(|| refused(json, form, failure));
                    if let Some(failed) = failed {
                        failed.add(failure, &window.head(), &window.line(failure.line));
                    }
                }
                ImportLine::Failure(_) | ImportLine::Summary(_) => {}
            }
        };
        let talk = client.import(tenant, collection, &self.options, self.window.stream(), on_line);
        let silence = async {
            loop {
                tokio::time::sleep(TICK).await;
                if !self.window.is_owed() {
                    heard.set(Instant::now());
                } else if heard.get().elapsed() > SILENCE {
                    return;
                }
            }
        };
        tokio::select! {
            result = talk => result,
            () = silence => Err(ClientError::Transport {
                outcome: Outcome::Unknown,
                message: format!("the server was silent for {} s", SILENCE.as_secs()),
            }),
        }
    }
}

/// Prints a line that was refused.
fn refused(json: bool, form: Form, failure: &ImportFailure) {
    if json {
        // A reader that has gone does not stop an import.
        let _ = output::json_line(&json!(failure));
    } else {
        eprintln!("{} {}: {}: {}", form.unit(), failure.line, failure.code, failure.message);
    }
}

/// Whether the next connection may succeed. A source that paused for too long is no fault of its lines, and the client has learned from
/// an answer that names another region.
fn may_pass(error: &ClientError, pauses: u32) -> bool {
    let elsewhere = error.status() == Some(421) && pauses == 0;
    error.is_transient() || elsewhere || error.code() == Some("request_timeout")
}

fn first_line(error: &ClientError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn collection(text: &str) -> std::result::Result<Name, String> {
    text.parse().map_err(|error: api::ids::IdError| error.to_string())
}
