//! What the organisation is made of: configuration objects and the chat with its phases.

use crate::ids::*;

/// How well someone speaks a language. Ordered: a higher value is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Through machine translation.
    Translated = 1,
    /// Gets by.
    Working = 2,
    /// At ease.
    Fluent = 3,
    /// Mother tongue.
    Native = 4,
}

/// A language with a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageLevel {
    /// Canonical tag.
    pub language: Language,
    /// How well.
    pub level: Level,
}

/// A skill with a level 1..=10.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillLevel {
    /// Which skill.
    pub skill: SkillId,
    /// 1..=10.
    pub level: u32,
}

/// A language a visitor asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedLanguage {
    /// Canonical tag.
    pub language: Language,
    /// How much the visitor wants it, 100..=1000 in steps of 100: the `q` of Accept-Language in thousandths.
    pub weight: u32,
}

/// The organisation's settings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Workspace {
    /// Shown to people; 1..=128 bytes.
    pub name: String,
    /// `fallbacks[wanted]` = languages also acceptable, in order, once a relaxation step allows it.
    pub fallbacks: Vec<(Language, Vec<Language>)>,
}

/// A region of the organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Id.
    pub id: RegionId,
    /// IANA zone, for display only; the core never reads it.
    pub zone: String,
    /// The region's working day as a schedule; gives the sun order.
    pub schedule: ScheduleId,
}

/// Half-open span of UTC time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First millisecond inside.
    pub start: Millis,
    /// First millisecond after.
    pub end: Millis,
}

/// Working hours resolved to UTC spans: ordered, not overlapping, not empty, at most `limits::SPANS_MAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Id.
    pub id: ScheduleId,
    /// The spans.
    pub spans: Vec<Span>,
    /// Up to when the spans are known; past it the node proposes a new resolution.
    pub horizon: Millis,
    /// Version of the zone data the spans were made with, such as `2026f`.
    pub zone_data: String,
    /// The source text the spans came from, opaque to the core, so that every node can resolve again.
    pub source: Vec<u8>,
}

/// What a queue demands of an agent after a chat waited `after_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelaxationStep {
    /// Waiting time from which the step holds; the first step has 0, then strictly rising.
    pub after_ms: u32,
    /// The level the agent must speak one of the chat's languages at.
    pub language_level: Level,
    /// How far what is spoken may be from what is wanted, 0 (the very same) ..= `limits::LANGUAGE_DISTANCE_MAX`.
    pub language_distance_max: u32,
    /// The visitor's second and later languages count from this weight on; above 1000 only the first counts.
    pub language_weight_min: u32,
    /// Whether the workspace's fallbacks count, and with them all of the visitor's languages.
    pub fallback_languages: bool,
    /// Subtracted from every wanted skill level; a result of 0 or less drops the skill.
    pub skill_levels_off: u32,
    /// Regions whose agents may take the chat, empty = all.
    pub regions: Vec<RegionId>,
}

/// A waiting line with one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Id.
    pub id: QueueId,
    /// Opening hours; `None` = always open.
    pub schedule: Option<ScheduleId>,
    /// 1..=`limits::STEPS_MAX` steps.
    pub steps: Vec<RelaxationStep>,
    /// An offer not answered for this long goes to another agent; 1_000..=3_600_000.
    pub offer_timeout_ms: u32,
    /// Wrap-up ends by itself after this; 0 = no wrap-up; at most 3_600_000.
    pub wrap_up_ms: u32,
    /// A visitor who waited this long is given the out-of-hours answer; 1_000..=86_400_000.
    pub wait_ms_max: u32,
    /// Most chats waiting; past it a new chat is refused; 1..=1_000_000.
    pub waiting_max: u32,
    /// One point of priority is gained per this many ms of waiting; 0 = no ageing.
    pub ageing_ms: u32,
    /// Target of the first answer, for the service level.
    pub answer_target_ms: u32,
    /// After `after_ms`, the chat also waits in this queue's agents' reach. No cycles.
    pub overflow: Option<Overflow>,
    /// A returning visitor is offered to the last agent first for this long after the chat ended; 0 = off.
    pub sticky_ms: u32,
}

/// Where a chat goes when nobody took it in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// Waiting time from which it holds.
    pub after_ms: u32,
    /// The other queue.
    pub queue: QueueId,
}

/// A person who answers chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Id.
    pub id: AgentId,
    /// Shown to visitors; 1..=128 bytes.
    pub name: String,
    /// Home region.
    pub region: RegionId,
    /// Shift; `None` = may work whenever available.
    pub schedule: Option<ScheduleId>,
    /// Languages spoken, 1..=32, none twice.
    pub languages: Vec<LanguageLevel>,
    /// Skills, at most 64, none twice.
    pub skills: Vec<SkillLevel>,
    /// Queues served, at least one, none twice.
    pub queues: Vec<QueueId>,
    /// Capacity units, 1..=1000.
    pub capacity: u32,
}

/// What an agent chose, or what happened to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// No session.
    Offline,
    /// Connected, takes chats while on shift.
    Available,
    /// Connected, on a break; open chats stay.
    Break,
    /// Connected, finishes open chats, takes no new ones.
    Draining,
    /// Connected, but ignored offers in a row; back with `SetPresence(Available)`.
    NotResponding,
    /// The session is lost and its grace runs.
    Lost,
}

/// Why a chat is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closed {
    /// An agent answered and ended it.
    Answered,
    /// The visitor left before an agent answered.
    Abandoned,
    /// Waited in vain once more when it was older than `limits::CHAT_AGE_MS_MAX`.
    Expired,
}

/// Where a chat is. Every phase but `Closed` has an owner or a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In line since its arrival.
    Waiting,
    /// Shown to one agent until `until`.
    Offered {
        /// To whom.
        agent: AgentId,
        /// When it is withdrawn.
        until: Millis,
    },
    /// Owned by one agent.
    Active {
        /// The owner.
        agent: AgentId,
    },
    /// Talk is over; the owner still holds the units until `until`.
    WrapUp {
        /// The owner.
        agent: AgentId,
        /// When it ends by itself.
        until: Millis,
    },
    /// Out of hours or waited too long: comes back to the line at `due` with its arrival time.
    Deferred {
        /// The next opening.
        due: Millis,
    },
    /// Over.
    Closed(Closed),
}
