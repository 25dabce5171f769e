//! Chats, their stories and what became of them, to and from their durable messages.

use meridian_proto::log::v1 as log;
use meridian_routing::closure::{Closure, Shut};
use meridian_routing::ids::*;
use meridian_routing::limits;
use meridian_routing::model::*;
use meridian_routing::service::{Minute, QueueStats};
use meridian_routing::state::Chat;

use super::Corrupt;
use super::model::{Read, read_skills, read_wanted, skills, some, wanted};
use super::story::{event, read_event};

pub(super) fn phase(p: &Phase) -> log::Phase {
    use log::phase::{Deferred, Held, Phase as Out, Tracked, Waiting};
    let held = |agent: &AgentId, until: Millis| Held {
        agent: agent.to_string(),
        until,
        others: Vec::new(),
    };
    let out = match p {
        Phase::Waiting => Out::Waiting(Waiting {}),
        Phase::Offered { to, until } => {
            let mut names = to.iter().map(|a| a.to_string());
            Out::Offered(Held {
                agent: names.next().unwrap_or_default(),
                until: *until,
                others: names.collect(),
            })
        }
        Phase::Active { agent } => Out::Active(held(agent, 0)),
        Phase::WrapUp { agent, until } => Out::WrapUp(held(agent, *until)),
        Phase::Deferred { due, why } => Out::Deferred(Deferred {
            due: *due,
            why: *why as u32,
        }),
        Phase::Tracked {
            channel,
            reference,
            due,
        } => Out::Tracked(Tracked {
            channel: channel.clone(),
            reference: reference.clone(),
            due: *due,
        }),
        Phase::Closed(how) => Out::Closed(match how {
            Closed::Answered => 1,
            Closed::Abandoned => 2,
            Closed::Expired => 3,
        }),
    };
    log::Phase { phase: Some(out) }
}
pub(super) fn read_phase(p: Option<log::Phase>) -> Read<Phase> {
    use log::phase::Phase as In;
    Ok(match some(p.and_then(|p| p.phase), "phase")? {
        In::Waiting(_) => Phase::Waiting,
        In::Offered(h) => Phase::Offered {
            to: std::iter::once(h.agent)
                .chain(h.others)
                .map(AgentId::from)
                .collect(),
            until: h.until,
        },
        In::Active(h) => Phase::Active {
            agent: AgentId::from(h.agent),
        },
        In::WrapUp(h) => Phase::WrapUp {
            agent: AgentId::from(h.agent),
            until: h.until,
        },
        In::Tracked(t) => Phase::Tracked {
            channel: t.channel,
            reference: t.reference,
            due: t.due,
        },
        In::DeferredDue(due) => Phase::Deferred {
            due,
            why: PutOff::Waited,
        },
        In::Deferred(d) => {
            let all = [PutOff::Closed, PutOff::Waited, PutOff::Asked];
            let why = all.into_iter().find(|why| *why as u32 == d.why);
            Phase::Deferred {
                due: d.due,
                why: some(why, "phase.why")?,
            }
        }
        In::Closed(1) => Phase::Closed(Closed::Answered),
        In::Closed(2) => Phase::Closed(Closed::Abandoned),
        In::Closed(3) => Phase::Closed(Closed::Expired),
        In::Closed(_) => return Err(Corrupt::Missing("phase.closed")),
    })
}

pub(super) fn chat(c: &Chat) -> log::Chat {
    let (languages, language_weights) = wanted(&c.languages);
    let (page_node, page_gone) = match c.page {
        Page::Unknown => (None, None),
        Page::There(node) => (Some(node), None),
        Page::Gone(until) => (None, Some(until)),
    };
    let watcher = |w: &Watcher| log::Watcher {
        who: w.who.clone(),
        how: w.how as u32,
    };
    log::Chat {
        id: c.id.to_string(),
        queue: c.queue.to_string(),
        phase: Some(phase(&c.phase)),
        languages,
        language_weights,
        region: c.region.as_ref().map(|r| r.to_string()),
        visitor: c.visitor.clone(),
        skills: skills(&c.skills),
        priority: c.priority,
        weight: c.weight,
        topic: c.topic.clone(),
        note: c.note.clone(),
        arrived: c.arrived,
        since: c.since,
        assignment: c.assignment,
        deferrals: c.deferrals,
        refusals: c
            .refusals
            .iter()
            .map(|(a, until)| log::Refusal {
                agent: a.to_string(),
                until: *until,
            })
            .collect(),
        answered: c.answered,
        answered_by: c.answered_by.as_ref().map(|a| a.to_string()),
        closed: c.closed,
        stars: c.stars,
        comment: c.comment.clone(),
        events: c.events.iter().map(event).collect(),
        index: c.index,
        vip: c.vip,
        channel: c.channel.clone(),
        kind: c.kind.clone(),
        interrupting: c.interrupting,
        via: c.via.to_string(),
        owner: c.owner.as_ref().map(|a| a.to_string()),
        estimate_ms: c.estimate_ms,
        last: c.last.as_ref().map(|a| a.to_string()),
        toward: c.toward.as_ref().map(toward),
        people_only: c.people_only,
        assist_of: c.assist.as_ref().map(|(of, _)| of.to_string()),
        purpose: c.assist.as_ref().map_or(0, |(_, purpose)| *purpose as u32),
        patience_ms: c.patience_ms,
        asked: c.asked,
        watchers: c.watchers.iter().map(watcher).collect(),
        lease_ms: c.lease_ms,
        page_node,
        page_gone,
        message: c.message.clone(),
        contact: c.contact.clone(),
        call_back: c.call_back,
    }
}
pub(super) fn read_chat(c: log::Chat) -> Read<Chat> {
    let watcher = |w: log::Watcher| {
        Ok(Watcher {
            who: w.who,
            how: some(read_watch(w.how)?, "chat.watchers.how")?,
        })
    };
    let assist = c.assist_of.map(ChatId::from);
    let assist = assist.map(|of| Ok((of, read_purpose(c.purpose)?)));
    Ok(Chat {
        id: ChatId::from(c.id),
        queue: QueueId::from(c.queue),
        phase: read_phase(c.phase)?,
        languages: read_wanted(c.languages, &c.language_weights),
        region: c.region.map(RegionId::from),
        visitor: c.visitor,
        skills: read_skills(c.skills),
        priority: c.priority,
        weight: c.weight,
        topic: c.topic,
        note: c.note,
        arrived: c.arrived,
        since: c.since,
        assignment: c.assignment,
        deferrals: c.deferrals,
        refusals: c
            .refusals
            .into_iter()
            .map(|r| (AgentId::from(r.agent), r.until))
            .collect(),
        answered: c.answered,
        answered_by: c.answered_by.map(AgentId::from),
        closed: c.closed,
        stars: c.stars,
        comment: c.comment,
        events: c.events.into_iter().map(read_event).collect::<Read<_>>()?,
        index: c.index,
        vip: c.vip,
        channel: match c.channel.as_str() {
            "" => limits::CHANNEL_USUAL.to_owned(),
            _ => c.channel,
        },
        kind: c.kind,
        interrupting: c.interrupting,
        via: QueueId::from(c.via),
        owner: c.owner.map(AgentId::from),
        estimate_ms: c.estimate_ms,
        last: c.last.map(AgentId::from),
        toward: c.toward.map(read_toward),
        people_only: c.people_only,
        assist: assist.transpose()?,
        patience_ms: c.patience_ms,
        asked: c.asked,
        watchers: c.watchers.into_iter().map(watcher).collect::<Read<_>>()?,
        lease_ms: c.lease_ms,
        page: match (c.page_node, c.page_gone) {
            (Some(node), _) => Page::There(node),
            (None, Some(until)) => Page::Gone(until),
            (None, None) => Page::Unknown,
        },
        message: c.message,
        contact: c.contact,
        call_back: c.call_back,
    })
}

pub(super) fn toward(t: &Toward) -> log::Toward {
    log::Toward {
        region: t.region.to_string(),
        hold_ms: t.hold_ms,
    }
}
pub(super) fn read_toward(t: log::Toward) -> Toward {
    Toward {
        region: RegionId::from(t.region),
        hold_ms: t.hold_ms,
    }
}

pub(super) fn read_purpose(number: u32) -> Read<Purpose> {
    let purpose = Purpose::ALL.into_iter().find(|p| *p as u32 == number);
    some(purpose, "purpose")
}

/// 0 = not at all.
pub(super) fn read_watch(number: u32) -> Read<Option<Watch>> {
    Ok(match number {
        0 => None,
        1 => Some(Watch::Monitor),
        2 => Some(Watch::Whisper),
        3 => Some(Watch::Barge),
        _ => return Err(Corrupt::Missing("watch")),
    })
}

pub(super) fn stats(queue: &QueueId, s: &QueueStats) -> log::QueueStats {
    let minute = |m: &Minute| log::Minute {
        minute: m.minute,
        accepted: m.accepted,
        answered: m.answered,
        in_target: m.in_target,
        abandoned: m.abandoned,
        wait_ms: m.wait_ms,
        handled: m.handled,
        handle_ms: m.handle_ms,
        estimated: m.estimated,
        error_ms: m.error_ms,
    };
    log::QueueStats {
        queue: queue.to_string(),
        minutes: s.minutes.iter().map(minute).collect(),
        pass: s.pass,
    }
}
pub(super) fn read_stats(s: log::QueueStats) -> (QueueId, QueueStats) {
    let minute = |m: log::Minute| Minute {
        minute: m.minute,
        accepted: m.accepted,
        answered: m.answered,
        in_target: m.in_target,
        abandoned: m.abandoned,
        wait_ms: m.wait_ms,
        handled: m.handled,
        handle_ms: m.handle_ms,
        estimated: m.estimated,
        error_ms: m.error_ms,
    };
    let stats = QueueStats {
        minutes: s.minutes.into_iter().map(minute).collect(),
        pass: s.pass,
    };
    (QueueId::from(s.queue), stats)
}

pub(super) fn closure(what: &Shut, c: &Closure) -> log::Closure {
    use log::closure::What as Out;
    log::Closure {
        what: Some(match what {
            Shut::Queue(id) => Out::Queue(id.to_string()),
            Shut::Region(id) => Out::Region(id.to_string()),
        }),
        until: c.until,
        why: c.why.clone(),
        by: c.by.clone(),
    }
}
pub(super) fn read_closure(c: log::Closure) -> Read<(Shut, Closure)> {
    use log::closure::What as In;
    let what = match some(c.what, "closure.what")? {
        In::Queue(id) => Shut::Queue(QueueId::from(id)),
        In::Region(id) => Shut::Region(RegionId::from(id)),
    };
    let closure = Closure {
        until: c.until,
        why: c.why,
        by: c.by,
    };
    Ok((what, closure))
}
