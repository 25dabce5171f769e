use super::*;
use crate::Hours;
use jiff::Timestamp;
use meridian_routing::model::Span;

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn known(holidays: &[&str]) -> Known {
    Known {
        holidays: holidays.iter().map(|d| date(d)).collect(),
        from: date("2026-11-25"),
        days: 400,
    }
}

fn plan(text: &str) -> Plan {
    import(text, "Europe/London", &known(&[])).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refused(text: &str) -> String {
    import(text, "Europe/London", &known(&[]))
        .unwrap_err()
        .to_string()
}

fn findings(text: &str) -> Vec<String> {
    let found = lint(text, &known(&["2026-12-25"]));
    found
        .into_iter()
        .map(|f| format!("{}: {}", f.at, f.problem))
        .collect()
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn texts_come_back_as_they_were() {
    for text in [
        "24/7",
        "off",
        "Mo-Fr 09:00-17:00",
        "Mo-Fr 09:00-13:00,14:00-18:00; Sa 10:00-14:00",
        "Mo,We,Fr 08:00-12:00; Tu,Th 12:00-16:00",
        "Mo-Th 22:00-06:00; Fr 22:00-24:00",
        "Mo-Fr 09:00-17:00; 2026 Dec 24-26 off; 2026 Dec 31-2027 Jan 01 off",
        "Mo-Fr 09:00-17:00; 2026 Dec 24 09:00-12:00; 2026 Dec 25 off",
        "Mo 09:00-17:00; 2026 Dec 24-2027 Jan 07 22:00-06:00",
        "24/7; 2026 Dec 25 off",
        "Mo-Su 06:00-06:00",
    ] {
        let first = plan(text);
        assert_eq!(export(&first), text);
        assert_eq!(plan(&export(&first)), first, "{text}");
    }
    // Other spellings of the same.
    for (text, same) in [
        ("mo-fr 9:00-17:00 open", "Mo-Fr 09:00-17:00"),
        ("Mo-Fr 09:00-17:00; ", "Mo-Fr 09:00-17:00"),
        ("Fr-Mo 10:00-12:00", "Mo,Fr-Su 10:00-12:00"),
        ("Mo-Fr 22:00-30:00", "Mo-Fr 22:00-06:00"),
        (
            "Mo-Fr 09:00-12:00, Mo-Fr 13:00-17:00",
            "Mo-Fr 09:00-12:00,13:00-17:00",
        ),
        (
            "Mo-Fr 09:00-17:00; 12:00-13:00 off",
            "Mo-Fr 09:00-12:00,13:00-17:00",
        ),
        ("Mo-Su 09:00-17:00; Sa,Su off", "Mo-Fr 09:00-17:00"),
        (
            "Mo-Fr 09:00-17:00; We 09:00-12:00",
            "Mo,Tu,Th,Fr 09:00-17:00; We 09:00-12:00",
        ),
        (
            "Mo-Fr 09:00-17:00; Dec 25 off",
            "Mo-Fr 09:00-17:00; 2026 Dec 25 off; 2027 Dec 25 off",
        ),
        (
            "Mo 08:00-09:00; Dec 24-Jan 01 off",
            "Mo 08:00-09:00; 2026 Dec 24-2027 Jan 01 off; 2027 Dec 24-2027 Dec 29 off",
        ),
        (
            "Mo 08:00-09:00; 2027 Jan Mo 10:00-11:00",
            "Mo 08:00-09:00; 2027 Jan 04 10:00-11:00; 2027 Jan 11 10:00-11:00; 2027 Jan 18 10:00-11:00; 2027 Jan 25 10:00-11:00",
        ),
    ] {
        assert_eq!(plan(&export(&plan(text))), plan(same), "{text}");
    }
}

#[test]
fn a_date_for_which_the_format_has_no_words_is_left_out_of_an_export() {
    let mut plan = plan("Mo-Fr 09:00-17:00");
    for date in ["-009999-01-01", "1899-12-31", "1900-01-01"] {
        plan.holidays.insert(self::date(date));
    }
    assert_eq!(export(&plan), "Mo-Fr 09:00-17:00; 1900 Jan 01 off");
}

#[test]
fn holidays_come_from_elsewhere() {
    let known = known(&["2026-12-25", "2026-12-28"]);
    let read = |text: &str| import(text, "Europe/London", &known).unwrap();
    let closed = read("Mo-Fr 09:00-17:00; PH off");
    assert_eq!(closed.holidays, known.holidays);
    assert_eq!(
        read("Mo-Fr 09:00-17:00").holidays,
        known.holidays,
        "closed where the text is silent"
    );
    let short = read("Mo-Fr 09:00-17:00; PH 10:00-12:00");
    assert_eq!(short.exceptions.len(), 2);
    assert!(short.holidays.is_empty());
    let as_ever = read("Mo-Fr,PH 09:00-17:00");
    assert!(as_ever.exceptions.is_empty() && as_ever.holidays.is_empty());
    // A date outranks a holiday, as it stands later.
    let date = read("Mo-Fr 09:00-17:00; PH off; 2026 Dec 28 10:00-11:00");
    assert_eq!((date.holidays.len(), date.exceptions.len()), (1, 1));
    assert_eq!(
        refused("Mo-Fr 09:00-17:00; PH off"),
        "rule 2 'PH off': no public holidays are known; give an iCalendar file of them, or take PH out"
    );
}

#[test]
fn what_no_plan_holds_is_refused_by_part() {
    for (text, told) in [
        ("", "text: is empty; write it like"),
        (
            "Mo-Fr 9-17",
            "part 1 'Mo-Fr 9-17': has times without minutes; write Mo-Fr 09:00-17:00",
        ),
        (
            "Mo 09:00-10:00; Tu 9-12,13-17",
            "part 2 'Tu 9-12,13-17': has times without minutes; write Tu 09:00-12:00,13:00-17:00",
        ),
        (
            "Mo\u{2013}Fr 9\u{2013}17",
            "has times without minutes; write Mo-Fr 09:00-17:00",
        ),
        (
            "Mo\u{2013}Fr 09:00\u{2013}17:00",
            "has a long dash in place of '-'; write Mo-Fr 09:00-17:00",
        ),
        (
            "Mo-Fr 9.30-17.00",
            "has dots in its times; write Mo-Fr 9:30-17:00",
        ),
        (
            "Montag 10 Uhr",
            "part 1 'Montag 10 Uhr': does not follow the grammar of opening_hours (expected",
        ),
        (
            "sunrise-sunset",
            "rule 1 'sunrise-sunset': dawn, sunrise, sunset and dusk move with the season",
        ),
        (
            "week 10 Mo 10:00-12:00",
            "rule 1 'week 10 Mo 10:00-12:00': week numbers move",
        ),
        ("Mo[1] 10:00-12:00", "days counted within a month"),
        ("easter off", "dates that move, such as Easter"),
        ("SH off", "school holidays are not known"),
        (
            "Mo 10:00+",
            "'+' leaves the end open; give the time it ends",
        ),
        ("Mo 10:00-16:00/01:30", "'/' gives moments"),
        (
            "Mo 10:00-12:00 unknown",
            "'unknown' is neither open nor closed",
        ),
        (
            "Mo 10:00-12:00 || \"call us\"",
            "'||' gives hours for when nothing else is known",
        ),
        (
            "\"by appointment\"",
            "a comment alone is read as open round the clock",
        ),
        ("Mo 10:00-40:00", "hours longer than a day"),
        ("Feb 30 off", "a day the month does not have"),
        (
            "PH Mo-Fr 10:00-12:00",
            "part 1 'PH Mo-Fr 10:00-12:00': 'PH Mo-Fr' means holidays on those weekdays only",
        ),
        (
            "Fr 22:00-06:00; Sa 00:00-03:00 off",
            "rule 2 'Sa 00:00-03:00 off': takes hours from a night that began the day before",
        ),
        (
            "Mo 22:00-06:00; Tu 05:00-09:00",
            "week[1]: overlaps week[0]; merge the two or move one",
        ),
    ] {
        let error = refused(text);
        assert!(error.contains(told), "{text}: {error}");
        assert!(error.contains("; "), "names no fix: {error}");
        assert!(!lint(text, &known(&[])).is_empty(), "{text}");
    }
    assert!(refused(&"Mo 09:00-10:00;".repeat(4_000)).contains("give at most 32768"));
}

#[test]
fn slips_are_found() {
    for (text, told) in [
        (
            "Mo-Fr 09:00-12:00; Mo-Fr 13:00-17:00",
            "rule 2 'Mo-Fr 13:00-17:00': replaces rule 1 'Mo-Fr 09:00-12:00' on Mo,Tu,We,Th,Fr, so that 09:00-12:00 is lost",
        ),
        (
            "Mo-Fr 09:00-12:00; We 13:00-17:00",
            "rule 2 'We 13:00-17:00': replaces rule 1 'Mo-Fr 09:00-12:00' on We, so that 09:00-12:00 is lost",
        ),
        (
            "Mo-Fr 09:00-17:00, We 12:00-18:00",
            "rule 2 'We 12:00-18:00': 12:00-18:00 overlaps rule 1 'Mo-Fr 09:00-17:00' on We",
        ),
        (
            "Mo 09:00-13:00,12:00-17:00",
            "rule 1 'Mo 09:00-13:00,12:00-17:00': 12:00-17:00 overlaps its own hours before",
        ),
        (
            "24/7; Mo-Fr 09:00-17:00",
            "rule 1 '24/7': stands beside other rules",
        ),
        (
            "Mo 09:00-12:00; Mo off",
            "rule 1 'Mo 09:00-12:00': has no effect",
        ),
        (
            "Mo 22:00-30:00",
            "rule 1 'Mo 22:00-30:00': goes on past 26:00",
        ),
        (
            "Mo 09:00-12:00 \"ring twice\"",
            "rule 1 'Mo 09:00-12:00 \"ring twice\"': its comment is lost",
        ),
        (
            "Mo 09:00-12:00; 2020 Dec 25 off",
            "rule 2 '2020 Dec 25 off': applies to none of the 400 days from 2026-11-25 on",
        ),
        (
            "PH off; Mo-Fr 09:00-17:00",
            "rule 1 'PH off': rule 2 'Mo-Fr 09:00-17:00' stands later and replaces it on 2026-12-25",
        ),
        (
            "Mo-Fr 22:00-06:00; Sa off",
            "rule 1 'Mo-Fr 22:00-06:00': its night goes on until 06:00 on Sa, for which rule 2 'Sa off' speaks; some readers end it at midnight",
        ),
    ] {
        assert_eq!(
            findings(text).first().map(|f| f.starts_with(told)),
            Some(true),
            "{text}: {:#?}",
            findings(text)
        );
    }
    let unknown = lint("Mo-Fr 09:00-17:00; PH off", &known(&[]));
    assert_eq!(unknown[0].problem, "no public holidays are known");
    for clean in [
        "24/7",
        "Mo-Fr 09:00-13:00,14:00-18:00; Sa 10:00-14:00; PH off",
        "Mo-Fr 09:00-17:00; We 09:00-12:00",
        "Mo-Su 22:00-06:00",
        "Mo-Fr 09:00-17:00; Su off; 2026 Dec 24 09:00-12:00",
    ] {
        assert_eq!(findings(clean), [""; 0], "{clean}");
    }
}

/// The library's own evaluation, where no clock is changed and no night meets another rule.
#[test]
fn days_agree_with_the_reference_reader() {
    for text in [
        "Mo-Fr 09:00-13:00,14:00-18:00; Sa 10:00-14:00",
        "Mo-Su 22:00-06:00",
        "24/7; Su off",
        "Mo-Fr 09:00-17:00; 12:00-13:00 off; Dec 24-Jan 2 off",
        "Mo-Fr 09:00-12:00; Mo-Fr 13:00-17:00",
        "Jan-Mar Mo-Fr 09:00-12:00; Apr-Dec Mo-Fr 10:00-16:00",
        "Nov-Feb Sa 08:00-10:00, 2027 Mo 11:00-12:00",
        "2027 Mar 01-2027 Apr 15 We-Fr 07:00-08:00",
    ] {
        let plan = import(text, "UTC", &known(&[])).unwrap();
        let ours = plan.resolve(ms("2026-11-25T00:00:00Z"), 399).unwrap();
        let reference: opening_hours::OpeningHours = text.parse().unwrap();
        let day = |text: &str| text.parse().unwrap();
        let range = reference.iter_range(day("2026-11-25T00:00:00"), day("2027-12-28T00:00:00"));
        let open = range.filter(|r| r.kind == opening_hours_syntax::RuleKind::Open);
        let mut theirs: Vec<Span> = Vec::new();
        for r in open {
            let at = |t: String| ms(&format!("{}Z", t.replace(' ', "T")));
            let (start, end) = (at(r.range.start.to_string()), at(r.range.end.to_string()));
            match theirs.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => theirs.push(Span { start, end }),
            }
        }
        let within =
            |s: &&Span| s.start > ms("2026-11-26T00:00:00Z") && s.end < ms("2027-12-27T00:00:00Z");
        let ours: Vec<_> = ours.iter().filter(within).collect();
        let theirs: Vec<_> = theirs.iter().filter(within).collect();
        assert_eq!(ours, theirs, "{text}");
    }
}

#[test]
fn both_hours_of_an_autumn_night_are_open() {
    for (zone, first, second) in [
        // 02:30 summer time and 02:30 winter time.
        (
            "Europe/Berlin",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
        ),
        (
            "Europe/London",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
        ),
        (
            "America/New_York",
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:30:00Z",
        ),
    ] {
        let hours = Hours::from(import("Mo-Su 22:00-06:00", zone, &known(&[])).unwrap());
        for instant in [first, second] {
            let spans = hours.resolve(ms(instant) - 1, 1).unwrap();
            let night = spans
                .iter()
                .find(|s| s.start <= ms(instant) && ms(instant) < s.end);
            let night = night.unwrap_or_else(|| panic!("{zone}: closed at {instant}"));
            assert_eq!(
                night.end - night.start,
                9 * 3_600_000,
                "{zone}: one span of nine hours"
            );
        }
    }
}
