//! How a chat would fare, and how long one waits.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::{chance_word, given};
use crate::output::Clock;
use crate::time::{format_millis, rfc3339};

/// How long a chat is expected to wait.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Wait {
    mean_ms: u32,
    low_ms: u32,
    high_ms: u32,
}

impl From<api::ExpectedWait> for Wait {
    fn from(w: api::ExpectedWait) -> Self {
        Self {
            mean_ms: w.mean_ms,
            low_ms: w.low_ms,
            high_ms: w.high_ms,
        }
    }
}

impl Wait {
    /// To the second: more would be a promise nobody can keep.
    pub fn words(&self) -> String {
        let seconds = |ms: u32| format_millis(u64::from(ms) / 1000 * 1000);
        format!(
            "{} ({} to {})",
            seconds(self.mean_ms),
            seconds(self.low_ms),
            seconds(self.high_ms)
        )
    }

    /// The mean alone.
    pub fn brief(&self) -> String {
        format_millis(u64::from(self.mean_ms) / 1000 * 1000)
    }
}

/// How a chat would fare.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    chance: String,
    position: Option<u32>,
    expected_wait: Option<Wait>,
    opens_at: Option<String>,
    opens_local: Option<String>,
    log_index: u64,
    #[serde(skip)]
    opens_ms: i64,
}

impl From<api::GetOutlookResponse> for Outlook {
    fn from(o: api::GetOutlookResponse) -> Self {
        Self {
            chance: chance_word(o.chance),
            position: (o.position != 0).then_some(o.position),
            expected_wait: o.expected_wait.map(Wait::from),
            opens_at: rfc3339(o.opens_ms),
            opens_local: given(o.opens_local),
            log_index: o.log_index,
            opens_ms: o.opens_ms,
        }
    }
}

impl Outlook {
    /// For people.
    pub fn sentence(&self, clock: &Clock) -> String {
        let mut text = match self.chance.as_str() {
            "open" => "open: somebody could take it at once",
            "busy" => "busy: it would wait for somebody who is at work",
            "unstaffed" => "unstaffed: nobody who could take it is at work",
            "full" => "full: it would be refused, since as many wait as the queue lets",
            "closed" => "closed: it would be put off until the queue opens",
            _ => "unknown to this version",
        }
        .to_owned();
        if let Some(position) = self.position {
            text += &format!("; place {position} in line");
        }
        if let Some(wait) = self.expected_wait {
            text += &format!("; a wait of {}", wait.words());
        }
        if let Some(local) = &self.opens_local {
            text += &format!("; from {local}, {}", clock.relative(self.opens_ms));
        }
        text
    }
}

/// A time as RFC 3339 has it, in ms since 1970.
///
/// # Errors
/// It is not one.
pub fn millis_of(text: &str) -> Result<i64, String> {
    let at = text.parse::<jiff::Timestamp>();
    at.map(|at| at.as_millisecond())
        .map_err(|_| format!("'{text}' is not a time; write it like 2026-12-01T09:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn a_wait_is_told_with_its_range_and_an_opening_in_the_visitors_time() {
        let clock = Clock {
            now_ms: 0,
            zone: TimeZone::UTC,
        };
        let busy = Outlook::from(api::GetOutlookResponse {
            chance: api::Chance::Busy.into(),
            position: 2,
            expected_wait: Some(api::ExpectedWait {
                mean_ms: 90_400,
                low_ms: 26_000,
                high_ms: 154_000,
            }),
            ..Default::default()
        });
        assert_eq!(
            busy.sentence(&clock),
            "busy: it would wait for somebody who is at work; place 2 in line; a wait of 1m30s (26s to 2m34s)"
        );
        let closed = Outlook::from(api::GetOutlookResponse {
            chance: api::Chance::Closed.into(),
            opens_ms: 3_600_000,
            opens_local: "1969-12-31T22:00:00-03:00".to_owned(),
            ..Default::default()
        });
        assert_eq!(
            closed.sentence(&clock),
            "closed: it would be put off until the queue opens; from 1969-12-31T22:00:00-03:00, in 1h"
        );
    }

    #[test]
    fn a_time_is_read_or_refused_with_an_example() {
        assert_eq!(millis_of("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(
            millis_of("tomorrow").unwrap_err(),
            "'tomorrow' is not a time; write it like 2026-12-01T09:00:00Z"
        );
    }
}
