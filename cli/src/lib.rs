//! The command line of Meridian: speaks the public API, and nothing else, to any node of a cluster.

pub mod args;
pub mod client;
pub mod commands;
pub mod demo;
pub mod failure;
pub mod output;
pub mod time;
pub mod view;
pub mod world;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::failure::Failure;
use crate::output::Output;

/// Parses the command line, runs it, tells of a failure and gives the exit code.
pub fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let global = &cli.global;
    let output = Output::new(global.output, global.color, global.quiet, global.verbose);
    let format = output.format;
    let paint = output.paint_err;
    let mut runtime = match cli.command.is_crowded() {
        true => tokio::runtime::Builder::new_multi_thread(),
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let outcome = runtime
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(commands::run(cli, output)));
    let Err(failure) = outcome else {
        return ExitCode::from(failure::exit::OK);
    };
    if !matches!(failure, Failure::OutputClosed | Failure::Stopped(_)) {
        // Without a stderr the exit code must do.
        let _ = std::io::stderr().write_all(failure.render(format, paint).as_bytes());
    }
    ExitCode::from(failure.exit_code())
}
