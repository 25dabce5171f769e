//! The command line of Meridian.

pub mod client;
pub mod failure;
pub mod output;
pub mod time;
pub mod view;
pub mod world;
