//! `doctor`: what is wrong with this installation, and what to do about it.

mod backups;
mod certificates;
mod checks;
mod disk;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::node::DATA;
use super::output::{self, Tone, plain};
use super::{Failure, Result};

/// Look for what is wrong with this installation
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cloudnest doctor\n  cloudnest doctor --config cluster.toml --data /var/lib/cloudnest\n\nThe exit code is 1 where something fails; a warning is no failure."
)]
pub(super) struct Doctor {
    /// The cluster's configuration; ./cluster.toml where it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the data
    #[arg(long, default_value = DATA, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    /// How it is.
    verdict: Verdict,
    /// What was found.
    detail: String,
    /// What to do; empty where nothing is to be done.
    advice: String,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            detail: detail.into(),
            advice: String::new(),
        }
    }

    fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            detail: detail.into(),
            advice: advice.into(),
        }
    }

    fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Fail,
            detail: detail.into(),
            advice: advice.into(),
        }
    }
}

impl Doctor {
    pub(super) fn run(self) -> Result {
        let config = self
            .config
            .clone()
            .or_else(|| Some(PathBuf::from("cluster.toml")).filter(|path| path.is_file()));
        let findings = examine(config.as_deref(), &self.data);
        if self.json {
            output::json(&findings)?;
        } else {
            print(&findings)?;
        }
        let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
        if failed { Err(Failure::Reported) } else { Ok(()) }
    }
}

fn examine(config: Option<&Path>, data: &Path) -> Vec<Finding> {
    let (config_finding, config) = checks::config(config);
    let mut findings = vec![config_finding];
    findings.push(checks::ports(config.as_ref(), data));
    findings.extend(disk::examine(data));
    findings.push(checks::secrets(data));
    findings.extend(config.as_ref().map(backups::backups));
    findings.extend(config.as_ref().and_then(backups::files));
    findings.push(certificates::examine(config.as_ref(), data));
    findings.push(checks::clock(data));
    findings.push(checks::descriptors());
    findings
}

fn print(findings: &[Finding]) -> Result {
    let row = |finding: &Finding| {
        let verdict = match finding.verdict {
            Verdict::Ok => ("ok".to_owned(), Tone::Good),
            Verdict::Warn => ("warn".to_owned(), Tone::Warning),
            Verdict::Fail => ("fail".to_owned(), Tone::Bad),
        };
        vec![verdict, plain(finding.check), plain(&*finding.detail)]
    };
    output::table(&["", "CHECK", "FOUND"], findings.iter().map(row).collect())?;
    for finding in findings.iter().filter(|finding| !finding.advice.is_empty()) {
        output::line(&format!("\n{}: {}", finding.check, finding.advice))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_directory_is_examined_and_left_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("not/there/yet");
        let findings = examine(None, &data);
        let names: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(
            names,
            [
                "config",
                "ports",
                "data",
                "disk space",
                "fsync",
                "secrets",
                "certificates",
                "clock",
                "file descriptors"
            ]
        );
        assert!(
            findings
                .iter()
                .all(|finding| finding.verdict == Verdict::Ok || !finding.advice.is_empty()),
            "{findings:#?}"
        );
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("listed").count(),
            0,
            "nothing is left behind"
        );
    }

    #[test]
    fn a_wrong_configuration_and_open_secrets_are_failures() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("cluster.toml");
        std::fs::write(&config, "cluster = 1\n").expect("written");
        let tokens = dir.path().join("dev.tokens");
        std::fs::write(&tokens, "operator=x\n").expect("written");
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o644)).expect("opened");
        let findings = examine(Some(&config), dir.path());
        let verdict = |name: &str| {
            findings
                .iter()
                .find(|finding| finding.check == name)
                .map(|finding| finding.verdict)
        };
        assert_eq!(
            (verdict("config"), verdict("secrets")),
            (Some(Verdict::Fail), Some(Verdict::Fail))
        );
    }
}
