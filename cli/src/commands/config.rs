//! `meridian config`.

use clap::Subcommand;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;

use super::{Context, pages};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::Failure;
use crate::world::World;

/// The configuration in force.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print it as the file `meridian apply` reads
    Show(Read),
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn run(context: &Context, command: ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Show(read) = command;
    let world = World::from(get(context, read).await?);
    let text = crate::output::yaml(&world)?;
    context.output.document(&world, || text)
}

/// The configuration in force.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn get(context: &Context, read: Read) -> Result<api::Configuration, Failure> {
    let request = api::GetConfigurationRequest {
        consistency: read.consistency(),
        ..Default::default()
    };
    let call = context.cluster.call(request, async |channel, request| {
        let client = AdminServiceClient::new(channel);
        client
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .get_configuration(request)
            .await
    });
    Ok(call.await?.value.configuration.unwrap_or_default())
}

/// The configuration in force, read page by page: however large it is, but what changes meanwhile is seen as it is then.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn paged(context: &Context, read: Read) -> Result<api::Configuration, Failure> {
    let parts = pages::all(async |page_token| {
        let request = api::GetConfigurationRequest {
            consistency: read.consistency(),
            page_size: pages::PAGE_SIZE,
            page_token,
        };
        let call = context.cluster.call(request, async |channel, request| {
            let client = AdminServiceClient::new(channel);
            client
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .get_configuration(request)
                .await
        });
        let page = call.await?.value;
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
