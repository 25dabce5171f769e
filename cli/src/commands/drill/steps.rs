//! What a drill does, and how it is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use tokio::sync::watch;
use tonic::transport::Channel;

use super::felt::{Report, Row, Users};
use super::{DrillCommand, Power};
use crate::client::Cluster;
use crate::commands::{Context, cluster, pages, stop_signal};
use crate::failure::Failure;

/// How long a node may take to be back once it is started.
const BACK_WITHIN: Duration = Duration::from_secs(120);
/// How long agents may take to be back.
const AGENTS_BACK_WITHIN: Duration = Duration::from_secs(30);
/// How often something that takes a while is looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(200);
/// How long things are left as they are between steps, so that users feel them.
const SETTLES: Duration = Duration::from_secs(1);

/// One node.
pub struct Node {
    /// As the user named it.
    pub endpoint: String,
    /// It alone.
    pub cluster: Cluster,
    /// For users who ask it again and again.
    pub channel: Channel,
    /// What it said before the drill.
    pub status: api::ClusterStatusResponse,
}

/// A drill on these nodes.
pub struct Drill<'a> {
    context: &'a Context,
    nodes: Vec<Node>,
    users: Vec<Users>,
    /// The longest wait before anything was done, in ms.
    calm_ms: u64,
    /// How often somebody asked for the end.
    stops: watch::Receiver<u32>,
    rows: Vec<Row>,
    /// Who led before.
    led: u64,
    /// What is stopped, and what starts it again.
    stopped: BTreeMap<u64, String>,
}

impl<'a> Drill<'a> {
    /// Nothing is done yet.
    pub fn new(context: &'a Context, nodes: Vec<Node>) -> Self {
        let led = nodes.first().map_or(0, |n| n.status.leader_id);
        Self {
            context,
            nodes,
            users: Vec::new(),
            calm_ms: 0,
            stops: stops(),
            rows: Vec::new(),
            led,
            stopped: BTreeMap::new(),
        }
    }

    /// Which nodes a command stops.
    ///
    /// # Errors
    /// There are none.
    pub fn affected(&self, command: &DrillCommand) -> Result<Vec<api::Member>, Failure> {
        let is = |member: &&api::Member| match command {
            DrillCommand::Leader { .. } => false,
            DrillCommand::Node { node_id, .. } => member.node_id == *node_id,
            DrillCommand::Region { region_id, .. } => member.region_id == *region_id,
        };
        let affected: Vec<_> = self.members().iter().filter(is).cloned().collect();
        let missing = match command {
            DrillCommand::Node { node_id, .. } => format!("there is no node {node_id}"),
            DrillCommand::Region { region_id, .. } => {
                format!("no node stands in region '{region_id}'")
            }
            DrillCommand::Leader { .. } => return Ok(affected),
        };
        match affected.is_empty() {
            true => Err(Failure::Usage(format!(
                "{missing}; see `meridian cluster members`"
            ))),
            false => Ok(affected),
        }
    }

    /// Whether a majority is left, and somebody else to lead.
    ///
    /// # Errors
    /// None is.
    pub fn survives(&self, affected: &[api::Member]) -> Result<(), Failure> {
        let voters = self.members().iter().filter(|m| m.voter).count();
        let lost = affected.iter().filter(|m| m.voter).count();
        if voters < 2 || 2 * (voters - lost) <= voters {
            return Err(Failure::Usage(format!(
                "of {voters} voters {} would be left, which is no majority that can fail over: nothing was done",
                voters - lost
            )));
        }
        Ok(())
    }

    /// Does everything, undoes it, and tells what came of it.
    ///
    /// # Errors
    /// The agents cannot be read before anything is done.
    pub async fn run(
        mut self,
        command: DrillCommand,
        affected: Vec<api::Member>,
    ) -> Result<Report, Failure> {
        let before = self.agents().await?;
        self.users = self
            .nodes
            .iter()
            .map(|node| Users::new(node.channel.clone()))
            .collect();
        let calm = Instant::now();
        tokio::time::sleep(SETTLES).await;
        let felt = self.users.iter().map(|users| users.felt(calm).longest_ms);
        self.calm_ms = felt.max().unwrap_or(0);
        let done = self.steps(&command, &affected).await;
        let mut left = Vec::new();
        let mut again = self.stops.clone();
        let before_undo = *again.borrow();
        tokio::select! {
            () = self.undo(&mut left) => {}
            _ = again.wait_for(|stops| *stops > before_undo.max(1)) => {}
        }
        let stopped = self
            .stopped
            .keys()
            .map(|id| format!("node {id} may be stopped"));
        left.extend(stopped);
        let (agents_back, agents_missing) = match self.agents_since(&before).await {
            Ok((back, missing)) => (Some(back), Some(missing)),
            Err(_) => (None, None),
        };
        Ok(Report {
            bound_ms: self.failover_ms_max() + self.calm_ms,
            steps: self.rows,
            agents: before.len(),
            agents_back,
            agents_missing,
            failed: done.err().map(|why| why.to_string()),
            left,
        })
    }

    async fn steps(
        &mut self,
        command: &DrillCommand,
        affected: &[api::Member],
    ) -> Result<(), Failure> {
        let gone: BTreeSet<u64> = affected.iter().map(|m| m.node_id).collect();
        let voters = self.members().iter().filter(|m| m.voter);
        let others: Vec<u64> = voters
            .map(|m| m.node_id)
            .filter(|id| *id != self.led && !gone.contains(id))
            .collect();
        match command {
            DrillCommand::Leader { .. } => {
                for id in others {
                    self.pause(Duration::ZERO).await?;
                    self.lead(id).await?;
                }
            }
            DrillCommand::Node { power, .. } => self.down(affected, power).await?,
            DrillCommand::Region { power, .. } => {
                if let Some(id) = others.first().filter(|_| gone.contains(&self.led)) {
                    self.lead(*id).await?;
                }
                self.down(affected, power).await?;
            }
        }
        Ok(())
    }

    /// Has a node lead.
    async fn lead(&mut self, id: u64) -> Result<(), Failure> {
        let began = Instant::now();
        cluster::lead(&self.context.cluster, id).await?;
        self.step(format!("node {id} is made the leader"), began)
            .await;
        Ok(())
    }

    /// Stops nodes for a while.
    async fn down(&mut self, nodes: &[api::Member], power: &Power) -> Result<(), Failure> {
        let began = Instant::now();
        for node in nodes {
            // Also when the command fails: it may have stopped it all the same.
            self.stopped.insert(node.node_id, power.start.clone());
            shell(&power.stop, node).await?;
        }
        let paused = self.pause(power.down_for).await;
        let ids: Vec<String> = nodes.iter().map(|n| n.node_id.to_string()).collect();
        self.step(format!("node {} is stopped", ids.join(", ")), began)
            .await;
        paused
    }

    /// Leaves things as they are for a while.
    ///
    /// # Errors
    /// Somebody asked for the end.
    async fn pause(&mut self, pause: Duration) -> Result<(), Failure> {
        tokio::select! {
            biased;
            _ = self.stops.wait_for(|stops| *stops > 0) => {
                Err(Failure::Failed("it was interrupted".to_owned()))
            }
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Takes down what users felt since a step began.
    async fn step(&mut self, what: String, began: Instant) {
        let took_ms = began.elapsed().as_millis() as u64;
        tokio::time::sleep(SETTLES).await;
        self.context.output.note(&what);
        for (node, user) in self.nodes.iter().zip(&self.users) {
            self.rows.push(Row {
                step: what.clone(),
                took_ms,
                endpoint: node.endpoint.clone(),
                stopped: self.stopped.contains_key(&node.status.node_id),
                felt: user.felt(began),
            });
        }
    }

    /// Starts what is stopped, and has the one lead that led before.
    async fn undo(&mut self, left: &mut Vec<String>) {
        let began = Instant::now();
        let stopped = self.stopped.clone();
        for (id, start) in &stopped {
            let member = self.members().iter().find(|m| m.node_id == *id).cloned();
            if let Some(member) = member
                && let Err(why) = shell(start, &member).await
            {
                left.push(why.to_string());
            }
        }
        let mut back = BTreeSet::new();
        for id in stopped.keys() {
            match self.back(*id, began).await {
                Ok(()) => drop(back.insert(*id)),
                Err(why) => left.push(why),
            }
        }
        if !stopped.is_empty() {
            let ids: Vec<String> = stopped.keys().map(u64::to_string).collect();
            self.step(format!("node {} is started", ids.join(", ")), began)
                .await;
            self.stopped.retain(|id, _| !back.contains(id));
        }
        // One that is just back may have to catch up first.
        let began = Instant::now();
        while self.leader().await != Some(self.led) {
            match self.lead(self.led).await {
                Ok(()) => {}
                Err(why) if began.elapsed() > BACK_WITHIN => {
                    return left.push(format!("node {} led before: {why}", self.led));
                }
                Err(_) => tokio::time::sleep(LOOKS_EVERY).await,
            }
        }
    }

    /// Who leads, as that node says itself.
    async fn leader(&self) -> Option<u64> {
        for node in &self.nodes {
            if let Ok(answer) = cluster::ask(&node.cluster).await
                && answer.value.leader_id == node.status.node_id
            {
                return Some(node.status.node_id);
            }
        }
        None
    }

    /// Waits until a node has all that was decided when it was first asked.
    async fn back(&self, id: u64, began: Instant) -> Result<(), String> {
        let mut decided = None;
        loop {
            for node in &self.nodes {
                let Ok(answer) = cluster::ask(&node.cluster).await else {
                    continue;
                };
                let status = answer.value;
                if node.status.node_id != id {
                    decided = decided.or(Some(status.committed_index));
                } else if status.leader_id != 0
                    && decided.is_some_and(|decided| status.applied_index >= decided)
                {
                    return Ok(());
                }
            }
            if began.elapsed() > BACK_WITHIN {
                return Err(format!("node {id} is not back"));
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    fn members(&self) -> &[api::Member] {
        self.nodes.first().map_or(&[], |n| &n.status.members)
    }

    fn failover_ms_max(&self) -> u64 {
        let most = self.nodes.iter().map(|n| n.status.failover_ms_max).max();
        most.unwrap_or(0).into()
    }

    /// Agents who are signed on, and by which session.
    async fn agents(&self) -> Result<BTreeMap<String, u64>, Failure> {
        let pages = pages::all(async |page_token| {
            let ask = api::ListAgentsRequest {
                consistency: api::Consistency::Linearizable.into(),
                page_size: pages::PAGE_SIZE,
                page_token,
                ..Default::default()
            };
            let call = self.context.cluster.call(ask, async |channel, ask| {
                SupervisorServiceClient::new(channel).list_agents(ask).await
            });
            let page = call.await?.value;
            Ok((page.agents, page.next_page_token))
        });
        let is_on = |a: &api::AgentState| {
            !matches!(
                a.presence(),
                api::Presence::Unspecified | api::Presence::Offline | api::Presence::Lost
            )
        };
        let on = pages.await?.into_iter().filter(is_on);
        Ok(on.map(|a| (a.agent_id, a.epoch)).collect())
    }

    /// How many agents are back by another session, and how many are not back.
    async fn agents_since(
        &self,
        before: &BTreeMap<String, u64>,
    ) -> Result<(usize, usize), Failure> {
        let began = Instant::now();
        loop {
            let now = self.agents().await?;
            let missing = before.keys().filter(|id| !now.contains_key(*id)).count();
            if missing == 0 || began.elapsed() > AGENTS_BACK_WITHIN {
                let other =
                    |(id, epoch): &(&String, &u64)| now.get(*id).is_some_and(|e| e != *epoch);
                return Ok((before.iter().filter(other).count(), missing));
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }
}

/// Counts how often somebody asks for the end.
fn stops() -> watch::Receiver<u32> {
    let (send, receive) = watch::channel(0);
    tokio::spawn(async move {
        while !send.is_closed() {
            stop_signal().await;
            send.send_modify(|stops| *stops += 1);
        }
    });
    receive
}

/// Runs what the operator gave for a node; what it complains of is theirs to see.
async fn shell(command: &str, node: &api::Member) -> Result<(), Failure> {
    let told = |what: &dyn std::fmt::Display| {
        Failure::Failed(format!("'{command}' for node {}: {what}", node.node_id))
    };
    // A signal to everybody in the terminal is for us alone; and what it leaves running may not hold us up.
    let mut shell = tokio::process::Command::new("sh")
        .args(["-c", command])
        .env("MERIDIAN_NODE_ID", node.node_id.to_string())
        .env("MERIDIAN_PEER_ADDRESS", &node.peer_address)
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .map_err(|error| told(&error))?;
    match tokio::time::timeout(BACK_WITHIN, shell.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(told(&status)),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err(told(&"it does not come to an end")),
    }
}
