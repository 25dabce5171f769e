//! Which rules every replica carries out alike, while nodes of different versions work together.
//!
//! Replicas must come to the same state by the same command, so what a newer version does anew must wait until every
//! node of the cluster can do it. Rules are numbered; a cluster begins with 0 and comes to higher ones by
//! [`Command::Adopt`], which the leader proposes once every member has said that it knows them. Rules in force are never
//! taken back, and a node that does not know them refuses to take part.
//!
//! Whoever adds a command, a field of one, or another outcome of an old one raises [`NEWEST`], names the new rules in
//! [`Command::rules`], or asks for `meta.rules` where the outcome differs, and says here what they are about:
//! - 0: everything up to the first rules.
//! - 1: rules themselves.
//! - 2: leadership pinned to a region ([`Command::PinLeader`]).

use crate::command::Command;
use crate::effect::{Answer, Reject};
use crate::state::State;

/// The newest rules that this program knows.
pub const NEWEST: u32 = 2;

impl Command {
    /// The rules that must be in force before it is proposed. [`Command::Adopt`] needs none: it is what puts them in force.
    pub fn rules(&self) -> u32 {
        match self {
            Self::PinLeader { .. } => 2,
            _ => 0,
        }
    }
}

/// Whether rules are in force.
///
/// # Errors
/// [`Reject::Invalid`] if not.
pub fn in_force(needed: u32, rules: u32) -> Result<(), Reject> {
    if needed <= rules {
        return Ok(());
    }
    Err(Reject::Invalid {
        field: "command".to_owned(),
        problem: format!("it needs rules {needed}, and rules {rules} are in force"),
        fix: "upgrade every node of the cluster, which then puts them in force by itself"
            .to_owned(),
    })
}

impl State {
    /// Puts rules in force, for good. What is in force already stays.
    pub(crate) fn adopt(&mut self, rules: u32) -> Result<Answer, Reject> {
        self.meta.rules = self.meta.rules.max(rules);
        Ok(Answer::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Stamped;

    fn adopt(state: &mut State, rules: u32) -> u32 {
        let index = state.meta().index + 1;
        let stamped = Stamped {
            index,
            at: 0,
            request_id: String::new(),
            actor: String::new(),
            command: Command::Adopt { rules },
        };
        state.apply(&stamped).result.expect("nothing refuses it");
        state.meta().rules
    }

    #[test]
    fn rules_in_force_are_never_taken_back() {
        let mut state = State::default();
        assert_eq!(state.meta().rules, 0);
        assert_eq!(adopt(&mut state, 2), 2);
        assert_eq!(adopt(&mut state, 1), 2);
        let parts = state.keys();
        let kept = State::restore(parts.iter().filter_map(|key| state.entity(key)));
        assert_eq!(kept.meta().rules, 2);
    }

    #[test]
    fn what_needs_newer_rules_waits_for_them() {
        assert_eq!(in_force(1, 1), Ok(()));
        let early = in_force(2, 1).unwrap_err().to_string();
        assert!(early.contains("needs rules 2") && early.contains("upgrade every node"));
    }
}
