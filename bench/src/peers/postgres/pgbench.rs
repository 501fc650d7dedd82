//! One turn with pgbench: its scripts, a window inside of its run, and processor time of the servers at both ends of it.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rig::cluster::poll;
use rig::load::summarize;
use rig::nursery;
use rig::probe::Sample;

use super::super::{Turn, processes, title};
use super::log::{self, Log};
use super::servers::Servers;
use super::{classes, table};
use crate::report::Measured;
use crate::run::{WARMUP, Workload};
use crate::tasks::{ASSIGNEES, PAGE, PRELOADED, STATUSES};

/// How long pgbench may take to open its connections.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// pgbench goes on so long after the window, so that the window ends in the middle of its load.
const AFTER: Duration = Duration::from_secs(2);
/// What its log's files are called.
const LOG: &str = "transactions";

/// Runs it for one turn. What was measured, and how many rows all of the run has written.
pub(super) fn run(servers: &Servers, turn: Turn) -> Result<(Measured, u64)> {
    let classes = classes(turn.workload);
    let mut command = servers.client("pgbench");
    let whole = WARMUP + Duration::from_secs(turn.seconds) + AFTER;
    command.args(["-n", "-M", "prepared", "-j", "1", "-l"]);
    command.args(["-c", &turn.clients.to_string(), "-T", &whole.as_secs().to_string()]);
    command
        .arg("--log-prefix")
        .arg(servers.directory().join(LOG))
        .current_dir(servers.directory());
    for (name, weight, text) in scripts(turn.workload)? {
        let file = servers.directory().join(name);
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        command.arg("-f").arg(format!("{}@{weight}", file.display()));
    }
    command.arg("postgres");
    // Of an earlier turn.
    logs(servers)?
        .iter()
        .try_for_each(std::fs::remove_file)
        .context("remove a log")?;
    let mut child = nursery::spawn(command)?;
    let window = watch(&mut child, servers, turn.seconds);
    if window.is_err() {
        // One that has ended by itself cannot be killed any more.
        let _ = child.kill();
    }
    let output = child.wait_with_output().context("wait for pgbench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let Window { opens, closes, samples } = window.with_context(|| said.trim().to_owned())?;
    ensure!(
        output.status.success(),
        "pgbench ended with {}: {}",
        output.status,
        said.trim()
    );
    let text = logs(servers)?
        .iter()
        .map(std::fs::read_to_string)
        .collect::<Result<String, _>>();
    let Log { mut outcome, succeeded } = log::read(&text.context("read pgbench's log")?, (opens, closes), classes)?;
    let processed = log::processed(&String::from_utf8_lossy(&output.stdout))?;
    let logged: u64 = succeeded.iter().sum();
    ensure!(
        processed == logged,
        "pgbench counts {processed} transactions, and its log has {logged}"
    );
    let [first, last] = samples;
    outcome.samples = Some([(first, 0), (last, outcome.successes)]);
    println!(
        "  Postgres {:<31} {:>4} clients {:>9.0}/s  {} failures {:?}",
        title(turn.workload),
        turn.clients,
        outcome.rate(),
        summarize(&outcome.latency),
        outcome.errors
    );
    ensure!(outcome.successes > 0, "no transaction succeeded: {:?}", outcome.errors);
    let written = classes.iter().zip(&succeeded).filter(|(class, _)| **class == "write");
    Ok((Measured::of(&outcome, false), written.map(|(_, count)| count).sum()))
}

/// A window inside of a run.
struct Window {
    /// Its beginning and end since the epoch, as pgbench's log counts.
    opens: Duration,
    closes: Duration,
    samples: [Sample; 2],
}

/// Waits until transactions are logged, and for the warm-up; then looks at the servers at both ends of the window.
fn watch(child: &mut Child, servers: &Servers, seconds: u64) -> Result<Window> {
    let mut ended = None;
    let begun = poll(BEGUN_WITHIN, || {
        ended = child.try_wait().ok().flatten();
        let logged = logs(servers).is_ok_and(|logs| logs.iter().any(|log| log.metadata().is_ok_and(|found| found.len() > 0)));
        ended.is_some() || logged
    });
    ensure!(
        begun && ended.is_none(),
        "pgbench does not log transactions within {BEGUN_WITHIN:?}, or has ended: {ended:?}"
    );
    std::thread::sleep(WARMUP);
    let (opens, first) = sample(servers)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let (closes, last) = sample(servers)?;
    Ok(Window {
        opens,
        closes,
        samples: [first, last],
    })
}

fn sample(servers: &Servers) -> Result<(Duration, Sample)> {
    let cpu_seconds = processes::cpu_seconds(&servers.pids())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?;
    let sample = Sample {
        at: Instant::now(),
        cpu_seconds,
        fsyncs: None,
    };
    Ok((now, sample))
}

/// The files of pgbench's log.
fn logs(servers: &Servers) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(servers.directory()).context("look for pgbench's log")?;
    let found = entries.flatten().map(|entry| entry.path());
    Ok(found
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(LOG)))
        .collect())
}

/// Name, weight and text of a workload's scripts, in the order of its classes.
fn scripts(workload: Workload) -> Result<Vec<(&'static str, u32, String)>> {
    Ok(match workload {
        Workload::Create => vec![("write.sql", 1, write()?)],
        Workload::ReadStrong | Workload::ReadLocal => vec![("read.sql", 1, read())],
        Workload::Mix => vec![("read.sql", 9, read()), ("write.sql", 1, write()?)],
        Workload::List | Workload::Filtered => vec![("list.sql", 1, list())],
    })
}

fn columns() -> String {
    format!("id, {}, version, created_at, updated_at", table::FIELDS.join(", "))
}

fn read() -> String {
    let (columns, last) = (columns(), PRELOADED - 1);
    format!("\\set k random(0, {last})\nselect {columns} from tasks where id = :k;\n")
}

fn list() -> String {
    let (columns, last) = (columns(), ASSIGNEES - 1);
    format!(
        "\\set a random(0, {last})\n\
         select {columns} from tasks where assignee = 'u-' || lpad(:a::text, 4, '0') order by id limit {PAGE};\n"
    )
}

/// A task as the other programs are sent it: title, status, assignee and points follow from a random number, the description is always the same.
/// The answer is the whole row, as CloudNest's is.
fn write() -> Result<String> {
    let [_, _, description, ..] = table::fields(PRELOADED)?;
    let statuses = STATUSES.map(|status| format!("'{status}'")).join(", ");
    Ok(format!(
        "\\set n random(1, 1000000000)\n\\set s :n % {} + 1\n\\set a :n % {ASSIGNEES}\n\\set p :n % 13\n\
         insert into tasks({}) values ('new-' || :n::text, 'task ' || :n::text || ' of the benchmark', '{description}', \
         (array[{statuses}])[:s::int], 'u-' || lpad(:a::text, 4, '0'), :p::bigint) returning {};\n",
        STATUSES.len(),
        table::FIELDS.join(", "),
        columns()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_has_a_class_and_one_statement() {
        for workload in [Workload::Create, Workload::ReadStrong, Workload::Mix, Workload::List] {
            let scripts = scripts(workload).unwrap();
            assert_eq!(scripts.len(), classes(workload).len());
            for ((name, _, text), class) in scripts.iter().zip(classes(workload)) {
                assert_eq!(text.matches(';').count(), 1, "{text}");
                assert_eq!(name == &"write.sql", *class == "write");
                assert_eq!(text.contains("insert into tasks"), *class == "write");
            }
        }
    }
}
