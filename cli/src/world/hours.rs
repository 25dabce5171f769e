//! Schedules: zones, weekly shifts, holidays and exceptional dates.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZoneDatabase;
use meridian_calendar::CalendarError;
use meridian_proto::livechat::v1::{
    Hours, Schedule, ScheduleClosure, ScheduleException, UtcSpan, WeeklyShift,
};

use super::calendar::{self, DAYS};
use super::reader::{Field, Object, Reader, Seen};
use super::references::References;

/// Most shifts in one week once days are counted out.
const SHIFTS_MAX: usize = 70;
/// Most exceptional dates and holidays in one schedule.
const DATES_MAX: usize = 1_000;
/// Most spans in one schedule.
const SPANS_MAX: usize = 5_000;
const DAY: u32 = 24 * 60;

/// Reads a schedule.
pub fn schedule(
    reader: &mut Reader,
    _: &mut References,
    field: &Field<'_>,
) -> Option<(String, Schedule)> {
    let object = reader.object(
        field,
        &[
            "id",
            "zone",
            "week",
            "holidays",
            "exceptions",
            "spans",
            "breaks",
            "closures",
            "last_offer",
            "handover",
            "handover_to_line",
        ],
    )?;
    let id = reader.id(&object.field("id")).unwrap_or_default();
    let zone = zone(reader, &object.field("zone"));
    let before = reader.problems.len();
    let week = week(reader, &object.field("week"), "shifts");
    let mut seen = Seen::default();
    let mut holidays = Vec::new();
    for day in reader.list(&object.field("holidays"), 0, DATES_MAX) {
        holidays.push(date(reader, &mut seen, &day));
    }
    let exceptions = exceptions(reader, &object.field("exceptions"));
    let breaks = self::week(reader, &object.field("breaks"), "breaks");
    let closures = closures(reader, &object.field("closures"));
    let spans = utc_spans(reader, &object.field("spans"));
    let no_plan = week.is_empty() && holidays.is_empty() && exceptions.is_empty();
    if !(spans.is_empty() || no_plan && breaks.is_empty() && closures.is_empty()) {
        let rule = "cannot stand beside week, holidays, exceptions, breaks or closures; give one or the other";
        reader.complain(&object.field("spans"), rule);
    }
    let schedule = Schedule {
        id: id.clone(),
        zone,
        week,
        holidays,
        exceptions,
        spans,
        breaks,
        closures,
        last_offer_ms: reader.millis(&object.field("last_offer"), 0, 86_400_000),
        handover_ms: reader.millis(&object.field("handover"), 0, 86_400_000),
        handover_to_line: reader.flag(&object.field("handover_to_line")),
    };
    // What is written well may still make no sense together.
    if schedule.spans.is_empty()
        && reader.problems.len() == before
        && let Err(error) = calendar::check(&schedule)
    {
        complain(reader, &object, &error);
    }
    Some((id, schedule))
}

/// Complains of what the calendar found, at the field it names.
fn complain(reader: &mut Reader, object: &Object<'_>, error: &CalendarError) {
    let (field, problem) = error.at_fault();
    let (list, rest) = field.split_once('[').unwrap_or((&field, ""));
    let list = object.field(list);
    let number = rest.split(']').next().and_then(|n| n.parse::<usize>().ok());
    let entries = reader.list(&list, 0, usize::MAX);
    let at = number.and_then(|n| entries.get(n)).unwrap_or(&list);
    reader.complain(at, problem);
}

/// Stretches of local time in which nothing is open.
fn closures(reader: &mut Reader, list: &Field<'_>) -> Vec<ScheduleClosure> {
    let mut closures = Vec::new();
    for field in reader.list(list, 0, DATES_MAX) {
        let Some(object) = reader.object(&field, &["from", "to", "reason"]) else {
            continue;
        };
        closures.push(ScheduleClosure {
            from: local(reader, &object.field("from")),
            to: local(reader, &object.field("to")),
            reason: reader
                .text_if_given(&object.field("reason"))
                .unwrap_or_default(),
        });
    }
    closures
}

/// A local date with its time.
fn local(reader: &mut Reader, field: &Field<'_>) -> String {
    let Some(text) = reader.text(field, "a local time such as 2026-12-24T14:00") else {
        return String::new();
    };
    if text.len() != 16 || DateTime::strptime("%Y-%m-%dT%H:%M", &text).is_err() {
        let rule = "write it like 2026-12-24T14:00";
        reader.complain(field, format!("'{text}' is not a local time; {rule}"));
    }
    text
}

/// Spans planned elsewhere: instants in order, without overlap.
fn utc_spans(reader: &mut Reader, list: &Field<'_>) -> Vec<UtcSpan> {
    let mut spans: Vec<UtcSpan> = Vec::new();
    for field in reader.list(list, 0, SPANS_MAX) {
        let Some(object) = reader.object(&field, &["from", "to"]) else {
            continue;
        };
        let from = instant(reader, &object.field("from"));
        let to = instant(reader, &object.field("to"));
        let Some((from_ms, to_ms)) = from.zip(to) else {
            continue;
        };
        if from_ms >= to_ms {
            reader.complain(
                &field,
                "ends before it begins; give the earlier instant first",
            );
        } else if spans.last().is_some_and(|before| from_ms < before.to_ms) {
            reader.complain(&field, "begins before the span above ends; order the spans");
        }
        spans.push(UtcSpan { from_ms, to_ms });
    }
    spans
}

/// An instant, in ms since 1970.
pub(super) fn instant(reader: &mut Reader, field: &Field<'_>) -> Option<i64> {
    let text = reader.text(field, "an instant such as 2026-12-25T09:00:00Z")?;
    let parsed = text.parse::<Timestamp>();
    if parsed.is_err() {
        let rule = "write it like 2026-12-25T09:00:00Z";
        reader.complain(field, format!("'{text}' is not an instant; {rule}"));
    }
    Some(parsed.ok()?.as_millisecond())
}

/// Reads an IANA zone that must be given.
pub fn zone(reader: &mut Reader, field: &Field<'_>) -> String {
    let zone = reader
        .text(field, "an IANA time zone such as Europe/Lisbon")
        .unwrap_or_default();
    // By the data built in, as the node does; this machine may know other zones.
    if !zone.is_empty() && TimeZoneDatabase::bundled().get(&zone).is_err() {
        let rule = "use a name such as Europe/Lisbon";
        reader.complain(field, format!("'{zone}' is not an IANA time zone; {rule}"));
    }
    zone
}

/// A span of minutes on a line, and what to call it.
struct Span {
    from: u32,
    to: u32,
    shift: usize,
    day: &'static str,
}

/// Shifts, or breaks, that return every week.
fn week(reader: &mut Reader, list: &Field<'_>, what: &str) -> Vec<WeeklyShift> {
    let fields = reader.list(list, 0, usize::MAX);
    let mut shifts = Vec::new();
    let mut spans = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let Some(object) = reader.object(field, &["days", "from", "to"]) else {
            continue;
        };
        let days = days(reader, &object.field("days"));
        let (hours, minutes) = hours(reader, &object);
        let names = DAYS.iter().map(|(name, _)| *name);
        let starts = names
            .zip(0..)
            .filter(|(day, _)| days.iter().any(|d| d == day));
        for (day, number) in starts {
            let Some((from, to)) = minutes else { break };
            let midnight = number * DAY;
            spans.push(Span {
                from: midnight + from,
                to: midnight + to,
                shift: i,
                day,
            });
        }
        shifts.push(WeeklyShift {
            days,
            from: hours.from,
            to: hours.to,
        });
    }
    if spans.len() > SHIFTS_MAX {
        let given = spans.len();
        reader.complain(
            list,
            format!("makes {given} {what} a week; give at most {SHIFTS_MAX}"),
        );
    }
    refuse_overlap(reader, &fields, spans, true);
    shifts
}

fn days(reader: &mut Reader, list: &Field<'_>) -> Vec<String> {
    let names = DAYS.map(|(name, _)| name);
    let rule = names.join(", ");
    let mut seen = Seen::default();
    let mut found = Vec::new();
    for field in reader.list(list, 1, 7) {
        let Some(day) = reader.text(&field, &rule) else {
            continue;
        };
        if names.contains(&day.as_str()) {
            reader.once(&mut seen, &field, &day);
        } else {
            reader.complain(&field, format!("'{day}' is not a day; give {rule}"));
        }
        found.push(day);
    }
    found
}

/// The hours as text, and as minutes from midnight if both are times; the end lies past midnight where it
/// is not after the start.
fn hours(reader: &mut Reader, object: &Object<'_>) -> (Hours, Option<(u32, u32)>) {
    let (from, start) = clock(reader, &object.field("from"), DAY - 1);
    let (to, end) = clock(reader, &object.field("to"), DAY);
    let minutes = start
        .zip(end)
        .map(|(from, to)| (from, if to <= from { to + DAY } else { to }));
    (Hours { from, to }, minutes)
}

fn clock(reader: &mut Reader, field: &Field<'_>, max: u32) -> (String, Option<u32>) {
    let Some(text) = reader.text(field, "a local time such as 09:00") else {
        return (String::new(), None);
    };
    let two = |part: &str| match part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u32>().ok(),
        false => None,
    };
    let parts = text.split_once(':').and_then(|(h, m)| two(h).zip(two(m)));
    let minutes = parts
        .filter(|(_, m)| *m < 60)
        .map(|(h, m)| h * 60 + m)
        .filter(|t| *t <= max);
    if minutes.is_none() {
        let rule = if max == DAY {
            "00:00 to 24:00"
        } else {
            "00:00 to 23:59"
        };
        reader.complain(field, format!("'{text}' is not a local time; give {rule}"));
    }
    (text, minutes)
}

fn refuse_overlap(reader: &mut Reader, fields: &[Field<'_>], mut spans: Vec<Span>, circular: bool) {
    spans.sort_by_key(|s| s.from);
    if circular && spans.len() > 1 {
        // The end of the week meets its beginning.
        let first = &spans[0];
        let (from, to) = (first.from + 7 * DAY, first.to + 7 * DAY);
        spans.push(Span {
            from,
            to,
            shift: first.shift,
            day: first.day,
        });
    }
    let mut told = std::collections::BTreeSet::new();
    for pair in spans.windows(2) {
        let [earlier, later] = pair else { continue };
        if later.from >= earlier.to {
            continue;
        }
        // Told at the one further down, which is more likely the slip.
        let (one, other) = (
            earlier.shift.min(later.shift),
            earlier.shift.max(later.shift),
        );
        if told.insert((one, other)) {
            let line = fields[one].at.line;
            let day = if later.day.is_empty() {
                String::new()
            } else {
                format!(" on {}", later.day)
            };
            reader.complain(
                &fields[other],
                format!("overlaps entry {one} of line {line}{day}; merge the two or move one"),
            );
        }
    }
}

fn date(reader: &mut Reader, seen: &mut Seen, field: &Field<'_>) -> String {
    let Some(text) = reader.text(field, "a date such as 2026-12-25") else {
        return String::new();
    };
    if text.len() == 10 && Date::strptime("%Y-%m-%d", &text).is_ok() {
        reader.once(seen, field, &text);
    } else {
        reader.complain(
            field,
            format!("'{text}' is not a date; write it like 2026-12-25"),
        );
    }
    text
}

fn exceptions(reader: &mut Reader, list: &Field<'_>) -> Vec<ScheduleException> {
    let mut seen = Seen::default();
    let mut found = Vec::new();
    for field in reader.list(list, 0, DATES_MAX) {
        let Some(object) = reader.object(&field, &["date", "hours"]) else {
            continue;
        };
        let date = date(reader, &mut seen, &object.field("date"));
        let fields = reader.list(&object.field("hours"), 0, SHIFTS_MAX);
        let mut all = Vec::new();
        let mut spans = Vec::new();
        for (i, field) in fields.iter().enumerate() {
            let Some(object) = reader.object(field, &["from", "to"]) else {
                continue;
            };
            let (hours, minutes) = hours(reader, &object);
            spans.extend(minutes.map(|(from, to)| Span {
                from,
                to,
                shift: i,
                day: "",
            }));
            all.push(hours);
        }
        refuse_overlap(reader, &fields, spans, false);
        found.push(ScheduleException { date, hours: all });
    }
    found
}
