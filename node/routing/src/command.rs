//! Everything that can change the state: one closed enum, imperative names.

use crate::checks::{check_id, check_once, check_resolved};
pub use crate::closure::Shut;
use crate::effect::Reject;
use crate::ids::*;
use crate::language::Resolved;
use crate::limits::*;
use crate::model::*;
use crate::offer::{bounds, bytes};
pub use crate::transfer::TransferTo;

/// One committed command with what the leader stamped on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Raft log index of the entry; recorded in explanations.
    pub index: u64,
    /// Leader's time. The state uses the largest value seen, so time never runs backwards.
    pub at: Millis,
    /// Client request id, 1..=64 bytes, or empty for commands that are never repeated. A repeat within
    /// [`crate::limits::REQUEST_KEPT_MS`] is answered with the first answer and acts once.
    pub request_id: String,
    /// Who asked: agent and session, visitor, chat, operator name or node; kept for audit, at most
    /// [`crate::limits::ACTOR_BYTES_MAX`] bytes. Request ids count per actor.
    pub actor: String,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Applies a whole set of configuration changes, or none of it.
    Configure(Vec<ConfigChange>),
    /// A visitor starts a chat.
    StartChat(NewChat),
    /// The visitor leaves: abandons a waiting chat, ends an active one.
    LeaveChat {
        /// Which chat.
        chat: ChatId,
    },
    /// The visitor rates a chat that ended, 1..=5, once; text up to `limits::TEXT_BYTES_MAX`.
    RateChat {
        /// Which chat.
        chat: ChatId,
        /// 1 (bad) to 5 (good).
        stars: u32,
        /// The visitor's words; may be empty.
        comment: String,
    },
    /// An agent's stream connects on a node. Opens a new epoch, which fences every older session. With
    /// `resume` equal to the current epoch and inside the grace, the agent keeps chats and presence.
    OpenSession {
        /// Which agent.
        agent: AgentId,
        /// The node that holds the stream.
        node: NodeId,
        /// Epoch to resume, 0 for none.
        resume: Epoch,
        /// How long the agent's chats wait for a lost session to come back, in ms.
        grace_ms: u32,
    },
    /// The stream of a session broke; its grace begins.
    LoseSession {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch; an older one changes nothing.
        epoch: Epoch,
    },
    /// The agent signs off: no grace, presence goes, open chats are offered again at their place.
    CloseSession {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
    },
    /// A node is gone: every session it held is lost, as by `LoseSession`.
    NodeLost {
        /// Which node.
        node: NodeId,
    },
    /// The agent chooses a presence.
    SetPresence {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// What the agent chose.
        presence: Presence,
        /// Whether the agent takes chats off shift too; counts for `Available` alone.
        overtime: bool,
    },
    /// The agent takes an offered chat.
    AcceptOffer {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The chat offered.
        chat: ChatId,
        /// The assignment epoch in the offer; an older one is refused.
        assignment: u64,
    },
    /// The agent declines an offered chat; it is offered to another, at its place.
    DeclineOffer {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The chat offered.
        chat: ChatId,
        /// The assignment epoch in the offer.
        assignment: u64,
        /// Why, at most 256 bytes.
        reason: String,
    },
    /// The owner ends the chat; wrap-up begins.
    EndChat {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The owned chat.
        chat: ChatId,
    },
    /// The owner finishes wrap-up; the units come free.
    FinishWrapUp {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The chat in wrap-up.
        chat: ChatId,
    },
    /// The owner hands the chat to a queue or an agent. It keeps its arrival time.
    TransferChat {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The owned chat.
        chat: ChatId,
        /// Where to.
        to: TransferTo,
        /// A note for the next agent, at most `limits::TEXT_BYTES_MAX`.
        note: String,
        /// Whether the chat comes back to whoever hands it on, should nobody there take it.
        take_back: bool,
    },
    /// The owner asks for another agent: to take the chat over while they stay until then, to advise, or to join.
    AskFor {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The owned chat.
        chat: ChatId,
        /// What for; not `Relief`.
        purpose: Purpose,
        /// From where.
        to: TransferTo,
        /// How long to wait for somebody, in ms; 0 = `limits::PATIENCE_USUAL_MS`.
        patience_ms: u32,
        /// A note for whoever comes, at most `limits::TEXT_BYTES_MAX`.
        note: String,
    },
    /// The visitor's page follows a chat by a node.
    VisitorSeen {
        /// Which chat.
        chat: ChatId,
        /// By which node.
        node: NodeId,
    },
    /// The page follows it by that node no more; the lease of a live chat begins.
    VisitorGone {
        /// Which chat.
        chat: ChatId,
        /// By which node; another than it follows by now changes nothing.
        node: NodeId,
    },
    /// The visitor goes and wants to be come back to: from here on the chat is asynchronous.
    LeaveMessage {
        /// Which chat; it must not be with an agent.
        chat: ChatId,
        /// What is to be answered, at most `limits::TEXT_BYTES_MAX`.
        text: String,
        /// How to come back, 1..=`limits::CONTACT_BYTES_MAX` bytes.
        contact: String,
        /// When to call back; 0 = as soon as possible.
        at: Millis,
    },
    /// The owner goes on with the visitor elsewhere; the chat is tracked until it is closed.
    Escalate {
        /// Which agent.
        agent: AgentId,
        /// The session's epoch.
        epoch: Epoch,
        /// The owned chat.
        chat: ChatId,
        /// How it goes on.
        track: Tracking,
    },
    /// What was tracked elsewhere is done; by an agent, a supervisor or the system it went on in.
    CloseTracked {
        /// Which chat.
        chat: ChatId,
        /// What came of it, at most `limits::TEXT_BYTES_MAX`.
        outcome: String,
    },
    /// An operator closes a queue or a region at once, or opens it again.
    Shut {
        /// Which.
        what: Shut,
        /// Until when; 0 = opens it again; `limits::TIME_MAX` = until it is opened again.
        until: Millis,
        /// Why, at most `limits::REASON_BYTES_MAX`.
        why: String,
    },
    /// A supervisor, who is the actor, takes part in a chat, in another way, or no more.
    Supervise {
        /// Which chat.
        chat: ChatId,
        /// How; `None` = no more.
        how: Option<Watch>,
    },
    /// A supervisor, who is the actor, sends an open chat elsewhere, whoever has it.
    MoveChat {
        /// Which chat.
        chat: ChatId,
        /// Where to.
        to: TransferTo,
        /// A note for the next agent, at most `limits::TEXT_BYTES_MAX`; empty = the last one stays.
        note: String,
    },
    /// Time passed: every deadline at or before `at` fires. Proposed only when one is due.
    Tick,
    /// Puts [`crate::rules`] in force. Proposed only once every member knows them.
    Adopt {
        /// Up to which.
        rules: u32,
    },
    /// An operator pins leadership to a region, or lets it go; see [`crate::pin`]. From rules 2 on.
    PinLeader {
        /// Which region, 1..=`limits::ID_BYTES_MAX` bytes; `None` = none any more.
        region: Option<RegionId>,
    },
}

impl Command {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Configure(_) => "configure",
            Self::StartChat(_) => "start_chat",
            Self::LeaveChat { .. } => "leave_chat",
            Self::RateChat { .. } => "rate_chat",
            Self::OpenSession { .. } => "open_session",
            Self::LoseSession { .. } => "lose_session",
            Self::CloseSession { .. } => "close_session",
            Self::NodeLost { .. } => "node_lost",
            Self::SetPresence { .. } => "set_presence",
            Self::AcceptOffer { .. } => "accept_offer",
            Self::DeclineOffer { .. } => "decline_offer",
            Self::EndChat { .. } => "end_chat",
            Self::FinishWrapUp { .. } => "finish_wrap_up",
            Self::TransferChat { .. } => "transfer_chat",
            Self::AskFor { .. } => "ask_for",
            Self::VisitorSeen { .. } => "visitor_seen",
            Self::VisitorGone { .. } => "visitor_gone",
            Self::LeaveMessage { .. } => "leave_message",
            Self::Escalate { .. } => "escalate",
            Self::CloseTracked { .. } => "close_tracked",
            Self::Shut { .. } => "shut",
            Self::Supervise { .. } => "supervise",
            Self::MoveChat { .. } => "move_chat",
            Self::Tick => "tick",
            Self::Adopt { .. } => "adopt",
            Self::PinLeader { .. } => "pin_leader",
        }
    }
}

impl Command {
    /// What is asked, without what a retry may choose anew: tells a repeat from another request under the
    /// same id. Durable, so the words stay as they are.
    pub fn subject(&self) -> String {
        match self {
            Self::Configure(changes) => format!("configure {} objects", asked(changes)),
            Self::StartChat(new) => format!("start a chat in {}", new.queue),
            Self::LeaveChat { chat } => format!("leave {chat}"),
            Self::RateChat { chat, stars, .. } => format!("rate {chat} {stars}"),
            Self::OpenSession { agent, .. } => format!("open a session of {agent}"),
            Self::LoseSession { agent, epoch } => format!("lose session {epoch} of {agent}"),
            Self::CloseSession { agent, epoch } => format!("close session {epoch} of {agent}"),
            Self::NodeLost { node } => format!("lose node {node}"),
            Self::SetPresence {
                agent,
                epoch,
                presence,
                overtime,
            } => format!("set presence {presence:?} of {agent} {epoch} {overtime}"),
            Self::AcceptOffer {
                agent,
                epoch,
                chat,
                assignment,
            } => format!("accept {chat} {assignment} by {agent} {epoch}"),
            Self::DeclineOffer {
                agent,
                epoch,
                chat,
                assignment,
                ..
            } => format!("decline {chat} {assignment} by {agent} {epoch}"),
            Self::EndChat { agent, epoch, chat } => format!("end {chat} by {agent} {epoch}"),
            Self::FinishWrapUp { agent, epoch, chat } => {
                format!("finish {chat} by {agent} {epoch}")
            }
            Self::TransferChat {
                agent,
                epoch,
                chat,
                to,
                ..
            } => format!("transfer {chat} by {agent} {epoch} to {to}"),
            Self::AskFor {
                agent,
                epoch,
                chat,
                purpose,
                to,
                ..
            } => format!("ask for {purpose:?} in {chat} by {agent} {epoch} from {to}"),
            Self::VisitorSeen { chat, node } => format!("visitor of {chat} at {node}"),
            Self::VisitorGone { chat, node } => format!("visitor of {chat} not at {node}"),
            Self::LeaveMessage { chat, at, .. } => format!("leave a message in {chat} for {at}"),
            Self::Escalate { chat, track, .. } => {
                format!("escalate {chat} to {} {}", track.channel, track.reference)
            }
            Self::CloseTracked { chat, .. } => format!("close {chat}"),
            Self::Shut { what, until, .. } => format!("shut {what} until {until}"),
            Self::Supervise { chat, how } => format!("supervise {chat} {how:?}"),
            Self::MoveChat { chat, to, .. } => format!("move {chat} to {to}"),
            Self::Tick => "tick".to_owned(),
            Self::Adopt { rules } => format!("adopt rules {rules}"),
            Self::PinLeader {
                region: Some(region),
            } => format!("pin the leader to {region}"),
            Self::PinLeader { region: None } => "unpin the leader".to_owned(),
        }
    }

    /// Checks all that needs no state: lengths, counts and bounds. Nodes call it before they propose, so that
    /// nothing oversized travels; the core calls it again, since it trusts nobody.
    ///
    /// # Errors
    /// [`Reject::Invalid`] with the first field at fault.
    pub fn check(&self) -> Result<(), Reject> {
        let id = |field: &str, id: &str| bytes(field, id, 1, ID_BYTES_MAX);
        let chat_id = |chat: &ChatId| bytes("chat_id", chat.as_str(), 1, CHAT_ID_BYTES_MAX);
        match self {
            Self::StartChat(new) => new.check(),
            Self::LeaveChat { chat } => chat_id(chat),
            Self::RateChat {
                chat,
                stars,
                comment,
            } => {
                chat_id(chat)?;
                bounds("stars", (*stars).into(), 1, 5)?;
                bytes("comment", comment, 0, TEXT_BYTES_MAX)
            }
            Self::OpenSession {
                agent,
                node,
                grace_ms,
                ..
            } => {
                id("agent_id", agent.as_str())?;
                bounds("node", *node, 1, u64::MAX)?;
                let (least, most) = GRACE_MS;
                bounds("grace_ms", (*grace_ms).into(), least.into(), most.into())
            }
            Self::LoseSession { agent, .. }
            | Self::CloseSession { agent, .. }
            | Self::SetPresence { agent, .. } => id("agent_id", agent.as_str()),
            Self::AcceptOffer { agent, chat, .. }
            | Self::EndChat { agent, chat, .. }
            | Self::FinishWrapUp { agent, chat, .. } => {
                id("agent_id", agent.as_str())?;
                chat_id(chat)
            }
            Self::DeclineOffer {
                agent,
                chat,
                reason,
                ..
            } => {
                id("agent_id", agent.as_str())?;
                chat_id(chat)?;
                bytes("reason", reason, 0, REASON_BYTES_MAX)
            }
            Self::TransferChat {
                agent,
                chat,
                to,
                note,
                ..
            } => {
                id("agent_id", agent.as_str())?;
                chat_id(chat)?;
                to.check("to")?;
                bytes("note", note, 0, TEXT_BYTES_MAX)
            }
            Self::AskFor {
                agent,
                chat,
                purpose,
                to,
                patience_ms,
                note,
                ..
            } => {
                id("agent_id", agent.as_str())?;
                chat_id(chat)?;
                if *purpose == Purpose::Relief {
                    return Err(Reject::Invalid {
                        field: "purpose".into(),
                        problem: "relief comes by itself at the end of a shift".into(),
                        fix: "ask for a handover".into(),
                    });
                }
                to.check("to")?;
                if *patience_ms != 0 {
                    let (least, most) = PATIENCE_MS;
                    let given = (*patience_ms).into();
                    bounds("patience_ms", given, least.into(), most.into())?;
                }
                bytes("note", note, 0, TEXT_BYTES_MAX)
            }
            Self::VisitorSeen { chat, node } | Self::VisitorGone { chat, node } => {
                chat_id(chat)?;
                bounds("node", *node, 1, u64::MAX)
            }
            Self::LeaveMessage {
                chat,
                text,
                contact,
                ..
            } => {
                chat_id(chat)?;
                bytes("text", text, 0, TEXT_BYTES_MAX)?;
                bytes("contact", contact, 1, CONTACT_BYTES_MAX)
            }
            Self::Escalate {
                agent, chat, track, ..
            } => {
                id("agent_id", agent.as_str())?;
                chat_id(chat)?;
                check_id("channel", &track.channel)?;
                bytes("reference", &track.reference, 1, CONTACT_BYTES_MAX)?;
                let (least, most) = TRACKED_MS;
                let due = track.due_ms.into();
                bounds("due_ms", due, least.into(), most.into())?;
                bytes("note", &track.note, 0, TEXT_BYTES_MAX)
            }
            Self::CloseTracked { chat, outcome } => {
                chat_id(chat)?;
                bytes("outcome", outcome, 0, TEXT_BYTES_MAX)
            }
            Self::Shut { what, why, .. } => {
                match what {
                    Shut::Queue(queue) => id("queue_id", queue.as_str())?,
                    Shut::Region(region) => id("region_id", region.as_str())?,
                }
                bytes("why", why, 0, REASON_BYTES_MAX)
            }
            Self::Supervise { chat, .. } => chat_id(chat),
            Self::MoveChat { chat, to, note } => {
                chat_id(chat)?;
                to.check("to")?;
                bytes("note", note, 0, TEXT_BYTES_MAX)
            }
            Self::Configure(changes) => bounds("changes", asked(changes), 0, CHANGES_MAX as u64),
            Self::PinLeader {
                region: Some(region),
            } => id("region_id", region.as_str()),
            Self::PinLeader { region: None }
            | Self::NodeLost { .. }
            | Self::Tick
            | Self::Adopt { .. } => Ok(()),
        }
    }
}

/// What can be checked without a state.
pub(crate) trait Bounded {
    /// Checks lengths, counts and bounds.
    ///
    /// # Errors
    /// [`Reject::Invalid`] with the first field at fault, under `at`.
    fn check(&self, at: &str) -> Result<(), Reject>;
}

/// How many changes were asked for: what tags mean is added by whoever proposes, as far as it is not known yet.
fn asked(changes: &[ConfigChange]) -> u64 {
    let asked = |c: &&ConfigChange| !matches!(c, ConfigChange::LearnLanguage(_));
    changes.iter().filter(asked).count() as u64
}

impl NewChat {
    fn check(&self) -> Result<(), Reject> {
        bytes("chat_id", self.chat.as_str(), 1, ID_BYTES_MAX)?;
        bytes("queue_id", self.queue.as_str(), 1, ID_BYTES_MAX)?;
        let count = self.languages.len() as u64;
        bounds("languages", count, 1, CHAT_LANGUAGES_MAX as u64)?;
        for (i, language) in self.languages.iter().enumerate() {
            let field = format!("languages[{i}]");
            bytes(&field, language.language.as_str(), 2, LANGUAGE_BYTES_MAX)?;
            bounds(
                &format!("{field}.weight"),
                language.weight.into(),
                1,
                LANGUAGE_WEIGHT_MAX.into(),
            )?;
        }
        let count = self.resolved.len() as u64;
        bounds("resolved", count, 0, CHAT_LANGUAGES_MAX as u64)?;
        for (i, resolved) in self.resolved.iter().enumerate() {
            check_resolved(resolved, &format!("resolved[{i}]"))?;
        }
        if let Some(region) = &self.region {
            bytes("region_id", region.as_str(), 1, ID_BYTES_MAX)?;
        }
        bytes("visitor_id", &self.visitor, 0, NAME_BYTES_MAX)?;
        let count = self.skills.len() as u64;
        bounds("skills", count, 0, CHAT_SKILLS_MAX as u64)?;
        for (i, skill) in self.skills.iter().enumerate() {
            check_id(&format!("skills[{i}].skill"), skill.skill.as_str())?;
            let field = format!("skills[{i}].level");
            bounds(&field, skill.level.into(), 1, SKILL_LEVEL_MAX.into())?;
        }
        check_once("skills", ".skill", self.skills.iter().map(|s| &s.skill))?;
        bounds("priority", self.priority.into(), 0, PRIORITY_MAX.into())?;
        bounds("weight", self.weight.into(), 0, WEIGHT_MAX.into())?;
        for (field, word) in [("channel", &self.channel), ("kind", &self.kind)] {
            if !word.is_empty() {
                check_id(field, word)?;
            }
        }
        if let Some(owner) = &self.owner {
            bytes("owner_agent_id", owner.as_str(), 1, ID_BYTES_MAX)?;
        }
        if self.lease_ms != 0 {
            let (least, most) = LEASE_MS;
            bounds("lease_ms", self.lease_ms.into(), least.into(), most.into())?;
        }
        bytes("topic", &self.topic, 0, TEXT_BYTES_MAX)
    }
}

/// One change of configuration. `Put` adds or replaces the whole object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// The organisation's settings.
    PutWorkspace(Workspace),
    /// A region.
    PutRegion(Region),
    /// A schedule as UTC spans.
    PutSchedule(Schedule),
    /// The same schedule resolved further ahead or with newer zone data. Ignored when the schedule was
    /// removed or changed since it was read, or is resolved with newer zone data already.
    ExtendSchedule(Schedule),
    /// A queue.
    PutQueue(Queue),
    /// An agent.
    PutAgent(Agent),
    /// What a language tag means. Ignored where it is known by data as new.
    LearnLanguage(Resolved),
    /// Removes a region nothing refers to.
    RemoveRegion(RegionId),
    /// Removes a schedule nothing refers to.
    RemoveSchedule(ScheduleId),
    /// Removes a queue without open chats that nothing refers to.
    RemoveQueue(QueueId),
    /// Removes an agent without open chats.
    RemoveAgent(AgentId),
}

/// What a visitor asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewChat {
    /// Chosen by the node that took the request.
    pub chat: ChatId,
    /// The queue.
    pub queue: QueueId,
    /// The visitor's languages, best first, 1..=8.
    pub languages: Vec<WantedLanguage>,
    /// What those tags mean, as far as the proposer found them not known yet.
    pub resolved: Vec<Resolved>,
    /// The visitor's region, when known.
    pub region: Option<RegionId>,
    /// Who the visitor is, for returning visitors; opaque, at most 128 bytes, may be empty.
    pub visitor: String,
    /// Skills wanted.
    pub skills: Vec<SkillLevel>,
    /// 0 (lowest) ..= 9 (urgent).
    pub priority: u32,
    /// Whether the visitor is very important; what that is worth, the queue says.
    pub vip: bool,
    /// Channel; empty = [`crate::limits::CHANNEL_USUAL`].
    pub channel: String,
    /// Kind; may be empty.
    pub kind: String,
    /// Capacity units the chat takes, 1..=100; 0 = as the workspace's loads say.
    pub weight: u32,
    /// The agent it belongs to; offered to them first.
    pub owner: Option<AgentId>,
    /// First message or topic, at most `limits::TEXT_BYTES_MAX`.
    pub topic: String,
    /// The chat is given up when the visitor's page is away for so long, in ms, within `limits::LEASE_MS`; 0 = the
    /// visitor may leave and come back days later.
    pub lease_ms: u32,
}
