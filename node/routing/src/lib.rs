//! Meridian's pure routing core.
//!
//! One ordered [`command::Command`] in ([`state::State::apply`]), [`effect::Effect`]s and one
//! [`effect::Answer`] or [`effect::Reject`] out, the same on every replica. Nothing here knows of clocks,
//! randomness, threads, networks or storage: times are integers stamped by the leader, and every
//! collection that is iterated is ordered.

pub mod apply;
mod assist;
mod away;
mod chat;
mod checks;
pub mod closure;
pub mod command;
mod configure;
mod deferral;
pub mod effect;
pub mod explain;
pub mod fit;
pub mod ids;
mod index;
pub mod invariants;
pub mod language;
pub mod limits;
mod lines;
mod matching;
pub mod model;
pub mod mutants;
mod offer;
pub mod order;
pub mod pin;
mod presence;
mod ready;
pub mod reason;
mod rest;
pub mod rules;
mod seats;
pub mod service;
mod stage;
pub mod state;
mod sun;
mod transfer;
pub mod version;
pub mod wait;
mod weigh;
pub mod why;
