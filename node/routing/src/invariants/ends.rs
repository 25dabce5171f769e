//! Invariants 5 and 9: no chat is forgotten.

use std::collections::BTreeMap;

use crate::ids::Millis;
use crate::index::Deadline;
use crate::limits::CLOSED_KEPT_MS;
use crate::model::Phase;
use crate::state::State;

/// 5 and 9: every open chat has an owner or a next deadline, and none is overdue.
pub(super) fn check(state: &State) -> Result<(), String> {
    let now = state.meta.now;
    let mut due: BTreeMap<Millis, Vec<&Deadline>> = BTreeMap::new();
    for (at, deadline) in &state.index.deadlines {
        due.entry(*at).or_default().push(deadline);
    }
    for chat in state.chats.values() {
        let next = match &chat.phase {
            Phase::Offered { until, .. } | Phase::WrapUp { until, .. } => *until,
            Phase::Deferred { due, .. } | Phase::Tracked { due, .. } => *due,
            Phase::Waiting => chat.since + state.wait_max(chat),
            Phase::Closed(_) => chat.closed + CLOSED_KEPT_MS,
            Phase::Active { .. } => continue,
        };
        let mut then = due.get(&next).into_iter().flatten();
        let known = then.any(|d| d.concerns(&chat.id));
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
