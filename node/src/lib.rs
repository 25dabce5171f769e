//! A Meridian node: everything around the pure routing core.

pub mod calendar;
pub mod convert;
pub mod language;
