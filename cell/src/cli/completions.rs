//! `completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Result, output};

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cloudnest completions bash > ~/.local/share/bash-completion/completions/cloudnest")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "cloudnest", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end())
    }
}
