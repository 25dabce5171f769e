//! What is wrong, or likely not meant so, in a state: every invariant, and the common mistakes of configurations.

use std::collections::BTreeSet;

use meridian_proto::livechat::v1::{Finding, Severity};
use meridian_routing::command::Shut;
use meridian_routing::ids::{Millis, NodeId, QueueId};
use meridian_routing::invariants;
use meridian_routing::model::{Phase, Presence, Queue};
use meridian_routing::state::State;

use crate::timers::days_left;

/// So many objects of one kind are named one by one; of more the number is told.
const NAMED_MAX: usize = 20;
/// Pairs of a waiting chat and an agent that are looked at: each may cost a microsecond or more.
const PAIRS_MAX: usize = 1_000_000;
const HOUR_MS: Millis = 3_600_000;

/// Looks a state over, the worst first. `members` are the nodes of the cluster, none of them where that is not known.
pub fn examine(state: &State, members: &BTreeSet<NodeId>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Err(broken) = invariants::check_within(state, PAIRS_MAX) {
        found.push(Finding {
            severity: Severity::Critical.into(),
            kind: "state".to_owned(),
            id: String::new(),
            what: format!("invariant broken: {broken}"),
            cure: "take a backup, compare with the other nodes (`meridian cluster status` tells state hashes), and report it"
                .to_owned(),
        });
    }
    nobody_serves(state, &mut found);
    never_on_shift(state, &mut found);
    horizons(state, &mut found);
    strangers(state, members, &mut found);
    overdue(state, &mut found);
    closed(state, &mut found);
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

/// One finding each, or one for all where they are many.
fn tell(
    found: &mut Vec<Finding>,
    (severity, kind): (Severity, &str),
    ids: Vec<String>,
    what: &str,
    cure: &str,
) {
    let finding = |id: String, what: String| Finding {
        severity: severity.into(),
        kind: kind.to_owned(),
        id,
        what,
        cure: cure.to_owned(),
    };
    if ids.len() > NAMED_MAX {
        let first = ids.first().cloned().unwrap_or_default();
        let many = format!("{what}; so are {} more", ids.len() - 1);
        found.push(finding(first, many));
        return;
    }
    found.extend(ids.into_iter().map(|id| finding(id, what.to_owned())));
}

/// Queues that no agent serves, neither themselves nor by overflow.
fn nobody_serves(state: &State, found: &mut Vec<Finding>) {
    let agents = state.agents().values();
    let served: BTreeSet<&QueueId> = agents
        .flat_map(|a| &a.config.queues)
        .map(|s| &s.queue)
        .collect();
    let reached = |queue: &Queue| state.reached(queue).iter().any(|id| served.contains(id));
    let lonely = state.queues().values().filter(|q| !reached(q));
    tell(
        found,
        (Severity::Warning, "queue"),
        lonely.map(|q| q.id.to_string()).collect(),
        "no agent serves it, and nobody does where it overflows to: its chats wait in vain",
        "name it in `queues` of an agent, or let it overflow into one that is served",
    );
}

/// Agents who are at no time on shift again.
fn never_on_shift(state: &State, found: &mut Vec<Finding>) {
    let now = state.meta().now;
    let over = |id: &_| {
        let schedule = state.schedules().get(id);
        schedule.is_some_and(|s| s.spans.iter().all(|span| span.end <= now))
    };
    let idle = state
        .agents()
        .values()
        .filter(|a| a.config.schedule.as_ref().is_some_and(over));
    tell(
        found,
        (Severity::Warning, "agent"),
        idle.map(|a| a.config.id.to_string()).collect(),
        "their schedule has no shift left: they are offered nothing but in overtime",
        "give the agent another schedule, or the schedule more shifts",
    );
    let shut = state
        .queues()
        .values()
        .filter(|q| q.schedule.as_ref().is_some_and(over));
    tell(
        found,
        (Severity::Warning, "queue"),
        shut.map(|q| q.id.to_string()).collect(),
        "it never opens again: every chat is put off",
        "give the queue another schedule, or the schedule more hours",
    );
}

/// Schedules that are known for a short time only.
fn horizons(state: &State, found: &mut Vec<Finding>) {
    let now = state.meta().now;
    for schedule in state.schedules().values() {
        let Some(days) = days_left(schedule, now) else {
            continue;
        };
        found.push(Finding {
            severity: Severity::Warning.into(),
            kind: "schedule".to_owned(),
            id: schedule.id.to_string(),
            what: format!("its shifts are known for {days} more days"),
            cure: match schedule.source.is_empty() {
                true => "it was given as spans: apply it again with those of the coming months"
                    .to_owned(),
                false => {
                    "a leader resolves schedules anew every hour: see its log for why it does not"
                        .to_owned()
                }
            },
        });
    }
}

/// Sessions of agents on nodes that are no members.
fn strangers(state: &State, members: &BTreeSet<NodeId>, found: &mut Vec<Finding>) {
    let live = |p: Presence| !matches!(p, Presence::Offline | Presence::Lost);
    let agents = state.agents().values();
    let away =
        agents.filter(|a| live(a.presence) && !members.is_empty() && !members.contains(&a.node));
    tell(
        found,
        (Severity::Notice, "agent"),
        away.map(|a| a.config.id.to_string()).collect(),
        "their session is on a node that is no member",
        "the leader declares it lost within seconds: look again, and see its log if it stays so",
    );
}

/// Chats for which somebody is long awaited.
fn overdue(state: &State, found: &mut Vec<Finding>) {
    let now = state.meta().now;
    let chats = state.chats().values();
    let long = chats.filter(|c| c.phase == Phase::Waiting && now - c.arrived > HOUR_MS);
    tell(
        found,
        (Severity::Notice, "chat"),
        long.map(|c| c.id.to_string()).collect(),
        "it came more than an hour ago, and waits",
        "`meridian chats explain ID` tells why nobody takes it; widen the queue's steps, or move it",
    );
}

/// What was closed at once, and is so still.
fn closed(state: &State, found: &mut Vec<Finding>) {
    for (what, closure) in state.closures() {
        let (kind, id) = match what {
            Shut::Queue(id) => ("queue", id.to_string()),
            Shut::Region(id) => ("region", id.to_string()),
        };
        found.push(Finding {
            severity: Severity::Notice.into(),
            kind: kind.to_owned(),
            id,
            what: format!("it was closed at once by {}: {}", closure.by, closure.why),
            cure: "`meridian closures` opens it again".to_owned(),
        });
    }
}
