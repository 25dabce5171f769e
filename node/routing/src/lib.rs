//! Meridian's pure routing core: its vocabulary.
//!
//! One ordered [`command::Command`] in, [`effect::Effect`]s and one [`effect::Answer`] or
//! [`effect::Reject`] out, the same on every replica. Nothing here knows of clocks, randomness,
//! threads, networks or storage: times are integers stamped by the leader, and every collection
//! that is iterated is ordered.

pub mod command;
pub mod effect;
pub mod ids;
pub mod model;
