//! The only place where messages and the routing core's types meet: durable bytes in [`command`] and
//! [`entity`], the public API in [`api`].

pub mod api;
mod chat;
pub mod command;
pub mod entity;
pub mod history;
mod model;
mod story;
pub mod view;

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// They do not decode.
    #[error("{what} does not decode: {why}")]
    Decode {
        /// Which message.
        what: &'static str,
        /// The decoder's words.
        why: String,
    },
    /// A part that is always written is missing, or holds a number this version does not know.
    #[error("{0} is missing or unknown; it may have been written by a newer version")]
    Missing(&'static str),
    /// Written by a newer version.
    #[error("format {found} is newer than {known}; run the version that wrote it, or a later one")]
    Newer {
        /// What the bytes say.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
}

#[cfg(test)]
pub(crate) mod tests;
