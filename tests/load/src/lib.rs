//! Simulated regional traffic on a cluster, over the API that real people use, and what they felt.
//!
//! A [`scenario::Scenario`] says who comes when and what must hold. [`plan::Plan`] makes people of it, from public data
//! and a seed. [`run::run`] plays them on a cluster in open loop: visitors come when they are meant to, however the
//! cluster fares, and what they wait is counted from then on, so that a cluster that stands still for a second is felt
//! by all who would have come in it. [`report::Report`] is what came of it, and [`page`] shows it.

pub mod configure;
pub mod error;
pub mod measure;
pub mod page;
pub mod people;
pub mod plan;
pub mod report;
pub mod run;
pub mod scenario;
pub mod stage;
pub mod threshold;

pub use error::LoadError;
