//! Why a chat is where it is, told from what was recorded when it was decided.

use crate::fit::{Fit, Misfit, PLACE};
use crate::ids::*;
use crate::matching::Preference;
use crate::model::*;
use crate::state::{Chat, State};

/// A step in a chat's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Log index of the command that decided.
    pub index: u64,
    /// When.
    pub at: Millis,
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

/// One agent weighed for a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub agent: AgentId,
    /// Whether the agent might have taken it.
    pub eligible: bool,
    /// The rule that spoke.
    pub rule: Rule,
    /// In words.
    pub reason: String,
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

impl Rule {
    /// Every one, so that a written number can be read.
    pub const ALL: [Self; 28] = [
        Self::Presence,
        Self::Shift,
        Self::Capacity,
        Self::Queue,
        Self::Language,
        Self::Skill,
        Self::Region,
        Self::Declined,
        Self::Sticky,
        Self::LanguageRank,
        Self::Sun,
        Self::Occupancy,
        Self::Idle,
        Self::Id,
        Self::Named,
        Self::Hop,
        Self::Rank,
        Self::PreferredRegion,
        Self::PreferredSkill,
        Self::SkillLevel,
        Self::Turn,
        Self::Share,
        Self::QueueCap,
        Self::Held,
        Self::Overflow,
        Self::Owner,
        Self::Step,
        Self::Bot,
    ];
}

/// A presence in words.
pub(crate) fn presence_word(presence: Presence) -> &'static str {
    match presence {
        Presence::Offline => "offline",
        Presence::Available => "available",
        Presence::Break => "on a break",
        Presence::Draining => "draining",
        Presence::NotResponding => "not responding",
        Presence::Lost => "disconnected",
    }
}

fn spoken(fit: Fit) -> String {
    match fit.language {
        0 => "speaks the first language exactly".to_owned(),
        apart if apart < PLACE => {
            format!("speaks a form of the first language, {apart} apart")
        }
        rank if rank < crate::limits::CHAT_LANGUAGES_MAX as u32 * PLACE => {
            let place = rank / PLACE + 1;
            match rank % PLACE {
                0 => format!("speaks the visitor's language no. {place}"),
                apart => {
                    format!("speaks a form of the visitor's language no. {place}, {apart} apart")
                }
            }
        }
        _ => "speaks a fallback language".to_owned(),
    }
}

fn hops(fit: Fit) -> String {
    match fit.hop {
        0 => "serves the chat's own queue".to_owned(),
        1 => "serves the queue it overflows into".to_owned(),
        n => format!("serves a queue {n} overflow hops away"),
    }
}

impl Candidate {
    /// The winner: tells the first rule that set it apart from the next best. That nobody else was free is
    /// told only when everybody who fits was looked at.
    pub(crate) fn chosen(
        chat: &Chat,
        strategy: Strategy,
        best: &Preference,
        next: Option<&Preference>,
        all_seen: bool,
    ) -> Self {
        let (rule, reason) = match next {
            Some(next) => difference(chat, strategy, best, next, true),
            None if best.sticky == 0 => belongs(chat),
            None if all_seen => (
                Rule::LanguageRank,
                format!("{}; nobody else was free", spoken(best.fit)),
            ),
            None => (Rule::LanguageRank, spoken(best.fit)),
        };
        Self {
            agent: best.agent.clone(),
            eligible: true,
            rule,
            reason,
        }
    }

    /// One who might have taken it, but for the rule told.
    pub(crate) fn runner_up(
        chat: &Chat,
        strategy: Strategy,
        best: &Preference,
        other: &Preference,
    ) -> Self {
        let (rule, reason) = difference(chat, strategy, best, other, false);
        Self {
            agent: other.agent.clone(),
            eligible: true,
            rule,
            reason,
        }
    }

    /// One who may not take it.
    pub(crate) fn refused(agent: &AgentId, rule: Rule, reason: String) -> Self {
        Self {
            agent: agent.clone(),
            eligible: false,
            rule,
            reason,
        }
    }

    /// Says of a refusal that it concerns the agent to whom the chat belongs.
    pub(crate) fn of_sticky(mut self, chat: &Chat) -> Self {
        self.reason = format!("{}, but {}", belongs(chat).1, self.reason);
        self
    }

    /// Orders the refused: those who might soon be free first, then those of another kind, then the absent.
    pub(crate) fn weight(&self) -> (u32, AgentId) {
        let place = match self.rule {
            Rule::Declined => 0,
            Rule::Capacity => 1,
            Rule::Shift => 2,
            Rule::Presence => 100,
            other => 3 + other as u32,
        };
        (place, self.agent.clone())
    }

    pub(crate) fn misfit(agent: &AgentId, misfit: Misfit) -> Self {
        let (rule, reason) = match misfit {
            Misfit::Held => (Rule::Held, "the chat is held for somebody else"),
            Misfit::Bot => (Rule::Bot, "is a bot, and a bot handed the chat on"),
            Misfit::Queue => (Rule::Queue, "serves no queue in reach yet"),
            Misfit::Rank => (Rule::Rank, "is of a rank not let in yet"),
            Misfit::Region => (Rule::Region, "is in a region not let in yet"),
            Misfit::Language => (Rule::Language, "speaks no wanted language well enough yet"),
            Misfit::Skill => (Rule::Skill, "lacks a wanted skill"),
            Misfit::Capacity => (Rule::Capacity, "could never carry a chat so heavy"),
        };
        Self::refused(agent, rule, reason.to_owned())
    }
}

/// Why a chat is offered to one agent before all others.
fn belongs(chat: &Chat) -> (Rule, String) {
    match &chat.owner {
        Some(_) => (Rule::Owner, "the chat belongs to them".to_owned()),
        None => (Rule::Sticky, "spoke with the visitor last".to_owned()),
    }
}

/// The first rule by which `best` came before `other`, told of the former or of the latter.
fn difference(
    chat: &Chat,
    strategy: Strategy,
    best: &Preference,
    other: &Preference,
    of_best: bool,
) -> (Rule, String) {
    let it = if of_best { best } else { other };
    let pick = |a: &str, b: &str| if of_best { a } else { b }.to_owned();
    let (fit, beside) = (it.fit, (best.fit, other.fit));
    if best.sticky != other.sticky {
        let (rule, words) = belongs(chat);
        let others = match rule {
            Rule::Owner => "the chat belongs to another".to_owned(),
            _ => format!("another {words}"),
        };
        return (rule, if of_best { words } else { others });
    }
    if beside.0.way != beside.1.way {
        let words = pick("let in by an earlier step", "let in by a later step");
        return (Rule::Step, words);
    }
    if beside.0.person != beside.1.person {
        return (
            Rule::Bot,
            pick("is a bot, asked before people", "is a person"),
        );
    }
    if beside.0.hop != beside.1.hop {
        return (Rule::Hop, hops(fit));
    }
    if beside.0.rank != beside.1.rank {
        return (Rule::Rank, format!("is of rank {} in the queue", fit.rank));
    }
    if beside.0.language != beside.1.language {
        return (Rule::LanguageRank, spoken(fit));
    }
    if beside.0.region != beside.1.region {
        let words = pick("is in a preferred region", "is in a less preferred region");
        return (Rule::PreferredRegion, words);
    }
    if beside.0.lacking != beside.1.lacking {
        let words = match fit.lacking {
            0 => "has every preferred skill".to_owned(),
            n => format!("lacks {n} of the preferred skills"),
        };
        return (Rule::PreferredSkill, words);
    }
    if beside.0.unskilled != beside.1.unskilled {
        let words = match fit.unskilled {
            0 => "has the wanted skills at the highest level".to_owned(),
            n => format!("is {n} short of the highest levels of the wanted skills"),
        };
        return (Rule::SkillLevel, words);
    }
    if best.sun != other.sun {
        let place = it.sun.saturating_add(1);
        return (Rule::Sun, format!("region is no. {place} in sun order"));
    }
    if best.first != other.first {
        return match strategy {
            Strategy::RoundRobin => (Rule::Turn, pick("was asked longest ago", "was asked since")),
            Strategy::Weighted => (
                Rule::Share,
                pick(
                    "is farthest behind their share",
                    "is less far behind their share",
                ),
            ),
            _ => {
                let (whole, part) = (it.first / 10, it.first % 10);
                (Rule::Occupancy, format!("{whole}.{part} % occupied"))
            }
        };
    }
    if best.idle_since != other.idle_since {
        return (Rule::Idle, pick("idle longest", "idle less long"));
    }
    let words = pick("all else equal, first by id", "all else equal, later by id");
    (Rule::Id, words)
}

impl State {
    /// How every agent of the queues in reach stands towards a waiting chat now, best first, at most
    /// `limit`. Empty for a chat that does not wait. Walks all agents of those queues: for people, not for
    /// the hot path.
    pub fn standing(&self, chat: &ChatId, limit: usize) -> Vec<Candidate> {
        let Some((chat, (line, stage))) = self.chats.get(chat).zip(self.index.line_of(chat)) else {
            return Vec::new();
        };
        let reach = &self.index.lines[line].stages[stage].reach;
        let benches = reach
            .iter()
            .filter_map(|r| self.index.queue_benches.get(&r.queue))
            .flatten();
        let mut candidates: Vec<Candidate> = benches
            .flat_map(|(_, b)| &self.index.benches[*b].members)
            .filter_map(|agent| self.refusal_of(chat, line, stage, agent))
            .collect();
        candidates.sort_by_key(Candidate::weight);
        candidates.dedup_by(|a, b| a.agent == b.agent);
        candidates.truncate(limit);
        candidates
    }

    /// Writes a step of a chat's story; called inside `edit_chat`.
    pub(crate) fn event(&self, what: What, agent: Option<&AgentId>, detail: &str) -> Event {
        let (index, at) = (self.meta.index, self.meta.now);
        Event {
            index,
            at,
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
