//! Everything, one experiment after the other, each with a cluster of its own, and one report of all.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bench::report::Report;
use clap::Parser;

use crate::cli::Cli;

/// The experiments: their names, and their commands as they are when the machine is measured and when they are only tried.
const EXPERIMENTS: [(&str, &str, &str); 16] = [
    (
        "load",
        "run --workload w1,w2,w3,w4,w5 --seconds 3",
        "run --workload w1,w2,w3,w4,w5 --seconds 1 --runs 1 --clients 16 --records 20000",
    ),
    (
        "rules",
        "run --workload w1,w2,w3,w4 --seconds 3 --clients 64 --rules",
        "run --workload w1,w4 --seconds 1 --runs 1 --clients 16 --rules",
    ),
    ("stall", "stall --seconds 60", "stall --seconds 3 --rate 500 --records 20000"),
    (
        "backfill",
        "backfill --rules",
        "backfill --rules --records 20000 --rate 200 --seconds 2",
    ),
    ("move", "move --runs 3", "move --megabytes 20 --rate 100 --seconds-before 2"),
    (
        "company",
        "company",
        "company --tenants 20 --records 20000 --rate 500 --seconds 3",
    ),
    ("isolation", "isolation", "isolation --runs 1 --seconds 2 --rate 500"),
    (
        "neighbour",
        "isolation --neighbour",
        "isolation --neighbour --runs 1 --seconds 2 --rate 500 --aggressors flood",
    ),
    (
        "control",
        "isolation --control --runs 1",
        "isolation --control --runs 1 --seconds 2 --rate 500 --aggressors import",
    ),
    (
        "idle",
        "idle --runs 3 --seconds 30",
        "idle --tenants 50 --cells 3 --seconds 2",
    ),
    (
        "live",
        "live --streams 10000 --subscribers 1000",
        "live --streams 200 --subscribers 100 --changes 5",
    ),
    ("files", "files", "files --megabytes 8 --small 20 --clients 2"),
    (
        "search",
        "search-speed --documents 1000000",
        "search-speed --documents 5000 --runs 1 --seconds 1 --fresh 5",
    ),
    (
        "scaling",
        "scaling --records 1000,10000,100000 --tenants 1,100,1000",
        "scaling --cells 1,2 --records 1000 --tenants 10 --runs 1 --seconds 1 --clients 4",
    ),
    (
        "memory",
        "memory --tenants 2000 --records 1000000",
        "memory --tenants 20 --records 2000",
    ),
    ("peers", "peers", "peers --runs 1 --seconds 1 --clients 4"),
];
/// The same over real records, where there are some.
const OF_DATA: [(&str, &str); 2] = [("data", "data"), ("relevance", "search")];

/// What to run.
#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// Real records: a directory with *.jsonl.gz; without it what needs them is left out
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// These alone, by name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep the reports that are there already and run what is missing: the whole takes more than an hour
    #[arg(long)]
    resume: bool,
    /// Try each for a moment: shows that it works, and measures nothing
    #[arg(long)]
    short: bool,
    /// Where the reports go: each in a directory of its name, and one of all
    #[arg(long, default_value = "bench-out", value_name = "DIR")]
    out: PathBuf,
}

/// Runs all of them. What fails is named at the end, and the rest is in the report all the same.
pub(crate) fn run(args: &Args, perform: impl Fn(Cli) -> Result<()>) -> Result<()> {
    let mut failed = Vec::new();
    let mut all: Option<Report> = None;
    for (name, words) in commands(args)? {
        println!("\n== {name}: {}", words.join(" "));
        let out = args.out.join(&name);
        let report = out.join("report.json");
        if args.resume
            && let Ok(report) = Report::load(&report)
        {
            println!("it is there already");
            all = Some(joined(all, report));
            continue;
        }
        // One of an earlier time must not be taken for this one's.
        if report.exists() {
            std::fs::remove_file(&report).with_context(|| format!("remove {}", report.display()))?;
        }
        let mut command = vec!["cloudnest-bench".to_owned()];
        command.extend(words);
        command.extend(["--out".to_owned(), out.display().to_string()]);
        let done = Cli::try_parse_from(command)
            .context("the command of an experiment")
            .and_then(&perform);
        // Some experiments write a report and then say that not all was well.
        match Report::load(&report) {
            Ok(report) => all = Some(joined(all, report)),
            Err(error) if done.is_ok() => failed.push(format!("{name}: {error:#}")),
            Err(_) => {}
        }
        if let Err(error) = done {
            eprintln!("{name} failed: {error:#}");
            failed.push(format!("{name}: {}", error.root_cause()));
        }
    }
    if let Some(report) = all {
        report.save(&args.out)?;
        println!("\nThe report of all is in {}", args.out.display());
    }
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("not all experiments went well:\n{}", failed.join("\n")),
    }
}

/// The names and the words of the commands.
fn commands(args: &Args) -> Result<Vec<(String, Vec<String>)>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut found: Vec<_> = EXPERIMENTS
        .iter()
        .map(|(name, whole, short)| ((*name).to_owned(), words(if args.short { short } else { whole })))
        .collect();
    if let Some(directory) = &args.data_dir {
        found.extend(OF_DATA.iter().map(|(name, line)| {
            let directory = directory.display().to_string();
            let words = [words(line), vec!["--data-dir".to_owned(), directory]].concat();
            ((*name).to_owned(), words)
        }));
    }
    if let Some(unknown) = args.only.iter().find(|only| found.iter().all(|(name, _)| name != *only)) {
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        bail!("there is no experiment {unknown}: there are {}", names.join(", "));
    }
    found.retain(|(name, _)| args.only.is_empty() || args.only.contains(name));
    Ok(found)
}

/// One report of two: what both say of the machine is the first one's. Where another commit was measured, a note says so.
fn joined(all: Option<Report>, mut next: Report) -> Report {
    let Some(mut all) = all else { return next };
    if next.commit != all.commit {
        let note = format!("`{}` was measured at {} with commit {}", next.command, next.at, next.commit);
        next.notes.push(note);
    }
    all.command = format!("{}\n    {}", all.command, next.command);
    for note in next.notes {
        if !all.notes.contains(&note) {
            all.notes.push(note);
        }
    }
    all.rows.extend(next.rows);
    all.ratios.extend(next.ratios);
    all
}

#[cfg(test)]
mod tests {
    use bench::report::Row;

    use super::*;
    use crate::cli::Action;

    fn args(only: &[&str]) -> Args {
        Args {
            data_dir: Some(PathBuf::from("data")),
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            short: false,
            resume: false,
            out: PathBuf::from("out"),
        }
    }

    #[test]
    fn every_experiment_is_a_command_of_this_program() {
        for short in [false, true] {
            let args = Args { short, ..args(&[]) };
            for (name, words) in commands(&args).expect("commands") {
                let words = ["cloudnest-bench".to_owned()].into_iter().chain(words);
                let cli = Cli::try_parse_from(words);
                assert!(cli.is_ok_and(|cli| !matches!(cli.command, Action::All(_))), "{name}");
            }
        }
        assert_eq!(commands(&args(&["idle", "live"])).expect("two").len(), 2);
        let unknown = commands(&args(&["idel"])).err().map(|error| error.to_string());
        assert!(unknown.is_some_and(|why| why.contains("idel") && why.contains("idle")));
    }

    #[test]
    fn what_is_there_is_kept_where_it_goes_on() {
        let place = tempfile::tempdir().expect("a directory");
        let mut args = Args {
            out: place.path().to_owned(),
            ..args(&["idle", "live"])
        };
        let measured = std::cell::Cell::new(0);
        let measure = |cli: Cli| {
            let (Action::Idle { common, .. } | Action::Live { common, .. }) = cli.command else {
                bail!("another one");
            };
            measured.set(measured.get() + 1);
            let rows = vec![Row::new("a row", None, vec![])];
            let report = Report {
                rows,
                commit: format!("c{}", measured.get()),
                ..Report::default()
            };
            report.save(&common.out)
        };
        run(&args, measure).expect("two");
        std::fs::remove_dir_all(place.path().join("idle")).expect("remove one");
        args.resume = true;
        run(&args, measure).expect("the one that was missing");
        assert_eq!(measured.get(), 3);
        let all = Report::load(&place.path().join("report.json")).expect("a report");
        assert_eq!((all.rows.len(), all.commit.as_str()), (2, "c3"));
        assert!(
            all.notes.iter().any(|note| note.contains("with commit c2")),
            "{:?}",
            all.notes
        );
        args.resume = false;
        run(&args, measure).expect("both again");
        assert_eq!(measured.get(), 5);
    }

    #[test]
    fn what_fails_does_not_keep_the_rest_out_of_the_report() {
        let place = tempfile::tempdir().expect("a directory");
        let args = Args {
            out: place.path().to_owned(),
            ..args(&["idle", "live", "move"])
        };
        let ended = run(&args, |cli| match cli.command {
            Action::Idle { common, .. } | Action::Move { common, .. } => {
                let rows = vec![Row::new(&common.out.display().to_string(), None, vec![])];
                Report {
                    rows,
                    ..Report::default()
                }
                .save(&common.out)
            }
            _ => bail!("it is dark"),
        });
        assert!(ended.is_err_and(|error| error.to_string().contains("live: it is dark")));
        let all = Report::load(&place.path().join("report.json")).expect("a report");
        assert_eq!(all.rows.len(), 2);
    }
}
