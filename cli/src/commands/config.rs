//! `meridian config`.

use std::cell::Cell;

use clap::{Args, Subcommand};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;

use super::{Context, pages};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::Failure;
use crate::view::Version;
use crate::world::World;

/// The configuration, in force and in former versions.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print it as the file `meridian apply` reads
    #[command(after_help = "To go back to a former version:\n  \
        meridian config show --version 7 > former.yaml\n  \
        meridian apply -f former.yaml --prune --dry-run     # what would change\n  \
        meridian apply -f former.yaml --prune")]
    Show(Show),
    /// List its versions, the newest first: who changed what and when
    History(History),
}

/// What to print.
#[derive(Debug, Args)]
pub struct Show {
    /// A former version, as `config history` numbers them; without it the one in force
    #[arg(long)]
    version: Option<u64>,
    #[command(flatten)]
    read: Read,
}

/// What to list.
#[derive(Debug, Args)]
pub struct History {
    /// At most so many versions
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    read: Read,
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn run(context: &Context, command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Show(Show { version, read }) => {
            let world = World::from(read_version(context, read, version).await?);
            let text = crate::output::yaml(&world)?;
            context.output.document(&world, || text)
        }
        ConfigCommand::History(History { limit, read }) => {
            let request = api::ListConfigurationVersionsRequest {
                consistency: read.consistency(),
                page_size: limit,
                ..Default::default()
            };
            let call = context.cluster.call(request, async |channel, request| {
                let client = AdminServiceClient::new(channel);
                client
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .list_configuration_versions(request)
                    .await
            });
            let versions = call.await?.value.versions;
            let rows: Vec<Version> = versions.into_iter().map(Version::from).collect();
            context.output.list(&rows)
        }
    }
}

/// The configuration in force.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn get(context: &Context, read: Read) -> Result<api::Configuration, Failure> {
    read_version(context, read, None).await
}

/// The configuration, page by page, however large it is: every page is of the version that the first one was.
async fn read_version(
    context: &Context,
    read: Read,
    version: Option<u64>,
) -> Result<api::Configuration, Failure> {
    let version = Cell::new(version);
    let parts = pages::all(async |page_token: String| {
        let request = api::GetConfigurationRequest {
            consistency: read.consistency(),
            page_size: pages::PAGE_SIZE,
            page_token,
            version: version.get(),
        };
        let call = context.cluster.call(request, async |channel, request| {
            let client = AdminServiceClient::new(channel);
            client
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .get_configuration(request)
                .await
        });
        let page = call.await?.value;
        version.set(Some(page.version));
        Ok((Vec::from_iter(page.configuration), page.next_page_token))
    });
    let mut whole = api::Configuration::default();
    for part in parts.await? {
        whole.workspace = part.workspace.or(whole.workspace);
        whole.regions.extend(part.regions);
        whole.schedules.extend(part.schedules);
        whole.queues.extend(part.queues);
        whole.agents.extend(part.agents);
    }
    Ok(whole)
}
