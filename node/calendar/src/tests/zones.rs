//! Both edges of the year in zones that are hard each in its own way, to the instant.

use super::{at, daily};
use crate::outlook::{ClockChange, Note, clock_changes, outlook, total};
use crate::{Hours, Plan, Span};
use jiff::civil::Date;

/// The span that contains an instant, as text.
fn around(plan: &Plan, instant: &str) -> [String; 2] {
    let now = at(instant);
    let spans = plan.resolve(now - 1, 1).unwrap();
    let span = spans.iter().find(|s| s.start <= now && now < s.end);
    let span = span.unwrap_or_else(|| panic!("{} is closed at {instant}", plan.zone));
    [span.start, span.end].map(|ms| jiff::Timestamp::from_millisecond(ms).unwrap().to_string())
}

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn nights_over_both_edges() {
    for (zone, night, length) in [
        (
            "Europe/London",
            ["2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"],
            14,
        ),
        (
            "Europe/London",
            ["2026-10-24T21:00:00Z", "2026-10-25T06:00:00Z"],
            18,
        ),
        (
            "America/New_York",
            ["2026-03-08T03:00:00Z", "2026-03-08T10:00:00Z"],
            14,
        ),
        (
            "America/New_York",
            ["2026-11-01T02:00:00Z", "2026-11-01T11:00:00Z"],
            18,
        ),
        // Half an hour, and the other way round in the year.
        (
            "Australia/Lord_Howe",
            ["2026-10-03T11:30:00Z", "2026-10-03T19:00:00Z"],
            15,
        ),
        (
            "Australia/Lord_Howe",
            ["2026-04-04T11:00:00Z", "2026-04-04T19:30:00Z"],
            17,
        ),
        // Winter time in Ramadan, which some zone data call negative summer time.
        (
            "Africa/Casablanca",
            ["2026-02-14T21:00:00Z", "2026-02-15T06:00:00Z"],
            18,
        ),
        (
            "Africa/Casablanca",
            ["2026-03-21T22:00:00Z", "2026-03-22T05:00:00Z"],
            14,
        ),
        (
            "Asia/Kolkata",
            ["2026-03-28T16:30:00Z", "2026-03-29T00:30:00Z"],
            16,
        ),
        // 30 December 2011 never was; the night leads from the 29th to the 31st and is as long as ever.
        (
            "Pacific/Apia",
            ["2011-12-30T08:00:00Z", "2011-12-30T16:00:00Z"],
            16,
        ),
    ] {
        let plan = daily(zone, "22:00", "06:00");
        assert_eq!(around(&plan, night[0]), night, "{zone}");
        assert_eq!(around(&plan, &minute_before(night[1])), night, "{zone}");
        let half_hours = (at(night[1]) - at(night[0])) / 1_800_000;
        assert_eq!(half_hours, length, "{zone}");
    }
}

fn minute_before(instant: &str) -> String {
    let at = jiff::Timestamp::from_millisecond(at(instant) - 60_000).unwrap();
    at.to_string()
}

#[test]
fn the_night_no_date_is_lost_or_doubled_in_samoa() {
    let plan = daily("Pacific/Apia", "22:00", "06:00");
    let spans = plan.resolve(at("2011-12-29T10:00:00Z"), 3).unwrap();
    let starts: Vec<_> = spans.iter().map(|s| s.start).collect();
    let nights = [
        "2011-12-29T08:00:00Z",
        "2011-12-30T08:00:00Z",
        "2011-12-31T08:00:00Z",
        "2012-01-01T08:00:00Z",
    ];
    assert_eq!(starts, nights.iter().map(|n| at(n)).collect::<Vec<_>>());
}

#[test]
fn edges_in_the_gap_and_in_the_fold() {
    let from = |start, end, instant| around(&daily("Europe/London", start, end), instant);
    // 01:30 does not exist: 02:30. It comes twice: the first.
    assert_eq!(
        from("01:30", "05:00", "2026-03-29T02:00:00Z")[0],
        "2026-03-29T01:30:00Z"
    );
    assert_eq!(
        from("01:30", "05:00", "2026-10-25T02:00:00Z")[0],
        "2026-10-25T00:30:00Z"
    );
    assert_eq!(
        from("22:00", "01:30", "2026-03-29T01:00:00Z")[1],
        "2026-03-29T01:30:00Z"
    );
    assert_eq!(
        from("22:00", "01:30", "2026-10-25T00:00:00Z")[1],
        "2026-10-25T00:30:00Z"
    );
    // Lord Howe repeats 01:30 to 02:00, so 01:45 too.
    let plan = daily("Australia/Lord_Howe", "01:45", "05:00");
    assert_eq!(
        around(&plan, "2026-04-04T15:30:00Z")[0],
        "2026-04-04T14:45:00Z"
    );
}

#[test]
fn split_shifts_around_the_repeated_hour() {
    let mut plan = daily("Europe/London", "00:30", "01:30");
    plan.week
        .extend(daily("Europe/London", "01:45", "03:00").week);
    let spans = plan.resolve(at("2026-10-24T23:00:00Z"), 1).unwrap();
    // The second half begins in the first showing of 01:45, so the repeated hour is all in it.
    assert_eq!(
        spans[..2],
        [
            Span {
                start: at("2026-10-24T23:30:00Z"),
                end: at("2026-10-25T00:30:00Z")
            },
            Span {
                start: at("2026-10-25T00:45:00Z"),
                end: at("2026-10-25T03:00:00Z")
            },
        ]
    );
    // In spring the first half lasts half an hour, and the second begins as the gap ends.
    let spans = plan.resolve(at("2026-03-29T00:00:00Z"), 1).unwrap();
    assert_eq!(
        spans[..2],
        [
            Span {
                start: at("2026-03-29T00:30:00Z"),
                end: at("2026-03-29T01:30:00Z")
            },
            Span {
                start: at("2026-03-29T01:45:00Z"),
                end: at("2026-03-29T02:00:00Z")
            },
        ]
    );
}

#[test]
fn clock_changes_are_told() {
    let changes = |zone: &str, from: &str, days| {
        clock_changes(&crate::zone(zone).unwrap(), date(from), days).unwrap()
    };
    let local = |c: &ClockChange| format!("{} {}", c.from, c.to);
    let london: Vec<_> = changes("Europe/London", "2026-01-01", 365)
        .iter()
        .map(local)
        .collect();
    assert_eq!(
        london,
        [
            "2026-03-29T01:00:00 2026-03-29T02:00:00",
            "2026-10-25T02:00:00 2026-10-25T01:00:00"
        ]
    );
    let ramadan: Vec<_> = changes("Africa/Casablanca", "2026-01-01", 181)
        .iter()
        .map(local)
        .collect();
    assert_eq!(
        ramadan,
        [
            "2026-02-15T03:00:00 2026-02-15T02:00:00",
            "2026-03-22T02:00:00 2026-03-22T03:00:00"
        ]
    );
    assert_eq!(changes("Asia/Kolkata", "2026-01-01", 365), []);
    let samoa = changes("Pacific/Apia", "2011-12-28", 5);
    assert_eq!(local(&samoa[0]), "2011-12-30T00:00:00 2011-12-31T00:00:00");
}

#[test]
fn coming_days_carry_their_clock_changes() {
    let hours = Hours::from(daily("Europe/London", "22:00", "06:00"));
    let days = outlook(&hours, date("2026-10-24"), 2).unwrap();
    assert_eq!(
        days[0].open,
        [Span {
            start: at("2026-10-24T21:00:00Z"),
            end: at("2026-10-25T06:00:00Z")
        }]
    );
    assert!(days[0].notes.is_empty());
    assert!(
        matches!(days[1].notes[..], [Note::Clock(change)] if change.at == at("2026-10-25T01:00:00Z"))
    );
    assert_eq!(total(&days), 17 * 3_600_000);

    let hours = Hours::from(daily("Pacific/Apia", "09:00", "17:00"));
    let days = outlook(&hours, date("2011-12-29"), 3).unwrap();
    assert_eq!(days[1].notes, [Note::Skipped]);
    assert!(matches!(days[2].notes[..], [Note::Clock(_)]));
    assert_eq!(total(&days), 16 * 3_600_000, "two days were worked");
}
