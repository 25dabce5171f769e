//! A Meridian node: everything around the pure routing core.

mod aside;
pub mod backup;
pub mod convert;
pub mod delivery;
pub mod driver;
pub mod env;
pub mod examine;
pub mod gate;
pub mod language;
pub mod leader_time;
pub mod leadership;
pub mod machine;
pub mod metrics;
pub mod node;
pub mod offline;
mod past;
pub mod raft;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod storage;
pub mod telemetry;
pub mod timers;
pub mod visitor_pages;
pub mod witness;

pub use meridian_calendar as calendar;
