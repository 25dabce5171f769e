//! Chats, agents and queues as the public API shows them.

use meridian_proto::livechat::v1 as api;
use meridian_routing::explain::{Candidate, Event, Rule, What};
use meridian_routing::model::*;
use meridian_routing::state::{AgentState, Chat, State};

/// A presence as the API numbers it.
pub fn presence(presence: Presence) -> api::Presence {
    match presence {
        Presence::Offline => api::Presence::Offline,
        Presence::Available => api::Presence::Available,
        Presence::Break => api::Presence::Break,
        Presence::Draining => api::Presence::Draining,
        Presence::NotResponding => api::Presence::NotResponding,
        Presence::Lost => api::Presence::Lost,
    }
}

/// A phase as the API numbers it.
pub fn phase(phase: &Phase) -> api::ChatPhase {
    match phase {
        Phase::Waiting => api::ChatPhase::Waiting,
        Phase::Offered { .. } => api::ChatPhase::Offered,
        Phase::Active { .. } => api::ChatPhase::Active,
        Phase::WrapUp { .. } => api::ChatPhase::WrapUp,
        Phase::Deferred { .. } => api::ChatPhase::Deferred,
        Phase::Closed(_) => api::ChatPhase::Closed,
    }
}

/// A chat; its place in line is worked out from `state`, which may no longer hold it.
pub fn chat(state: &State, c: &Chat) -> api::Chat {
    let closed = match c.phase {
        Phase::Closed(Closed::Answered) => api::CloseReason::Answered,
        Phase::Closed(Closed::Abandoned) => api::CloseReason::Abandoned,
        Phase::Closed(Closed::Expired) => api::CloseReason::Expired,
        _ => api::CloseReason::Unspecified,
    };
    let due_ms = match c.phase {
        Phase::Deferred { due } => due,
        _ => 0,
    };
    api::Chat {
        chat_id: c.id.0.clone(),
        queue_id: c.queue.0.clone(),
        phase: phase(&c.phase).into(),
        languages: c.languages.iter().map(|l| l.language.0.clone()).collect(),
        priority: c.priority,
        arrived_ms: c.arrived,
        agent_id: c.holder().map(|a| a.0.clone()).unwrap_or_default(),
        position: state.position(c).unwrap_or(0),
        due_ms,
        closed: closed.into(),
        log_index: c.index,
        answered_ms: c.answered,
        answered_by: c
            .answered_by
            .as_ref()
            .map(|a| a.0.clone())
            .unwrap_or_default(),
        weight: c.weight,
        region_id: c.region.as_ref().map(|r| r.0.clone()).unwrap_or_default(),
    }
}

/// An agent.
pub fn agent(state: &State, a: &AgentState) -> api::AgentState {
    let schedule = a
        .config
        .schedule
        .as_ref()
        .and_then(|s| state.schedules().get(s));
    api::AgentState {
        agent_id: a.config.id.0.clone(),
        name: a.config.name.clone(),
        region_id: a.config.region.0.clone(),
        presence: presence(a.presence).into(),
        on_shift: state.on_shift(a),
        load: state.load(&a.config.id),
        capacity: a.config.capacity,
        epoch: a.epoch,
        node_id: a.node,
        shift_edge_ms: schedule
            .and_then(|s| s.next_edge(state.meta().now))
            .unwrap_or(0),
        log_index: state.meta().index,
        overtime: a.overtime,
        removed: false,
    }
}

/// A queue and what waits in it.
pub fn queue(state: &State, q: &Queue) -> api::QueueState {
    let counts = state.queue_counts(&q.id);
    let open = state.queue_open(q);
    let schedule = q.schedule.as_ref().and_then(|s| state.schedules().get(s));
    let next = schedule
        .filter(|_| !open)
        .and_then(|s| s.next_start(state.meta().now));
    api::QueueState {
        queue_id: q.id.0.clone(),
        open,
        next_opening_ms: next.unwrap_or(0),
        waiting: counts.waiting,
        offered: counts.offered,
        active: counts.active,
        deferred: counts.deferred,
        oldest_arrival_ms: state.oldest_waiting(&q.id).unwrap_or(0),
        agents_ready: state.agents_ready(&q.id),
        wrap_up: counts.wrap_up,
        log_index: state.meta().index,
        removed: false,
    }
}

/// A step of a chat's story.
pub fn event(e: &Event) -> api::ChatEvent {
    api::ChatEvent {
        log_index: e.index,
        at_ms: e.at,
        what: what(e.what).to_owned(),
        agent_id: e.agent.as_ref().map(|a| a.0.clone()).unwrap_or_default(),
        detail: e.detail.clone(),
        candidates: e.candidates.iter().map(candidate).collect(),
    }
}

/// An agent weighed.
pub fn candidate(c: &Candidate) -> api::Candidate {
    api::Candidate {
        agent_id: c.agent.0.clone(),
        eligible: c.eligible,
        reason: c.reason.clone(),
        rule: rule(c.rule).to_owned(),
    }
}

fn what(what: What) -> &'static str {
    match what {
        What::Arrived => "arrived",
        What::Offered => "offered",
        What::Accepted => "accepted",
        What::Declined => "declined",
        What::OfferTimedOut => "offer timed out",
        What::OfferWithdrawn => "offer withdrawn",
        What::Deferred => "deferred",
        What::Returned => "returned to the line",
        What::AgentLost => "agent lost",
        What::Transferred => "transferred",
        What::Ended => "ended",
        What::WrappedUp => "wrapped up",
        What::Abandoned => "abandoned",
        What::Expired => "expired",
        What::Rated => "rated",
        What::Overflowed => "overflowed",
    }
}

fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Presence => "presence",
        Rule::Shift => "shift",
        Rule::Capacity => "capacity",
        Rule::Queue => "queue",
        Rule::Language => "language",
        Rule::Skill => "skill",
        Rule::Region => "region",
        Rule::Declined => "declined",
        Rule::Sticky => "sticky",
        Rule::LanguageRank => "language_rank",
        Rule::Sun => "sun",
        Rule::Occupancy => "occupancy",
        Rule::Idle => "idle",
        Rule::Id => "id",
        Rule::Named => "named",
        Rule::Hop => "hop",
    }
}
