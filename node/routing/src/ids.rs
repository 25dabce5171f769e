//! Identifiers and plain units. Everything is an integer or a short checked string.

use std::fmt;

use smol_str::SmolStr;

/// UTC milliseconds since 1970. The leader stamps it; the core has no clock.
pub type Millis = i64;

macro_rules! name {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        // Short names lie within the rows of the indexes and long ones are shared: to compare costs no jump
        // through memory, to copy no allocation.
        pub struct $id(SmolStr);
        impl $id {
            /// The name as it is written.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $id {
            fn from(value: &str) -> Self {
                Self(value.into())
            }
        }
        impl From<String> for $id {
            fn from(value: String) -> Self {
                Self(value.into())
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0.into()
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
