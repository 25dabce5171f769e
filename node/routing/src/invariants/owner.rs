//! Invariant 1: a chat has at most one owner. The phase can hold no two; what is left to check are those who help.

use crate::model::Phase;
use crate::state::State;

/// 1: an assist is for a chat that an agent has, and whoever assists is another.
pub(super) fn check(state: &State) -> Result<(), String> {
    for chat in state.chats.values() {
        let Some((of, _)) = &chat.assist else {
            continue;
        };
        let Some(Phase::Active { agent }) = state.chats.get(of).map(|c| &c.phase) else {
            return Err(format!("1: assist '{}' is for a chat nobody has", chat.id));
        };
        if chat.holders().contains(agent) {
            return Err(format!("1: agent '{agent}' assists themselves in '{of}'"));
        }
    }
    Ok(())
}
