//! A Meridian node: everything around the pure routing core.

pub mod calendar;
pub mod raft;
pub mod storage;
