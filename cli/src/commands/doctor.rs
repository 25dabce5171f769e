//! Looks a live cluster over: whether its nodes agree, what it would not survive, and what is likely not meant so. Each
//! finding comes with its cure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use clap::Args;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use serde::Serialize;

use super::Context;
use crate::client::Cluster;
use crate::failure::Failure;
use crate::output::{Clock, Field, Tabular};
use crate::time::{format_millis, now_ms};

/// Clocks further apart than this order nothing wrongly, but make logs hard to read; in ms.
const CLOCKS_APART_MAX: u64 = 500;
/// A node this many entries behind is not merely a round trip behind.
const LAG_MAX: u64 = 5_000;
/// How often nodes are asked before it is said that their hashes could not be compared: they move on meanwhile.
const COMPARED: usize = 10;

/// Look the cluster over: name every node with --endpoint.
#[derive(Debug, Args)]
pub struct DoctorCommand {}

/// How bad a finding is; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Notice,
    Warning,
    Critical,
}

/// One thing that calls for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    about: String,
    what: String,
    cure: String,
}

impl Tabular for Finding {
    const HEADER: &'static [&'static str] = &["SEVERITY", "ABOUT", "FINDING", "CURE"];
    fn id(&self) -> String {
        self.about.clone()
    }
    fn row(&self, _: &Clock) -> Vec<Field> {
        let severity = format!("{:?}", self.severity).to_lowercase();
        vec![
            severity.into(),
            self.about.clone().into(),
            self.what.clone().into(),
            self.cure.clone().into(),
        ]
    }
}

/// What one node says.
struct Node {
    endpoint: String,
    status: api::ClusterStatusResponse,
    examined: api::ExamineResponse,
    /// How far its clock is ahead of ours, at least and at most, in ms.
    ahead: (i64, i64),
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] when something is critical or a warning, or nobody could be asked.
pub async fn run(context: &Context, _: &DoctorCommand) -> Result<(), Failure> {
    let mut asked = tokio::task::JoinSet::new();
    for (endpoint, cluster) in context.cluster.each() {
        asked.spawn(async move { (endpoint.clone(), ask(endpoint, &cluster).await) });
    }
    let (mut nodes, mut found, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (endpoint, answer) in asked.join_all().await {
        match answer {
            Ok(node) => nodes.push(node),
            Err(why) => {
                found.push(Finding {
                    severity: Severity::Critical,
                    about: endpoint.clone(),
                    what: format!("does not answer: {why}"),
                    cure: "see whether the node runs, and its log".to_owned(),
                });
                silent.push((endpoint, why.to_string()));
            }
        }
    }
    if nodes.is_empty() {
        return Err(Failure::Unreachable { tried: silent });
    }
    nodes.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    agree(&nodes, &mut found);
    voters(&nodes, &mut found);
    clocks(&nodes, &mut found);
    examined(&nodes, &mut found);
    let answer: BTreeSet<_> = nodes.iter().map(|n| n.endpoint.clone()).collect();
    hashes(context, &answer, &mut found).await;
    // The worst first; what several replicas found stands side by side then, and is told once.
    let place = |f: &Finding| (Reverse(f.severity), f.about.clone(), f.what.clone());
    found.sort_by_cached_key(place);
    found.dedup();
    context.output.list(&found)?;
    let bad = found.iter().filter(|f| f.severity > Severity::Notice);
    match bad.count() {
        0 => {
            let notices = found.len();
            let asked = nodes.len();
            context.output.note(&format!(
                "{asked} nodes asked, {notices} notices, nothing that calls for somebody"
            ));
            Ok(())
        }
        bad => Err(Failure::Failed(format!("{bad} findings call for somebody"))),
    }
}

async fn ask(endpoint: String, cluster: &Cluster) -> Result<Node, Failure> {
    let status = super::cluster::ask(cluster).await?.value;
    let (began, before) = (Instant::now(), now_ms());
    let examined = cluster.call(api::ExamineRequest {}, async |channel, request| {
        AdminServiceClient::new(channel).examine(request).await
    });
    let examined = examined.await?.value;
    // It looked at its clock at some moment between asking and answering.
    let took = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let ahead = examined.now_ms - before;
    Ok(Node {
        endpoint,
        status,
        examined,
        ahead: (ahead - took, ahead),
    })
}

/// Whether all are of one cluster, of one version, and follow one leader.
fn agree(nodes: &[Node], found: &mut Vec<Finding>) {
    let mut differ = |what: &str, severity, said: &dyn Fn(&Node) -> String, cure: &str| {
        let mut by: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for node in nodes {
            by.entry(said(node)).or_default().push(&node.endpoint);
        }
        if by.len() > 1 {
            let told = by
                .iter()
                .map(|(said, who)| format!("{} say {said}", who.join(", ")));
            found.push(Finding {
                severity,
                about: "cluster".to_owned(),
                what: format!(
                    "nodes differ in {what}: {}",
                    told.collect::<Vec<_>>().join("; ")
                ),
                cure: cure.to_owned(),
            });
        }
    };
    let name = |n: &Node| format!("'{}' founded {}", n.status.cluster_id, n.status.founded);
    differ(
        "the cluster they are of",
        Severity::Critical,
        &name,
        "the endpoints name two clusters, or one was restored or recovered: stop the nodes of the one that is given up",
    );
    let leader = |n: &Node| match n.status.leader_id {
        0 => "none".to_owned(),
        id => format!("node {id}"),
    };
    differ(
        "who leads",
        Severity::Warning,
        &leader,
        "look again: an election may be under way; if it stays so, see whether the nodes reach each other both ways",
    );
    let version = |n: &Node| n.status.version.clone();
    differ(
        "their version",
        Severity::Notice,
        &version,
        "finish the upgrade: new kinds of commands wait until every node knows them",
    );
    if nodes.iter().all(|n| n.status.leader_id == 0) {
        found.push(Finding {
            severity: Severity::Critical,
            about: "cluster".to_owned(),
            what: "nobody leads: nothing is decided".to_owned(),
            cure: "start the voters that are down; docs/recovery.md has what to do when they never come back".to_owned(),
        });
    }
    let last = nodes
        .iter()
        .map(|n| n.status.applied_index)
        .max()
        .unwrap_or(0);
    for node in nodes {
        let behind = last - node.status.applied_index;
        if behind > LAG_MAX {
            found.push(Finding {
                severity: Severity::Warning,
                about: format!("node {}", node.status.node_id),
                what: format!("is {behind} log entries behind"),
                cure: "see its log, its disk and its way to the leader".to_owned(),
            });
        }
    }
}

/// What the membership would not survive.
fn voters(nodes: &[Node], found: &mut Vec<Finding>) {
    // As whoever knows most says.
    let Some(newest) = nodes.iter().max_by_key(|n| n.status.applied_index) else {
        return;
    };
    let members = &newest.status.members;
    let voters: Vec<_> = members.iter().filter(|m| m.voter).collect();
    let mut tell = |severity, what: String, cure: &str| {
        found.push(Finding {
            severity,
            about: "membership".to_owned(),
            what,
            cure: cure.to_owned(),
        });
    };
    match voters.len() {
        0 => tell(
            Severity::Critical,
            "no cluster is formed".to_owned(),
            "`meridian cluster init`",
        ),
        1 => tell(
            Severity::Warning,
            "one voter alone: its loss is the loss of everything since the last backup".to_owned(),
            "add two more (`meridian cluster members add-learner`, `promote`)",
        ),
        count if count % 2 == 0 => tell(
            Severity::Notice,
            format!(
                "{count} voters survive no more losses than {} would",
                count - 1
            ),
            "add one, or take one out",
        ),
        _ => {}
    }
    let mut regions: BTreeMap<&str, usize> = BTreeMap::new();
    for voter in &voters {
        *regions.entry(&voter.region_id).or_default() += 1;
    }
    let majority = voters.len() / 2 + 1;
    for (region, count) in regions {
        if voters.len() > 1 && voters.len() - count < majority {
            tell(
                Severity::Warning,
                format!(
                    "region {region} has {count} of {} voters: the others cannot decide without it",
                    voters.len()
                ),
                "place voters in three regions or more, none of them with half of all",
            );
        }
    }
    let asked: BTreeSet<_> = nodes.iter().map(|n| n.status.node_id).collect();
    for member in members.iter().filter(|m| !asked.contains(&m.node_id)) {
        tell(
            Severity::Notice,
            format!("node {} was not asked", member.node_id),
            "name its endpoint too, or, where it is lost for good, `meridian cluster members remove` it",
        );
    }
    for learner in members.iter().filter(|m| !m.voter) {
        tell(
            Severity::Notice,
            format!("node {} has no vote", learner.node_id),
            "`meridian cluster members promote` it, unless that is meant so",
        );
    }
}

/// Clocks that are apart for certain, whatever the ways took.
fn clocks(nodes: &[Node], found: &mut Vec<Finding>) {
    let first = nodes.iter().max_by_key(|n| n.ahead.0);
    let last = nodes.iter().min_by_key(|n| n.ahead.1);
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    let apart = u64::try_from(first.ahead.0 - last.ahead.1).unwrap_or(0);
    if apart > CLOCKS_APART_MAX {
        found.push(Finding {
            severity: Severity::Warning,
            about: "clocks".to_owned(),
            what: format!(
                "node {} is ahead of node {} by {} at least",
                first.status.node_id,
                last.status.node_id,
                format_millis(apart)
            ),
            cure: "keep every node's clock by NTP: deadlines are counted by the leader's, and shift when another leads".to_owned(),
        });
    }
}

/// What each replica finds in what it has; replicas that have the same find the same.
fn examined(nodes: &[Node], found: &mut Vec<Finding>) {
    for finding in nodes.iter().flat_map(|n| &n.examined.findings) {
        found.push(Finding {
            severity: match finding.severity() {
                api::Severity::Critical => Severity::Critical,
                api::Severity::Warning => Severity::Warning,
                api::Severity::Notice | api::Severity::Unspecified => Severity::Notice,
            },
            about: format!("{} {}", finding.kind, finding.id)
                .trim_end()
                .to_owned(),
            what: finding.what.clone(),
            cure: finding.cure.clone(),
        });
    }
}

/// Whether replicas that stand at the same log index have the same state.
async fn hashes(context: &Context, answer: &BTreeSet<String>, found: &mut Vec<Finding>) {
    let mut seen: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for _ in 0..COMPARED {
        let mut asked = tokio::task::JoinSet::new();
        let ways = context.cluster.each().into_iter();
        for (_, cluster) in ways.filter(|(endpoint, _)| answer.contains(endpoint)) {
            asked.spawn(async move {
                let answer = super::cluster::ask(&cluster).await;
                answer.ok().map(|answer| answer.value)
            });
        }
        for status in asked.join_all().await.into_iter().flatten() {
            let at = seen.entry(status.applied_index).or_default();
            at.insert(status.node_id, status.state_hash);
        }
        for (index, hashes) in &seen {
            let different: BTreeSet<_> = hashes.values().collect();
            if different.len() > 1 {
                let told = hashes
                    .iter()
                    .map(|(node, hash)| format!("node {node} has {hash:016x}"));
                found.push(Finding {
                    severity: Severity::Critical,
                    about: "state".to_owned(),
                    what: format!("replicas differ at log index {index}: {}", told.collect::<Vec<_>>().join(", ")),
                    cure: "take a backup from the majority that agrees, replace the node that differs, and report it".to_owned(),
                });
                return;
            }
        }
        if seen.values().any(|hashes| hashes.len() == answer.len()) {
            return;
        }
    }
    found.push(Finding {
        severity: Severity::Notice,
        about: "state".to_owned(),
        what:
            "the nodes were never met at one log index, so their states could not all be compared"
                .to_owned(),
        cure: "ask again when less is going on".to_owned(),
    });
}
