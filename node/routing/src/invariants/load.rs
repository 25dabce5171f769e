//! Invariant 2: no agent carries more than they can.

use std::collections::BTreeMap;

use crate::ids::AgentId;
use crate::model::Presence;
use crate::state::State;

/// 2: no agent carries more than their capacity, but for what a lowered capacity left over.
pub(super) fn check(state: &State) -> Result<(), String> {
    let mut loads: BTreeMap<&AgentId, u32> = BTreeMap::new();
    for chat in state.chats.values() {
        for agent in chat.holders() {
            *loads.entry(agent).or_default() += chat.weight;
        }
    }
    for (id, load) in loads {
        let Some(agent) = state.agents.get(id) else {
            return Err(format!(
                "1: a chat is held by agent '{id}', who does not exist"
            ));
        };
        if state.excess(id) > agent.excess {
            return Err(format!(
                "2: agent '{id}' carries {load} of {} and {} units",
                agent.config.capacity_at(state.meta.now),
                agent.config.extra
            ));
        }
        if load != state.load(id) {
            return Err(format!(
                "10: agent '{id}' carries {load} units, counted {}",
                state.load(id)
            ));
        }
        let offline = agent.presence == Presence::Offline;
        if offline {
            return Err(format!("6: agent '{id}' is offline and holds chats"));
        }
    }
    Ok(())
}
