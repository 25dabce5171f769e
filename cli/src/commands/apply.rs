//! `meridian apply`.

use std::io::Read as _;

use clap::Args;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;

use super::{Context, config, confirm, request_id};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::Failure;
use crate::view::Changes;
use crate::world::File;

/// Make the configuration what a file says.
#[derive(Debug, Args)]
pub struct ApplyCommand {
    /// The world file; - reads standard input
    #[arg(short, long, value_name = "PATH")]
    file: String,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also remove every region, schedule, queue and agent the file does not hold
    #[arg(long)]
    prune: bool,
    /// Remove without asking
    #[arg(long)]
    yes: bool,
    /// Who asks, for the audit
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "meridian-cli"
    )]
    actor: String,
}

/// Runs it.
///
/// # Errors
/// When the file is wrong, the cluster cannot be asked or refuses, or the user says no.
pub async fn run(context: &Context, command: ApplyCommand) -> Result<(), Failure> {
    let (name, text) = read(&command.file)?;
    let file = File::read(&name, &text)?;
    if !file.dangling.is_empty() {
        // What the file leaves out may be in the cluster already, unless it is about to be pruned.
        let known = match command.prune {
            true => None,
            false => Some(config::get(context, Read { fresh: true }).await?),
        };
        file.refuse_dangling(known.as_ref())?;
    }
    let output = &context.output;
    if command.prune && !command.dry_run && !command.yes {
        let plan = send(context, &command, &file, true).await?;
        if plan.removed > 0 {
            output.note(plan.diff(output.paint_err).trim_end());
            confirm::confirm(&format!("Remove {}?", plan.removed_words()), false)?;
        }
    }
    let changes = send(context, &command, &file, command.dry_run).await?;
    if output.quiet && output.format == crate::output::Format::Table {
        return Ok(());
    }
    output.document(&changes, || changes.diff(output.paint))
}

async fn send(
    context: &Context,
    command: &ApplyCommand,
    file: &File,
    dry_run: bool,
) -> Result<Changes, Failure> {
    let request = api::ApplyRequest {
        request_id: request_id(),
        actor: command.actor.clone(),
        put: Some(file.configuration.clone()),
        prune: command.prune,
        dry_run,
        ..Default::default()
    };
    let call = context.cluster.call(request, async |channel, request| {
        let client = AdminServiceClient::new(channel);
        client
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .apply(request)
            .await
    });
    let answer = call.await.map_err(|failure| file.place(failure))?;
    Ok(Changes::new(dry_run, answer.value))
}

fn read(path: &str) -> Result<(String, String), Failure> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(("stdin".to_owned(), text));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("--file: cannot read {path}: {error}")))?;
    Ok((path.to_owned(), text))
}
