//! `meridian cluster`.

use clap::{Args, Subcommand};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use serde::Serialize;
use tonic::transport::Channel;

use super::{Context, confirm, request_id};
use crate::failure::Failure;
use crate::view::{Answered, Leadership, Member, Status};

/// The cluster: its health, members, leader and snapshots.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Ask every endpoint how it stands; exit code 1 when something is wrong
    Status,
    /// List members, add one, give it a vote, or take it out
    Members(MembersCommand),
    /// Form a new cluster of the members given
    Init {
        /// A founding member as ID=REGION@HOST:PORT, the peer address; repeat it for each
        #[arg(long = "member", value_name = "MEMBER", required = true, value_parser = parse_member)]
        members: Vec<NewMember>,
    },
    /// Show who leads and why, move leadership, or pin it to a region
    Leader(LeaderCommand),
    /// Write a snapshot on the first endpoint that answers
    Snapshot,
}

/// List members, add one, give it a vote, or take it out.
#[derive(Debug, Args)]
pub struct MembersCommand {
    #[command(subcommand)]
    verb: Option<MembersVerb>,
}

#[derive(Debug, Subcommand)]
enum MembersVerb {
    /// List members by id; the same as no word at all
    List,
    /// Add a node that follows without a vote
    AddLearner {
        /// The node as ID=REGION@HOST:PORT, the peer address
        #[arg(value_parser = parse_member)]
        member: NewMember,
    },
    /// Give a learner that has caught up a vote
    Promote {
        /// Its node id
        node_id: u64,
    },
    /// Take a voter or learner out
    Remove {
        /// Its node id
        node_id: u64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Show who leads and why, move leadership, or pin it to a region.
///
/// Leadership follows the sun: the leader counts where writes come from, and hands over to another region once writes would
/// take clearly less time there for half a minute, a minute after the last change at the earliest. Without a flag this
/// tells who leads since when, where writes come from, and what a write would take on average with each voter as leader.
#[derive(Debug, Args)]
pub struct LeaderCommand {
    /// Make this voter the leader; unless leadership is pinned, it may go on from there
    #[arg(long, value_name = "ID", conflicts_with_all = ["pin", "unpin"])]
    move_to: Option<u64>,
    /// Keep leadership in this region whenever a voter there has caught up; survives restarts
    #[arg(long, value_name = "REGION", conflicts_with = "unpin")]
    pin: Option<String>,
    /// Let leadership follow the sun again
    #[arg(long)]
    unpin: bool,
    /// Who pins or unpins, for those who look later
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "meridian-cli"
    )]
    actor: String,
}

/// A member to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    node_id: u64,
    region_id: String,
    peer_address: String,
}

fn parse_member(text: &str) -> Result<NewMember, String> {
    let rule = "write it like 1=eu-west@10.0.0.1:7100";
    let parts = text
        .split_once('=')
        .and_then(|(id, rest)| Some((id, rest.split_once('@')?)));
    let Some((id, (region, address))) = parts else {
        return Err(rule.to_owned());
    };
    let node_id = id.parse().ok().filter(|id| *id > 0).ok_or_else(|| {
        format!("'{id}' is not a node id; give a whole number above 0, and {rule}")
    })?;
    let port = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty());
    if region.is_empty() || port.and_then(|(_, p)| p.parse::<u16>().ok()).is_none() {
        return Err(rule.to_owned());
    }
    Ok(NewMember {
        node_id,
        region_id: region.to_owned(),
        peer_address: address.to_owned(),
    })
}

impl NewMember {
    fn message(self, voter: bool) -> api::Member {
        api::Member {
            node_id: self.node_id,
            region_id: self.region_id,
            peer_address: self.peer_address,
            voter,
            leader: false,
            matched_index: 0,
        }
    }
}

#[derive(Serialize)]
struct Moved {
    leader_id: u64,
    gap_ms: u32,
}

#[derive(Serialize)]
struct Snapshot {
    endpoint: String,
    log_index: u64,
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked, refuses, or is not well.
pub async fn run(context: &Context, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status => status(context).await,
        ClusterCommand::Members(MembersCommand { verb }) => {
            members(context, verb.unwrap_or(MembersVerb::List)).await
        }
        ClusterCommand::Init { members } => init(context, members).await,
        ClusterCommand::Leader(command) => leader(context, command).await,
        ClusterCommand::Snapshot => snapshot(context).await,
    }
}

fn admin(channel: Channel) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel)
}

/// What the first node that answers knows of the cluster.
pub(super) async fn ask(
    cluster: &crate::client::Cluster,
) -> Result<crate::client::Answer<api::ClusterStatusResponse>, Failure> {
    let request = api::ClusterStatusRequest {};
    let call = cluster.call(request, async |channel, request| {
        admin(channel).cluster_status(request).await
    });
    call.await
}

async fn status(context: &Context) -> Result<(), Failure> {
    let mut answers = tokio::task::JoinSet::new();
    for (order, (endpoint, node)) in context.cluster.each().into_iter().enumerate() {
        answers.spawn(async move { (order, endpoint, ask(&node).await) });
    }
    let mut answers = answers.join_all().await;
    answers.sort_by_key(|(order, ..)| *order);

    let said = |(_, endpoint, answer): (usize, String, Result<_, Failure>)| {
        let answer = answer.map(|a: crate::client::Answer<_>| a.value);
        let why = |failure: Failure| match &failure {
            Failure::Unreachable { tried } => {
                tried.first().map_or_else(String::new, |t| t.1.clone())
            }
            other => other.to_string(),
        };
        (endpoint, answer.map_err(why))
    };
    let answers: Vec<Answered> = answers.into_iter().map(said).collect();
    let silent = |(endpoint, answer): &Answered| {
        let why = answer.as_ref().err()?;
        Some((endpoint.clone(), why.clone()))
    };
    let tried = answers.iter().filter_map(silent).collect();
    let Some(status) = Status::new(answers) else {
        return Err(Failure::Unreachable { tried });
    };
    context
        .output
        .document(&status, || status.page(&context.output))?;
    match status.is_healthy() {
        true => Ok(()),
        false => Err(Failure::Failed(status.problems().join("; "))),
    }
}

async fn members(context: &Context, verb: MembersVerb) -> Result<(), Failure> {
    let cluster = &context.cluster;
    let changed = match verb {
        MembersVerb::List => ask(cluster).await?.value.members,
        MembersVerb::AddLearner { member } => {
            let request = api::AddLearnerRequest {
                member: Some(member.message(false)),
            };
            let call = cluster.call(request, async |channel, request| {
                admin(channel).add_learner(request).await
            });
            call.await?.value.members
        }
        MembersVerb::Promote { node_id } => {
            let request = api::PromoteRequest { node_id };
            let call = cluster.call(request, async |channel, request| {
                admin(channel).promote(request).await
            });
            call.await?.value.members
        }
        MembersVerb::Remove { node_id, yes } => {
            confirm::confirm(&format!("Take node {node_id} out of the cluster?"), yes)?;
            let request = api::RemoveMemberRequest { node_id };
            let call = cluster.call(request, async |channel, request| {
                admin(channel).remove_member(request).await
            });
            call.await?.value.members
        }
    };
    let members: Vec<_> = changed.into_iter().map(Member::from).collect();
    context.output.list(&members)
}

async fn init(context: &Context, members: Vec<NewMember>) -> Result<(), Failure> {
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = members.iter().find(|m| !seen.insert(m.node_id)) {
        return Err(Failure::Usage(format!(
            "--member: node {} is given twice",
            twice.node_id
        )));
    }
    let members: Vec<_> = members.into_iter().map(|m| m.message(true)).collect();
    let request = api::InitializeClusterRequest {
        members: members.clone(),
    };
    // Whoever forms a cluster has just started its nodes.
    let cluster = context.cluster.patient();
    let call = cluster.call(request, async |channel, request| {
        admin(channel).initialize_cluster(request).await
    });
    let endpoint = call.await?.endpoint;
    context.output.note(&format!(
        "{endpoint}: the cluster is formed; see `meridian cluster status`"
    ));
    let members: Vec<_> = members.into_iter().map(Member::from).collect();
    context.output.list(&members)
}

async fn leader(context: &Context, command: LeaderCommand) -> Result<(), Failure> {
    let output = &context.output;
    if let Some(node_id) = command.move_to {
        let moved = lead(&context.cluster, node_id).await?;
        let moved = Moved {
            leader_id: moved.leader_id,
            gap_ms: moved.gap_ms,
        };
        return output.document(&moved, || match output.quiet {
            true => moved.leader_id.to_string(),
            false => format!(
                "node {} leads now; proposals waited {}ms at most",
                moved.leader_id, moved.gap_ms
            ),
        });
    }
    let shown = if command.pin.is_some() || command.unpin {
        let request = api::PinLeaderRequest {
            request_id: request_id(),
            actor: command.actor,
            region_id: command.pin.unwrap_or_default(),
            unpin: command.unpin,
        };
        let call = context.cluster.call(request, async |channel, request| {
            admin(channel).pin_leader(request).await
        });
        call.await?.value.leadership
    } else {
        let request = api::GetLeadershipRequest {};
        let call = context.cluster.call(request, async |channel, request| {
            admin(channel).get_leadership(request).await
        });
        call.await?.value.leadership
    };
    let shown = Leadership::from(shown.unwrap_or_default());
    output.document(&shown, || shown.page(output))?;
    match shown.leader_id() {
        Some(_) => Ok(()),
        None => Err(Failure::Failed("no leader is known".to_owned())),
    }
}

/// Has a voter lead.
pub(super) async fn lead(
    cluster: &crate::client::Cluster,
    node_id: u64,
) -> Result<api::TransferLeaderResponse, Failure> {
    let request = api::TransferLeaderRequest { node_id };
    let call = cluster.call(request, async |channel, request| {
        admin(channel).transfer_leader(request).await
    });
    Ok(call.await?.value)
}

async fn snapshot(context: &Context) -> Result<(), Failure> {
    let request = api::SnapshotRequest {};
    let call = context.cluster.call(request, async |channel, request| {
        admin(channel).snapshot(request).await
    });
    let answer = call.await?;
    let snapshot = Snapshot {
        endpoint: answer.endpoint,
        log_index: answer.value.log_index,
    };
    context.output.document(&snapshot, || {
        format!(
            "{} wrote a snapshot up to log index {}",
            snapshot.endpoint, snapshot.log_index
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read() {
        let member = parse_member("1=eu-west@10.0.0.1:7100").unwrap();
        assert_eq!((member.node_id, member.region_id.as_str()), (1, "eu-west"));
        assert_eq!(
            parse_member("2=eu@[::1]:7").unwrap().peer_address,
            "[::1]:7"
        );
        for bad in [
            "",
            "1",
            "1=eu",
            "1=eu@host",
            "1=@host:1",
            "1=eu@:1",
            "1=eu@h:99999",
        ] {
            assert_eq!(
                parse_member(bad).unwrap_err(),
                "write it like 1=eu-west@10.0.0.1:7100"
            );
        }
        assert!(
            parse_member("x=eu@h:1")
                .unwrap_err()
                .starts_with("'x' is not a node id")
        );
    }
}
