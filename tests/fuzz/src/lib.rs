//! What must hold of every reader of bytes and text, whatever it is given: it does not panic, it comes to an end in time
//! and memory that the input accounts for, it names what is wrong, and what it read it can write and read again as the
//! same.
//!
//! A target is a function of bytes that panics when one of these is broken. `libfuzzer/` makes a program of each, which
//! looks for inputs by the code they reach (`make fuzz`); the tests of this package give the same functions the saved
//! corpus and a few thousand fresh inputs, with no tool beside cargo.

mod apply;
mod calendar;
mod configuration;
mod disk;
mod durable;
mod objects;
mod raft;
mod source;
mod words;

pub use apply::apply;
pub use calendar::{ical, opening_hours, plan};
pub use configuration::{api, config};
pub use disk::{log, snapshot};
pub use durable::{command, state};
pub use raft::raft;
pub use words::words;

/// A function of bytes that panics where a promise is broken, and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by name.
pub const TARGETS: [Target; 12] = [
    ("api", api),
    ("apply", apply),
    ("command", command),
    ("config", config),
    ("ical", ical),
    ("log", log),
    ("opening_hours", opening_hours),
    ("plan", plan),
    ("raft", raft),
    ("snapshot", snapshot),
    ("state", state),
    ("words", words),
];

/// An error must say what it is about.
fn names(field: &str, error: &impl std::fmt::Display) {
    assert!(!field.is_empty(), "no field is named: {error}");
}
