//! The replicated state: what must survive ([`Entity`]), and the indexes derived from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::closure::{Closure, Shut};
use crate::deferral::Return;
use crate::effect::{Answer, Effect};
use crate::explain::Event;
use crate::ids::*;
use crate::index::{BenchId, Index, LineId};
use crate::language::Resolved;
use crate::model::*;
use crate::pin::Pin;
use crate::service::QueueStats;
use crate::version::Version;

/// Everything replicas agree on.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) meta: Meta,
    pub(crate) workspace: Workspace,
    pub(crate) regions: BTreeMap<RegionId, Region>,
    pub(crate) schedules: BTreeMap<ScheduleId, Schedule>,
    pub(crate) queues: BTreeMap<QueueId, Queue>,
    pub(crate) agents: BTreeMap<AgentId, AgentState>,
    pub(crate) chats: BTreeMap<ChatId, Chat>,
    pub(crate) languages: BTreeMap<Language, Resolved>,
    pub(crate) visitors: BTreeMap<String, LastAgent>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) stats: BTreeMap<QueueId, QueueStats>,
    pub(crate) closures: BTreeMap<Shut, Closure>,
    pub(crate) index: Index,
    pub(crate) work: Work,
    /// A chat of whose decisions everybody is recorded, not a sample; never of a state that counts.
    pub(crate) asked_of: Option<ChatId>,
}

/// What one command leaves to be told and written; emptied into the outcome.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    pub(crate) effects: Vec<Effect>,
    /// Entities that changed, some more than once.
    pub(crate) dirty: Vec<Key>,
    pub(crate) history: BTreeMap<ChatId, Chat>,
    pub(crate) configured: bool,
    pub(crate) version: Option<Version>,
    /// Agents whose load or state changed, some more than once.
    pub(crate) touched: Vec<AgentId>,
    /// Lines and stages that a chat joined.
    pub(crate) lines: BTreeSet<(LineId, usize)>,
    /// Benches on which somebody became ready or gained room.
    pub(crate) benches: BTreeSet<BenchId>,
    /// When chats of a line that cannot be served now come back, worked out once a command.
    pub(crate) due: BTreeMap<LineId, Return>,
}

/// Time, place in the log, and totals since the cluster began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Largest time stamped so far.
    pub now: Millis,
    /// Log index of the last command.
    pub index: u64,
    /// Number the next remembered request gets.
    pub request_next: u64,
    /// Newest session of any agent removed since; a new agent's sessions come after it.
    pub epoch_floor: Epoch,
    /// Number of the [`crate::version::Version`] of the configuration in force; 0 = never configured.
    pub version: u64,
    /// The [`crate::rules`] in force.
    pub rules: u32,
    /// Where leadership is pinned to; `None` = nowhere.
    pub pin: Option<Pin>,
    /// What became of all chats.
    pub totals: Totals,
}

/// What became of all chats. `accepted` = `answered + abandoned + expired +` chats not closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Chats taken in.
    pub accepted: u64,
    /// Chats closed after an agent answered.
    pub answered: u64,
    /// Chats whose visitor left before an answer.
    pub abandoned: u64,
    /// Chats put off too often.
    pub expired: u64,
    /// Times a chat was put off.
    pub deferrals: u64,
    /// Offers made.
    pub offers: u64,
}

/// An agent: the configuration and what the session made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentState {
    /// As configured.
    pub config: Agent,
    /// What the agent chose, or what happened to the session.
    pub presence: Presence,
    /// What a resumed session comes back to.
    pub presence_before: Presence,
    /// The session that counts; 0 = never had one.
    pub epoch: Epoch,
    /// The node holding the session; 0 = none.
    pub node: NodeId,
    /// Grace the session asked for.
    pub grace_ms: u32,
    /// When a lost session's chats go back to the line.
    pub grace_until: Millis,
    /// Offers ignored in a row.
    pub ignored: u32,
    /// When the last of them was ignored. Of offers open at the same time only one counts.
    pub ignored_at: Millis,
    /// Whether the agent takes chats off shift too, until they sign off or choose a presence without it.
    pub overtime: bool,
    /// Since when the agent has taken, let go or declined nothing; the longest idle is preferred.
    pub idle_since: Millis,
    /// Load above capacity left over from a lowered capacity; no new chat is offered meanwhile.
    pub excess: u32,
    /// Log index at which they were last offered a chat; who was longest ago has the next turn. 0 = never.
    pub turn: u64,
    /// How far they have come on their share: each offer adds [`crate::limits::STRIDE`] divided by the share.
    pub pass: u64,
    /// What they have done since they were first known.
    pub tally: Tally,
    /// Since when they have worked without a break; 0 = they are not at work.
    pub working_since: Millis,
    /// When they last stopped working.
    pub stopped_at: Millis,
    /// Whether they were reminded that a break is due.
    pub break_due: bool,
}

impl AgentState {
    /// One who was never there; sessions come after `epoch`.
    pub(crate) fn new(config: Agent, epoch: Epoch) -> Self {
        Self {
            config,
            presence: Presence::Offline,
            presence_before: Presence::Offline,
            epoch,
            node: 0,
            grace_ms: 0,
            grace_until: 0,
            ignored: 0,
            ignored_at: 0,
            overtime: false,
            idle_since: 0,
            excess: 0,
            turn: 0,
            pass: 0,
            tally: Tally::default(),
            working_since: 0,
            stopped_at: 0,
            break_due: false,
        }
    }
}

/// What an agent has done since they were first known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Offers made to them.
    pub offers: u64,
    /// Of those, accepted.
    pub accepted: u64,
    /// Declined.
    pub declined: u64,
    /// Not answered in time.
    pub ignored: u64,
    /// Chats brought to their end.
    pub handled: u64,
    /// Time from their acceptance to the end of wrap-up, in ms.
    pub handle_ms: u64,
}

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Id.
    pub id: ChatId,
    /// The queue it waits in or was served from.
    pub queue: QueueId,
    /// Where it is.
    pub phase: Phase,
    /// The visitor's languages, best first.
    pub languages: Vec<WantedLanguage>,
    /// The visitor's region, when known.
    pub region: Option<RegionId>,
    /// Who the visitor is; may be empty.
    pub visitor: String,
    /// Skills wanted, ordered by skill.
    pub skills: Vec<SkillLevel>,
    /// 0..=9.
    pub priority: u32,
    /// Whether the visitor is very important.
    pub vip: bool,
    /// Channel by which it came.
    pub channel: String,
    /// Kind; may be empty.
    pub kind: String,
    /// Capacity units.
    pub weight: u32,
    /// Whether it may take an agent's extra units.
    pub interrupting: bool,
    /// The agent it belongs to, as whoever started it said.
    pub owner: Option<AgentId>,
    /// Who spoke with the visitor last, as far as the queue cared when it arrived.
    pub last: Option<AgentId>,
    /// Where it should go first.
    pub toward: Option<Toward>,
    /// Whether a bot handed it on, so that only people may take it.
    pub people_only: bool,
    /// For an assist: the chat it is for, and for what. An assist is routed as a chat is, but nobody sees it except
    /// agents; it ends with its chat.
    pub assist: Option<(ChatId, Purpose)>,
    /// For an assist: how long it waits for somebody, in ms; 0 = as long as the queue lets it.
    pub patience_ms: u32,
    /// How many assists were asked for it; numbers them.
    pub asked: u32,
    /// A live chat is given up when the visitor's page is away for so long, in ms; 0 = asynchronous: the visitor may
    /// leave and come back days later.
    pub lease_ms: u32,
    /// Whether the visitor's page is there.
    pub page: Page,
    /// What the visitor left to be answered; empty = nothing.
    pub message: String,
    /// How to come back to the visitor, such as a phone number; empty = not told.
    pub contact: String,
    /// When the visitor wants to be called back; 0 = as soon as possible, or not asked for.
    pub call_back: Millis,
    /// Supervisors who take part, in the order they came.
    pub watchers: Vec<Watcher>,
    /// Queue in reach by which its agent was found; empty until first offered.
    pub via: QueueId,
    /// The wait told at its arrival, in ms; `None` = nothing was known.
    pub estimate_ms: Option<u32>,
    /// First message.
    pub topic: String,
    /// Note of the last agent who handed it on.
    pub note: String,
    /// When the visitor first asked; never changes.
    pub arrived: Millis,
    /// When it joined the present line; relaxation counts from here.
    pub since: Millis,
    /// Counts offers; fences late answers.
    pub assignment: u64,
    /// Times it was put off.
    pub deferrals: u32,
    /// Agents it is kept from, and until when.
    pub refusals: Vec<(AgentId, Millis)>,
    /// When an agent first took it; 0 = not yet.
    pub answered: Millis,
    /// Who took it last.
    pub answered_by: Option<AgentId>,
    /// When it closed; 0 = open.
    pub closed: Millis,
    /// The visitor's rating, 1..=5; 0 = none.
    pub stars: u32,
    /// The visitor's words.
    pub comment: String,
    /// What happened and why.
    pub events: Vec<Event>,
    /// Log index of the last command that changed it.
    pub index: u64,
}

/// The agent a visitor spoke with last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAgent {
    /// Who.
    pub agent: AgentId,
    /// Until when that agent is preferred.
    pub until: Millis,
}

/// A remembered answer to a request that was carried out. Refusals changed nothing and are not remembered: a
/// repeat is weighed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asked.
    pub actor: String,
    /// The id the caller chose.
    pub id: String,
    /// What was asked, as by [`crate::command::Command::subject`]: the same id for another thing is refused.
    pub subject: String,
    /// When.
    pub at: Millis,
    /// Log index of the command that was carried out.
    pub index: u64,
    /// What was answered.
    pub answer: Answer,
}

/// Names one durable part of the state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// [`Meta`].
    Meta,
    /// [`Workspace`].
    Workspace,
    /// [`Region`].
    Region(RegionId),
    /// [`Schedule`].
    Schedule(ScheduleId),
    /// [`Queue`].
    Queue(QueueId),
    /// [`AgentState`].
    Agent(AgentId),
    /// [`Chat`].
    Chat(ChatId),
    /// [`LastAgent`] of a visitor.
    Visitor(String),
    /// [`Request`] by number.
    Request(u64),
    /// [`Resolved`] of a tag.
    Language(Language),
    /// [`QueueStats`] of a queue.
    Stats(QueueId),
    /// [`Closure`] of a queue or region.
    Closure(Shut),
}

/// One durable part of the state. Restoring from all of them gives the same state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entity {
    /// See [`Key::Meta`].
    Meta(Meta),
    /// See [`Key::Workspace`].
    Workspace(Workspace),
    /// See [`Key::Region`].
    Region(Region),
    /// See [`Key::Schedule`].
    Schedule(Schedule),
    /// See [`Key::Queue`].
    Queue(Queue),
    /// See [`Key::Agent`].
    Agent(AgentState),
    /// See [`Key::Chat`].
    Chat(Box<Chat>),
    /// See [`Key::Visitor`].
    Visitor(String, LastAgent),
    /// See [`Key::Request`].
    Request(u64, Request),
    /// See [`Key::Language`].
    Language(Resolved),
    /// See [`Key::Stats`].
    Stats(QueueId, QueueStats),
    /// See [`Key::Closure`].
    Closure(Shut, Closure),
}

impl State {
    /// Rebuilds a state from all its entities, in any order.
    pub fn restore(entities: impl IntoIterator<Item = Entity>) -> Self {
        let mut state = State::default();
        for entity in entities {
            match entity {
                Entity::Meta(meta) => state.meta = meta,
                Entity::Workspace(workspace) => state.workspace = workspace,
                Entity::Region(region) => drop(state.regions.insert(region.id.clone(), region)),
                Entity::Schedule(s) => drop(state.schedules.insert(s.id.clone(), s)),
                Entity::Queue(queue) => drop(state.queues.insert(queue.id.clone(), queue)),
                Entity::Agent(a) => drop(state.agents.insert(a.config.id.clone(), a)),
                Entity::Chat(chat) => drop(state.chats.insert(chat.id.clone(), *chat)),
                Entity::Visitor(visitor, last) => drop(state.visitors.insert(visitor, last)),
                Entity::Request(number, request) => drop(state.requests.insert(number, request)),
                Entity::Language(l) => drop(state.languages.insert(l.language.clone(), l)),
                Entity::Closure(what, c) => drop(state.closures.insert(what, c)),
                Entity::Stats(queue, stats) => drop(state.stats.insert(queue, stats)),
            }
        }
        state.reindex();
        // Whatever could be matched was, before it was written.
        state.work = Work::default();
        state
    }

    /// One entity, or `None` when it is gone and its bytes are to be deleted.
    pub fn entity(&self, key: &Key) -> Option<Entity> {
        Some(match key {
            Key::Meta => Entity::Meta(self.meta.clone()),
            Key::Workspace => Entity::Workspace(self.workspace.clone()),
            Key::Region(id) => Entity::Region(self.regions.get(id)?.clone()),
            Key::Schedule(id) => Entity::Schedule(self.schedules.get(id)?.clone()),
            Key::Queue(id) => Entity::Queue(self.queues.get(id)?.clone()),
            Key::Agent(id) => Entity::Agent(self.agents.get(id)?.clone()),
            Key::Chat(id) => Entity::Chat(Box::new(self.chats.get(id)?.clone())),
            Key::Visitor(v) => Entity::Visitor(v.clone(), self.visitors.get(v)?.clone()),
            Key::Request(n) => Entity::Request(*n, self.requests.get(n)?.clone()),
            Key::Language(tag) => Entity::Language(self.languages.get(tag)?.clone()),
            Key::Closure(what) => Entity::Closure(what.clone(), self.closures.get(what)?.clone()),
            Key::Stats(id) => Entity::Stats(id.clone(), self.stats.get(id)?.clone()),
        })
    }

    /// The keys of everything durable, in order.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = vec![Key::Meta, Key::Workspace];
        keys.extend(self.regions.keys().cloned().map(Key::Region));
        keys.extend(self.schedules.keys().cloned().map(Key::Schedule));
        keys.extend(self.queues.keys().cloned().map(Key::Queue));
        keys.extend(self.agents.keys().cloned().map(Key::Agent));
        keys.extend(self.chats.keys().cloned().map(Key::Chat));
        keys.extend(self.visitors.keys().cloned().map(Key::Visitor));
        keys.extend(self.requests.keys().copied().map(Key::Request));
        keys.extend(self.languages.keys().cloned().map(Key::Language));
        keys.extend(self.stats.keys().cloned().map(Key::Stats));
        keys.extend(self.closures.keys().cloned().map(Key::Closure));
        keys
    }

    /// Time, place in the log and totals.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }
    /// The organisation's settings.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }
    /// Regions by id.
    pub fn regions(&self) -> &BTreeMap<RegionId, Region> {
        &self.regions
    }
    /// Schedules by id.
    pub fn schedules(&self) -> &BTreeMap<ScheduleId, Schedule> {
        &self.schedules
    }
    /// Queues by id.
    pub fn queues(&self) -> &BTreeMap<QueueId, Queue> {
        &self.queues
    }
    /// Agents by id.
    pub fn agents(&self) -> &BTreeMap<AgentId, AgentState> {
        &self.agents
    }
    /// What tags mean, by tag.
    pub fn languages(&self) -> &BTreeMap<Language, Resolved> {
        &self.languages
    }
    /// Chats by id: all that are not closed, and those closed within [`crate::limits::CLOSED_KEPT_MS`].
    pub fn chats(&self) -> &BTreeMap<ChatId, Chat> {
        &self.chats
    }
    /// When the earliest deadline falls due; the leader proposes a `Tick` then.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.index.deadlines.first().map(|(at, _)| *at)
    }
    /// Capacity units the agent's offers, chats and wrap-ups take.
    pub fn load(&self, agent: &AgentId) -> u32 {
        self.index.holdings.get(agent).map_or(0, |h| h.load)
    }
    /// Chats offered to or held by the agent.
    pub fn held(&self, agent: &AgentId) -> impl Iterator<Item = &Chat> {
        let held = self.index.holdings.get(agent);
        held.into_iter()
            .flat_map(|h| &h.chats)
            .filter_map(|id| self.chats.get(id))
    }
    /// Whether the agent's schedule says work; an agent without one is always on shift.
    pub fn on_shift(&self, agent: &AgentState) -> bool {
        agent
            .config
            .schedule
            .as_ref()
            .is_none_or(|s| self.schedule_open(s))
    }
    /// Whether the agent works now: on shift, or off it by their own wish.
    pub fn works(&self, agent: &AgentState) -> bool {
        agent.overtime || self.on_shift(agent)
    }
    /// Whether the agent would be offered chats now, were they available: at work, and not just before the end of
    /// their working day.
    pub fn takes_chats(&self, agent: &AgentState) -> bool {
        let schedule = agent.config.schedule.as_ref();
        let schedule = schedule.and_then(|s| self.schedules.get(s));
        let last = schedule.is_some_and(|s| s.last_moments(self.meta.now));
        let due = agent.overtime || (self.on_shift(agent) && !last);
        due && !self.region_shut(&agent.config.region)
    }
    /// Whether a schedule is inside one of its spans now.
    pub fn schedule_open(&self, schedule: &ScheduleId) -> bool {
        self.schedules
            .get(schedule)
            .is_some_and(|s| s.contains(self.meta.now))
    }
    /// Whether the queue is inside its opening hours.
    pub fn queue_open(&self, queue: &Queue) -> bool {
        let schedule = queue.schedule.as_ref();
        schedule.is_none_or(|s| self.schedule_open(s)) && self.queue_shut(&queue.id).is_none()
    }
    /// How many chats of the queue are in each kind of phase.
    pub fn queue_counts(&self, queue: &QueueId) -> QueueCounts {
        self.index.counts.get(queue).copied().unwrap_or_default()
    }
    /// The arrival of the queue's chat that waits longest.
    pub fn oldest_waiting(&self, queue: &QueueId) -> Option<Millis> {
        self.index.arrivals.get(queue)?.first().map(|(at, _)| *at)
    }
    /// A waiting chat's place in its queue, from 1, by the order in which chats are served.
    pub fn position(&self, chat: &Chat) -> Option<u32> {
        if chat.phase != Phase::Waiting {
            return None;
        }
        let key = (self.order_of(chat), chat.id.clone());
        Some(self.index.order.get(&chat.queue)?.rank(&key) as u32 + 1)
    }
    /// Agents of the queue ready to take a chat now.
    pub fn agents_ready(&self, queue: &QueueId) -> u32 {
        self.index.ready_count(queue)
    }
    /// Agents of the queue at work, with room for a chat or without.
    pub fn agents_at_work(&self, queue: &QueueId) -> u32 {
        self.index.queue_at_work(queue) as u32
    }
    /// Agents whose session the node holds.
    pub fn sessions_of(&self, node: NodeId) -> impl Iterator<Item = &AgentState> {
        let ids = self.index.nodes.get(&node);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.agents.get(id))
    }

    /// The remembered answer to a caller's request.
    pub fn request(&self, actor: &str, id: &str) -> Option<&Request> {
        let key = (actor.to_owned(), id.to_owned());
        self.requests.get(self.index.requests.get(&key)?)
    }

    /// Nodes that hold sessions of agents or pages of visitors.
    pub fn session_nodes(&self) -> impl Iterator<Item = NodeId> {
        let nodes = self.index.nodes.keys().chain(self.index.pages.keys());
        nodes.copied().collect::<BTreeSet<_>>().into_iter()
    }
}

/// Chats of a queue by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// In line.
    pub waiting: u32,
    /// On offer.
    pub offered: u32,
    /// With an agent.
    pub active: u32,
    /// In wrap-up.
    pub wrap_up: u32,
    /// Put off.
    pub deferred: u32,
    /// Going on elsewhere.
    pub tracked: u32,
}

impl Chat {
    /// Who it is offered to or held by.
    pub fn holders(&self) -> &[AgentId] {
        match &self.phase {
            Phase::Offered { to, .. } => to,
            Phase::Active { agent } | Phase::WrapUp { agent, .. } => std::slice::from_ref(agent),
            Phase::Waiting | Phase::Deferred { .. } | Phase::Tracked { .. } | Phase::Closed(_) => {
                &[]
            }
        }
    }
    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }
}
