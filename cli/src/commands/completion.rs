//! `meridian completion`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub struct CompletionCommand {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs it.
///
/// # Errors
/// When the output is closed.
pub fn run(output: &Output, command: &CompletionCommand) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "meridian", &mut script);
    output.text(&String::from_utf8_lossy(&script))
}
