//! What the command line accepts: every command, its help, its defaults.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parsed(line: &str) -> std::result::Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

/// Every command without commands of its own, by its words.
fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
    for child in command.get_subcommands() {
        let words = format!("{words} {}", child.get_name());
        if child.has_subcommands() {
            leaves(child, &words, found);
        } else {
            found.push((words, child.clone()));
        }
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example_of_itself() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "cloudnest", &mut found);
    assert!(found.len() >= 18, "{}", found.len());
    for (words, mut command) in found {
        let help = command.render_help().to_string();
        assert!(
            help.contains("Example") && help.contains(&format!("  {words}")) || help.contains(&format!("| {words}")),
            "{words}:\n{help}"
        );
        assert!(command.get_about().is_some(), "{words} says what it does");
        let error = parsed(&format!("{words} --help")).expect_err("help is no command");
        assert_eq!((error.kind(), error.use_stderr()), (ErrorKind::DisplayHelp, false), "{words}");
    }
}

#[test]
fn the_commands_of_the_contract_are_understood() {
    for line in [
        "cloudnest dev",
        "cloudnest dev --data /tmp/x --port 0",
        "cloudnest node --config cluster.toml --node eu-west-1a",
        "cloudnest node --config cluster.toml --node eu-west-1a --data /tmp/x",
        "cloudnest cluster up",
        "cloudnest cluster up --config c.toml --region eu-west-1 --data /tmp/x",
        "cloudnest cluster status --json",
        "cloudnest cluster status --config cluster.toml",
        "cloudnest cluster scrub",
        "cloudnest cluster scrub one two --json",
        "cloudnest cluster check",
        "cloudnest certs create --out tls",
        "cloudnest certs create --config cluster.toml --out tls --days 90 --renew --json",
        "cloudnest certs show tls/a.pem tls/b.pem --json",
        "cloudnest certs show --config cluster.toml --data /tmp/x",
        "cloudnest tenant create acme --region eu-west-1 --plan team --dedicated --template workspace --json",
        "cloudnest tenant list --url http://127.0.0.1:7411 --token cno_x",
        "cloudnest tenant show acme",
        "cloudnest tenant delete acme --yes",
        "cloudnest tenant export acme -o acme.jsonl",
        "cloudnest records import acme tasks tasks.jsonl.gz --map title=summary --map points=size",
        "cloudnest records import acme tasks - --url http://a:1 --url http://b:2,http://c:3",
        "cloudnest token create acme --name ci --role guest --scope tasks --scope comments --expires 2027-01-01T00:00:00Z",
        "cloudnest token list acme",
        "cloudnest token revoke acme 0198c0de-0000-7000-8000-000000000001",
        "cloudnest whoami",
        "cloudnest whoami demo",
        "cloudnest version --json",
        "cloudnest doctor --json",
        "cloudnest completions bash",
    ] {
        if let Err(error) = parsed(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_usage_is_told_from_failure() {
    for line in [
        "cloudnest",
        "cloudnest deev",
        "cloudnest dev --port 70000",
        "cloudnest node --config cluster.toml",
        "cloudnest certs show",
        "cloudnest certs show a.pem --config cluster.toml",
        "cloudnest certs create --config cluster.toml",
        "cloudnest certs create --out tls --days 0",
        "cloudnest tenant create Acme --region eu-west-1",
        "cloudnest token create acme --name ci --role king",
        "cloudnest token create acme --name ci --expires tomorrow",
        "cloudnest token revoke acme 7",
        "cloudnest records import acme Tasks file",
        "cloudnest records import acme tasks file --map title",
        "cloudnest completions basic",
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn a_client_command_takes_several_servers() {
    let Command::Records(records::Records::Import(import)) =
        parsed("cloudnest records import a1 tasks - --url http://a:1,http://b:2 --url http://c:3")
            .expect("parsed")
            .command
    else {
        panic!("not an import");
    };
    assert_eq!(import.remote().urls(), ["http://a:1", "http://b:2", "http://c:3"]);
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "cloudnest", &mut script);
        assert!(String::from_utf8_lossy(&script).contains("records"), "{shell}");
    }
}
