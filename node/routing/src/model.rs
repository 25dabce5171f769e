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
    /// What orders the chats that wait.
    pub order: Order,
    /// What a chat takes by channel and kind; one that none names takes one unit. At most `limits::LOADS_MAX`.
    pub loads: Vec<Load>,
    /// Who worked this long without a break is reminded to take one; 0 = nobody is; at most a day.
    pub break_after_ms: u32,
    /// What counts as a break: so long on a break or signed off.
    pub break_ms: u32,
}

/// What orders the chats that wait, before their head start (see [`crate::order`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Order {
    /// Who came first.
    #[default]
    Arrival = 1,
    /// Whose first answer is due first: the arrival and the queue's answer target.
    Deadline = 2,
}

/// What a chat of one channel and kind takes of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Channel, such as `chat` or `e-mail`; a plain id.
    pub channel: String,
    /// Kind, such as `sales`; empty = every kind of the channel that no other load names.
    pub kind: String,
    /// Capacity units, 1..=100.
    pub weight: u32,
    /// Whether it may also take the agent's extra units.
    pub interrupting: bool,
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
    /// Regions that help out, nearest first; a step may let in the first so many.
    pub neighbours: Vec<RegionId>,
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
    /// Agents of this schedule are offered nothing new for this long before their working day ends, so that what
    /// they hold can be finished in time; 0 = to the last moment; at most a day.
    pub last_offer_ms: u32,
    /// Chats that an agent of this schedule still has at the end of their working day are handed over, with the agent
    /// there until somebody takes over, and that for at most this long; 0 = they stay with the agent; at most a day.
    pub handover_ms: u32,
    /// Whether a chat that nobody took over in that time goes back to the line, so that nobody is kept past the end;
    /// otherwise it stays with the agent.
    pub handover_to_line: bool,
}

/// What a queue demands of an agent after a chat waited `after_ms`, and whom it prefers.
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
    /// Skills no longer wanted from here on.
    pub skills_off: Vec<SkillId>,
    /// Regions whose agents may take the chat, empty = all.
    pub regions: Vec<RegionId>,
    /// Lets in the chat's own region and this many of its neighbours; `None` = as `regions` says. A chat of no
    /// region is let in everywhere.
    pub near: Option<u32>,
    /// Agents of these regions come first, whatever the sun says; the first of them before the second.
    pub prefer_regions: Vec<RegionId>,
    /// Agents who have these skills come first; who lacks fewer before who lacks more.
    pub prefer_skills: Vec<SkillLevel>,
    /// Lets in agents whose rank in the queue is at most this, 1..=`limits::RANK_MAX`.
    pub rank_max: u32,
    /// While nobody whom the step lets in is at work, the next one holds already.
    pub skip_if_nobody: bool,
}

impl Default for RelaxationStep {
    /// Fluent, in a near form of the first language; all skills; every region and rank.
    fn default() -> Self {
        Self {
            after_ms: 0,
            language_level: Level::Fluent,
            language_distance_max: 90,
            language_weight_min: crate::limits::LANGUAGE_WEIGHT_MAX + 1,
            fallback_languages: false,
            skill_levels_off: 0,
            skills_off: Vec::new(),
            regions: Vec::new(),
            near: None,
            prefer_regions: Vec::new(),
            prefer_skills: Vec::new(),
            rank_max: crate::limits::RANK_MAX,
            skip_if_nobody: false,
        }
    }
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
    /// How many agents are offered a chat at once, 1..=`limits::OFFER_TO_MAX`; the first to accept has it.
    pub offer_to: u32,
    /// The offer is accepted as soon as it is made; only with `offer_to` 1.
    pub auto_accept: bool,
    /// Reasons an agent may decline with; empty = any words, or none.
    pub decline_reasons: Vec<String>,
    /// How long a chat is kept from an agent who declined or ignored it; 0..=a day.
    pub refusal_ms: u32,
    /// Offers ignored in a row before the agent counts as not responding, 1..=100.
    pub ignored_max: u32,
    /// Wrap-up ends by itself after this; 0 = no wrap-up; at most 3_600_000.
    pub wrap_up_ms: u32,
    /// A visitor who waited this long is given the out-of-hours answer; 1_000..=86_400_000.
    pub wait_ms_max: u32,
    /// Most chats waiting; past it a new chat is refused; 1..=1_000_000.
    pub waiting_max: u32,
    /// Points of priority of every chat of the queue, 0..=9.
    pub priority: u32,
    /// Points of priority added for a very important visitor, 0..=9.
    pub vip_priority: u32,
    /// A point of priority is worth this many ms of waiting; 0 = a day.
    pub ageing_ms: u32,
    /// Target of the first answer, for the service level.
    pub answer_target_ms: u32,
    /// Percent of chats to be answered within the target, 1..=100; 0 = none promised.
    pub service_level: u32,
    /// Where its chats may also be served, and when; at most `limits::OVERFLOWS_MAX`. No cycles.
    pub overflow: Vec<Overflow>,
    /// Who comes first among agents who fit equally well.
    pub strategy: Strategy,
    /// A returning visitor is offered to the last agent first for this long after the chat ended; 0 = off.
    pub sticky_ms: u32,
    /// A chat waits this long for the agent it belongs to, should that agent be at work; at most an hour.
    pub hold_agent_ms: u32,
    /// Then it waits this long for that agent's team, should anybody of it be at work; at most an hour.
    pub hold_team_ms: u32,
    /// No agent may go on a break who would leave fewer than this at work; 0 = everybody may.
    pub staff_min: u32,
}

impl Default for Queue {
    /// Always open, nothing relaxed, nothing held; with the bounds that the public API documents as defaults.
    fn default() -> Self {
        Self {
            id: QueueId::default(),
            schedule: None,
            steps: vec![RelaxationStep::default()],
            offer_timeout_ms: 20_000,
            offer_to: 1,
            auto_accept: false,
            decline_reasons: Vec::new(),
            refusal_ms: crate::limits::REFUSAL_MS,
            ignored_max: crate::limits::IGNORED_MAX,
            wrap_up_ms: 0,
            wait_ms_max: 900_000,
            waiting_max: 10_000,
            priority: 0,
            vip_priority: 0,
            ageing_ms: 0,
            answer_target_ms: 46_000,
            service_level: 0,
            overflow: Vec::new(),
            strategy: Strategy::default(),
            sticky_ms: 0,
            hold_agent_ms: 0,
            hold_team_ms: 0,
            staff_min: 0,
        }
    }
}

/// Who comes first among agents who fit a chat equally well, after the sun. Ties go to the longest idle, then to
/// the smaller id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Strategy {
    /// Who has the smallest part of their capacity in use.
    #[default]
    LeastOccupied = 1,
    /// Who has been idle longest, however much they carry.
    LongestIdle = 2,
    /// Who was offered a chat longest ago.
    RoundRobin = 3,
    /// Who is farthest behind their share (stride scheduling: Waldspurger and Weihl, 1995).
    Weighted = 4,
    /// Who has the wanted skills at the highest levels, then as `LeastOccupied`.
    MostSkilled = 5,
}

/// Where a chat may also be served. All that is set must hold; set what should suffice by itself in an overflow of
/// its own.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Overflow {
    /// Waiting time from which it holds.
    pub after_ms: u32,
    /// The other queue.
    pub queue: QueueId,
    /// Holds while this many chats or more wait in the queue that overflows; 0 = whatever their number.
    pub waiting_min: u32,
    /// Holds while nobody who serves the queue that overflows is at work.
    pub no_agent: bool,
    /// Holds while the service level of the queue that overflows is below this many percent; 0 = whatever it is.
    pub service_level_below: u32,
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
    /// The team they belong to, a plain id; may be empty.
    pub team: String,
    /// Shift; `None` = may work whenever available.
    pub schedule: Option<ScheduleId>,
    /// Languages spoken, 1..=32, none twice.
    pub languages: Vec<LanguageLevel>,
    /// Skills, at most 64, none twice.
    pub skills: Vec<SkillLevel>,
    /// Queues served, at least one, none twice.
    pub queues: Vec<Served>,
    /// Capacity units, 1..=1000.
    pub capacity: u32,
    /// Units above capacity that interrupting chats alone may take, 0..=1000.
    pub extra: u32,
    /// A newcomer's smaller capacity until each time, ordered; at most `limits::RAMPS_MAX`.
    pub ramp_up: Vec<Ramp>,
    /// What part of the chats of a weighted queue they take beside others, 1..=`limits::SHARE_MAX`.
    pub share: u32,
    /// Whether it is a program: asked before people, but never again for a chat that one of them handed on.
    pub bot: bool,
}

impl Default for Agent {
    /// One unit, no skills, no queues; not valid as it is.
    fn default() -> Self {
        Self {
            id: AgentId::default(),
            name: String::new(),
            region: RegionId::default(),
            team: String::new(),
            schedule: None,
            languages: Vec::new(),
            skills: Vec::new(),
            queues: Vec::new(),
            capacity: 1,
            extra: 0,
            ramp_up: Vec::new(),
            share: crate::limits::SHARE_USUAL,
            bot: false,
        }
    }
}

/// A queue an agent serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// Which.
    pub queue: QueueId,
    /// 1 = first line; agents of a higher rank come after those of a lower one, or only from a later step on.
    pub rank: u32,
    /// Most of its chats at a time; 0 = as many as capacity allows.
    pub chats_max: u32,
}

impl From<&str> for Served {
    fn from(queue: &str) -> Self {
        Self {
            queue: queue.into(),
            rank: 1,
            chats_max: 0,
        }
    }
}

/// A smaller capacity until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ramp {
    /// Until when.
    pub until: Millis,
    /// Units, 1..=the agent's capacity.
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

/// What an assist is for: a second agent for a chat that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Takes the chat over; until then it stays with whom it has.
    Handover = 1,
    /// Advises the agent; the visitor does not notice.
    Consult = 2,
    /// Joins the talk.
    Join = 3,
    /// As a handover, because the agent's working day is over.
    Relief = 4,
}

/// How a supervisor takes part in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// Reads along, unnoticed by the visitor.
    Monitor = 1,
    /// Also speaks to the agents, unnoticed by the visitor.
    Whisper = 2,
    /// Takes part for all to see.
    Barge = 3,
}

/// A supervisor who takes part in a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Who, as the caller is known; 1..=192 bytes.
    pub who: String,
    /// How.
    pub how: Watch,
}

/// Whether the visitor's page is there. It counts only for a live chat, which has a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Page {
    /// It never was, or does not matter any more.
    #[default]
    Unknown,
    /// It follows the chat by this node.
    There(NodeId),
    /// Gone; the lease ends then.
    Gone(Millis),
}

/// How a chat goes on elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// By what, such as `e-mail` or `phone`; a plain id.
    pub channel: String,
    /// What it is known by there, such as a ticket number; at most 128 bytes.
    pub reference: String,
    /// By when it must be closed, in ms from now; 60_000..=`limits::TRACKED_MS_MAX`.
    pub due_ms: u32,
    /// For whoever looks at it next; empty = the last note stays.
    pub note: String,
}

/// The region that a chat should go to first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Toward {
    /// Which.
    pub region: RegionId,
    /// For how long nobody else may take it, should anybody there be at work.
    pub hold_ms: u32,
}

/// Why a chat is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PutOff {
    /// Its queue was closed: it comes back as soon as that opens.
    Closed = 1,
    /// It waited as long as the queue lets it.
    Waited = 2,
    /// The visitor asked to be called back then.
    Asked = 3,
}

impl PutOff {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Closed => "outside opening hours",
            Self::Waited => "waited as long as the queue lets it",
            Self::Asked => "the visitor asked for a later time",
        }
    }
}

/// Where a chat is. Every phase but `Closed` has an owner or a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In line since its arrival.
    Waiting,
    /// Shown to one agent, or to several at once, until `until`.
    Offered {
        /// To whom: at least one, ordered by id.
        to: Vec<AgentId>,
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
        /// The next opening, or when it is tried again.
        due: Millis,
        /// Why.
        why: PutOff,
    },
    /// Goes on by e-mail, phone or the like, and must be closed by `due`.
    Tracked {
        /// By what.
        channel: String,
        /// What it is known by there.
        reference: String,
        /// When it comes back to the line.
        due: Millis,
    },
    /// Over.
    Closed(Closed),
}
