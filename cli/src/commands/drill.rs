//! Failover drills on a live cluster: moves leadership, stops and starts nodes, measures what users felt, and undoes it.

mod felt;
mod steps;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use meridian_proto::livechat::v1 as api;

use super::{Context, cluster, confirm};
use crate::failure::Failure;
use crate::time::parse_duration;
use steps::Drill;

/// Practise a failover on the live cluster: measures what users feel, and undoes itself.
#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    /// Have every other voter lead for a moment, then the one that led before
    Leader {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Stop a node, and start it again
    Node {
        /// Its node id
        node_id: u64,
        /// How it is done
        #[command(flatten)]
        power: Power,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Lead from another region and stop every node of one, then start them again
    Region {
        /// Its id
        region_id: String,
        /// How it is done
        #[command(flatten)]
        power: Power,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// How nodes are stopped and started: by a shell here, with MERIDIAN_NODE_ID and MERIDIAN_PEER_ADDRESS set.
#[derive(Clone, Debug, Args)]
pub struct Power {
    /// What stops a node, such as 'ssh node$MERIDIAN_NODE_ID systemctl stop meridian'
    #[arg(long, value_name = "COMMAND")]
    stop: String,
    /// What starts it again
    #[arg(long, value_name = "COMMAND")]
    start: String,
    /// How long it stays down
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    down_for: Duration,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] when the cluster would not survive it, before anything is done; [`Failure::Failed`] when users
/// waited longer than the cluster's timings allow, or something could not be undone.
pub async fn run(context: &Context, command: DrillCommand) -> Result<(), Failure> {
    let (question, yes) = command.question();
    let nodes = everybody(context).await?;
    let drill = Drill::new(context, nodes);
    let affected = drill.affected(&command)?;
    drill.survives(&affected)?;
    confirm::confirm(&question, yes)?;
    let report = drill.run(command, affected).await?;
    context
        .output
        .document(&report, || report.page(&context.output))?;
    match report.verdict() {
        None => Ok(()),
        Some(why) => Err(Failure::Failed(why)),
    }
}

impl DrillCommand {
    fn question(&self) -> (String, bool) {
        match self {
            Self::Leader { yes } => ("Move leadership through every voter?".to_owned(), *yes),
            Self::Node { node_id, yes, .. } => {
                (format!("Stop node {node_id} of the live cluster?"), *yes)
            }
            Self::Region { region_id, yes, .. } => {
                let question = format!("Stop every node of region '{region_id}'?");
                (question, *yes)
            }
        }
    }
}

/// What every endpoint says; a drill on a cluster that is not whole would be an accident.
async fn everybody(context: &Context) -> Result<Vec<steps::Node>, Failure> {
    let channels = context.cluster.channels();
    let mut nodes = Vec::new();
    for ((endpoint, one), channel) in context.cluster.each().into_iter().zip(channels) {
        let status = cluster::ask(&one).await?.value;
        if status.leader_id == 0 {
            return Err(Failure::Failed(format!(
                "{endpoint} knows no leader; a drill starts on a cluster that is well"
            )));
        }
        nodes.push(steps::Node {
            endpoint,
            cluster: one,
            channel,
            status,
        });
    }
    let leaders: BTreeSet<u64> = nodes.iter().map(|n| n.status.leader_id).collect();
    if leaders.len() > 1 {
        return Err(Failure::Failed(
            "the nodes name different leaders; a drill starts on a cluster that is well".to_owned(),
        ));
    }
    let named: BTreeSet<u64> = nodes.iter().map(|n| n.status.node_id).collect();
    let members = nodes.iter().flat_map(|n| &n.status.members);
    let mut unnamed = members.filter(|m: &&api::Member| !named.contains(&m.node_id));
    match unnamed.next() {
        None => Ok(nodes),
        Some(member) => Err(Failure::Usage(format!(
            "node {} at {} has no endpoint here; name every node with --endpoint, so that all can be watched",
            member.node_id, member.peer_address
        ))),
    }
}
