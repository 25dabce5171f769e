//! Durations and moments: how people write them and how they are shown.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Units from the largest to the smallest, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It does not follow the grammar.
    #[error("'{0}' is not a duration; write it like 500ms, 20s, 2m40s or 1h")]
    Malformed(String),
    /// It is no time to wait for an answer.
    #[error("{0} is out of bounds; give 1ms to 1h")]
    OutOfBounds(String),
    /// It does not fit 64 bits of milliseconds.
    #[error("'{0}' is too long a duration")]
    TooLong(String),
}

/// Milliseconds of a text such as `500ms`, `20s`, `2m40s` or `1h`: whole numbers with units, larger units
/// first, no unit twice. `0` alone needs no unit.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_millis(text: &str) -> Result<u64, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (digits, tail) = split(rest, |c| c.is_ascii_digit());
        let (unit, tail) = split(tail, |c| c.is_ascii_alphabetic());
        if digits.is_empty() {
            return Err(malformed());
        }
        // The iterator only moves on, which refuses units that repeat or rise.
        let (_, size) = units
            .find(|(name, _)| *name == unit)
            .ok_or_else(malformed)?;
        let amount = digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(*size));
        total = amount
            .and_then(|n| total.checked_add(n))
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
        rest = tail;
    }
    if text.is_empty() {
        Err(malformed())
    } else {
        Ok(total)
    }
}

fn split(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// As [`parse_millis`], for command-line options.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    parse_millis(text).map(Duration::from_millis)
}

/// As [`parse_duration`], for how long to wait for an answer: 1 ms to an hour.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_timeout(text: &str) -> Result<Duration, DurationError> {
    let timeout = parse_duration(text)?;
    let bounds = Duration::from_millis(1)..=Duration::from_hours(1);
    if bounds.contains(&timeout) {
        Ok(timeout)
    } else {
        Err(DurationError::OutOfBounds(text.to_owned()))
    }
}

/// The shortest text [`parse_millis`] reads back as the same number.
pub fn format_millis(millis: u64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut rest = millis;
    let mut text = String::new();
    // Days are read but not written: "36h" is what people say of a shift or a wait.
    for (unit, size) in &UNITS[1..] {
        if rest >= *size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// The two largest units of a span, for people: `2m40s`, `3h`, `5d2h`.
pub fn format_rough(millis: u64) -> String {
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let mut rest = millis;
    let mut text = String::new();
    let first = UNITS
        .iter()
        .position(|(_, size)| millis >= *size)
        .unwrap_or(0);
    for (unit, size) in UNITS
        .iter()
        .skip(first)
        .take(2)
        .filter(|(unit, _)| *unit != "ms")
    {
        if rest >= *size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// A moment seen from another: `2m40s ago`, `in 3h`, `now`.
pub fn relative(at_ms: i64, now_ms: i64) -> String {
    let distance = at_ms.abs_diff(now_ms);
    match at_ms {
        _ if distance < 1_000 => "now".to_owned(),
        at if at < now_ms => format!("{} ago", format_rough(distance)),
        _ => format!("in {}", format_rough(distance)),
    }
}

/// RFC 3339 in UTC with milliseconds, for machines; `None` for the API's 0 = "not set".
pub fn rfc3339(at_ms: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(at_ms)
        .ok()
        .filter(|_| at_ms != 0)?;
    Some(format!("{at:.3}"))
}

/// RFC 3339 in the zone given with whole seconds, for people; `-` for the API's 0 = "not set".
pub fn local(at_ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(at_ms) {
        Ok(at) if at_ms != 0 => {
            let at = at.to_zoned_datetime(zone.clone());
            at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        }
        _ => "-".to_owned(),
    }
}

/// Milliseconds since 1970, now.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("20s", 20_000),
            ("2m40s", 160_000),
            ("1h", 3_600_000),
            ("1d12h", 129_600_000),
            ("1s500ms", 1_500),
        ] {
            assert_eq!(parse_millis(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "20", "s", "20 s", "-5s", "1.5h", "40s2m", "1s1s", "5x", "٣s",
        ] {
            assert_eq!(
                parse_millis(text),
                Err(DurationError::Malformed(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            parse_millis("99999999999999999999d")
                .unwrap_err()
                .to_string(),
            "'99999999999999999999d' is too long a duration"
        );
        assert_eq!(
            parse_millis("20").unwrap_err().to_string(),
            "'20' is not a duration; write it like 500ms, 20s, 2m40s or 1h"
        );
    }

    #[test]
    fn timeouts_are_bounded() {
        for text in ["1ms", "10s", "1h"] {
            assert!(parse_timeout(text).is_ok(), "{text}");
        }
        for text in ["0", "0s", "1h1ms", "99d"] {
            let refused = format!("{text} is out of bounds; give 1ms to 1h");
            assert_eq!(parse_timeout(text).unwrap_err().to_string(), refused);
        }
    }

    #[test]
    fn written_durations_read_back() {
        for millis in [
            0, 1, 999, 1_000, 1_500, 59_999, 60_000, 160_000, 3_600_000, 90_061_001,
        ] {
            assert_eq!(parse_millis(&format_millis(millis)), Ok(millis));
        }
        assert_eq!(format_millis(160_000), "2m40s");
        assert_eq!(format_millis(129_600_000), "36h");
    }

    #[test]
    fn moments_are_shown_relative_and_local() {
        assert_eq!(relative(1_000_000, 1_160_000), "2m40s ago");
        assert_eq!(relative(10_800_000, 0), "in 3h");
        assert_eq!(relative(5, 900), "now");
        assert_eq!(relative(0, 446_400_000 + 59_000), "5d4h ago");
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        let zone = zones.get("America/Sao_Paulo").unwrap();
        assert_eq!(local(1_767_225_600_000, &zone), "2025-12-31T21:00:00-03:00");
        assert_eq!(local(0, &zone), "-");
        assert_eq!(
            rfc3339(1_767_225_600_007).as_deref(),
            Some("2026-01-01T00:00:00.007Z")
        );
        assert_eq!(rfc3339(0), None);
    }
}
