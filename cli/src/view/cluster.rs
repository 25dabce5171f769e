//! The cluster and its members, and whether all is well with them.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use crate::output::{Clock, Field, Tabular, Tone, printable};
use crate::time::rfc3339;

/// A member.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    node_id: u64,
    region_id: String,
    peer_address: String,
    voter: bool,
    leader: bool,
    matched_index: Option<u64>,
}

impl From<api::Member> for Member {
    fn from(m: api::Member) -> Self {
        Self {
            node_id: m.node_id,
            region_id: m.region_id,
            peer_address: m.peer_address,
            voter: m.voter,
            leader: m.leader,
            matched_index: (m.matched_index != 0).then_some(m.matched_index),
        }
    }
}

/// What a member is, in a table.
pub(super) fn role(leader: bool, voter: bool) -> Field {
    match (leader, voter) {
        (true, _) => Field("leader".to_owned(), Tone::Good),
        (false, true) => Field::from("voter"),
        (false, false) => Field("learner".to_owned(), Tone::Warn),
    }
}

impl Tabular for Member {
    const HEADER: &'static [&'static str] = &["node", "region", "peer address", "role", "matched"];

    fn id(&self) -> String {
        self.node_id.to_string()
    }

    fn row(&self, _: &Clock) -> Vec<Field> {
        let role = role(self.leader, self.voter);
        vec![
            Field::from(self.node_id),
            Field::from(&self.region_id),
            Field::from(&self.peer_address),
            role,
            Field::from(self.matched_index.map_or("-".to_owned(), |i| i.to_string())),
        ]
    }
}

/// One endpoint, and what the node behind it says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    endpoint: String,
    reachable: bool,
    error: Option<String>,
    node_id: Option<u64>,
    leader_id: Option<u64>,
    term: Option<u64>,
    last_log_index: Option<u64>,
    committed_index: Option<u64>,
    applied_index: Option<u64>,
    snapshot_index: Option<u64>,
    state_hash: Option<String>,
    version: Option<String>,
}

impl NodeStatus {
    /// A node that answered.
    pub fn reached(endpoint: String, s: &api::ClusterStatusResponse) -> Self {
        Self {
            endpoint,
            reachable: true,
            error: None,
            node_id: Some(s.node_id),
            leader_id: (s.leader_id != 0).then_some(s.leader_id),
            term: Some(s.term),
            last_log_index: Some(s.last_log_index),
            committed_index: Some(s.committed_index),
            applied_index: Some(s.applied_index),
            snapshot_index: (s.snapshot_index != 0).then_some(s.snapshot_index),
            state_hash: Some(format!("{:016x}", s.state_hash)),
            version: Some(s.version.clone()),
        }
    }

    /// A node that did not.
    pub fn silent(endpoint: String, error: String) -> Self {
        Self {
            endpoint,
            reachable: false,
            error: Some(error),
            node_id: None,
            leader_id: None,
            term: None,
            last_log_index: None,
            committed_index: None,
            applied_index: None,
            snapshot_index: None,
            state_hash: None,
            version: None,
        }
    }
}

impl Tabular for NodeStatus {
    const HEADER: &'static [&'static str] = &[
        "endpoint",
        "node",
        "role",
        "term",
        "last",
        "committed",
        "applied",
        "snapshot",
        "state hash",
        "version",
    ];

    fn id(&self) -> String {
        self.endpoint.clone()
    }

    fn row(&self, _: &Clock) -> Vec<Field> {
        let number = |n: Option<u64>| Field::from(n.map_or("-".to_owned(), |n| n.to_string()));
        let text = |t: &Option<String>| Field::from(super::shown(t.as_deref()));
        let role = match (self.reachable, self.leader_id) {
            (false, _) => Field("unreachable".to_owned(), Tone::Bad),
            (true, None) => Field("no leader".to_owned(), Tone::Bad),
            (true, leader) if leader == self.node_id => Field("leader".to_owned(), Tone::Good),
            (true, _) => Field::from("follower"),
        };
        vec![
            Field::from(&self.endpoint),
            number(self.node_id),
            role,
            number(self.term),
            number(self.last_log_index),
            number(self.committed_index),
            number(self.applied_index),
            number(self.snapshot_index),
            text(&self.state_hash),
            text(&self.version),
        ]
    }
}

/// How the cluster was made of another.
#[derive(Clone, Debug, Serialize)]
struct Founding {
    at: Option<String>,
    actor: String,
    from: String,
    loss_accepted: bool,
    founded: String,
    version: String,
    from_cluster_id: String,
    from_founded: String,
    from_node_id: u64,
    from_version: String,
    log_index: u64,
    state_at: Option<String>,
    state_hash: String,
}

impl From<api::Founding> for Founding {
    fn from(f: api::Founding) -> Self {
        Self {
            at: rfc3339(f.at_ms),
            actor: f.actor,
            from: f.from,
            loss_accepted: f.loss_accepted,
            founded: f.founded,
            version: f.version,
            from_cluster_id: f.from_cluster_id,
            from_founded: f.from_founded,
            from_node_id: f.from_node_id,
            from_version: f.from_version,
            log_index: f.log_index,
            state_at: rfc3339(f.state_at_ms),
            state_hash: format!("{:016x}", f.state_hash),
        }
    }
}

impl Founding {
    /// One line for people.
    fn words(&self) -> String {
        let (how, loss) = match self.loss_accepted {
            true => ("recovered", ", giving up what only other nodes had"),
            false => ("restored", ""),
        };
        format!(
            "{how} by {} at {} from {}{loss}: cluster '{}' up to log index {}, its state {} of {}",
            printable(&self.actor),
            self.at.as_deref().unwrap_or("-"),
            printable(&self.from),
            printable(&self.from_cluster_id),
            self.log_index,
            self.state_hash,
            self.state_at.as_deref().unwrap_or("-"),
        )
    }
}

/// Entries a voter may be behind: more than are under way between regions, less than a snapshot.
const LAG_MAX: u64 = 1_000;

/// The cluster as its nodes see it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    cluster_id: String,
    leader_id: Option<u64>,
    failover_ms_max: u32,
    healthy: bool,
    problems: Vec<String>,
    nodes: Vec<NodeStatus>,
    members: Vec<Member>,
    founded: String,
    foundings: Vec<Founding>,
}

/// What an endpoint said, or why it said nothing.
pub type Answered = (String, Result<api::ClusterStatusResponse, String>);

impl Status {
    /// From what every endpoint said; `None` when none did.
    pub fn new(answers: Vec<Answered>) -> Option<Self> {
        let heard: Vec<_> = answers
            .iter()
            .filter_map(|(endpoint, answer)| Some((endpoint.as_str(), answer.as_ref().ok()?)))
            .collect();
        let freshness =
            |s: &&api::ClusterStatusResponse| (s.term, s.leader_id != 0, s.applied_index);
        let newest = heard.iter().map(|(_, s)| *s).max_by_key(freshness)?.clone();
        let mut problems = Vec::new();
        for (endpoint, answer) in &answers {
            if let Err(why) = answer {
                problems.push(format!("{endpoint} is unreachable: {why}"));
            }
        }
        problems.extend(disagreements(&heard, &newest));
        problems.extend(voters(&heard, &newest));
        let node = |(endpoint, answer): Answered| match answer {
            Ok(status) => NodeStatus::reached(endpoint, &status),
            Err(why) => NodeStatus::silent(endpoint, why),
        };
        Some(Self {
            cluster_id: newest.cluster_id,
            leader_id: (newest.leader_id != 0).then_some(newest.leader_id),
            failover_ms_max: newest.failover_ms_max,
            healthy: problems.is_empty(),
            problems,
            nodes: answers.into_iter().map(node).collect(),
            members: newest.members.into_iter().map(Member::from).collect(),
            founded: newest.founded,
            foundings: newest.foundings.into_iter().map(Founding::from).collect(),
        })
    }

    /// Whether nothing is wrong.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// What is wrong.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// For people.
    pub fn page(&self, output: &crate::output::Output) -> String {
        let paint = output.paint;
        let leader = self
            .leader_id
            .map_or(paint.error("none"), |id| format!("node {id}"));
        let failover = crate::time::format_millis(self.failover_ms_max.into());
        let mut text = format!(
            "cluster {}, leader: {leader}, a lost leader is replaced within {failover}\n\n{}\n",
            printable(&self.cluster_id),
            output.table(&self.nodes),
        );
        if !self.members.is_empty() {
            text.push_str(&format!("\n{}\n", output.table(&self.members)));
        }
        // What comes first is what it is by now.
        let foundings: Vec<_> = self.foundings.iter().rev().map(Founding::words).collect();
        if !foundings.is_empty() {
            text.push_str(&format!("\n{}\n", foundings.join("\n")));
        }
        text
    }
}

/// What nodes that answered say against each other.
fn disagreements(
    heard: &[(&str, &api::ClusterStatusResponse)],
    newest: &api::ClusterStatusResponse,
) -> Vec<String> {
    let mut found = Vec::new();
    if newest.leader_id == 0 {
        found.push("no leader is known: nothing can be changed until one is elected".to_owned());
    }
    for (i, (a, one)) in heard.iter().enumerate() {
        if one.cluster_id != newest.cluster_id {
            let (own, other) = (printable(&one.cluster_id), printable(&newest.cluster_id));
            found.push(format!("{a} belongs to cluster '{own}', not '{other}'"));
            continue;
        }
        match one.leader_id {
            id if id == newest.leader_id => {}
            0 => found.push(format!(
                "{a} knows no leader; others follow node {}",
                newest.leader_id
            )),
            id => found.push(format!(
                "{a} follows node {id}; others follow node {}",
                newest.leader_id
            )),
        }
        for (b, other) in &heard[i + 1..] {
            let index = one.applied_index;
            let same = other.applied_index != index || other.state_hash == one.state_hash;
            if !same && other.cluster_id == one.cluster_id {
                found.push(format!(
                    "{a} and {b} hold different states at index {index}"
                ));
            }
        }
    }
    found
}

/// Voters that are behind, or of whom nobody has heard.
fn voters(
    heard: &[(&str, &api::ClusterStatusResponse)],
    newest: &api::ClusterStatusResponse,
) -> Vec<String> {
    let own = |(_, s): &&(&str, &api::ClusterStatusResponse)| s.cluster_id == newest.cluster_id;
    let heard: Vec<_> = heard.iter().filter(own).map(|(_, s)| *s).collect();
    // Only the leader knows what the others hold.
    let leader = heard.iter().find(|s| s.node_id == newest.leader_id);
    let committed = heard.iter().map(|s| s.committed_index).max().unwrap_or(0);
    let mut found = Vec::new();
    for voter in newest.members.iter().filter(|m| m.voter) {
        let id = voter.node_id;
        let known = leader.and_then(|l| l.members.iter().find(|m| m.node_id == id));
        let holds = match heard.iter().find(|s| s.node_id == id) {
            Some(own) => Some(own.applied_index),
            None => known.map(|m| m.matched_index).filter(|index| *index > 0),
        };
        match holds {
            None => found.push(format!(
                "voter {id} did not answer; name its endpoint with --endpoint"
            )),
            Some(index) if index + LAG_MAX < committed => found.push(format!(
                "voter {id} lags: it stands at index {index} of {committed}"
            )),
            Some(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(node_id: u64) -> api::ClusterStatusResponse {
        let member = |node_id| api::Member {
            node_id,
            voter: true,
            ..Default::default()
        };
        api::ClusterStatusResponse {
            cluster_id: "c".to_owned(),
            node_id,
            leader_id: 1,
            applied_index: 9,
            committed_index: 9,
            members: [1, 2, 3].map(member).into(),
            ..Default::default()
        }
    }

    /// What is wrong once three good answers are doctored.
    fn problems(doctor: impl FnOnce(&mut Vec<Answered>)) -> Vec<String> {
        let mut answers: Vec<Answered> = (1..=3)
            .map(|id| (format!("n{id}"), Ok(status(id))))
            .collect();
        doctor(&mut answers);
        let status = Status::new(answers).expect("one answered");
        assert_eq!(status.is_healthy(), status.problems().is_empty());
        status.problems().to_vec()
    }

    fn node(answers: &mut [Answered], i: usize) -> &mut api::ClusterStatusResponse {
        answers[i].1.as_mut().expect("an answer")
    }

    #[test]
    fn a_founding_tells_who_made_the_cluster_of_what() {
        let made = api::Founding {
            at_ms: 1_000,
            actor: "operator:ann".to_owned(),
            from: "/data/3".to_owned(),
            loss_accepted: true,
            from_cluster_id: "c".to_owned(),
            log_index: 7,
            state_hash: 10,
            ..Default::default()
        };
        assert_eq!(
            Founding::from(made).words(),
            "recovered by operator:ann at 1970-01-01T00:00:01.000Z from /data/3, giving up what only other nodes had: \
             cluster 'c' up to log index 7, its state 000000000000000a of -"
        );
    }

    #[test]
    fn three_nodes_of_one_mind_are_healthy() {
        assert_eq!(problems(|_| {}), Vec::<String>::new());
        assert!(Status::new(vec![("n1".to_owned(), Err("refused".to_owned()))]).is_none());
    }

    #[test]
    fn replicas_that_differ_are_told() {
        let told = problems(|answers| {
            node(answers, 1).state_hash = 8;
            let third = node(answers, 2);
            (third.applied_index, third.state_hash) = (8, 5);
        });
        assert_eq!(told, ["n1 and n2 hold different states at index 9"]);
    }

    #[test]
    fn nodes_that_disagree_on_leader_or_cluster_are_told() {
        let told = problems(|answers| node(answers, 2).leader_id = 2);
        assert!(told[0].contains("follows node"), "{told:?}");
        let told = problems(|answers| node(answers, 1).leader_id = 0);
        assert_eq!(told, ["n2 knows no leader; others follow node 1"]);
        let told = problems(|answers| {
            let stranger = node(answers, 2);
            (stranger.cluster_id, stranger.applied_index) = ("d".to_owned(), 1);
        });
        assert_eq!(
            told,
            [
                "n3 belongs to cluster 'd', not 'c'",
                "voter 3 did not answer; name its endpoint with --endpoint"
            ]
        );
    }

    #[test]
    fn voters_that_lag_or_are_silent_are_told() {
        let told = problems(|answers| answers[2].1 = Err("refused".to_owned()));
        assert_eq!(
            told,
            [
                "n3 is unreachable: refused",
                "voter 3 did not answer; name its endpoint with --endpoint"
            ]
        );
        // The leader speaks for a voter nobody asked.
        let told = problems(|answers| {
            answers.pop();
            node(answers, 0).members[2].matched_index = 9;
        });
        assert_eq!(told, Vec::<String>::new());
        let told = problems(|answers| {
            for i in [0, 1] {
                let ahead = node(answers, i);
                (ahead.applied_index, ahead.committed_index) = (5_000, 5_000);
            }
        });
        assert_eq!(told, ["voter 3 lags: it stands at index 9 of 5000"]);
    }
}
