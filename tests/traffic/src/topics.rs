//! What chats are about: the queues' names, the skills they want, and opening words.

/// Everything without a better place.
pub const GENERAL: &str = "general";
/// Invoices, payments, refunds.
pub const BILLING: &str = "billing";
/// Faults and set-up.
pub const TECHNICAL: &str = "technical";

/// A kind of chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The visitor's concern in English; written by hand.
    pub text: &'static str,
    /// The queue it goes to.
    pub queue: &'static str,
    /// The skill wanted and its level, if any.
    pub skill: Option<(&'static str, u32)>,
    /// Its share of all chats, percent.
    pub percent: u32,
}

const fn topic(
    percent: u32,
    queue: &'static str,
    skill: Option<(&'static str, u32)>,
    text: &'static str,
) -> Topic {
    Topic {
        text,
        queue,
        skill,
        percent,
    }
}

/// All kinds of chats; the percents sum to 100. The mix is our assumption: a general line that takes
/// half, and two lines of specialists.
pub const TOPICS: [Topic; 12] = [
    topic(16, GENERAL, None, "Where is my order?"),
    topic(12, GENERAL, None, "I have a question before I buy"),
    topic(10, GENERAL, None, "I want to change my address"),
    topic(7, GENERAL, None, "How do I cancel?"),
    topic(5, GENERAL, None, "I would like to give feedback"),
    topic(
        10,
        BILLING,
        Some(("billing", 2)),
        "I do not understand my invoice",
    ),
    topic(8, BILLING, Some(("billing", 4)), "My payment failed"),
    topic(7, BILLING, Some(("refunds", 3)), "I want my money back"),
    topic(10, TECHNICAL, Some(("technical", 2)), "I cannot log in"),
    topic(
        7,
        TECHNICAL,
        Some(("technical", 4)),
        "The app shows an error",
    ),
    topic(
        5,
        TECHNICAL,
        Some(("network", 3)),
        "The connection keeps breaking",
    ),
    topic(
        3,
        TECHNICAL,
        Some(("technical", 8)),
        "I lost data after the update",
    ),
];

/// The skills of a queue's specialists, in the order they are learned.
pub const SKILLS: [(&str, [&str; 2]); 2] = [
    (BILLING, ["billing", "refunds"]),
    (TECHNICAL, ["technical", "network"]),
];
