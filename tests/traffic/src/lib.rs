//! A seeded world for Meridian's tests and demonstrations.
//!
//! [`world::World`] is what is known about people: territories with populations, languages, zones and
//! public holidays, from published data (`world/SOURCE.md`). From it and a seed come a support
//! organisation ([`organisation::generate`]), whose YAML is the file `meridian apply -f` reads, and a
//! stream of chats ([`arrivals::Arrivals`]) that follows the sun.
//!
//! The crate is pure: no clock, no threads, no network, no randomness but the seed's, and floating
//! point only through operations that give the same bits on every platform. The same seed gives the
//! same bytes. It knows neither the node nor the routing core; its vocabulary is what they are sent.

pub mod arrivals;
pub mod coverage;
pub mod draw;
pub mod format;
pub mod generate;
pub mod organisation;
pub mod topics;
pub mod world;
