//! `meridian queues`.

use clap::{Args, Subcommand};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;

use super::{Context, live, pages};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::Failure;
use crate::view::Queue;

/// Queues and what waits in them.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct QueuesCommand {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List queues by id; the same as no word at all
    List(List),
}

#[derive(Debug, Args)]
struct List {
    /// Keep showing changes until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    read: Read,
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn run(context: &Context, command: QueuesCommand) -> Result<(), Failure> {
    let list = match command.verb {
        Some(Verb::List(list)) => list,
        None => command.list,
    };
    if list.watch {
        let open = async || {
            let request = api::WatchQueuesRequest::default();
            let open = context.cluster.open(request, async |channel, request| {
                SupervisorServiceClient::new(channel)
                    .watch_queues(request)
                    .await
            });
            open.await
        };
        return live::follow(context, open, |_: &Queue| true).await;
    }
    let rows = pages::all(async |page_token| {
        let consistency = list.read.consistency();
        let request = api::ListQueuesRequest {
            consistency,
            page_size: pages::PAGE_SIZE,
            page_token,
        };
        let call = context.cluster.call(request, async |channel, request| {
            let client = SupervisorServiceClient::new(channel);
            client
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .list_queues(request)
                .await
        });
        let page = call.await?.value;
        Ok((page.queues, page.next_page_token))
    });
    let rows: Vec<_> = rows.await?.into_iter().map(Queue::from).collect();
    context.output.list(&rows)
}
