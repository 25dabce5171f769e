//! Everything `apply` answers: facts in the past tense, and refusals.

use crate::ids::*;
use crate::model::*;

/// What happened. Each node delivers to the streams it holds those that concern them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A chat changed phase or place; its watchers are told.
    ChatChanged {
        /// Which chat.
        chat: ChatId,
    },
    /// An agent was offered a chat.
    OfferMade {
        /// To whom.
        agent: AgentId,
        /// Which chat.
        chat: ChatId,
        /// Fences the answer.
        assignment: u64,
        /// When it is withdrawn.
        until: Millis,
    },
    /// An offer was withdrawn (timed out, visitor left, session lost).
    OfferWithdrawn {
        /// From whom.
        agent: AgentId,
        /// Which chat.
        chat: ChatId,
        /// Which offer.
        assignment: u64,
    },
    /// An agent's presence, session, load or shift changed.
    AgentChanged {
        /// Which agent.
        agent: AgentId,
    },
    /// A newer session took over; the node holding the old one must close it.
    SessionFenced {
        /// Whose.
        agent: AgentId,
        /// The old epoch.
        epoch: Epoch,
    },
    /// Configuration changed.
    ConfigChanged,
}

/// The answer to a command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// A session is open.
    Session {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The chat exists; where it is now.
    Chat {
        /// Which chat.
        chat: ChatId,
        /// Its phase after the command.
        phase: Phase,
    },
}

/// Why a command was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// A field is wrong.
    #[error("{field}: {problem}; {fix}")]
    Invalid {
        /// Path of the field, such as `agents[3].capacity`.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// No such object.
    #[error("{field}: no {kind} named '{id}'")]
    Unknown {
        /// Field that named it.
        field: String,
        /// `chat`, `agent`, `queue`, `region`, `schedule`.
        kind: &'static str,
        /// The id.
        id: String,
    },
    /// The session is not the agent's current one.
    #[error(
        "session {given} of agent '{agent}' is over (the newest is {current}); open a new session"
    )]
    Fenced {
        /// Whose.
        agent: AgentId,
        /// What the caller holds.
        given: Epoch,
        /// What counts now.
        current: Epoch,
    },
    /// The object is not in a state that allows it.
    #[error("{0}")]
    Conflict(String),
    /// A limit is reached; try later.
    #[error("{field}: limit of {limit} reached")]
    Full {
        /// Which limit.
        field: String,
        /// Its value.
        limit: u64,
        /// When it may be worth trying again, in ms.
        retry_ms: u32,
    },
}
