use super::*;

mod findings;
mod interruptions;
mod zones;

const HOUR: i64 = 3_600_000;

fn at(text: &str) -> Millis {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn daily(zone: &str, start: &str, end: &str) -> Plan {
    let mut day = Weekday::Monday;
    let mut week = Vec::new();
    for _ in 0..7 {
        week.push(WeeklyShift {
            day,
            start: time(start),
            end: time(end),
        });
        day = day.next();
    }
    Plan {
        zone: zone.into(),
        week,
        holidays: BTreeSet::new(),
        exceptions: BTreeMap::new(),
    }
}

/// The length in hours of the one span that contains `instant`, times 2 to stay whole at half hours.
fn half_hours(plan: &Plan, instant: &str) -> i64 {
    let now = at(instant);
    let spans = plan.resolve(now - 48 * HOUR, 4).unwrap();
    let span = spans
        .iter()
        .find(|s| s.start <= now && now < s.end)
        .expect("open");
    (span.end - span.start) / (HOUR / 2)
}

#[test]
fn summer_and_winter_hours_follow_the_wall_clock() {
    let plan = daily("Europe/London", "09:00", "17:00");
    let winter = plan.resolve(at("2026-01-15T00:00:00Z"), 1).unwrap();
    assert_eq!(winter[0].start, at("2026-01-15T09:00:00Z"));
    let summer = plan.resolve(at("2026-07-15T00:00:00Z"), 1).unwrap();
    assert_eq!(summer[0].start, at("2026-07-15T08:00:00Z"));
}

#[test]
fn night_shift_is_shorter_in_spring_and_longer_in_autumn() {
    let london = daily("Europe/London", "22:00", "06:00");
    assert_eq!(half_hours(&london, "2026-03-29T00:30:00Z"), 14);
    assert_eq!(half_hours(&london, "2026-10-25T00:30:00Z"), 18);
    let new_york = daily("America/New_York", "22:00", "06:00");
    assert_eq!(half_hours(&new_york, "2026-03-08T06:30:00Z"), 14);
    assert_eq!(half_hours(&new_york, "2026-11-01T05:30:00Z"), 18);
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    let plan = daily("Australia/Lord_Howe", "22:00", "06:00");
    assert_eq!(half_hours(&plan, "2026-10-03T15:00:00Z"), 15);
    assert_eq!(half_hours(&plan, "2026-04-04T15:00:00Z"), 17);
}

#[test]
fn a_start_inside_the_gap_moves_forward() {
    let plan = daily("Europe/London", "01:30", "05:00");
    let spans = plan.resolve(at("2026-03-29T00:00:00Z"), 1).unwrap();
    // 01:30 does not exist that night; it becomes 02:30 summer time.
    assert_eq!(
        spans[0],
        Span {
            start: at("2026-03-29T01:30:00Z"),
            end: at("2026-03-29T04:00:00Z")
        }
    );
}

#[test]
fn the_day_samoa_skipped_has_no_shift_of_its_own() {
    let plan = daily("Pacific/Apia", "09:00", "17:00");
    let spans = plan.resolve(at("2011-12-29T10:00:00Z"), 3).unwrap();
    // 29 December, then 31: the 30th never was. Its hours fold onto the 31st and are merged.
    assert_eq!(spans[0].start, at("2011-12-29T19:00:00Z"));
    assert_eq!(spans[1].start, at("2011-12-30T19:00:00Z"));
    assert!(spans.windows(2).all(|p| p[0].end < p[1].start));
}

#[test]
fn split_shifts_holidays_and_exceptions() {
    let mut plan = daily("Asia/Kolkata", "09:00", "12:00");
    let afternoon = daily("Asia/Kolkata", "13:00", "17:00").week;
    plan.week.extend(afternoon);
    let day = |text: &str| text.parse::<Date>().unwrap();
    plan.holidays.insert(day("2026-01-26"));
    plan.exceptions
        .insert(day("2026-01-27"), vec![(time("10:00"), time("11:00"))]);
    let spans = plan.resolve(at("2026-01-25T00:00:00Z"), 3).unwrap();
    let starts: Vec<_> = spans.iter().map(|s| s.start).collect();
    let want = [
        "2026-01-25T03:30:00Z",
        "2026-01-25T07:30:00Z",
        "2026-01-27T04:30:00Z",
    ];
    assert_eq!(starts, want.map(at));
}

#[test]
fn round_the_clock_is_one_span() {
    let plan = daily("Africa/Casablanca", "00:00", "00:00");
    let spans = plan.resolve(at("2026-02-10T00:00:00Z"), 60).unwrap();
    assert_eq!(spans.len(), 1, "also across the clock change of Ramadan");
}

#[test]
fn a_night_shift_begun_yesterday_is_seen() {
    let plan = daily("Europe/London", "22:00", "06:00");
    let spans = plan.resolve(at("2026-01-15T03:00:00Z"), 1).unwrap();
    assert_eq!(spans[0].start, at("2026-01-14T22:00:00Z"));
}

#[test]
fn wrong_plans_name_the_field() {
    let plan = daily("Europe/Lisboa", "09:00", "17:00");
    assert_eq!(
        plan.validate(),
        Err(CalendarError::UnknownZone("Europe/Lisboa".into()))
    );

    let mut plan = daily("Europe/Lisbon", "09:00", "17:00");
    plan.week.push(WeeklyShift {
        day: Weekday::Monday,
        start: time("16:59"),
        end: time("18:00"),
    });
    let error = plan.validate().unwrap_err();
    assert_eq!(
        error.to_string(),
        "week[7]: overlaps week[0]; merge the two or move one"
    );

    // Sunday's night reaches into Monday morning.
    let sunday = WeeklyShift {
        day: Weekday::Sunday,
        start: time("22:00"),
        end: time("06:00"),
    };
    let monday = WeeklyShift {
        day: Weekday::Monday,
        start: time("05:00"),
        end: time("09:00"),
    };
    let mut plan = daily("Europe/Lisbon", "09:00", "17:00");
    plan.week = vec![sunday, monday];
    assert!(matches!(
        plan.validate(),
        Err(CalendarError::Overlap { .. })
    ));

    let plan = daily("Europe/Lisbon", "09:00", "17:00");
    assert!(matches!(
        plan.resolve(0, 0),
        Err(CalendarError::OutOfBounds { .. })
    ));
    assert!(matches!(
        plan.resolve(0, 401),
        Err(CalendarError::OutOfBounds { .. })
    ));
    assert_eq!(plan.resolve(i64::MAX, 1), Err(CalendarError::OutOfRange));
}
