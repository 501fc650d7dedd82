//! The command line: one file a command, each with its arguments, what it does, and what it prints.
//!
//! A command ends in one of three ways, which are its exit codes: 0, it did what was asked; 1, it failed, and standard error
//! says why and what to do; 2, it was used wrongly. Data goes to standard output, everything else to standard error. Tables
//! are for people and may change; `--json` is for programs.
//!
//! Client commands speak to a server through [`api::client`] alone, like any other program. `node` and `dev` run one in this
//! process; `cluster up` runs many as child processes.
//!
//! CAVEATS. Nothing is remembered between two commands: a client command takes URL and token from its arguments or from the
//! environment.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod authorities;
mod cell;
mod certificates;
mod certs;
mod cluster;
mod compat;
mod completions;
mod dev;
mod doctor;
mod events;
mod file;
mod files;
mod logging;
mod node;
mod output;
mod records;
mod remote;
mod runtime;
mod secret;
mod template;
mod tenant;
mod token;
mod version;
mod whoami;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::mutant;

/// A multi-tenant platform for collaboration software in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "cloudnest",
    version,
    disable_help_subcommand = true,
    after_help = "Start here:\n  cloudnest dev             a server on this machine, with a tenant to play with\n  cloudnest cluster up      every node of cluster.toml on this machine\n\nCLOUDNEST_LOG sets what is logged, such as `warn,cloudnest=debug`."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    Node(node::NodeCommand),
    /// Many nodes: start them here, look at them, check their configuration
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Cells: the groups of replicas that tenants are in
    #[command(subcommand)]
    Cell(cell::Cell),
    /// Certificates of the nodes among each other: make them, see when they end
    #[command(subcommand)]
    Certs(certs::Certs),
    /// Tenants: the organisations that a cluster serves
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Collections that come ready-made
    #[command(subcommand)]
    Template(template::Template),
    /// A tenant's records
    #[command(subcommand)]
    Records(records::Records),
    /// A tenant's files with their versions
    #[command(subcommand)]
    Files(file::Files),
    Events(events::Events),
    /// A tenant's API keys
    #[command(subcommand)]
    Token(token::Token),
    Whoami(whoami::Whoami),
    Version(version::Version),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// Why a command did not do what was asked.
#[derive(Debug)]
enum Failure {
    /// Its arguments do not fit together: exit code 2.
    Usage(String),
    /// Anything else: exit code 1.
    Failed(anyhow::Error),
    /// It has said everything already: exit code 1.
    Reported,
}

type Result<T = ()> = std::result::Result<T, Failure>;

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs the command line and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nothing can be done where the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    logging::start();
    match mutant::check().map_err(Failure::Usage).and_then(|()| dispatch(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::from(1),
        Err(Failure::Usage(message)) => {
            eprintln!("{} {message}", output::error_word());
            ExitCode::from(2)
        }
        // Whoever reads the output has seen enough: `cloudnest tenant list | head -1`.
        Err(Failure::Failed(error)) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => {
            eprintln!("{} {error:#}", output::error_word());
            ExitCode::from(1)
        }
    }
}

fn dispatch(command: Command) -> Result {
    match command {
        Command::Dev(command) => runtime::server(command.run()),
        Command::Node(command) => runtime::server(command.run()),
        Command::Cluster(command) => command.run(),
        Command::Cell(command) => runtime::client(command.run()),
        Command::Certs(command) => command.run(),
        Command::Tenant(command) => runtime::client(command.run()),
        Command::Template(command) => runtime::client(command.run()),
        Command::Records(command) => runtime::client(command.run()),
        Command::Files(command) => runtime::client(command.run()),
        Command::Events(command) => runtime::client(command.run()),
        Command::Token(command) => runtime::client(command.run()),
        Command::Whoami(command) => runtime::client(command.run()),
        Command::Version(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Completions(command) => command.run(),
    }
}

#[cfg(test)]
mod tests;
