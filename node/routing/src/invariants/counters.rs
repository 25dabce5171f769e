//! Invariant 10: whatever is counted or indexed equals what is derived anew.

use crate::state::{Chat, State};

/// 10: every index equals what is derived anew, and the totals add up.
pub(super) fn check(state: &State) -> Result<(), String> {
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
