//! The cluster, its members, and what applying a file changes.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::change_word;
use crate::output::{Clock, Field, Paint, Tabular, Tone, printable};

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

impl Tabular for Member {
    const HEADER: &'static [&'static str] = &["node", "region", "peer address", "role", "matched"];

    fn id(&self) -> String {
        self.node_id.to_string()
    }

    fn row(&self, _: &Clock) -> Vec<Field> {
        let role = match (self.leader, self.voter) {
            (true, _) => Field("leader".to_owned(), Tone::Good),
            (false, true) => Field::from("voter"),
            (false, false) => Field("learner".to_owned(), Tone::Warn),
        };
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
}

impl Status {
    /// From what every endpoint said; `newest` is the answer with the highest term and index.
    pub fn new(nodes: Vec<NodeStatus>, newest: api::ClusterStatusResponse) -> Self {
        let mut problems = Vec::new();
        for node in nodes.iter().filter(|n| !n.reachable) {
            let why = node.error.as_deref().unwrap_or("no answer");
            problems.push(format!("{} is unreachable: {why}", node.endpoint));
        }
        if newest.leader_id == 0 {
            problems
                .push("no leader is known: nothing can be changed until one is elected".to_owned());
        }
        for (i, a) in nodes.iter().enumerate().filter(|(_, n)| n.reachable) {
            let differs = |b: &&NodeStatus| {
                b.applied_index == a.applied_index && b.state_hash != a.state_hash
            };
            for b in nodes[i + 1..].iter().filter(differs) {
                let index = a.applied_index.unwrap_or_default();
                let (a, b) = (&a.endpoint, &b.endpoint);
                problems.push(format!(
                    "{a} and {b} hold different states at index {index}"
                ));
            }
        }
        Self {
            cluster_id: newest.cluster_id,
            leader_id: (newest.leader_id != 0).then_some(newest.leader_id),
            failover_ms_max: newest.failover_ms_max,
            healthy: problems.is_empty(),
            problems,
            nodes,
            members: newest.members.into_iter().map(Member::from).collect(),
        }
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
        text
    }
}

/// One object's change.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    kind: String,
    id: Option<String>,
    change: String,
    fields: Vec<String>,
}

/// What applying changes.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    dry_run: bool,
    added: usize,
    changed: usize,
    /// How many objects go.
    pub removed: usize,
    changes: Vec<Change>,
    log_index: Option<u64>,
}

impl Changes {
    /// From the answer.
    pub fn new(dry_run: bool, response: api::ApplyResponse) -> Self {
        let change = |c: api::ObjectChange| Change {
            kind: c.kind,
            id: super::given(c.id),
            change: change_word(c.change),
            fields: c.fields,
        };
        let changes: Vec<_> = response.changes.into_iter().map(change).collect();
        let count = |word: &str| changes.iter().filter(|c| c.change == word).count();
        Self {
            dry_run,
            added: count("added"),
            changed: count("changed"),
            removed: count("removed"),
            changes,
            log_index: (response.log_index != 0).then_some(response.log_index),
        }
    }

    /// The last line: `3 added, 1 changed, 0 removed`.
    pub fn summary(&self) -> String {
        let dry = if self.dry_run { " (dry run)" } else { "" };
        format!(
            "{} added, {} changed, {} removed{dry}",
            self.added, self.changed, self.removed
        )
    }

    /// A diff for people.
    pub fn diff(&self, paint: Paint) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let id = change
                .id
                .as_deref()
                .map_or(String::new(), |id| format!(" {id}"));
            let head = |sign: &str| format!("{sign} {}{id}", change.kind);
            text.push_str(&match change.change.as_str() {
                "added" => paint.good(&head("+")),
                "removed" => paint.error(&head("-")),
                _ => paint.warn(&head("~")),
            });
            text.push('\n');
            for field in &change.fields {
                text.push_str(&format!("    {}\n", printable(field)));
            }
        }
        text + &self.summary() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_like_a_diff() {
        let change =
            |kind: &str, id: &str, change: api::ChangeKind, fields: &[&str]| api::ObjectChange {
                kind: kind.to_owned(),
                id: id.to_owned(),
                change: change as i32,
                fields: fields.iter().map(|f| (*f).to_owned()).collect(),
            };
        let response = api::ApplyResponse {
            changes: vec![
                change("workspace", "", api::ChangeKind::Changed, &["name: A -> B"]),
                change("agent", "ana", api::ChangeKind::Added, &[]),
                change("queue", "old", api::ChangeKind::Removed, &[]),
            ],
            ..Default::default()
        };
        let changes = Changes::new(true, response);
        let paint = |when| Paint::new(when, false);
        assert_eq!(
            changes.diff(paint(crate::output::When::Never)),
            "~ workspace\n    name: A -> B\n+ agent ana\n- queue old\n1 added, 1 changed, 1 removed (dry run)\n"
        );
        let coloured = changes.diff(paint(crate::output::When::Always));
        assert!(
            coloured.contains("\u{1b}[32m+ agent ana\u{1b}[0m"),
            "{coloured}"
        );
    }

    #[test]
    fn replicas_that_differ_are_told() {
        let status = |node_id, applied_index, state_hash| api::ClusterStatusResponse {
            node_id,
            leader_id: 1,
            applied_index,
            state_hash,
            ..Default::default()
        };
        let node =
            |n: &api::ClusterStatusResponse| NodeStatus::reached(format!("n{}", n.node_id), n);
        let (a, b, c) = (status(1, 9, 7), status(2, 9, 8), status(3, 8, 5));
        let seen = Status::new(vec![node(&a), node(&b), node(&c)], a);
        assert_eq!(
            seen.problems(),
            ["n1 and n2 hold different states at index 9"]
        );
    }
}
