//! Every bound in one place. Bounds are part of the replicated behaviour: changing one is a new
//! command version, never a setting.

use crate::ids::Millis;

/// How long an answer is remembered, to recognise a repeated request.
pub const REQUEST_KEPT_MS: Millis = 600_000;
/// Most answers remembered; past it the oldest go early.
pub const REQUESTS_MAX: usize = 1_000_000;
/// Longest request id, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Longest id of an object, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest name, visitor or actor, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest actor, in bytes: a kind before the longest name.
pub const ACTOR_BYTES_MAX: usize = 192;
/// Longest topic, note or comment, in bytes.
pub const TEXT_BYTES_MAX: usize = 4_096;
/// Longest reason for declining, in bytes.
pub const REASON_BYTES_MAX: usize = 256;
/// Most language tags whose meaning is kept; past it those nobody uses are forgotten.
pub const LANGUAGES_MAX: usize = 4_096;
/// Most beginnings of keys that come near one language, and most groups of regions.
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
/// Longest language tag, in bytes.
pub const LANGUAGE_BYTES_MAX: usize = 35;

/// Most objects changed by one `Configure`.
pub const CHANGES_MAX: usize = 200_000;
/// Most spans in a schedule.
pub const SPANS_MAX: usize = 5_000;
/// Most bytes of a schedule's source.
pub const SOURCE_BYTES_MAX: usize = 65_536;
/// Most relaxation steps in a queue: far more than a wait of [`DAY_MS`] can be told apart by, yet each line keeps
/// the agents that fit at every step.
pub const STEPS_MAX: usize = 256;
/// Most ways one queue overflows.
pub const OVERFLOWS_MAX: usize = 16;
/// Most queues in reach of a chat, itself included, by whatever paths.
pub const REACH_MAX: usize = 64;
/// Most loads in the workspace.
pub const LOADS_MAX: usize = 256;
/// Last rank of an agent in a queue.
pub const RANK_MAX: u32 = 9;
/// Most agents offered one chat at once.
pub const OFFER_TO_MAX: u32 = 16;
/// Most reasons to decline with in one queue.
pub const DECLINE_REASONS_MAX: usize = 32;
/// Most offers ignored in a row that a queue may bear.
pub const IGNORED_MOST: u32 = 100;
/// Largest share of an agent.
pub const SHARE_MAX: u32 = 1_000;
/// The share of an agent for whom none is set.
pub const SHARE_USUAL: u32 = 100;
/// Most steps of a newcomer's capacity.
pub const RAMPS_MAX: usize = 16;
/// Most assists of one chat at a time.
pub const ASSISTS_MAX: usize = 8;
/// Shortest and longest patience of an assist.
pub const PATIENCE_MS: (u32, u32) = (1_000, 86_400_000);
/// How long an assist waits for somebody where whoever asks does not say.
pub const PATIENCE_USUAL_MS: u32 = 120_000;
/// Shortest and longest lease of a live chat.
pub const LEASE_MS: (u32, u32) = (5_000, 600_000);
/// Farthest ahead a call back may be asked for: two weeks, as long as a chat lives.
pub const CALLBACK_MS_MAX: Millis = 1_209_600_000;
/// Shortest and longest time within which what goes on elsewhere must be closed: a minute to 30 days.
pub const TRACKED_MS: (u32, u32) = (60_000, 2_592_000_000);
/// Longest contact or reference, in bytes.
pub const CONTACT_BYTES_MAX: usize = 256;
/// Most supervisors who take part in one chat.
pub const WATCHERS_MAX: usize = 8;
/// Longest id of a chat, in bytes: an assist's is its chat's with a number.
pub const CHAT_ID_BYTES_MAX: usize = 80;
/// Most neighbours of a region.
pub const NEIGHBOURS_MAX: usize = 63;
/// Most queues on one overflow path.
pub const OVERFLOW_HOPS_MAX: usize = 8;
/// Most regions.
pub const REGIONS_MAX: usize = 64;
/// Most fallback rules in the workspace.
pub const FALLBACKS_MAX: usize = 256;
/// Most languages accepted in place of another.
pub const FALLBACK_ACCEPT_MAX: usize = 8;
/// Most languages a visitor lists.
pub const CHAT_LANGUAGES_MAX: usize = 8;
/// Most skills a chat wants.
pub const CHAT_SKILLS_MAX: usize = 16;
/// Most languages an agent speaks.
pub const AGENT_LANGUAGES_MAX: usize = 32;
/// Most skills an agent has.
pub const AGENT_SKILLS_MAX: usize = 64;
/// Most queues an agent serves.
pub const AGENT_QUEUES_MAX: usize = 64;
/// Highest skill level.
pub const SKILL_LEVEL_MAX: u32 = 10;
/// Highest priority.
pub const PRIORITY_MAX: u32 = 9;
/// Most capacity units one chat takes.
pub const WEIGHT_MAX: u32 = 100;
/// Most capacity units of an agent.
pub const CAPACITY_MAX: u32 = 1_000;

/// A day, the longest duration a queue may name.
pub const DAY_MS: u32 = 86_400_000;
/// Shortest offer timeout.
pub const OFFER_TIMEOUT_MS_MIN: u32 = 1_000;
/// Longest offer timeout and wrap-up.
pub const HOUR_MS: u32 = 3_600_000;
/// Shortest longest wait.
pub const WAIT_MS_MIN: u32 = 1_000;
/// Most chats waiting in one queue.
pub const WAITING_MAX: u32 = 1_000_000;
/// Shortest and longest grace of a lost session.
pub const GRACE_MS: (u32, u32) = (1_000, 600_000);

/// Offers ignored in a row before an agent counts as not responding, where the queue does not say.
pub const IGNORED_MAX: u32 = 3;
/// A deadline noticed later than this was missed because nobody led; whom it concerns gets fresh time.
pub const OVERDUE_MS: Millis = 2_000;
/// How long a chat of several units waits before agents keep room for it.
pub const HEAVY_WAITS_MS: Millis = 30_000;
/// Latest time a leader may stamp: the end of the year 9999. Later ones count as this.
pub const TIME_MAX: Millis = 253_402_300_799_999;
/// How long a chat is kept from an agent who declined, ignored or handed it on, where its queue does not say.
pub const REFUSAL_MS: u32 = 60_000;
/// Most refusals remembered by one chat; the oldest goes first.
pub const REFUSALS_MAX: usize = 32;
/// How long a chat that waited too long is put off when agents are on shift but busy; as much again each
/// further time, up to [`DEFER_BUSY_TIMES_MAX`].
pub const DEFER_BUSY_MS: Millis = 900_000;
/// Most times [`DEFER_BUSY_MS`] for which a chat is put off.
pub const DEFER_BUSY_TIMES_MAX: u32 = 16;
/// How long a chat is put off when no opening is known.
pub const DEFER_UNKNOWN_MS: Millis = 14_400_000;
/// A chat older than this that waited in vain once more expires.
pub const CHAT_AGE_MS_MAX: Millis = 1_209_600_000;
/// How long a closed chat stays in the state, to be rated and read.
pub const CLOSED_KEPT_MS: Millis = 600_000;
/// Events remembered by one chat; the oldest go first.
pub const EVENTS_MAX: usize = 64;
/// Candidates recorded with one decision.
pub const CANDIDATES_MAX: usize = 16;
/// Kinds of chats remembered in the indexes though nobody of the kind waits.
pub const LINES_MAX: usize = 1_000;
