//! Identifiers and plain units. Everything is an integer or a short checked string.

use std::fmt;

/// UTC milliseconds since 1970. The leader stamps it; the core has no clock.
pub type Millis = i64;

macro_rules! name {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $id(pub String);
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $id {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }
    };
}

name!(
    /// A region of the organisation and of the cluster, such as `eu`.
    RegionId
);
name!(
    /// A person who answers chats.
    AgentId
);
name!(
    /// A line of waiting chats with one policy.
    QueueId
);
name!(
    /// A weekly plan of working hours, resolved to UTC spans before it is proposed.
    ScheduleId
);
name!(
    /// A skill, such as `billing`.
    SkillId
);
name!(
    /// A canonical BCP-47 tag, such as `pt-BR`. The calendar and language resolution make it canonical.
    Language
);
name!(
    /// A chat; chosen by the proposer, never in `apply`.
    ChatId
);

/// A cluster node.
pub type NodeId = u64;

/// Counts the sessions of one agent; a newer epoch fences every older one.
pub type Epoch = u64;
