//! Chats, agents and queues as the public API shows them.

use meridian_proto::livechat::v1 as api;
use meridian_proto::log::v1 as log;
use meridian_routing::closure::{Closure, Shut};
use meridian_routing::explain::{Event, Rule, What};
use meridian_routing::ids::{AgentId, Millis};
use meridian_routing::model::*;
use meridian_routing::reason::Candidate;
use meridian_routing::state::{AgentState, Chat, State};
use meridian_routing::version::{Change, How, Version};
use meridian_routing::wait::Wait;

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
        Phase::Tracked { .. } => api::ChatPhase::Tracked,
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
        Phase::Deferred { due, .. } | Phase::Tracked { due, .. } => due,
        _ => 0,
    };
    let name = |agent: &Option<AgentId>| agent.as_ref().map(|a| a.to_string()).unwrap_or_default();
    let names = |agents: &[AgentId]| agents.iter().map(|a| a.to_string()).collect::<Vec<_>>();
    let offered = matches!(c.phase, Phase::Offered { .. });
    let (tracked_channel, tracked_reference) = match &c.phase {
        Phase::Tracked {
            channel, reference, ..
        } => (channel.clone(), reference.clone()),
        _ => Default::default(),
    };
    let position = state.position(c).unwrap_or(0);
    let expected = state.expected_wait(&c.queue, position);
    let (assist_of, purpose) = c.assist.as_ref().map_or_else(Default::default, |(of, p)| {
        (of.to_string(), self::purpose(*p) as i32)
    });
    api::Chat {
        chat_id: c.id.to_string(),
        queue_id: c.queue.to_string(),
        phase: phase(&c.phase).into(),
        languages: c.languages.iter().map(|l| l.language.to_string()).collect(),
        priority: c.priority,
        arrived_ms: c.arrived,
        agent_id: c
            .holders()
            .first()
            .map(|a| a.to_string())
            .unwrap_or_default(),
        position,
        due_ms,
        closed: closed.into(),
        log_index: c.index,
        answered_ms: c.answered,
        answered_by: name(&c.answered_by),
        weight: c.weight,
        region_id: c.region.as_ref().map(|r| r.to_string()).unwrap_or_default(),
        vip: c.vip,
        channel: c.channel.clone(),
        kind: c.kind.clone(),
        interrupting: c.interrupting,
        offered_to: if offered {
            names(c.holders())
        } else {
            Vec::new()
        },
        via_queue_id: c.via.to_string(),
        owner_agent_id: name(&c.owner),
        expected_wait: expected.map(wait),
        assist_of,
        purpose,
        companions: state.assists_of(&c.id).map(companion).collect(),
        watchers: c.watchers.iter().map(watcher).collect(),
        lease_ms: c.lease_ms,
        lease_ends_ms: match c.page {
            Page::Gone(until) if !c.is_closed() => until,
            _ => 0,
        },
        message: c.message.clone(),
        contact: c.contact.clone(),
        call_back_ms: c.call_back,
        tracked_channel,
        tracked_reference,
    }
}

/// A purpose as the API numbers it.
fn purpose(purpose: Purpose) -> api::Purpose {
    match purpose {
        Purpose::Handover => api::Purpose::Handover,
        Purpose::Consult => api::Purpose::Consult,
        Purpose::Join => api::Purpose::Join,
        Purpose::Relief => api::Purpose::Relief,
    }
}

fn companion(assist: &Chat) -> api::Companion {
    let came = match &assist.phase {
        Phase::Active { agent } => agent.to_string(),
        _ => String::new(),
    };
    let what_for = assist.assist.as_ref().map(|(_, p)| purpose(*p) as i32);
    api::Companion {
        assist_chat_id: assist.id.to_string(),
        agent_id: came,
        purpose: what_for.unwrap_or_default(),
    }
}

fn watcher(w: &Watcher) -> api::Watcher {
    let mode = match w.how {
        Watch::Monitor => api::WatchMode::Monitor,
        Watch::Whisper => api::WatchMode::Whisper,
        Watch::Barge => api::WatchMode::Barge,
    };
    api::Watcher {
        who: w.who.clone(),
        mode: mode.into(),
    }
}

/// An expected wait.
pub fn wait(w: Wait) -> api::ExpectedWait {
    api::ExpectedWait {
        mean_ms: w.mean,
        low_ms: w.low,
        high_ms: w.high,
    }
}

/// Everything that is closed at once.
pub fn closed(state: &State) -> Vec<api::Closed> {
    let one = |(what, c): (&Shut, &Closure)| api::Closed {
        what: Some(match what {
            Shut::Queue(id) => api::closed::What::QueueId(id.to_string()),
            Shut::Region(id) => api::closed::What::RegionId(id.to_string()),
        }),
        until_ms: c.until,
        why: c.why.clone(),
        by: c.by.clone(),
    };
    state.closures().map(one).collect()
}

/// An agent.
pub fn agent(state: &State, a: &AgentState) -> api::AgentState {
    let schedule = a
        .config
        .schedule
        .as_ref()
        .and_then(|s| state.schedules().get(s));
    api::AgentState {
        agent_id: a.config.id.to_string(),
        name: a.config.name.clone(),
        region_id: a.config.region.to_string(),
        presence: presence(a.presence).into(),
        on_shift: state.on_shift(a),
        load: state.load(&a.config.id),
        capacity: a.config.capacity_at(state.meta().now),
        epoch: a.epoch,
        node_id: a.node,
        shift_edge_ms: schedule
            .and_then(|s| s.next_edge(state.meta().now))
            .unwrap_or(0),
        log_index: state.meta().index,
        overtime: a.overtime,
        removed: false,
        extra: a.config.extra,
        team: a.config.team.clone(),
        tally: Some(api::AgentTally {
            offers: a.tally.offers,
            accepted: a.tally.accepted,
            declined: a.tally.declined,
            ignored: a.tally.ignored,
            handled: a.tally.handled,
            handle_ms: a.tally.handle_ms,
        }),
        bot: a.config.bot,
        break_due_ms: state.break_due(a).unwrap_or(0),
        break_due: a.break_due,
    }
}

/// A queue and what waits in it.
pub fn queue(state: &State, q: &Queue, now: Millis) -> api::QueueState {
    let counts = state.queue_counts(&q.id);
    let open = state.queue_open(q);
    let schedule = q.schedule.as_ref().and_then(|s| state.schedules().get(s));
    let next = schedule
        .filter(|_| !open)
        .and_then(|s| s.next_start(state.meta().now));
    let shut = state.closures().find_map(|(what, c)| match what {
        Shut::Queue(id) if *id == q.id => Some(c),
        _ => None,
    });
    let service = state.service_at(&q.id, now);
    let mean = |sum: u64, count: u32| {
        let mean = sum.checked_div(count.into())?;
        Some(u32::try_from(mean).unwrap_or(u32::MAX))
    };
    api::QueueState {
        queue_id: q.id.to_string(),
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
        accepted: service.accepted,
        answered: service.answered,
        answered_in_target: service.in_target,
        abandoned: service.abandoned,
        service_level: service.service_level(),
        service_level_target: q.service_level,
        wait_ms: mean(service.wait_ms, service.answered).unwrap_or(0),
        handle_ms: mean(service.handle_ms, service.handled).unwrap_or(0),
        wait_error_ms: mean(service.error_ms, service.estimated),
        expected_wait: state.expected_wait(&q.id, counts.waiting + 1).map(wait),
        agents_at_work: state.agents_at_work(&q.id),
        tracked: counts.tracked,
        closed_until_ms: shut.map_or(0, |c| c.until),
        closed_why: shut.map(|c| c.why.clone()).unwrap_or_default(),
    }
}

/// How the cluster was made of another.
pub fn founding(founding: log::Founding) -> api::Founding {
    let of = founding.of.unwrap_or_default();
    api::Founding {
        at_ms: founding.at,
        actor: founding.actor,
        from: founding.from,
        loss_accepted: founding.loss_accepted,
        founded: founding.founded,
        version: founding.version,
        from_cluster_id: of.cluster_id,
        from_founded: of.founded,
        from_node_id: of.node_id,
        from_version: of.version,
        log_index: founding.log_index,
        state_at_ms: of.at_ms,
        state_hash: of.state_hash,
    }
}

/// A version of the configuration, with as many changes as are told of `changed`.
pub fn version(version: &Version, changed: u32) -> api::ConfigurationVersion {
    api::ConfigurationVersion {
        version: version.number,
        log_index: version.index,
        at_ms: version.at,
        actor: version.actor.clone(),
        changes: version.changes.iter().map(object_change).collect(),
        changed,
    }
}

fn object_change(change: &Change) -> api::ObjectChange {
    use meridian_routing::command::ConfigChange::*;
    let (kind, id) = match &change.undo {
        PutWorkspace(_) => ("workspace", String::new()),
        PutRegion(r) => ("region", r.id.to_string()),
        RemoveRegion(id) => ("region", id.to_string()),
        PutSchedule(s) | ExtendSchedule(s) => ("schedule", s.id.to_string()),
        RemoveSchedule(id) => ("schedule", id.to_string()),
        PutQueue(q) => ("queue", q.id.to_string()),
        RemoveQueue(id) => ("queue", id.to_string()),
        PutAgent(a) => ("agent", a.id.to_string()),
        RemoveAgent(id) => ("agent", id.to_string()),
        LearnLanguage(r) => ("language", r.language.to_string()),
    };
    let how = match change.how {
        How::Added => api::ChangeKind::Added,
        How::Replaced => api::ChangeKind::Changed,
        How::Removed => api::ChangeKind::Removed,
    };
    api::ObjectChange {
        kind: kind.to_owned(),
        id,
        change: how.into(),
        fields: Vec::new(),
    }
}

/// A step of a chat's story.
pub fn event(e: &Event) -> api::ChatEvent {
    api::ChatEvent {
        log_index: e.index,
        at_ms: e.at,
        version: e.version,
        what: what(e.what).to_owned(),
        agent_id: e.agent.as_ref().map(|a| a.to_string()).unwrap_or_default(),
        detail: e.detail.clone(),
        candidates: e.candidates.iter().map(candidate).collect(),
        complete: false,
    }
}

/// An agent weighed.
pub fn candidate(c: &Candidate) -> api::Candidate {
    api::Candidate {
        agent_id: c.agent.to_string(),
        eligible: c.eligible(),
        reason: c.to_string(),
        rule: rule(c.rule()).to_owned(),
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
        What::Asked => "asked for another agent",
        What::Joined => "another agent joined",
        What::Parted => "another agent left",
        What::Unassisted => "nobody came",
        What::HandedOver => "handed over",
        What::Supervised => "supervised",
        What::Moved => "moved by a supervisor",
        What::ShiftOver => "shift over",
        What::VisitorGone => "visitor gone",
        What::MessageLeft => "message left",
        What::Escalated => "goes on elsewhere",
        What::Overdue => "overdue",
    }
}

/// A rule's name.
pub fn rule(rule: Rule) -> &'static str {
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
        Rule::Rank => "rank",
        Rule::PreferredRegion => "preferred_region",
        Rule::PreferredSkill => "preferred_skill",
        Rule::SkillLevel => "skill_level",
        Rule::Turn => "turn",
        Rule::Share => "share",
        Rule::QueueCap => "queue_cap",
        Rule::Held => "held",
        Rule::Overflow => "overflow",
        Rule::Owner => "owner",
        Rule::Step => "step",
        Rule::Bot => "bot",
    }
}
