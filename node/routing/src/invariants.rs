//! What must hold after every command. The numbers are those of ARCHITECTURE.md. Checked in tests after
//! each step and by the running node on demand; walks everything.

use std::collections::BTreeMap;

use crate::fit::{Bench, Entry, Only};
use crate::ids::*;
use crate::index::LineId;
use crate::limits::*;
use crate::model::*;
use crate::state::{Chat, Key, State};

/// Checks every invariant the state alone can break.
///
/// # Errors
/// The number and story of the first broken one.
pub fn check(state: &State) -> Result<(), String> {
    loads(state)?;
    assists(state)?;
    deadlines(state)?;
    nobody_waits_beside_a_free_agent(state)?;
    served_in_order(state)?;
    recount(state)
}

/// 2: no agent carries more than their capacity, but for what a lowered capacity left over.
fn loads(state: &State) -> Result<(), String> {
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

/// 1: an assist is for a chat that an agent has, and whoever assists is another.
fn assists(state: &State) -> Result<(), String> {
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

/// 5 and 9: every open chat has an owner or a next deadline, and none is overdue.
fn deadlines(state: &State) -> Result<(), String> {
    let now = state.meta.now;
    for chat in state.chats.values() {
        let next = match &chat.phase {
            Phase::Offered { until, .. } | Phase::WrapUp { until, .. } => *until,
            Phase::Deferred { due, .. } | Phase::Tracked { due, .. } => *due,
            Phase::Waiting => chat.since + state.wait_max(chat),
            Phase::Closed(_) => chat.closed + CLOSED_KEPT_MS,
            Phase::Active { .. } => continue,
        };
        let known = state
            .index
            .deadlines
            .iter()
            .any(|(at, d)| *at == next && d.concerns(&chat.id));
        if !known {
            return Err(format!(
                "9: chat '{}' has no deadline at {next}: {:?}",
                chat.id, chat.phase
            ));
        }
        if matches!(chat.phase, Phase::Offered { .. }) && next < now {
            return Err(format!(
                "5: the offer of chat '{}' outlived its deadline",
                chat.id
            ));
        }
    }
    Ok(())
}

/// 5: no chat waits while an agent who may take it is free. Asks each pair without the indexes.
fn nobody_waits_beside_a_free_agent(state: &State) -> Result<(), String> {
    for chat in state.chats.values().filter(|c| c.phase == Phase::Waiting) {
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

/// 8: within one queue and for equal points of priority, chats are served in arrival order; and no chat of any queue
/// is overtaken by one that arrived later than any head start reaches. Checked where it could break: in the order
/// indexes.
fn served_in_order(state: &State) -> Result<(), String> {
    let mut all = Vec::new();
    for (queue, order) in &state.index.order {
        let mut last: BTreeMap<(u32, bool), Millis> = BTreeMap::new();
        for (place, id) in order {
            let Some(chat) = state.chats.get(id) else {
                return Err(format!("10: '{id}' waits in '{queue}' but does not exist"));
            };
            all.push((*place, chat.arrived, id));
            if last
                .insert((chat.priority, chat.vip), chat.arrived)
                .is_some_and(|before| before > chat.arrived)
            {
                return Err(format!(
                    "8: chat '{id}' of queue '{queue}' is placed behind a later arrival"
                ));
            }
        }
    }
    all.sort();
    let (most, mut latest) = (state.overtaking_max(), None);
    for (_, arrived, id) in all {
        let later = latest.map_or(0, |latest: Millis| latest - arrived);
        if later > most {
            return Err(format!(
                "8: chat '{id}' is overtaken by one that arrived {later} ms later, {most} ms being the most"
            ));
        }
        latest = latest.max(Some(arrived));
    }
    Ok(())
}

/// 10: every index equals what is derived anew, and the totals add up.
fn recount(state: &State) -> Result<(), String> {
    let fresh = State::restore(state.keys().iter().filter_map(|key| state.entity(key)));
    state.index.same_as(&fresh.index)?;
    let t = state.meta.totals;
    let open = |c: &&Chat| !c.is_closed() && c.assist.is_none();
    let open = state.chats.values().filter(open).count() as u64;
    if t.accepted != t.answered + t.abandoned + t.expired + open {
        return Err(format!(
            "10: {} accepted, but {} answered, {} abandoned, {} expired and {open} open",
            t.accepted, t.answered, t.abandoned, t.expired
        ));
    }
    Ok(())
}

/// What no command may change: 4: when a chat arrived; 6: that sessions are numbered upwards; and that a
/// closed chat stays closed as it is.
///
/// # Errors
/// The number and story of the first broken one.
pub fn kept(before: &State, after: &State) -> Result<(), String> {
    for (id, old) in &before.chats {
        let Some(new) = after.chats.get(id) else {
            if old.is_closed()
                || old.assist.is_some()
                || after.meta.now - before.meta.now >= CLOSED_KEPT_MS
            {
                continue;
            }
            return Err(format!("9: chat '{id}' is gone and was not closed"));
        };
        if old.arrived != new.arrived {
            return Err(format!("4: chat '{id}' lost its arrival time"));
        }
        if old.assignment > new.assignment {
            return Err(format!("6: the offers of chat '{id}' are numbered anew"));
        }
        if old.is_closed() && old.phase != new.phase {
            return Err(format!("9: chat '{id}' came back from {:?}", old.phase));
        }
    }
    for (id, old) in &before.agents {
        let epoch = after
            .agents
            .get(id)
            .map_or(after.meta.epoch_floor, |a| a.epoch);
        if epoch < old.epoch {
            return Err(format!("6: the sessions of agent '{id}' are numbered anew"));
        }
    }
    Ok(())
}

/// A refused command changes nothing but time, the place in the log and the remembered answer. Give it
/// states between which no deadline fell due.
///
/// # Errors
/// Names the first part that differs.
pub fn unchanged_by_refusal(before: &State, after: &State) -> Result<(), String> {
    for key in before.keys().into_iter().chain(after.keys()) {
        if !matches!(key, Key::Meta | Key::Request(_)) && before.entity(&key) != after.entity(&key)
        {
            return Err(format!("a refused command changed {key:?}"));
        }
    }
    if before.meta.totals == after.meta.totals {
        Ok(())
    } else {
        Err("a refused command was counted".to_owned())
    }
}
