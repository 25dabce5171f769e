//! `meridian agents`.

use clap::{Args, Subcommand, ValueEnum};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;

use super::{Context, agent_asks, live, pages};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::Failure;
use crate::view::{Agent, presence_word};

/// Agents and whether they can take chats.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AgentsCommand {
    #[command(flatten)]
    list: List,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List agents by id; the same as no word at all
    List(List),
    /// Tell what would happen if an agent signed on now
    WhatIf(agent_asks::WhatIf),
    /// Show how evenly chats were given out
    Fairness(agent_asks::Fairness),
}

#[derive(Debug, Args)]
struct List {
    /// Only agents of this region
    #[arg(long, value_name = "ID")]
    region: Option<String>,
    /// Only agents of this presence
    #[arg(long, value_enum)]
    presence: Option<Presence>,
    /// Keep showing changes until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    read: Read,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Presence {
    Offline,
    Available,
    Break,
    Draining,
    NotResponding,
    Lost,
}

impl Presence {
    fn value(self) -> i32 {
        let presence = match self {
            Presence::Offline => api::Presence::Offline,
            Presence::Available => api::Presence::Available,
            Presence::Break => api::Presence::Break,
            Presence::Draining => api::Presence::Draining,
            Presence::NotResponding => api::Presence::NotResponding,
            Presence::Lost => api::Presence::Lost,
        };
        presence as i32
    }
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn run(context: &Context, command: AgentsCommand) -> Result<(), Failure> {
    let list = match command.verb {
        Some(Verb::List(list)) => list,
        Some(Verb::WhatIf(ask)) => return agent_asks::what_if(context, ask).await,
        Some(Verb::Fairness(ask)) => return agent_asks::fairness(context, ask).await,
        None => command.list,
    };
    if list.watch {
        watch(context, list).await
    } else {
        show(context, list).await
    }
}

async fn show(context: &Context, list: List) -> Result<(), Failure> {
    let rows = pages::all(async |page_token| {
        let request = api::ListAgentsRequest {
            consistency: list.read.consistency(),
            page_size: pages::PAGE_SIZE,
            page_token,
            region_id: list.region.clone().unwrap_or_default(),
            presence: list.presence.map_or(0, Presence::value),
        };
        let call = context.cluster.call(request, async |channel, request| {
            let client = SupervisorServiceClient::new(channel);
            client
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .list_agents(request)
                .await
        });
        let page = call.await?.value;
        Ok((page.agents, page.next_page_token))
    });
    let rows: Vec<_> = rows.await?.into_iter().map(Agent::from).collect();
    context.output.list(&rows)
}

async fn watch(context: &Context, list: List) -> Result<(), Failure> {
    let wanted = list.presence.map(|p| presence_word(p.value()));
    let request = api::WatchAgentsRequest {
        region_id: list.region.unwrap_or_default(),
    };
    let open = async || {
        let open = context
            .cluster
            .open(request.clone(), async |channel, request| {
                SupervisorServiceClient::new(channel)
                    .watch_agents(request)
                    .await
            });
        open.await
    };
    let keep = |agent: &Agent| wanted.as_ref().is_none_or(|w| agent.presence() == w);
    live::follow(context, open, keep).await
}
