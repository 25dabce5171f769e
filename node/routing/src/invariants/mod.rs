//! What must hold after every command, one promise a file. The numbers are those of ARCHITECTURE.md. Checked in tests
//! and under simulation after each step, and by the running node on demand; walks everything.

mod acts;
mod counters;
mod ends;
mod history;
mod load;
mod matched;
mod order;
mod owner;
mod refusal;

use crate::state::State;

pub use acts::acts;
pub use history::Seen;
pub use refusal::unchanged_by_refusal;

/// Checks every invariant the state alone can break.
///
/// # Errors
/// The number and story of the first broken one.
pub fn check(state: &State) -> Result<(), String> {
    check_within(state, usize::MAX)
}

/// The same, but looks at no more than so many pairs of a waiting chat and an agent, of which there may be very many.
///
/// # Errors
/// As [`check`].
pub fn check_within(state: &State, pairs_max: usize) -> Result<(), String> {
    load::check(state)?;
    owner::check(state)?;
    ends::check(state)?;
    matched::check(state, pairs_max)?;
    order::check(state)?;
    counters::check(state)
}
