//! What commands print: shapes of our own with stable names, so that the wire may grow without them.

mod changes;
mod chat;
mod cluster;
mod leadership;
mod outlook;
mod state;
mod version;

pub use changes::{Change, Changes};
pub use chat::{Chat, Explanation, Moment, OfferView, Weighed};
pub use cluster::{Answered, Member, NodeStatus, Status};
pub use leadership::Leadership;
pub use outlook::{Outlook, Wait, millis_of};
pub use state::{Agent, Queue};
pub use version::Version;

use meridian_proto::livechat::v1 as api;

/// An enum of the API as a lower-case word: its name without the prefix.
macro_rules! words {
    ($name:ident, $enum:ty, $prefix:literal) => {
        /// The value as a lower-case word; `unknown` for one this build does not know.
        pub fn $name(value: i32) -> String {
            let known = <$enum>::try_from(value).map(|v| v.as_str_name());
            let bare = known.ok().and_then(|name| name.strip_prefix($prefix));
            bare.unwrap_or("UNKNOWN").to_ascii_lowercase()
        }
    };
}

words!(presence_word, api::Presence, "PRESENCE_");
words!(phase_word, api::ChatPhase, "CHAT_PHASE_");
words!(closed_word, api::CloseReason, "CLOSE_REASON_");
words!(chance_word, api::Chance, "CHANCE_");
words!(purpose_word, api::Purpose, "PURPOSE_");
words!(watch_word, api::WatchMode, "WATCH_MODE_");
words!(change_word, api::ChangeKind, "CHANGE_KIND_");

/// The sign before a changed object, by the word for how it changed.
fn change_sign(word: &str) -> char {
    match word {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    }
}

/// Text that may be absent: empty becomes `None`.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Text for a table: `-` where there is none.
fn shown(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enums_become_words() {
        assert_eq!(
            presence_word(api::Presence::NotResponding as i32),
            "not_responding"
        );
        assert_eq!(phase_word(api::ChatPhase::WrapUp as i32), "wrap_up");
        assert_eq!(closed_word(0), "unspecified");
        assert_eq!(change_word(77), "unknown");
    }
}
