//! Why an agent was chosen for a chat, or was not: recorded as numbers, for the words cost more than the decision,
//! and put into words when somebody asks.

use std::fmt;

use crate::explain::Rule;
use crate::fit::{Misfit, Only, PLACE};
use crate::ids::*;
use crate::limits::CHAT_LANGUAGES_MAX;
use crate::matching::Preference;
use crate::model::*;
use crate::state::Chat;

/// One agent weighed for a chat. In words by `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub agent: AgentId,
    /// What came of it.
    pub standing: Standing,
    /// What spoke for or against them.
    pub reason: Reason,
    /// Of somebody refused: that the chat is theirs before all others, and why.
    pub theirs: Option<Belongs>,
}

/// What came of weighing an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Had it.
    Chosen = 1,
    /// Might have had it.
    Eligible = 2,
    /// Might not.
    Refused = 3,
}

/// Why a chat is offered to one agent before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belongs {
    /// Whoever started it said whose it is.
    Owner = 1,
    /// They spoke with the visitor last.
    Last = 2,
}

/// What spoke for or against an agent. Of those who might have taken the chat: what set the chosen one apart from the
/// next best, or one of the others from the chosen one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Their kind may not take chats of this kind yet.
    Misfit(Misfit),
    /// They are not available.
    Presence(Presence),
    /// Their region was closed at once.
    RegionClosed,
    /// Their shift is about to end.
    LastMoments,
    /// They are off shift.
    OffShift,
    /// The chat is held for somebody else.
    HeldFor(Only),
    /// Somebody whom an earlier step lets in is at work.
    EarlierStep,
    /// The chat's queue does not overflow so far just now.
    NoOverflow,
    /// They have too little room.
    Full {
        /// Units in use.
        load: u32,
        /// Units they may carry.
        room: u32,
        /// Units the chat takes.
        weight: u32,
    },
    /// They carry as many chats of this queue as they may.
    QueueCap(QueueId),
    /// They keep their room for a chat that came before and takes more units.
    KeepsRoom,
    /// They refused this very chat less than so many ms ago.
    Declined(Millis),
    /// Whoever handed it on named them.
    Named(String),
    /// The chat belongs to the chosen one.
    Belongs(Belongs),
    /// Let in by an earlier step, or a later one.
    Step,
    /// A bot or not.
    Bot(bool),
    /// Overflow hops away.
    Hop(u8),
    /// Rank in the queue.
    Rank(u8),
    /// How near their languages come: [`crate::fit::Fit::language`].
    Language(u32),
    /// The same, and nobody else was free.
    Alone(u32),
    /// Place among the regions that the step prefers.
    Region,
    /// How many of the skills that the step prefers are lacking.
    Lacking(u8),
    /// Levels short of the highest in the wanted skills.
    Unskilled(u16),
    /// Place of their region in sun order, from 1.
    Sun(u64),
    /// Turn.
    Turn,
    /// Share.
    Share,
    /// Occupancy in thousandths.
    Occupancy(u64),
    /// Time idle.
    Idle,
    /// Id.
    Id,
}

impl Candidate {
    /// The rule that spoke.
    pub fn rule(&self) -> Rule {
        match &self.reason {
            Reason::Misfit(misfit) => match misfit {
                Misfit::Held => Rule::Held,
                Misfit::Bot => Rule::Bot,
                Misfit::Queue => Rule::Queue,
                Misfit::Rank => Rule::Rank,
                Misfit::Region => Rule::Region,
                Misfit::Language => Rule::Language,
                Misfit::Skill => Rule::Skill,
                Misfit::Capacity => Rule::Capacity,
            },
            Reason::Presence(_) => Rule::Presence,
            Reason::RegionClosed | Reason::LastMoments | Reason::OffShift => Rule::Shift,
            Reason::HeldFor(_) => Rule::Held,
            Reason::EarlierStep | Reason::NoOverflow => Rule::Overflow,
            Reason::Full { .. } | Reason::KeepsRoom => Rule::Capacity,
            Reason::QueueCap(_) => Rule::QueueCap,
            Reason::Declined(_) => Rule::Declined,
            Reason::Named(_) => Rule::Named,
            Reason::Belongs(Belongs::Owner) => Rule::Owner,
            Reason::Belongs(Belongs::Last) => Rule::Sticky,
            Reason::Step => Rule::Step,
            Reason::Bot(_) => Rule::Bot,
            Reason::Hop(_) => Rule::Hop,
            Reason::Rank(_) => Rule::Rank,
            Reason::Language(_) | Reason::Alone(_) => Rule::LanguageRank,
            Reason::Region => Rule::PreferredRegion,
            Reason::Lacking(_) => Rule::PreferredSkill,
            Reason::Unskilled(_) => Rule::SkillLevel,
            Reason::Sun(_) => Rule::Sun,
            Reason::Turn => Rule::Turn,
            Reason::Share => Rule::Share,
            Reason::Occupancy(_) => Rule::Occupancy,
            Reason::Idle => Rule::Idle,
            Reason::Id => Rule::Id,
        }
    }

    /// Whether they might have taken it.
    pub fn eligible(&self) -> bool {
        self.standing != Standing::Refused
    }

    /// The winner: tells the first rule that set it apart from the next best. That nobody else was free is
    /// told only when everybody who fits was looked at.
    pub(crate) fn chosen(
        chat: &Chat,
        strategy: Strategy,
        best: &Preference,
        next: Option<&Preference>,
        all_seen: bool,
    ) -> Self {
        let belongs = chat.belongs().filter(|_| best.sticky == 0);
        let reason = match (next, belongs) {
            (Some(next), _) => difference(chat, strategy, best, next, best),
            (None, Some(belongs)) => Reason::Belongs(belongs),
            (None, None) if all_seen => Reason::Alone(best.fit.language),
            (None, None) => Reason::Language(best.fit.language),
        };
        Self::told(&best.agent, Standing::Chosen, reason)
    }

    /// One who might have taken it, but for the rule told.
    pub(crate) fn runner_up(
        chat: &Chat,
        strategy: Strategy,
        best: &Preference,
        other: &Preference,
    ) -> Self {
        let reason = difference(chat, strategy, best, other, other);
        Self::told(&other.agent, Standing::Eligible, reason)
    }

    /// One who may not take it.
    pub(crate) fn refused(agent: &AgentId, reason: Reason) -> Self {
        Self::told(agent, Standing::Refused, reason)
    }

    /// The one whom somebody named.
    pub(crate) fn named(agent: &AgentId, by: &dyn fmt::Display) -> Self {
        Self::told(agent, Standing::Chosen, Reason::Named(by.to_string()))
    }

    fn told(agent: &AgentId, standing: Standing, reason: Reason) -> Self {
        Self {
            agent: agent.clone(),
            standing,
            reason,
            theirs: None,
        }
    }

    /// Orders the refused: those who might soon be free first, then those of another kind, then the absent.
    pub(crate) fn weight(&self) -> (u32, &AgentId) {
        let place = match self.rule() {
            Rule::Declined => 0,
            Rule::Capacity => 1,
            Rule::Shift => 2,
            Rule::Presence => 100,
            other => 3 + other as u32,
        };
        (place, &self.agent)
    }
}

impl Chat {
    /// The agent it belongs to: its owner, or who spoke with the visitor last.
    pub(crate) fn belongs_to(&self) -> Option<&AgentId> {
        self.owner.as_ref().or(self.last.as_ref())
    }

    /// Why it belongs to an agent, where it does.
    pub(crate) fn belongs(&self) -> Option<Belongs> {
        let owner = self.owner.as_ref().map(|_| Belongs::Owner);
        owner.or(self.last.as_ref().map(|_| Belongs::Last))
    }
}

/// The first rule by which `best` came before `other`, told of `it`, one of the two.
fn difference(
    chat: &Chat,
    strategy: Strategy,
    best: &Preference,
    other: &Preference,
    it: &Preference,
) -> Reason {
    let (fit, a, b) = (it.fit, best.fit, other.fit);
    if best.sticky != other.sticky {
        return Reason::Belongs(chat.belongs().unwrap_or(Belongs::Last));
    }
    if a.way != b.way {
        return Reason::Step;
    }
    if a.person != b.person {
        return Reason::Bot(fit.person == 0);
    }
    if a.hop != b.hop {
        return Reason::Hop(fit.hop);
    }
    if a.rank != b.rank {
        return Reason::Rank(fit.rank);
    }
    if a.language != b.language {
        return Reason::Language(fit.language);
    }
    if a.region != b.region {
        return Reason::Region;
    }
    if a.lacking != b.lacking {
        return Reason::Lacking(fit.lacking);
    }
    if a.unskilled != b.unskilled {
        return Reason::Unskilled(fit.unskilled);
    }
    if best.sun != other.sun {
        return Reason::Sun((it.sun as u64).saturating_add(1));
    }
    if best.first != other.first {
        return match strategy {
            Strategy::RoundRobin => Reason::Turn,
            Strategy::Weighted => Reason::Share,
            _ => Reason::Occupancy(it.first),
        };
    }
    if best.idle_since != other.idle_since {
        return Reason::Idle;
    }
    Reason::Id
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(belongs) = self.theirs {
            write!(f, "{belongs}, but ")?;
        }
        let chosen = self.standing == Standing::Chosen;
        let mut pick = |a: &str, b: &str| f.write_str(if chosen { a } else { b });
        match &self.reason {
            Reason::Misfit(misfit) => write!(f, "{misfit}"),
            Reason::Presence(presence) => write!(f, "is {}", presence_word(*presence)),
            Reason::RegionClosed => f.write_str("is in a region that was closed"),
            Reason::LastMoments => f.write_str("is near the end of their shift"),
            Reason::OffShift => f.write_str("is off shift"),
            Reason::HeldFor(only) => write!(f, "the chat is held for {only} for now"),
            Reason::EarlierStep => f.write_str("somebody whom an earlier step lets in is at work"),
            Reason::NoOverflow => f.write_str("the chat's queue does not overflow so far just now"),
            Reason::Full { load, room, weight } => {
                write!(f, "{load} of {room} units in use, the chat takes {weight}")
            }
            Reason::QueueCap(queue) => {
                write!(f, "carries as many chats of queue '{queue}' as they may")
            }
            Reason::KeepsRoom => {
                f.write_str("keeps room for a chat that came before and takes more")
            }
            Reason::Declined(kept) => {
                let seconds = (*kept as u64).div_ceil(1000);
                write!(
                    f,
                    "declined, ignored or handed it on within the last {seconds} s"
                )
            }
            Reason::Named(by) => write!(f, "named by agent '{by}'"),
            Reason::Belongs(belongs) if chosen => write!(f, "{belongs}"),
            Reason::Belongs(Belongs::Owner) => f.write_str("the chat belongs to another"),
            Reason::Belongs(Belongs::Last) => write!(f, "another {}", Belongs::Last),
            Reason::Step => pick("let in by an earlier step", "let in by a later step"),
            Reason::Bot(true) => f.write_str("is a bot, asked before people"),
            Reason::Bot(false) => f.write_str("is a person"),
            Reason::Hop(hops) => f.write_str(&hops_words(*hops)),
            Reason::Rank(rank) => write!(f, "is of rank {rank} in the queue"),
            Reason::Language(near) => f.write_str(&spoken(*near)),
            Reason::Alone(near) => write!(f, "{}; nobody else was free", spoken(*near)),
            Reason::Region => pick("is in a preferred region", "is in a less preferred region"),
            Reason::Lacking(0) => f.write_str("has every preferred skill"),
            Reason::Lacking(n) => write!(f, "lacks {n} of the preferred skills"),
            Reason::Unskilled(0) => f.write_str("has the wanted skills at the highest level"),
            Reason::Unskilled(n) => {
                write!(f, "is {n} short of the highest levels of the wanted skills")
            }
            Reason::Sun(place) => write!(f, "region is no. {place} in sun order"),
            Reason::Turn => pick("was asked longest ago", "was asked since"),
            Reason::Share => pick(
                "is farthest behind their share",
                "is less far behind their share",
            ),
            Reason::Occupancy(part) => write!(f, "{}.{} % occupied", part / 10, part % 10),
            Reason::Idle => pick("idle longest", "idle less long"),
            Reason::Id => pick("all else equal, first by id", "all else equal, later by id"),
        }
    }
}

impl fmt::Display for Belongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "the chat belongs to them",
            Self::Last => "spoke with the visitor last",
        })
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "the chat is held for somebody else",
            Self::Bot => "is a bot, and a bot handed the chat on",
            Self::Queue => "serves no queue in reach yet",
            Self::Rank => "is of a rank not let in yet",
            Self::Region => "is in a region not let in yet",
            Self::Language => "speaks no wanted language well enough yet",
            Self::Skill => "lacks a wanted skill",
            Self::Capacity => "could never carry a chat so heavy",
        })
    }
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

fn spoken(near: u32) -> String {
    match near {
        0 => "speaks the first language exactly".to_owned(),
        apart if apart < PLACE => {
            format!("speaks a form of the first language, {apart} apart")
        }
        rank if rank < CHAT_LANGUAGES_MAX as u32 * PLACE => {
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

fn hops_words(hops: u8) -> String {
    match hops {
        0 => "serves the chat's own queue".to_owned(),
        1 => "serves the queue it overflows into".to_owned(),
        n => format!("serves a queue {n} overflow hops away"),
    }
}
