use super::*;
use crate::Hours;

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn file(events: &[&str]) -> String {
    let body: String = events
        .iter()
        .map(|e| format!("BEGIN:VEVENT\n{e}\nEND:VEVENT\n"))
        .collect();
    let text = format!("BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//test//EN\n{body}END:VCALENDAR\n");
    text.replace('\n', "\r\n")
}

fn read(events: &[&str]) -> Imported {
    let imported = holidays_from(&file(events), date("2026-11-25"), 400, "Europe/London");
    imported.unwrap_or_else(|e| panic!("{e}"))
}

fn dates(events: &[&str]) -> Vec<String> {
    let dates = read(events).dates.into_iter();
    dates
        .map(|(date, name)| format!("{date} {name}").trim_end().to_owned())
        .collect()
}

fn closures(events: &[&str], zone: &str) -> Vec<String> {
    let imported = holidays_from(&file(events), date("2026-11-25"), 400, zone).unwrap();
    let closures = imported.closures.into_iter();
    closures
        .map(|c| format!("{} {} {}", c.from, c.to, c.reason))
        .collect()
}

fn refused(text: &str) -> String {
    holidays_from(text, date("2026-11-25"), 400, "Europe/London")
        .unwrap_err()
        .to_string()
}

#[test]
fn whole_days_are_holidays() {
    assert_eq!(
        dates(&[
            "UID:1\nDTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227\nSUMMARY:Christmas\\, both days",
            "UID:2\nDTSTART;VALUE=DATE:20270101\nSUMMARY:New Year",
            "UID:3\nDTSTART:20270102\nDTEND:20270102\nSUMMARY:Ends on its day",
            "UID:4\nDTSTART;VALUE=DATE:20270103\nDURATION:P2D\nSUMMARY:Two",
            "UID:5\nDTSTART;VALUE=DATE:20270103\nSUMMARY:Other",
            "UID:6\nDTSTART;VALUE=DATE:20270110\nSTATUS:CANCELLED\nSUMMARY:Not",
            "UID:7\nDTSTART;VALUE=DATE:20200101\nSUMMARY:Past",
        ]),
        [
            "2026-12-25 Christmas, both days",
            "2026-12-26 Christmas, both days",
            "2027-01-01 New Year",
            "2027-01-02 Ends on its day",
            "2027-01-03 Two, Other",
            "2027-01-04 Two",
        ]
    );
    // The window cuts a long one on both sides.
    let long = "UID:1\nDTSTART;VALUE=DATE:20261101\nDTEND;VALUE=DATE:20261127";
    assert_eq!(dates(&[long]), ["2026-11-25", "2026-11-26"]);
}

#[test]
fn a_year_with_a_feast_that_moves() {
    // A yearly day that each year's instance moves, as programs write Easter Monday.
    let series = "UID:e\nDTSTART;VALUE=DATE:20260406\nRRULE:FREQ=YEARLY\nEXDATE;VALUE=DATE:20280406\nSUMMARY:Easter Monday";
    let moved = "UID:e\nRECURRENCE-ID;VALUE=DATE:20270406\nDTSTART;VALUE=DATE:20270329\nSUMMARY:Easter Monday";
    assert_eq!(dates(&[series, moved]), ["2027-03-29 Easter Monday"]);
    assert_eq!(
        dates(&[moved, series]),
        ["2027-03-29 Easter Monday"],
        "in either order"
    );
    let cancelled =
        "UID:e\nRECURRENCE-ID;VALUE=DATE:20270406\nDTSTART;VALUE=DATE:20270406\nSTATUS:CANCELLED";
    assert_eq!(dates(&[series, cancelled]), [""; 0]);
    assert_eq!(dates(&[series]), ["2027-04-06 Easter Monday"]);
}

#[test]
fn rules_are_followed_and_bounded() {
    for (rule, expected) in [
        ("FREQ=YEARLY", vec!["2026-12-25", "2027-12-25"]),
        ("FREQ=YEARLY;COUNT=7", vec!["2026-12-25"]),
        ("FREQ=YEARLY;UNTIL=20261225", vec!["2026-12-25"]),
        ("FREQ=YEARLY;UNTIL=20261225T000000Z", vec!["2026-12-25"]),
        ("FREQ=YEARLY;UNTIL=20261224", vec![]),
        ("FREQ=YEARLY;BYMONTH=5;BYDAY=-1MO", vec!["2027-05-31"]),
        (
            "FREQ=MONTHLY;INTERVAL=6;BYMONTHDAY=-1",
            vec!["2026-12-31", "2027-06-30", "2027-12-31"][..2].to_vec(),
        ),
        // Matches no day; the search for one must end.
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", vec![]),
        ("FREQ=YEARLY;INTERVAL=60000", vec![]),
    ] {
        let event = format!("UID:1\nDTSTART;VALUE=DATE:20201225\nRRULE:{rule}");
        assert_eq!(dates(&[&event]), expected, "{rule}");
    }
    let daily = "UID:1\nDTSTART;VALUE=DATE:19700101\nRRULE:FREQ=DAILY";
    assert_eq!(dates(&[daily]).len(), 400);
    let also = "UID:1\nDTSTART;VALUE=DATE:20261225\nRDATE;VALUE=DATE:20270102,20270103\nEXDATE;VALUE=DATE:20270103";
    assert_eq!(dates(&[also]), ["2026-12-25", "2027-01-02"]);
    // It ended before it began: the start alone.
    let early = "UID:1\nDTSTART;VALUE=DATE:20261225\nRRULE:FREQ=DAILY;UNTIL=20200101";
    assert_eq!(dates(&[early]), ["2026-12-25"]);
}

#[test]
fn times_are_closures_in_the_zone_asked_for() {
    let eve = "UID:1\nDTSTART;TZID=America/New_York:20261224T140000\nDTEND;TZID=America/New_York:20261227T000000\nSUMMARY:Christmas";
    assert_eq!(
        closures(&[eve], "America/New_York"),
        ["2026-12-24T14:00:00 2026-12-27T00:00:00 Christmas"]
    );
    assert_eq!(
        closures(&[eve], "Asia/Kolkata"),
        ["2026-12-25T00:30:00 2026-12-27T10:30:00 Christmas"]
    );
    let utc = "UID:1\nDTSTART:20270701T120000Z\nDURATION:PT1H30M\nSUMMARY:Drill";
    assert_eq!(
        closures(&[utc], "Europe/London"),
        ["2027-07-01T13:00:00 2027-07-01T14:30:00 Drill"]
    );
    let floating = "UID:1\nDTSTART:20270701T120000\nDURATION:PT1H";
    assert_eq!(
        closures(&[floating], "Asia/Kolkata"),
        ["2027-07-01T12:00:00 2027-07-01T13:00:00 "]
    );
    let path =
        "UID:1\nDTSTART;TZID=\"/example.org/2026/Europe/London\":20270701T120000\nDURATION:PT1H";
    assert_eq!(
        closures(&[path], "UTC"),
        ["2027-07-01T11:00:00 2027-07-01T12:00:00 "]
    );
    let moment = "UID:1\nDTSTART:20270701T120000";
    assert_eq!(closures(&[moment], "UTC"), [""; 0]);
}

#[test]
fn a_meeting_stays_on_its_wall_clock_across_the_change() {
    // 15:00 in New York is 20:00 and then 19:00 UTC; UNTIL is in UTC, as it must be, and takes the last in.
    let weekly = "UID:1\nDTSTART;TZID=America/New_York:20270305T150000\nDTEND;TZID=America/New_York:20270305T160000\nRRULE:FREQ=WEEKLY;UNTIL=20270319T190000Z\nEXDATE;TZID=America/New_York:20270312T150000\nSUMMARY:All hands";
    assert_eq!(
        closures(&[weekly], "UTC"),
        [
            "2027-03-05T20:00:00 2027-03-05T21:00:00 All hands",
            "2027-03-19T19:00:00 2027-03-19T20:00:00 All hands"
        ]
    );
    let moved = "UID:1\nRECURRENCE-ID:20270319T190000Z\nDTSTART:20270320T100000Z\nDURATION:PT1H\nSUMMARY:Moved";
    assert_eq!(
        closures(&[weekly, moved], "UTC"),
        [
            "2027-03-05T20:00:00 2027-03-05T21:00:00 All hands",
            "2027-03-20T10:00:00 2027-03-20T11:00:00 Moved"
        ]
    );
}

#[test]
fn an_edge_in_the_repeated_hour_closes_longer_not_shorter() {
    // 01:15 to 01:45 GMT, the second showing, on the night of 31 October 2027.
    let night = "UID:1\nDTSTART:20271031T011500Z\nDTEND:20271031T014500Z";
    assert_eq!(
        closures(&[night], "Europe/London"),
        ["2027-10-31T01:15:00 2027-10-31T02:00:00 "]
    );
    let imported = holidays_from(&file(&[night]), date("2027-10-01"), 60, "Europe/London").unwrap();
    let hours = Hours {
        plan: crate::Plan {
            zone: "Europe/London".into(),
            ..crate::Plan::default()
        },
        closures: imported.closures,
        ..Hours::default()
    };
    let closed = hours.closed(&hours.validate().unwrap()).unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    assert!(
        closed[0].start <= at("2027-10-31T01:15:00Z")
            && at("2027-10-31T01:45:00Z") <= closed[0].end
    );
}

#[test]
fn errors_name_the_line() {
    let event = |body: &str| file(&[body]);
    for (text, told) in [
        (String::new(), "line 1: is empty; give an iCalendar file"),
        ("<html>".into(), "line 1: is no line of an iCalendar file"),
        (
            "BEGIN:VEVENT\nEND:VEVENT\n".into(),
            "line 1: begins VEVENT outside the calendar",
        ),
        (
            "BEGIN:VCALENDAR\nEND:VEVENT\n".into(),
            "line 2: ends VEVENT where VCALENDAR of line 1 is open",
        ),
        (
            "BEGIN:VCALENDAR\nVERSION:2.0\n".into(),
            "line 1: begins VCALENDAR, which never ends",
        ),
        (
            "BEGIN:VCALENDAR\n".repeat(100),
            "line 17: is nested more than 16 deep",
        ),
        (event("SUMMARY:x"), "line 4: DTSTART: is missing"),
        (
            event("UID:1\nDTSTART:tomorrow"),
            "line 6: DTSTART: 'tomorrow' is no time",
        ),
        (
            event(
                "UID:1\nSUMMARY:a\n folded\n line\nDTSTART;TZID=Eastern Standard Time:20270101T090000",
            ),
            "line 9: DTSTART: 'Eastern Standard Time' is not an IANA time zone; use a name such as Europe/Lisbon",
        ),
        (
            event("DTSTART:20270101T090000\nDTEND;VALUE=DATE:20270102"),
            "line 6: DTEND: is a date beside a time",
        ),
        (
            event("DTSTART:20270101T090000\nDTEND:20270101T080000"),
            "line 6: DTEND: is before the start",
        ),
        (
            event("DTSTART;VALUE=DATE:20270101\nDTEND;VALUE=DATE:20300101"),
            "line 6: DTEND: makes the event too long",
        ),
        (
            event("DTSTART;VALUE=DATE:20270101\nDURATION:PT5H"),
            "line 6: DURATION: is not of whole days",
        ),
        (
            event("DTSTART:20270101T090000\nDURATION:an hour"),
            "line 6: DURATION: 'an hour' is no length of time",
        ),
        (
            event("DTSTART:20270101T090000\nRRULE:FREQ=HOURLY"),
            "line 6: RRULE: 'FREQ=HOURLY' chooses times of day",
        ),
        (
            event("DTSTART:20270101T090000\nRRULE:FREQ=DAILY;BYHOUR=9,10"),
            "line 6: RRULE: 'FREQ=DAILY;BYHOUR=9,10' chooses times of day",
        ),
        (
            event("DTSTART:20270101T090000\nRRULE:FREQ=SOMETIMES"),
            "line 6: RRULE: 'FREQ=SOMETIMES' is no rule",
        ),
        (
            event("DTSTART:20270101T090000\nRRULE:FREQ=DAILY;BYDAY=-éU"),
            "line 6: RRULE: 'FREQ=DAILY;BYDAY=-éU' is no rule",
        ),
        (
            event("DTSTART:20270101T090000\nRRULE:FREQ=DAILY;UNTIL=never"),
            "line 6: RRULE: 'never' is no time to end at",
        ),
        (
            event("DTSTART:20270101T090000\nRRULE:FREQ=DAILY\nRRULE:FREQ=YEARLY"),
            "line 7: RRULE: is given twice",
        ),
        (
            event("DTSTART:20270101T090000\nRDATE;VALUE=PERIOD:20270101T090000/PT1H"),
            "line 6: RDATE: '20270101T090000/PT1H' is a period",
        ),
        (
            event(
                "UID:1\nDTSTART:20270101T090000\nRECURRENCE-ID;RANGE=THISANDFUTURE:20270101T090000",
            ),
            "line 7: RECURRENCE-ID: changes this instance and all after it",
        ),
        (
            event("UID:1\nDTSTART:16000101T090000\nRRULE:FREQ=DAILY\nDURATION:PT1H"),
            "line 7: RRULE: 'FREQ=DAILY' comes more than 50000 times",
        ),
    ] {
        let error = refused(&text);
        assert!(error.starts_with(told), "{text}\n{error}");
    }
    let many = vec!["UID:1\nDTSTART:20270101T090000\nDURATION:PT1H"; EVENTS_MAX + 1];
    assert_eq!(
        refused(&file(&many)),
        "file: has 20001 events; give at most 20000"
    );
    let daily: Vec<_> = (0..3)
        .map(|n| format!("UID:{n}\nDTSTART:20200101T0{n}0000\nDURATION:PT1H\nRRULE:FREQ=DAILY"))
        .collect();
    let daily: Vec<_> = daily.iter().map(String::as_str).collect();
    assert!(refused(&file(&daily)).contains("closures in these days; give at most 1000"));
    assert!(matches!(
        holidays_from("", date("2026-11-25"), 0, "UTC"),
        Err(IcalError::Calendar(CalendarError::OutOfBounds { .. }))
    ));
}
