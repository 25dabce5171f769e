//! Invariant 5: no chat waits beside a free agent.

use crate::fit::{Bench, Entry, Only};
use crate::ids::AgentId;
use crate::index::LineId;
use crate::model::{Phase, Presence};
use crate::state::{Chat, State};

/// 5: no chat waits while an agent who may take it is free. Asks each pair without the indexes.
///
/// Looks at so many pairs of a chat and an agent at most.
pub(super) fn check(state: &State, pairs_max: usize) -> Result<(), String> {
    let chats_max = pairs_max / state.agents.len().max(1);
    let waiting = state.chats.values().filter(|c| c.phase == Phase::Waiting);
    for chat in waiting.take(chats_max) {
        let Some((line, stage)) = state.index.line_of(&chat.id) else {
            return Err(format!("10: chat '{}' waits in no line", chat.id));
        };
        for agent in state.agents.keys() {
            if may_take(state, chat, (line, stage), agent) {
                return Err(format!(
                    "5: chat '{}' waits though agent '{agent}' may take it",
                    chat.id
                ));
            }
        }
    }
    Ok(())
}

fn may_take(state: &State, chat: &Chat, at: (LineId, usize), id: &AgentId) -> bool {
    let agent = &state.agents[id];
    let bench = Bench::of(&agent.config, state.meta.now);
    let rows = &state.index.lines[at.0];
    let stage = &rows.stages[at.1];
    let Ok(entries) = state.entries(&state.line_key(chat), stage, &bench) else {
        return false;
    };
    let (gates, full) = (state.gates(rows, at.1), state.full_queues(agent));
    let lets_in = |e: &Entry| {
        let theirs = match &stage.ways[usize::from(e.fit.way)].only {
            Only::Agent(only) => only == id,
            _ => true,
        };
        theirs && gates.open(e) && !full.contains(&stage.reach[usize::from(e.reach)].queue)
    };
    let kept = |bench| state.kept_for_heavier(chat, bench, id);
    agent.presence == Presence::Available
        && state.takes_chats(agent)
        && entries.iter().any(lets_in)
        && state.load(id) + chat.weight <= bench.room(chat.interrupting)
        && !state.refused(chat, id)
        && !state.index.bench_of(id).is_some_and(kept)
}
