//! Invariant 8: chats are served in order.

use std::collections::BTreeMap;

use crate::ids::Millis;
use crate::state::State;

/// 8: within one queue and for equal points of priority, chats are served in arrival order; and no chat of any queue
/// is overtaken by one that arrived later than any head start reaches. Checked where it could break: in the order
/// indexes.
pub(super) fn check(state: &State) -> Result<(), String> {
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
