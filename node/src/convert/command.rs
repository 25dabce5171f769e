//! Commands and replies as they travel and stand in the log.

use meridian_proto::log::v1 as log;
use meridian_proto::log::v1::stamped::Command as Wire;
use meridian_routing::command::*;
use meridian_routing::effect::{Answer, Reject};
use meridian_routing::ids::*;
use meridian_routing::model::Tracking;
use prost::Message as _;

use super::{Corrupt, chat, model};

/// Newest command format this program writes and reads.
pub const VERSION: u32 = 1;

/// Writes a command. `at` is 0 until the leader stamps it, with [`stamp`].
pub fn encode(
    at: Millis,
    request_id: &str,
    actor: &str,
    traceparent: &str,
    command: &Command,
) -> Vec<u8> {
    let stamped = log::Stamped {
        version: VERSION,
        at,
        request_id: request_id.to_owned(),
        actor: actor.to_owned(),
        traceparent: traceparent.to_owned(),
        command: Some(write(command)),
    };
    stamped.encode_to_vec()
}

/// Puts the leader's time on an encoded command.
///
/// # Errors
/// The bytes are not a command this version knows in full. What is committed must be applied by every node,
/// so nothing else may be proposed.
pub fn stamp(bytes: &[u8], at: Millis) -> Result<Vec<u8>, Corrupt> {
    let mut stamped = message(bytes)?;
    read(stamped.command.clone().ok_or(Corrupt::Missing("command"))?)?;
    stamped.at = at;
    Ok(stamped.encode_to_vec())
}

/// Reads a command of the log, and its trace context.
///
/// # Errors
/// The bytes are not a command this version knows.
pub fn decode(index: u64, bytes: &[u8]) -> Result<(Stamped, String), Corrupt> {
    let stamped = message(bytes)?;
    let command = read(stamped.command.ok_or(Corrupt::Missing("command"))?)?;
    let traced = stamped.traceparent;
    Ok((
        Stamped {
            index,
            at: stamped.at,
            request_id: stamped.request_id,
            actor: stamped.actor,
            command,
        },
        traced,
    ))
}

fn message(bytes: &[u8]) -> Result<log::Stamped, Corrupt> {
    let stamped = log::Stamped::decode(bytes).map_err(|e| Corrupt::Decode {
        what: "command",
        why: e.to_string(),
    })?;
    match stamped.version {
        1..=VERSION => Ok(stamped),
        found => Err(Corrupt::Newer {
            found,
            known: VERSION,
        }),
    }
}

fn write(command: &Command) -> Wire {
    let of_agent = |agent: &AgentId, epoch: &Epoch, chat: Option<&ChatId>| log::OfAgent {
        agent: agent.to_string(),
        epoch: *epoch,
        chat: chat.map(|c| c.to_string()).unwrap_or_default(),
    };
    match command {
        Command::Configure(changes) => Wire::Configure(log::Configure {
            changes: changes.iter().map(change).collect(),
        }),
        Command::StartChat(new) => {
            let (languages, language_weights) = model::wanted(&new.languages);
            Wire::StartChat(log::NewChat {
                chat: new.chat.to_string(),
                queue: new.queue.to_string(),
                languages,
                region: new.region.as_ref().map(|r| r.to_string()),
                visitor: new.visitor.clone(),
                skills: model::skills(&new.skills),
                priority: new.priority,
                weight: new.weight,
                topic: new.topic.clone(),
                language_weights,
                vip: new.vip,
                channel: new.channel.clone(),
                kind: new.kind.clone(),
                owner: new.owner.as_ref().map(|a| a.to_string()),
                lease_ms: new.lease_ms,
                resolved: new.resolved.iter().map(model::resolved).collect(),
            })
        }
        Command::LeaveChat { chat } => Wire::LeaveChat(log::OfChat {
            chat: chat.to_string(),
        }),
        Command::RateChat {
            chat,
            stars,
            comment,
        } => Wire::RateChat(log::RateChat {
            chat: chat.to_string(),
            stars: *stars,
            comment: comment.clone(),
        }),
        Command::OpenSession {
            agent,
            node,
            resume,
            grace_ms,
        } => Wire::OpenSession(log::OpenSession {
            agent: agent.to_string(),
            node: *node,
            resume: *resume,
            grace_ms: *grace_ms,
        }),
        Command::LoseSession { agent, epoch } => Wire::LoseSession(of_agent(agent, epoch, None)),
        Command::CloseSession { agent, epoch } => Wire::CloseSession(of_agent(agent, epoch, None)),
        Command::NodeLost { node } => Wire::NodeLost(log::NodeLost { node: *node }),
        Command::SetPresence {
            agent,
            epoch,
            presence,
            overtime,
        } => Wire::SetPresence(log::SetPresence {
            agent: agent.to_string(),
            epoch: *epoch,
            presence: model::presence(*presence),
            overtime: *overtime,
        }),
        Command::AcceptOffer {
            agent,
            epoch,
            chat,
            assignment,
        } => Wire::AcceptOffer(log::AnswerOffer {
            agent: agent.to_string(),
            epoch: *epoch,
            chat: chat.to_string(),
            assignment: *assignment,
            reason: String::new(),
        }),
        Command::DeclineOffer {
            agent,
            epoch,
            chat,
            assignment,
            reason,
        } => Wire::DeclineOffer(log::AnswerOffer {
            agent: agent.to_string(),
            epoch: *epoch,
            chat: chat.to_string(),
            assignment: *assignment,
            reason: reason.clone(),
        }),
        Command::EndChat { agent, epoch, chat } => {
            Wire::EndChat(of_agent(agent, epoch, Some(chat)))
        }
        Command::FinishWrapUp { agent, epoch, chat } => {
            Wire::FinishWrapUp(of_agent(agent, epoch, Some(chat)))
        }
        Command::TransferChat {
            agent,
            epoch,
            chat,
            to,
            note,
            take_back,
        } => Wire::TransferChat(log::TransferChat {
            agent: agent.to_string(),
            epoch: *epoch,
            take_back: *take_back,
            ..transfer(chat, to, note)
        }),
        Command::AskFor {
            agent,
            epoch,
            chat,
            purpose,
            to,
            patience_ms,
            note,
        } => Wire::AskFor(log::AskFor {
            to: Some(log::TransferChat {
                agent: agent.to_string(),
                epoch: *epoch,
                ..transfer(chat, to, note)
            }),
            purpose: *purpose as u32,
            patience_ms: *patience_ms,
        }),
        Command::Supervise { chat, how } => Wire::Supervise(log::Supervise {
            chat: chat.to_string(),
            how: how.map_or(0, |how| how as u32),
        }),
        Command::MoveChat { chat, to, note } => Wire::MoveChat(log::MoveChat {
            to: Some(transfer(chat, to, note)),
        }),
        Command::VisitorSeen { chat, node } => Wire::VisitorSeen(log::OfVisitor {
            chat: chat.to_string(),
            node: *node,
        }),
        Command::VisitorGone { chat, node } => Wire::VisitorGone(log::OfVisitor {
            chat: chat.to_string(),
            node: *node,
        }),
        Command::LeaveMessage {
            chat,
            text,
            contact,
            at,
        } => Wire::LeaveMessage(log::LeaveMessage {
            chat: chat.to_string(),
            text: text.clone(),
            contact: contact.clone(),
            at: *at,
        }),
        Command::Escalate {
            agent,
            epoch,
            chat,
            track,
        } => Wire::Escalate(log::Escalate {
            agent: agent.to_string(),
            epoch: *epoch,
            chat: chat.to_string(),
            channel: track.channel.clone(),
            reference: track.reference.clone(),
            due_ms: track.due_ms,
            note: track.note.clone(),
        }),
        Command::CloseTracked { chat, outcome } => Wire::CloseTracked(log::CloseTracked {
            chat: chat.to_string(),
            outcome: outcome.clone(),
        }),
        Command::Shut { what, until, why } => Wire::Shut(log::Shut {
            what: Some(match what {
                Shut::Queue(id) => log::shut::What::Queue(id.to_string()),
                Shut::Region(id) => log::shut::What::Region(id.to_string()),
            }),
            until: *until,
            why: why.clone(),
        }),
        Command::Tick => Wire::Tick(log::Tick {}),
        Command::Adopt { rules } => Wire::Adopt(log::Adopt { rules: *rules }),
        Command::PinLeader { region } => Wire::PinLeader(log::PinLeader {
            region: region.as_ref().map(ToString::to_string),
        }),
    }
}

/// Where a chat is to go; of nobody's session.
fn transfer(chat: &ChatId, to: &TransferTo, note: &str) -> log::TransferChat {
    use log::transfer_chat::To;
    log::TransferChat {
        agent: String::new(),
        epoch: 0,
        chat: chat.to_string(),
        note: note.to_owned(),
        to: Some(match to {
            TransferTo::Queue(queue) => To::Queue(queue.to_string()),
            TransferTo::Agent(other) => To::Other(other.to_string()),
            TransferTo::Skills(skills) => To::Skills(log::Skills {
                skills: model::skills(skills),
            }),
            TransferTo::Region(region) => To::Region(chat::toward(region)),
        }),
        take_back: false,
    }
}
fn read_to(to: Option<log::transfer_chat::To>) -> Result<TransferTo, Corrupt> {
    use log::transfer_chat::To;
    Ok(match to.ok_or(Corrupt::Missing("transfer_chat.to"))? {
        To::Queue(queue) => TransferTo::Queue(QueueId::from(queue)),
        To::Other(other) => TransferTo::Agent(AgentId::from(other)),
        To::Skills(s) => TransferTo::Skills(model::read_skills(s.skills)),
        To::Region(region) => TransferTo::Region(chat::read_toward(region)),
    })
}

fn read(wire: Wire) -> Result<Command, Corrupt> {
    let (agent, id) = (AgentId::from, ChatId::from);
    Ok(match wire {
        Wire::Configure(c) => Command::Configure(
            c.changes
                .into_iter()
                .map(read_change)
                .collect::<Result<_, _>>()?,
        ),
        Wire::StartChat(n) => Command::StartChat(NewChat {
            chat: id(n.chat),
            queue: QueueId::from(n.queue),
            languages: model::read_wanted(n.languages, &n.language_weights),
            resolved: n.resolved.into_iter().map(model::read_resolved).collect(),
            region: n.region.map(RegionId::from),
            visitor: n.visitor,
            skills: model::read_skills(n.skills),
            priority: n.priority,
            weight: n.weight,
            topic: n.topic,
            vip: n.vip,
            channel: n.channel,
            kind: n.kind,
            owner: n.owner.map(agent),
            lease_ms: n.lease_ms,
        }),
        Wire::LeaveChat(c) => Command::LeaveChat { chat: id(c.chat) },
        Wire::RateChat(r) => Command::RateChat {
            chat: id(r.chat),
            stars: r.stars,
            comment: r.comment,
        },
        Wire::OpenSession(o) => Command::OpenSession {
            agent: agent(o.agent),
            node: o.node,
            resume: o.resume,
            grace_ms: o.grace_ms,
        },
        Wire::LoseSession(a) => Command::LoseSession {
            agent: agent(a.agent),
            epoch: a.epoch,
        },
        Wire::CloseSession(a) => Command::CloseSession {
            agent: agent(a.agent),
            epoch: a.epoch,
        },
        Wire::NodeLost(n) => Command::NodeLost { node: n.node },
        Wire::SetPresence(p) => Command::SetPresence {
            agent: agent(p.agent),
            epoch: p.epoch,
            presence: model::read_presence(p.presence)?,
            overtime: p.overtime,
        },
        Wire::AcceptOffer(a) => Command::AcceptOffer {
            agent: agent(a.agent),
            epoch: a.epoch,
            chat: id(a.chat),
            assignment: a.assignment,
        },
        Wire::DeclineOffer(a) => Command::DeclineOffer {
            agent: agent(a.agent),
            epoch: a.epoch,
            chat: id(a.chat),
            assignment: a.assignment,
            reason: a.reason,
        },
        Wire::EndChat(a) => Command::EndChat {
            agent: agent(a.agent),
            epoch: a.epoch,
            chat: id(a.chat),
        },
        Wire::FinishWrapUp(a) => Command::FinishWrapUp {
            agent: agent(a.agent),
            epoch: a.epoch,
            chat: id(a.chat),
        },
        Wire::TransferChat(t) => Command::TransferChat {
            agent: agent(t.agent),
            epoch: t.epoch,
            chat: id(t.chat),
            note: t.note,
            to: read_to(t.to)?,
            take_back: t.take_back,
        },
        Wire::AskFor(a) => {
            let t = a.to.ok_or(Corrupt::Missing("ask_for.to"))?;
            Command::AskFor {
                agent: agent(t.agent),
                epoch: t.epoch,
                chat: id(t.chat),
                purpose: chat::read_purpose(a.purpose)?,
                to: read_to(t.to)?,
                patience_ms: a.patience_ms,
                note: t.note,
            }
        }
        Wire::Supervise(s) => Command::Supervise {
            chat: id(s.chat),
            how: chat::read_watch(s.how)?,
        },
        Wire::MoveChat(m) => {
            let t = m.to.ok_or(Corrupt::Missing("move_chat.to"))?;
            Command::MoveChat {
                chat: id(t.chat),
                to: read_to(t.to)?,
                note: t.note,
            }
        }
        Wire::VisitorSeen(v) => Command::VisitorSeen {
            chat: id(v.chat),
            node: v.node,
        },
        Wire::VisitorGone(v) => Command::VisitorGone {
            chat: id(v.chat),
            node: v.node,
        },
        Wire::LeaveMessage(m) => Command::LeaveMessage {
            chat: id(m.chat),
            text: m.text,
            contact: m.contact,
            at: m.at,
        },
        Wire::Escalate(e) => Command::Escalate {
            agent: agent(e.agent),
            epoch: e.epoch,
            chat: id(e.chat),
            track: Tracking {
                channel: e.channel,
                reference: e.reference,
                due_ms: e.due_ms,
                note: e.note,
            },
        },
        Wire::CloseTracked(c) => Command::CloseTracked {
            chat: id(c.chat),
            outcome: c.outcome,
        },
        Wire::Shut(s) => Command::Shut {
            what: match s.what.ok_or(Corrupt::Missing("shut.what"))? {
                log::shut::What::Queue(id) => Shut::Queue(QueueId::from(id)),
                log::shut::What::Region(id) => Shut::Region(RegionId::from(id)),
            },
            until: s.until,
            why: s.why,
        },
        Wire::Tick(_) => Command::Tick,
        Wire::Adopt(a) => Command::Adopt { rules: a.rules },
        Wire::PinLeader(p) => Command::PinLeader {
            region: p.region.map(RegionId::from),
        },
    })
}

pub(super) fn change(change: &ConfigChange) -> log::ConfigChange {
    use log::config_change::Change as Out;
    let out = match change {
        ConfigChange::PutWorkspace(w) => Out::PutWorkspace(model::workspace(w)),
        ConfigChange::PutRegion(r) => Out::PutRegion(model::region(r)),
        ConfigChange::PutSchedule(s) => Out::PutSchedule(model::schedule(s)),
        ConfigChange::ExtendSchedule(s) => Out::ExtendSchedule(model::schedule(s)),
        ConfigChange::LearnLanguage(r) => Out::LearnLanguage(model::resolved(r)),
        ConfigChange::PutQueue(q) => Out::PutQueue(model::queue(q)),
        ConfigChange::PutAgent(a) => Out::PutAgent(model::agent(a)),
        ConfigChange::RemoveRegion(id) => Out::RemoveRegion(id.to_string()),
        ConfigChange::RemoveSchedule(id) => Out::RemoveSchedule(id.to_string()),
        ConfigChange::RemoveQueue(id) => Out::RemoveQueue(id.to_string()),
        ConfigChange::RemoveAgent(id) => Out::RemoveAgent(id.to_string()),
    };
    log::ConfigChange { change: Some(out) }
}

pub(super) fn read_change(change: log::ConfigChange) -> Result<ConfigChange, Corrupt> {
    use log::config_change::Change as In;
    Ok(
        match change.change.ok_or(Corrupt::Missing("configure.change"))? {
            In::PutWorkspace(w) => ConfigChange::PutWorkspace(model::read_workspace(w)?),
            In::PutRegion(r) => ConfigChange::PutRegion(model::read_region(r)),
            In::PutSchedule(s) => ConfigChange::PutSchedule(model::read_schedule(s)?),
            In::ExtendSchedule(s) => ConfigChange::ExtendSchedule(model::read_schedule(s)?),
            In::LearnLanguage(r) => ConfigChange::LearnLanguage(model::read_resolved(r)),
            In::PutQueue(q) => ConfigChange::PutQueue(model::read_queue(q)?),
            In::PutAgent(a) => ConfigChange::PutAgent(model::read_agent(a)?),
            In::RemoveRegion(id) => ConfigChange::RemoveRegion(RegionId::from(id)),
            In::RemoveSchedule(id) => ConfigChange::RemoveSchedule(ScheduleId::from(id)),
            In::RemoveQueue(id) => ConfigChange::RemoveQueue(QueueId::from(id)),
            In::RemoveAgent(id) => ConfigChange::RemoveAgent(AgentId::from(id)),
        },
    )
}

/// Writes what a command was answered.
pub fn encode_reply(result: &Result<Answer, Reject>) -> Vec<u8> {
    reply(result).encode_to_vec()
}

/// Reads what a command was answered.
///
/// # Errors
/// The bytes are not a reply this version knows.
pub fn decode_reply(bytes: &[u8]) -> Result<Result<Answer, Reject>, Corrupt> {
    read_reply(log::Reply::decode(bytes).map_err(|e| Corrupt::Decode {
        what: "reply",
        why: e.to_string(),
    })?)
}

pub(super) fn reply(result: &Result<Answer, Reject>) -> log::Reply {
    use log::reject::{Fenced, Full, Invalid, Reason, Unknown};
    use log::reply::Result as Out;
    let out = match result {
        Ok(Answer::Done) => Out::Done(log::Done {}),
        Ok(Answer::Session { epoch }) => Out::SessionEpoch(*epoch),
        Ok(Answer::Chat { chat, phase }) => Out::Chat(log::ChatAt {
            chat: chat.to_string(),
            phase: Some(chat::phase(phase)),
        }),
        Err(reject) => {
            let reason = match reject.clone() {
                Reject::Invalid {
                    field,
                    problem,
                    fix,
                } => Reason::Invalid(Invalid {
                    field,
                    problem,
                    fix,
                }),
                Reject::Unknown { field, kind, id } => Reason::Unknown(Unknown {
                    field,
                    kind: kind.to_owned(),
                    id,
                }),
                Reject::Fenced {
                    agent,
                    given,
                    current,
                } => Reason::Fenced(Fenced {
                    agent: agent.to_string(),
                    given,
                    current,
                }),
                Reject::Conflict(text) => Reason::Conflict(text),
                Reject::Full {
                    field,
                    limit,
                    retry_ms,
                } => Reason::Full(Full {
                    field,
                    limit,
                    retry_ms,
                }),
            };
            Out::Reject(log::Reject {
                reason: Some(reason),
            })
        }
    };
    log::Reply { result: Some(out) }
}

pub(super) fn read_reply(reply: log::Reply) -> Result<Result<Answer, Reject>, Corrupt> {
    use log::reject::Reason;
    use log::reply::Result as In;
    Ok(match reply.result.ok_or(Corrupt::Missing("reply"))? {
        In::Done(_) => Ok(Answer::Done),
        In::SessionEpoch(epoch) => Ok(Answer::Session { epoch }),
        In::Chat(at) => Ok(Answer::Chat {
            chat: ChatId::from(at.chat),
            phase: chat::read_phase(at.phase)?,
        }),
        In::Reject(reject) => Err(
            match reject.reason.ok_or(Corrupt::Missing("reply.reject"))? {
                Reason::Invalid(r) => Reject::Invalid {
                    field: r.field,
                    problem: r.problem,
                    fix: r.fix,
                },
                Reason::Unknown(r) => {
                    let kind = ["chat", "agent", "queue", "region", "schedule"]
                        .into_iter()
                        .find(|k| *k == r.kind);
                    Reject::Unknown {
                        field: r.field,
                        kind: kind.unwrap_or("object"),
                        id: r.id,
                    }
                }
                Reason::Fenced(r) => Reject::Fenced {
                    agent: AgentId::from(r.agent),
                    given: r.given,
                    current: r.current,
                },
                Reason::Conflict(text) => Reject::Conflict(text),
                Reason::Full(r) => Reject::Full {
                    field: r.field,
                    limit: r.limit,
                    retry_ms: r.retry_ms,
                },
            },
        ),
    })
}
