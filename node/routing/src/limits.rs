//! Every bound in one place, each with its reason. Bounds are part of the replicated behaviour: changing one is a new
//! command version, never a setting. What goes past one is refused with the field, the bound and the way out.

use crate::ids::Millis;

/// How long an answer is remembered, to recognise a repeated request: longer than any client goes on trying.
pub const REQUEST_KEPT_MS: Millis = 600_000;
/// Most answers remembered; past it the oldest go early: more than 1,600 requests a second for all of
/// [`REQUEST_KEPT_MS`], each held in memory.
pub const REQUESTS_MAX: usize = 1_000_000;
/// Longest request id, in bytes: a UUID with a prefix, and each is kept.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Longest id of an object, in bytes: people read and type it, and every chat and event carries some.
pub const ID_BYTES_MAX: usize = 64;
/// Longest name, visitor or actor, in bytes: an e-mail address or a key of the team's own system fits.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest actor, in bytes: a kind before the longest name.
pub const ACTOR_BYTES_MAX: usize = 192;
/// Longest topic, note or comment, in bytes: a page, since it is context for the next agent and not the talk itself;
/// each is copied to every node and held in memory.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// Longest reason for declining, in bytes: a sentence, kept in the story of the chat.
pub const REASON_BYTES_MAX: usize = 256;
/// Most language tags whose meaning is kept; past it those nobody uses are forgotten: visitors may send any tag, and
/// must not fill the memory.
pub const LANGUAGES_MAX: usize = 4_096;
/// Most beginnings of keys that come near one language, and most groups of regions: what a proposer hands over is
/// kept for every tag.
pub const NEAR_MAX: usize = 64;
/// Farthest that what is spoken may be from what is wanted: beyond, two languages have nothing in common.
pub const LANGUAGE_DISTANCE_MAX: u32 = 799;
/// The channel of a chat that names none.
pub const CHANNEL_USUAL: &str = "chat";
/// What one offer moves an agent of share 1 ahead on their share: a multiple of all usual shares, so that those
/// divide it without rest.
pub const STRIDE: u64 = 720_720_000;
/// How long a queue's service is looked back on: 30 minutes, by the minute.
pub const SERVICE_MINUTES: i64 = 30;
/// A visitor's full weight for a language.
pub const LANGUAGE_WEIGHT_MAX: u32 = 1_000;
/// Longest language tag, in bytes: what BCP 47 asks every implementation to bear.
pub const LANGUAGE_BYTES_MAX: usize = 35;

/// Most objects changed by one `Configure`: an organisation of 100,000 agents, all of it, twice; the command must still
/// fit a message between nodes.
pub const CHANGES_MAX: usize = 200_000;
/// Most spans in a schedule: a year of a dozen spans a day.
pub const SPANS_MAX: usize = 5_000;
/// Most bytes of a schedule's source: some thousand dated entries; every node keeps it to resolve again.
pub const SOURCE_BYTES_MAX: usize = 65_536;
/// Most relaxation steps in a queue: far more than a wait of [`DAY_MS`] can be told apart by, yet each line keeps
/// the agents that fit at every step.
pub const STEPS_MAX: usize = 256;
/// Most ways one queue overflows: each is looked at again whenever its condition may have changed.
pub const OVERFLOWS_MAX: usize = 16;
/// Most queues in reach of a chat, itself included, by whatever paths: which of them are open is one bit each of 64.
pub const REACH_MAX: usize = 64;
/// Most loads in the workspace: looked through for every new chat.
pub const LOADS_MAX: usize = 256;
/// Last rank of an agent in a queue: support knows three lines, and nine is still told apart at a glance.
pub const RANK_MAX: u32 = 9;
/// Most agents offered one chat at once: each has units taken for it meanwhile, so that a broadcast to all would
/// empty the floor.
pub const OFFER_TO_MAX: u32 = 16;
/// Most reasons to decline with in one queue: more than fit a menu.
pub const DECLINE_REASONS_MAX: usize = 32;
/// Most offers ignored in a row that a queue may bear: each is a visitor who waited a time-out in vain.
pub const IGNORED_MOST: u32 = 100;
/// Largest share of an agent: [`STRIDE`] divided by it is still exact enough to tell shares apart.
pub const SHARE_MAX: u32 = 1_000;
/// The share of an agent for whom none is set.
pub const SHARE_USUAL: u32 = 100;
/// Most steps of a newcomer's capacity: a quarter of a year by the week.
pub const RAMPS_MAX: usize = 16;
/// Most assists of one chat at a time: more people than that are a meeting.
pub const ASSISTS_MAX: usize = 8;
/// Shortest and longest patience of an assist: time to see an offer; a day, as long as anything waits.
pub const PATIENCE_MS: (u32, u32) = (1_000, 86_400_000);
/// How long an assist waits for somebody where whoever asks does not say.
pub const PATIENCE_USUAL_MS: u32 = 120_000;
/// Shortest and longest lease of a live chat: longer than a page takes to reload on a phone; shorter than an agent
/// would sit with nobody.
pub const LEASE_MS: (u32, u32) = (5_000, 600_000);
/// Farthest ahead a call back may be asked for: two weeks, as long as a chat lives.
pub const CALLBACK_MS_MAX: Millis = 1_209_600_000;
/// Shortest and longest time within which what goes on elsewhere must be closed: a minute to 30 days, past which it
/// is forgotten rather than worked on.
pub const TRACKED_MS: (u32, u32) = (60_000, 2_592_000_000);
/// Longest contact or reference, in bytes: the longest e-mail address has 254.
pub const CONTACT_BYTES_MAX: usize = 256;
/// Most supervisors who take part in one chat: all are told to every desktop of it.
pub const WATCHERS_MAX: usize = 8;
/// Longest id of a chat, in bytes: an assist's is its chat's with a number.
pub const CHAT_ID_BYTES_MAX: usize = 80;
/// Most neighbours of a region: all the others there can be.
pub const NEIGHBOURS_MAX: usize = 63;
/// Most queues on one overflow path: a visitor whose chat went farther is with people who do not know the matter.
pub const OVERFLOW_HOPS_MAX: usize = 8;
/// Most regions: the sun order of all of them is worked out for every decision.
pub const REGIONS_MAX: usize = 64;
/// Most fallback rules in the workspace: a rule for every language with a written support desk.
pub const FALLBACKS_MAX: usize = 256;
/// Most languages accepted in place of another: as many as a visitor may list.
pub const FALLBACK_ACCEPT_MAX: usize = 8;
/// Most languages a visitor lists: browsers send fewer, and each more makes more kinds of chats.
pub const CHAT_LANGUAGES_MAX: usize = 8;
/// Most skills a chat wants: nobody has more of them at once, and each more makes more kinds of chats.
pub const CHAT_SKILLS_MAX: usize = 16;
/// Most languages an agent speaks: bots translate many; each is compared with each that a kind of chat wants.
pub const AGENT_LANGUAGES_MAX: usize = 32;
/// Most skills an agent has: compared with what each kind of chat wants.
pub const AGENT_SKILLS_MAX: usize = 64;
/// Most queues an agent serves: counted one by one when they come and go.
pub const AGENT_QUEUES_MAX: usize = 64;
/// Highest skill level: the scale people know.
pub const SKILL_LEVEL_MAX: u32 = 10;
/// Highest priority: one digit.
pub const PRIORITY_MAX: u32 = 9;
/// Most capacity units one chat takes: a percent of an agent is fine enough.
pub const WEIGHT_MAX: u32 = 100;
/// Most capacity units of an agent: ten of the heaviest chats; a bot has no need to be counted more finely.
pub const CAPACITY_MAX: u32 = 1_000;

/// A day, the longest duration a queue may name.
pub const DAY_MS: u32 = 86_400_000;
/// Shortest offer timeout: less than a person needs to see it would make everybody not responding.
pub const OFFER_TIMEOUT_MS_MIN: u32 = 1_000;
/// Longest offer timeout and wrap-up: an hour, past which the agent is not there.
pub const HOUR_MS: u32 = 3_600_000;
/// Shortest longest wait: enough for one offer to be made.
pub const WAIT_MS_MIN: u32 = 1_000;
/// Most chats waiting in one queue: each is in the memory of every node.
pub const WAITING_MAX: u32 = 1_000_000;
/// Shortest and longest grace of a lost session: a page that reloads; ten minutes, long past what a visitor bears.
pub const GRACE_MS: (u32, u32) = (1_000, 600_000);

/// Offers ignored in a row before an agent counts as not responding, where the queue does not say: once is chance,
/// twice is bad luck.
pub const IGNORED_MAX: u32 = 3;
/// A deadline noticed later than this was missed because nobody led; whom it concerns gets fresh time.
pub const OVERDUE_MS: Millis = 2_000;
/// How long a chat of several units waits before agents keep room for it.
pub const HEAVY_WAITS_MS: Millis = 30_000;
/// Latest time a leader may stamp: the end of the year 9999. Later ones count as this.
pub const TIME_MAX: Millis = 253_402_300_799_999;
/// How long a chat is kept from an agent who declined, ignored or handed it on, where its queue does not say.
pub const REFUSAL_MS: u32 = 60_000;
/// Most refusals remembered by one chat; the oldest goes first: those are looked through whenever it is offered.
pub const REFUSALS_MAX: usize = 32;
/// How long a chat that waited too long is put off when agents are on shift but busy; as much again each
/// further time, up to [`DEFER_BUSY_TIMES_MAX`].
pub const DEFER_BUSY_MS: Millis = 900_000;
/// Most times [`DEFER_BUSY_MS`] for which a chat is put off: four hours, so that it is tried twice in a working day.
pub const DEFER_BUSY_TIMES_MAX: u32 = 16;
/// How long a chat is put off when no opening is known: four hours, for a rota may be written meanwhile.
pub const DEFER_UNKNOWN_MS: Millis = 14_400_000;
/// A chat older than two weeks that waited in vain once more expires: nobody expects an answer any more.
pub const CHAT_AGE_MS_MAX: Millis = 1_209_600_000;
/// How long a closed chat stays in the state, to be rated and read: ten minutes, then it is history.
pub const CLOSED_KEPT_MS: Millis = 600_000;
/// Events remembered by one chat; past it the oldest but the first goes: a story people read, held in memory while the
/// chat is open.
pub const EVENTS_MAX: usize = 64;
/// Candidates recorded with one decision: who was chosen, who was next and what kept some others; everybody can be had
/// by living through the past again.
pub const CANDIDATES_MAX: usize = 16;
/// Kinds of chats remembered in the indexes though nobody of the kind waits: to come back costs a look at all benches.
pub const LINES_MAX: usize = 1_000;
