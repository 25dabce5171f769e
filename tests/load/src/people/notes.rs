//! What people are told, for whoever plays them to keep or to measure.

use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_traffic::arrivals::Arrival;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Status;

/// What people do, or wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A visitor asks for help, and is taken in.
    Start,
    /// From asking until the first agent has the chat on the desk.
    Offer,
    /// From asking until the visitor sees that somebody has answered.
    Answer,
    /// An agent accepts an offer.
    Accept,
    /// From an agent's click on an offer until the visitor sees the answer.
    Notice,
    /// An agent ends a talk.
    End,
    /// An agent is done with writing up.
    WriteUp,
    /// A visitor leaves.
    Leave,
    /// A visitor rates a talk.
    Rate,
    /// An agent opens a session.
    SignOn,
}

impl Act {
    /// All of them, with their names.
    pub const ALL: [(Self, &str); 10] = [
        (Self::Start, "start"),
        (Self::Offer, "offer"),
        (Self::Answer, "answer"),
        (Self::Accept, "accept"),
        (Self::Notice, "notice"),
        (Self::End, "end"),
        (Self::WriteUp, "write_up"),
        (Self::Leave, "leave"),
        (Self::Rate, "rate"),
        (Self::SignOn, "sign_on"),
    ];

    /// In scenarios and reports.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(act, _)| *act == self);
        known.map_or("", |(_, name)| name)
    }
}

/// When a visitor came.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// When they were meant to: what they wait is counted from here.
    pub at: Instant,
    /// When they asked, by the wall clock, in UTC milliseconds.
    pub ms: i64,
}

/// One acknowledgement.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What was done.
    pub act: Act,
    /// The chat.
    pub chat: String,
    /// The agent; empty for what visitors do.
    pub agent: String,
    /// Where the visitor is; empty for what agents do.
    pub region: String,
    /// Log index in the answer; 0 where the answer has none.
    pub index: u64,
}

/// A span of the log in which an agent was told to hold a chat.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The agent.
    pub agent: String,
    /// The chat.
    pub chat: String,
    /// Log index of the first word of it.
    pub from: u64,
    /// Log index of the word that ended it; `None` when none came, as when the stream broke: then the chat's
    /// story tells.
    pub until: Option<u64>,
    /// Whether the chat was the agent's own, not merely on offer or written up.
    pub owned: bool,
}

/// A hold among those noted, to end it later.
#[derive(Clone, Copy, Debug)]
pub struct HoldId(pub usize);

/// Takes notes of what people are told. Every length of time is counted from the moment at which the act was meant to
/// be done, not from when it was sent, so that whoever is kept waiting before is not forgotten.
pub trait Notes: Send + Sync + 'static {
    /// A visitor asks.
    fn came(&self, visitor: &Arrival, came: Came);
    /// A visitor was told that the chat is taken in: from here on it may not be lost.
    fn taken_in(&self, visitor: &Arrival, came: Came, chat: &api::Chat);
    /// A visitor was turned away.
    fn refused(&self, visitor: &Arrival, came: Came, why: &Status);
    /// A visitor got no answer in time.
    fn unknown(&self, visitor: &Arrival, came: Came);
    /// A visitor sees that somebody has answered.
    fn answer_seen(&self, visitor: &Arrival, came: Came, chat: &str);
    /// A visitor sees that the chat is closed.
    fn over(&self, _visitor: &Arrival, _came: Came, _chat: &api::Chat) {}
    /// A visitor, or an agent, was told of the chat.
    fn seen(&self, _chat: &api::Chat) {}
    /// Something was acknowledged, so long after it was meant to be done.
    fn done(&self, deed: Deed, took: Duration);
    /// An agent was offered the chat.
    fn offered(&self, _chat: &api::Chat) {}
    /// An agent was told of a chat in hand.
    fn hold(&self, _hold: Hold) -> HoldId {
        HoldId(0)
    }
    /// An agent was told that it is gone.
    fn release(&self, _hold: HoldId, _index: u64) {}
    /// An agent was told the load.
    fn load(&self, _agent: &api::AgentState) {}
    /// An agent has a session, so long after asking for one.
    fn signed_on(&self, _agent: &str, _took: Duration) {}
    /// An agent's session is over: broken, or in order.
    fn signed_off(&self, _agent: &str, _broken: bool) {}
    /// A simulated person came to grief.
    fn mishap(&self, what: String);
    /// How long the talk of a chat takes, in ms of life; `None` where nobody said so.
    fn talk_ms(&self, chat: &str) -> Option<u32>;
}
