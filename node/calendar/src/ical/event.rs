//! Events, their times, and the zones of these.

use icalendar::parser::{Component, Property, read_components, unfold};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, SpanTotal, Timestamp, ToSpan as _, Unit};

use super::lines::{self, Places};
use super::{CalendarError, HORIZON_DAYS_MAX, IcalError};

/// A time as the file gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Moment {
    /// A whole day.
    Date(Date),
    /// A time on the wall clock of a zone.
    Local(DateTime, TimeZone),
}

impl Moment {
    /// The wall clock; a date's is at midnight.
    pub(super) fn local(&self) -> DateTime {
        match self {
            Moment::Date(date) => date.at(0, 0, 0, 0),
            Moment::Local(local, _) => *local,
        }
    }

    fn instant(&self) -> Result<Option<Timestamp>, CalendarError> {
        match self {
            Moment::Date(_) => Ok(None),
            Moment::Local(local, zone) => Ok(Some(instant(zone, *local)?)),
        }
    }

    /// The wall clock in the zone of another time. A date has none and stays as it is.
    pub(super) fn in_zone_of(&self, other: &Self) -> Result<DateTime, CalendarError> {
        match (self.instant()?, other) {
            (Some(at), Moment::Local(_, zone)) => Ok(zone.to_datetime(at)),
            _ => Ok(self.local()),
        }
    }
}

fn instant(zone: &TimeZone, local: DateTime) -> Result<Timestamp, CalendarError> {
    let at = zone.to_ambiguous_timestamp(local).compatible();
    at.map_err(|_| CalendarError::OutOfRange)
}

/// An event, or one instance of a series in place of the regular one.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Of the series; empty where it has none, which then stands alone.
    pub(super) uid: String,
    /// What it is called.
    pub(super) name: String,
    /// When it begins first.
    pub(super) start: Moment,
    /// How long it lasts: days and nominal weeks on the wall clock, hours and shorter by the stopwatch.
    pub(super) length: Span,
    /// The days it may touch, at most one too many.
    pub(super) days: i64,
    /// The rule by which it comes again, and its line.
    pub(super) rule: Option<(String, usize)>,
    /// Further beginnings.
    pub(super) also: Vec<Moment>,
    /// Beginnings that are left out.
    pub(super) except: Vec<Moment>,
    /// The regular beginning it stands in for.
    pub(super) instead_of: Option<Moment>,
    /// Whether it does not take place.
    pub(super) cancelled: bool,
}

impl Event {
    /// First and last instant of the instance that begins at a local time.
    pub(super) fn span(&self, start: DateTime) -> Result<(Timestamp, Timestamp), CalendarError> {
        let zone = match &self.start {
            Moment::Local(_, zone) => zone.clone(),
            Moment::Date(_) => TimeZone::UTC,
        };
        let from = instant(&zone, start)?;
        let to = from.to_zoned_datetime(zone).checked_add(self.length);
        Ok((from, to.map_err(|_| CalendarError::OutOfRange)?.timestamp()))
    }
}

/// Every event of a file; `home` is the zone of times without one.
pub(super) fn read(text: &str, home: &TimeZone) -> Result<Vec<Event>, IcalError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let places = lines::check(text)?;
    let unfolded = unfold(text);
    let components = read_components(unfolded.trim_start()).map_err(|error| IcalError::Syntax {
        line: 1,
        problem: format!(
            "cannot be read ({})",
            error.lines().next().unwrap_or_default()
        ),
        fix: "give a file as a calendar program writes it",
    })?;
    let mut found = Vec::new();
    collect(&components, &mut found);
    let events = found.into_iter().zip(&places).map(|(component, places)| {
        Reader {
            component,
            places,
            home,
        }
        .event()
    });
    events.collect()
}

/// Events in the order of the file.
fn collect<'a, 'b>(components: &'a [Component<'b>], found: &mut Vec<&'a Component<'b>>) {
    for component in components {
        if component.name.as_str().eq_ignore_ascii_case("VEVENT") {
            found.push(component);
        }
        collect(&component.components, found);
    }
}

/// Reads one event.
struct Reader<'a> {
    component: &'a Component<'a>,
    places: &'a Places,
    home: &'a TimeZone,
}

/// A property, its name and its line.
struct Named<'a> {
    name: &'static str,
    property: &'a Property<'a>,
    line: usize,
}

impl Named<'_> {
    fn wrong(&self, problem: impl Into<String>, fix: &'static str) -> IcalError {
        IcalError::Property {
            line: self.line,
            property: self.name,
            problem: problem.into(),
            fix,
        }
    }

    fn value(&self) -> &str {
        self.property.val.as_str().trim()
    }

    fn parameter(&self, key: &str) -> Option<&str> {
        let mut all = self.property.params.iter();
        let found = all.find(|p| p.key.as_str().eq_ignore_ascii_case(key))?;
        found.val.as_ref().map(|v| v.as_str().trim_matches('"'))
    }

    /// The times of a list, which has one as a rule.
    fn moments(&self, home: &TimeZone) -> Result<Vec<Moment>, IcalError> {
        let zone = match self.parameter("TZID") {
            Some(id) => Some(self.zone(id)?),
            None => None,
        };
        let texts = self.value().split(',');
        texts
            .map(|text| self.moment(text.trim(), zone.as_ref().unwrap_or(home)))
            .collect()
    }

    fn moment(&self, text: &str, zone: &TimeZone) -> Result<Moment, IcalError> {
        if text.contains('/') {
            let fix = "give the beginning alone; the event says how long it lasts";
            return Err(self.wrong(format!("'{text}' is a period"), fix));
        }
        if let (8, Ok(date)) = (text.len(), Date::strptime("%Y%m%d", text)) {
            return Ok(Moment::Date(date));
        }
        let (local, zone) = match text.strip_suffix(['Z', 'z']) {
            Some(local) => (local, &TimeZone::UTC),
            None => (text, zone),
        };
        match (local.len(), DateTime::strptime("%Y%m%dT%H%M%S", local)) {
            (15, Ok(local)) => Ok(Moment::Local(local, zone.clone())),
            _ => Err(self.wrong(
                format!("'{text}' is no time"),
                "write it like 20261225, 20261225T090000 or 20261225T090000Z",
            )),
        }
    }

    /// Some programs put a path before the IANA name.
    fn zone(&self, id: &str) -> Result<TimeZone, IcalError> {
        let mut name = id.trim_start_matches('/');
        loop {
            if let Ok(zone) = crate::zone(name) {
                return Ok(zone);
            }
            let Some((_, rest)) = name.split_once('/').filter(|_| id.starts_with('/')) else {
                let fix = "use a name such as Europe/Lisbon";
                return Err(self.wrong(format!("'{id}' is not an IANA time zone"), fix));
            };
            name = rest;
        }
    }

    /// A duration such as `P1D` or `PT1H30M`.
    fn duration(&self) -> Result<Span, IcalError> {
        let text = self.value().trim_start_matches('+');
        let span = text.parse::<Span>().ok().filter(|s| !s.is_negative());
        span.ok_or_else(|| {
            let problem = format!("'{}' is no length of time", self.value());
            self.wrong(problem, "write it like P1D or PT1H30M")
        })
    }
}

impl<'a> Reader<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = Named<'a>> {
        let (component, places) = (self.component, self.places);
        let named = component.properties.iter();
        let named = named.filter(move |p| p.name.as_str().eq_ignore_ascii_case(name));
        named.enumerate().map(move |(n, property)| Named {
            name,
            property,
            line: places.line(name, n),
        })
    }

    fn one(&self, name: &'static str) -> Option<Named<'a>> {
        self.all(name).next()
    }

    fn text(&self, name: &'static str) -> String {
        let text = self.one(name).map(|p| p.value().to_owned());
        text.unwrap_or_default()
    }

    fn moments(&self, name: &'static str) -> Result<Vec<Moment>, IcalError> {
        let mut all = Vec::new();
        for named in self.all(name) {
            all.extend(named.moments(self.home)?);
        }
        Ok(all)
    }

    fn event(&self) -> Result<Event, IcalError> {
        let start = self.moments("DTSTART")?.into_iter().next();
        let start = start.ok_or_else(|| IcalError::Property {
            line: self.places.begin,
            property: "DTSTART",
            problem: "is missing".into(),
            fix: "give when the event begins",
        })?;
        if self.all("RRULE").count() > 1 {
            let second = self.all("RRULE").nth(1).map_or(0, |p| p.line);
            return Err(IcalError::Property {
                line: second,
                property: "RRULE",
                problem: "is given twice".into(),
                fix: "make two events of it",
            });
        }
        if let Some(of) = self
            .one("RECURRENCE-ID")
            .filter(|p| p.parameter("RANGE").is_some())
        {
            let fix = "end the series before it and begin another";
            return Err(of.wrong("changes this instance and all after it", fix));
        }
        let status = self.text("STATUS");
        let (length, days) = self.length(&start)?;
        Ok(Event {
            uid: self.text("UID"),
            name: self.text("SUMMARY").replace(char::is_control, " "),
            length,
            days,
            rule: self.one("RRULE").map(|p| (p.value().to_owned(), p.line)),
            also: self.moments("RDATE")?,
            except: self.moments("EXDATE")?,
            instead_of: self.moments("RECURRENCE-ID")?.into_iter().next(),
            cancelled: status.eq_ignore_ascii_case("CANCELLED"),
            start,
        })
    }

    /// How long it lasts, and the days that may touch.
    fn length(&self, start: &Moment) -> Result<(Span, i64), IcalError> {
        let whole = matches!(start, Moment::Date(_));
        let (named, length) = if let Some(named) = self.one("DTEND") {
            let length = self.until(start, &named)?;
            (named, length)
        } else if let Some(named) = self.one("DURATION") {
            let length = named.duration()?;
            (named, length)
        } else {
            // Without an end a date lasts its day, and a time is a moment.
            return Ok((if whole { 1.day() } else { Span::new() }, 1));
        };
        let days = length.total(SpanTotal::from(Unit::Day).days_are_24_hours());
        let days = days.unwrap_or(f64::INFINITY);
        if days > f64::from(HORIZON_DAYS_MAX) {
            return Err(named.wrong("makes the event too long", "give it at most 400 days"));
        }
        if whole && days.fract() != 0.0 {
            return Err(named.wrong("is not of whole days, as the start is", "give it like P1D"));
        }
        // Small and whole after rounding up.
        Ok((length, days.ceil() as i64 + 1))
    }

    fn until(&self, start: &Moment, named: &Named<'_>) -> Result<Span, IcalError> {
        let end = named.moments(self.home)?.into_iter().next();
        let length = match (start, end) {
            (Moment::Date(start), Some(Moment::Date(end))) => match (end - *start).get_days() {
                // Some programs write the last day, not the day after, where it is one.
                0 => 1.day(),
                days => days.days(),
            },
            (Moment::Local(..), Some(end @ Moment::Local(..))) => {
                let (from, to) = start
                    .instant()?
                    .zip(end.instant()?)
                    .ok_or(CalendarError::OutOfRange)?;
                Span::new().milliseconds(to.as_millisecond() - from.as_millisecond())
            }
            _ => {
                let fix = "give both as dates or both as times";
                return Err(named.wrong("is a date beside a time", fix));
            }
        };
        match length.is_negative() {
            true => Err(named.wrong("is before the start", "give a later end")),
            false => Ok(length),
        }
    }
}
