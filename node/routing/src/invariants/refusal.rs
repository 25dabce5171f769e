//! A refused command changes nothing.

use crate::state::{Key, State};

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
