//! Why a chat is where it is, told from what was recorded when it was decided.

use crate::ids::*;
use crate::reason::Candidate;
use crate::state::{Chat, State};

/// A step in a chat's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Log index of the command that decided.
    pub index: u64,
    /// When.
    pub at: Millis,
    /// Version of the configuration in force.
    pub version: u64,
    /// What happened.
    pub what: What,
    /// The agent concerned.
    pub agent: Option<AgentId>,
    /// Why, in words; may be empty.
    pub detail: String,
    /// When it was offered: who was weighed, the chosen one first.
    pub candidates: Vec<Candidate>,
}

/// What happened to a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Taken in.
    Arrived = 1,
    /// Offered to an agent.
    Offered = 2,
    /// The agent took it.
    Accepted = 3,
    /// The agent declined it.
    Declined = 4,
    /// The agent did not answer in time.
    OfferTimedOut = 5,
    /// The offer was withdrawn because the session was lost.
    OfferWithdrawn = 6,
    /// Put off to a later time.
    Deferred = 7,
    /// Came back to the line.
    Returned = 8,
    /// Its agent vanished; back to the line at its place.
    AgentLost = 9,
    /// Handed on by its agent.
    Transferred = 10,
    /// The agent or visitor ended it.
    Ended = 11,
    /// Wrap-up is finished.
    WrappedUp = 12,
    /// The visitor left before an answer.
    Abandoned = 13,
    /// Put off too often.
    Expired = 14,
    /// The visitor rated it.
    Rated = 15,
    /// Its queue is closed; it waits in one it overflows into.
    Overflowed = 16,
    /// Its agent asked for another; an assist is on its way.
    Asked = 17,
    /// The other agent takes part.
    Joined = 18,
    /// The other agent takes part no more.
    Parted = 19,
    /// Nobody came for what its agent asked.
    Unassisted = 20,
    /// Another agent took it over, the one before staying until then.
    HandedOver = 21,
    /// A supervisor takes part, in another way, or no more.
    Supervised = 22,
    /// A supervisor sent it elsewhere.
    Moved = 23,
    /// Its agent's working day is over.
    ShiftOver = 24,
    /// The visitor's page was away too long.
    VisitorGone = 25,
    /// The visitor left a message or asked for a call.
    MessageLeft = 26,
    /// Goes on by e-mail or phone.
    Escalated = 27,
    /// Was not closed in time there.
    Overdue = 28,
}

impl What {
    /// Every one, so that a written number can be read.
    pub const ALL: [Self; 28] = [
        Self::Arrived,
        Self::Offered,
        Self::Accepted,
        Self::Declined,
        Self::OfferTimedOut,
        Self::OfferWithdrawn,
        Self::Deferred,
        Self::Returned,
        Self::AgentLost,
        Self::Transferred,
        Self::Ended,
        Self::WrappedUp,
        Self::Abandoned,
        Self::Expired,
        Self::Rated,
        Self::Overflowed,
        Self::Asked,
        Self::Joined,
        Self::Parted,
        Self::Unassisted,
        Self::HandedOver,
        Self::Supervised,
        Self::Moved,
        Self::ShiftOver,
        Self::VisitorGone,
        Self::MessageLeft,
        Self::Escalated,
        Self::Overdue,
    ];
}

/// The rules of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Not available.
    Presence = 1,
    /// Off shift.
    Shift = 2,
    /// No room.
    Capacity = 3,
    /// Does not serve a queue in reach.
    Queue = 4,
    /// Does not speak a language well enough.
    Language = 5,
    /// Lacks a skill.
    Skill = 6,
    /// Region not let in at this step.
    Region = 7,
    /// Declined or ignored it just now.
    Declined = 8,
    /// Spoke with the visitor last.
    Sticky = 9,
    /// Better language.
    LanguageRank = 10,
    /// Region earlier in sun order.
    Sun = 11,
    /// Less occupied.
    Occupancy = 12,
    /// Longer idle.
    Idle = 13,
    /// All else equal: the smaller id.
    Id = 14,
    /// Named by the agent who handed it on.
    Named = 15,
    /// Nearer queue: fewer overflow hops away.
    Hop = 16,
    /// Lower rank in the queue, or a rank not let in at this step.
    Rank = 17,
    /// Region that the step prefers.
    PreferredRegion = 18,
    /// Skills that the step prefers.
    PreferredSkill = 19,
    /// Higher levels in the wanted skills.
    SkillLevel = 20,
    /// Asked longest ago.
    Turn = 21,
    /// Farther behind their share.
    Share = 22,
    /// Carries as many chats of the queue as they may.
    QueueCap = 23,
    /// The chat is held for somebody else.
    Held = 24,
    /// The chat does not overflow so far just now.
    Overflow = 25,
    /// The chat belongs to them.
    Owner = 26,
    /// Let in by an earlier step.
    Step = 27,
    /// A bot: asked before people, but not for what a bot handed on.
    Bot = 28,
}

impl State {
    /// Writes a step of a chat's story; called inside `edit_chat`.
    pub(crate) fn event(&self, what: What, agent: Option<&AgentId>, detail: &str) -> Event {
        let (index, at) = (self.meta.index, self.meta.now);
        Event {
            index,
            at,
            version: self.meta.version,
            what,
            agent: agent.cloned(),
            detail: detail.to_owned(),
            candidates: Vec::new(),
        }
    }
}

impl Chat {
    pub(crate) fn tell(&mut self, event: Event) {
        if self.events.len() >= crate::limits::EVENTS_MAX {
            // How it began stays; the oldest of the rest goes.
            self.events.remove(1);
        }
        self.events.push(event);
    }
}
