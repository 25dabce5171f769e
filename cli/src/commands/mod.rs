//! One module a command. Each takes its arguments and a [`Context`], and nothing global.

mod agent_asks;
pub mod agent_work;
pub mod agents;
pub mod apply;
pub mod backup;
pub mod chat_acts;
pub mod chats;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod doctor;
pub mod drill;
pub mod hours;
pub mod load;
pub mod queues;
pub mod sun;

mod confirm;
mod desk;
mod live;
mod pages;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Cli, Command};
use crate::client::Cluster;
use crate::failure::Failure;
use crate::output::Output;

/// What every command works with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Whom to ask.
    pub cluster: Cluster,
    /// Where results go.
    pub output: Output,
}

/// Runs the command.
///
/// # Errors
/// Whatever the command fails with.
pub async fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    let global = cli.global;
    let cluster = || Cluster::new(&global.endpoints, global.timeout, global.verbose);
    // Completion needs no cluster, and must work whatever the environment says.
    if let Command::Completion(command) = cli.command {
        return completion::run(&output, &command);
    }
    // The demo starts a cluster of its own; hours need none.
    let command = match cli.command {
        Command::Demo(command) => return crate::demo::run(&output, command).await,
        Command::Hours(command) => return hours::run(&output, command),
        // A plan in a file needs none either.
        Command::Sun(command) if command.file().is_some() => {
            return sun::run_file(&output, &command);
        }
        other => other,
    };
    let context = Context {
        cluster: cluster()?,
        output,
    };
    match command {
        Command::Cluster(command) => cluster::run(&context, command).await,
        Command::Doctor(command) => doctor::run(&context, &command).await,
        Command::Drill(command) => drill::run(&context, command).await,
        Command::Backup(command) => backup::run(&context, command).await,
        Command::Agents(command) => agents::run(&context, command).await,
        Command::Agent(command) => agent_work::run(&context, command).await,
        Command::Queues(command) => queues::run(&context, command).await,
        Command::Chats(command) => chats::run(&context, command).await,
        Command::Closures(command) => chat_acts::closures(&context, command).await,
        Command::Apply(command) => apply::run(&context, command).await,
        Command::Sun(command) => sun::run(&context, &command).await,
        Command::Config(command) => config::run(&context, command).await,
        Command::Load(command) => load::run(&context, command).await,
        Command::Completion(_) | Command::Demo(_) | Command::Hours(_) => Ok(()),
    }
}

/// Waits for a signal to stop.
pub(crate) async fn stop_signal() -> Failure {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
            Failure::Stopped(kind.as_raw_value())
        }
        Err(error) => Failure::from(error),
    };
    tokio::select! {
        failure = wait(SignalKind::interrupt()) => failure,
        failure = wait(SignalKind::terminate()) => failure,
        failure = wait(SignalKind::hangup()) => failure,
    }
}

/// A fresh request id; the API takes a repeat of one for the same request.
fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
