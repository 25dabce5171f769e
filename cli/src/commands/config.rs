//! `meridian config`.

use clap::Subcommand;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;

use super::Context;
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
