//! The grammar's tree as rules over whole days, refusing what no plan can hold.

use jiff::civil::{Date, Weekday};
use opening_hours_syntax::rules::day::{
    self, DateOffset, DaySelector, HolidayKind, MonthdayRange, WeekDayRange,
};
use opening_hours_syntax::rules::time::{Time, TimeSelector, TimeSpan};
use opening_hours_syntax::rules::{RuleKind, RuleOperator, RuleSequence};

use super::{OsmError, TEXT_BYTES_MAX};
use crate::MINUTES_A_DAY;

/// Days as the format spells them.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("Mo", Weekday::Monday),
    ("Tu", Weekday::Tuesday),
    ("We", Weekday::Wednesday),
    ("Th", Weekday::Thursday),
    ("Fr", Weekday::Friday),
    ("Sa", Weekday::Saturday),
    ("Su", Weekday::Sunday),
];

/// From and to in minutes from midnight; a night ends past [`MINUTES_A_DAY`].
pub(super) type Minutes = (i64, i64);

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its number and text, to name it.
    pub(super) at: String,
    /// On which days.
    pub(super) days: Days,
    /// At which times.
    pub(super) times: Vec<Minutes>,
    /// Whether it opens or closes.
    pub(super) open: bool,
    /// Whether it stands after a comma, and adds.
    pub(super) adds: bool,
    /// Whether it writes an end past 26:00.
    pub(super) late: bool,
    /// Whether it has a comment, which a plan does not keep.
    pub(super) comment: bool,
}

impl Rule {
    /// Whether nothing of earlier rules is left on its days.
    pub(super) fn replaces(&self) -> bool {
        match self.open {
            true => !self.adds,
            false => self.times == [(0, MINUTES_A_DAY)],
        }
    }
}

/// On which days a rule applies.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    /// No weekday and no holiday is named, so that all are meant.
    any: bool,
    weekdays: [bool; 7],
    /// Public holidays, whatever their weekday.
    pub(super) holidays: bool,
    years: Vec<(i16, i16)>,
    dates: Vec<Dates>,
}

#[derive(Clone, Debug)]
enum Dates {
    /// Months of one year or of all; may reach over new year.
    Months {
        year: Option<i16>,
        first: u8,
        last: u8,
    },
    /// From and to a day of every year, as month and day; may reach over new year.
    Yearly { from: (i8, i8), to: (i8, i8) },
    /// From and to a date.
    Once { from: Date, to: Date },
}

impl Days {
    /// Whether it names dates or years, or this holiday.
    pub(super) fn by_date(&self, holiday: bool) -> bool {
        self.dated() || self.holidays && holiday
    }

    fn dated(&self) -> bool {
        !(self.years.is_empty() && self.dates.is_empty())
    }

    /// Whether it applies to a weekday of every week.
    pub(super) fn every_week(&self, weekday: usize) -> bool {
        !self.dated() && (self.any || self.weekdays[weekday])
    }

    /// Whether it applies to a date.
    pub(super) fn on(&self, date: Date, holiday: bool) -> bool {
        let weekday = date.weekday().to_monday_zero_offset() as usize;
        let year = |(first, last): &(i16, i16)| (*first..=*last).contains(&date.year());
        (self.any || self.weekdays[weekday] || self.holidays && holiday)
            && (self.years.is_empty() || self.years.iter().any(year))
            && (self.dates.is_empty() || self.dates.iter().any(|d| d.on(date)))
    }
}

impl Dates {
    fn on(&self, date: Date) -> bool {
        // A stretch that ends before it begins reaches over the end of the year.
        fn within<T: PartialOrd>(first: T, at: T, last: T) -> bool {
            match first <= last {
                true => first <= at && at <= last,
                false => first <= at || at <= last,
            }
        }
        match self {
            Dates::Months { year, first, last } => {
                year.is_none_or(|y| y == date.year())
                    && within(*first, date.month().unsigned_abs(), *last)
            }
            Dates::Yearly { from, to } => within(*from, (date.month(), date.day()), *to),
            Dates::Once { from, to } => (*from..=*to).contains(&date),
        }
    }
}

/// The text's parts between `;` and `||`, with their numbers.
pub(super) fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut quoted = false;
    let parts = text.split(move |c| {
        quoted ^= c == '"';
        !quoted && (c == ';' || c == '|')
    });
    let parts = parts.map(str::trim).filter(|p| !p.is_empty());
    parts.enumerate().map(|(i, p)| (i + 1, p)).collect()
}

/// Every rule, or why it is refused.
pub(super) fn read(text: &str) -> Result<Vec<Result<Rule, OsmError>>, OsmError> {
    if text.len() > TEXT_BYTES_MAX {
        let bytes = text.len();
        return Err(OsmError::Syntax {
            at: "text".into(),
            problem: format!("has {bytes} bytes"),
            fix: format!("give at most {TEXT_BYTES_MAX}"),
        });
    }
    if let Some(error) = misspelt(text).into_iter().next() {
        return Err(error);
    }
    // A ';' at the end is common and harmless.
    let trimmed = text.trim().trim_end_matches([';', ' ']);
    let whole = opening_hours_syntax::parse(trimmed).map_err(|_| OsmError::Syntax {
        at: "text".into(),
        problem: "does not follow the grammar of opening_hours".into(),
        fix: "separate rules by '; '".into(),
    })?;
    let parts = parts(text);
    let rules = whole.rules.iter().enumerate().map(|(i, rule)| {
        // As it was written, unless commas make several rules of a part.
        let text = match parts.len() == whole.rules.len() {
            true => parts[i].1.to_owned(),
            false => rule.to_string(),
        };
        Rule::read(format!("rule {} '{text}'", i + 1), rule)
    });
    Ok(rules.collect())
}

/// The parts that no reader would take, or not all alike.
pub(super) fn misspelt(text: &str) -> Vec<OsmError> {
    let parts = parts(text);
    if parts.is_empty() {
        return vec![OsmError::Syntax {
            at: "text".into(),
            problem: "is empty".into(),
            fix: "write it like Mo-Fr 09:00-17:00".into(),
        }];
    }
    let part = |(number, part): (usize, &str)| {
        let at = format!("part {number} '{part}'");
        if let Some(pair) = both(part) {
            return Some(OsmError::NotRepresentable {
                at,
                part: format!("'{pair}' means holidays on those weekdays only"),
                fix: "put a comma between the two where either is meant",
            });
        }
        let error = opening_hours_syntax::parse(part).err()?;
        let (problem, fix) = if let Some((problem, fixed)) = respelt(part) {
            (problem.to_owned(), format!("write {fixed}"))
        } else {
            // The last line says what was expected; the ones before draw an arrow.
            let text = error.to_string();
            let said = text.lines().last().unwrap_or_default();
            let said = said.trim_start_matches([' ', '=']);
            (
                format!("does not follow the grammar of opening_hours ({said})"),
                "write it like Mo-Fr 09:00-13:00,14:00-18:00".to_owned(),
            )
        };
        Some(OsmError::Syntax { at, problem, fix })
    };
    parts.into_iter().filter_map(part).collect()
}

/// A holiday and weekdays with a space between, which the grammar's tree cannot tell from a comma.
fn both(part: &str) -> Option<String> {
    let named = |word: &str, names: &[&str]| {
        let mut days = word.split([',', '-']);
        days.any(|d| names.iter().any(|n| n.eq_ignore_ascii_case(d)))
    };
    let weekdays = DAYS.map(|(name, _)| name);
    let holidays = ["PH", "SH"];
    let words: Vec<_> = part.split_whitespace().collect();
    let pair = words.windows(2).find(|pair| {
        let either = |a: usize, b: usize| named(pair[a], &holidays) && named(pair[b], &weekdays);
        !pair[0].ends_with(',') && (either(0, 1) || either(1, 0))
    })?;
    Some(pair.join(" "))
}

/// What people write for times and how readers take it.
fn respelt(part: &str) -> Option<(&'static str, String)> {
    let plain = part.replace(['\u{2013}', '\u{2014}'], "-");
    let clocks = each_time(&plain, |time| match time.split_once('.') {
        Some((hour, minute)) if minute.len() == 2 => format!("{hour}:{minute}"),
        _ => time.to_owned(),
    });
    let minutes = each_time(&clocks, |time| {
        let bare = (1..=2).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
        match bare {
            true => format!("{time:0>2}:00"),
            false => time.to_owned(),
        }
    });
    let spellings = [
        ("has a long dash in place of '-'", plain),
        ("has dots in its times", clocks),
        ("has times without minutes", minutes),
    ];
    let mut read = spellings.into_iter().filter(|(_, text)| text != part);
    read.find(|(_, text)| opening_hours_syntax::parse(text).is_ok())
}

/// The part with both ends of every range changed.
fn each_time(part: &str, change: impl Fn(&str) -> String) -> String {
    let range = |range: &str| match range.split_once('-') {
        Some((from, to)) => format!("{}-{}", change(from), change(to)),
        None => range.to_owned(),
    };
    let words = part.split(' ').map(|word| {
        let ranges: Vec<_> = word.split(',').map(range).collect();
        ranges.join(",")
    });
    words.collect::<Vec<_>>().join(" ")
}

impl Rule {
    fn read(at: String, rule: &RuleSequence) -> Result<Self, OsmError> {
        let refuse = |part: &str, fix| OsmError::NotRepresentable {
            at: at.clone(),
            part: part.into(),
            fix,
        };
        if rule.operator == RuleOperator::Fallback {
            let fix = "write the hours of every day in rules separated by ';'";
            return Err(refuse(
                "'||' gives hours for when nothing else is known",
                fix,
            ));
        }
        if rule.kind == RuleKind::Unknown {
            let fix = "say open or off";
            return Err(refuse("'unknown' is neither open nor closed", fix));
        }
        let every = rule.day_selector.is_empty() && rule.time_selector == TimeSelector::default();
        if every && rule.kind == RuleKind::Open && !rule.comment.is_empty() {
            let fix = "give days and times, or take it out";
            return Err(refuse(
                "a comment alone is read as open round the clock",
                fix,
            ));
        }
        let days = days(&rule.day_selector).map_err(|(part, fix)| refuse(part, fix))?;
        let times = rule.time_selector.spans.iter().map(times);
        let times: Result<Vec<_>, _> = times.collect();
        Ok(Self {
            days,
            times: times.map_err(|(part, fix)| refuse(part, fix))?,
            open: rule.kind == RuleKind::Open,
            adds: rule.operator == RuleOperator::Additional,
            late: rule.time_selector.spans.iter().any(late),
            comment: !rule.comment.is_empty(),
            at,
        })
    }
}

/// A part that no plan can hold, and the fix.
type Refused = (&'static str, &'static str);

const DATES_FIX: &str = "give the dates themselves, or holidays in an iCalendar file";

fn times(span: &TimeSpan) -> Result<Minutes, Refused> {
    if span.open_end {
        return Err(("'+' leaves the end open", "give the time it ends"));
    }
    if span.repeats.is_some() {
        return Err((
            "'/' gives moments, not hours",
            "give hours such as 09:00-17:00",
        ));
    }
    let (Time::Fixed(start), Time::Fixed(end)) = (span.range.start, span.range.end) else {
        let fix = "give times of the clock such as 07:00-19:00";
        return Err(("dawn, sunrise, sunset and dusk move with the season", fix));
    };
    let minutes = |t: opening_hours_syntax::ExtendedTime| i64::from(t.mins_from_midnight());
    let (start, end) = (minutes(start), minutes(end));
    let end = if end <= start {
        end + MINUTES_A_DAY
    } else {
        end
    };
    if end - start > MINUTES_A_DAY {
        let fix = "end it within 24 hours and go on the day after";
        return Err(("hours longer than a day", fix));
    }
    Ok((start, end))
}

fn late(span: &TimeSpan) -> bool {
    matches!(span.range.end, Time::Fixed(end) if end.mins_from_midnight() > 26 * 60)
}

fn days(selector: &DaySelector) -> Result<Days, Refused> {
    let mut days = Days {
        any: selector.weekday.is_empty(),
        ..Days::default()
    };
    if !selector.week.is_empty() {
        return Err(("week numbers move from year to year", DATES_FIX));
    }
    for range in &selector.year {
        let (years, step) = range.clone().into_parts();
        if step != 1 {
            return Err(("years with a step", "name each year"));
        }
        days.years
            .push((year(*years.start())?, year(*years.end())?));
    }
    for range in &selector.weekday {
        match range {
            WeekDayRange::Holiday {
                kind: HolidayKind::Public,
                offset: 0,
            } => days.holidays = true,
            WeekDayRange::Holiday {
                kind: HolidayKind::School,
                ..
            } => return Err(("SH, since school holidays are not known", DATES_FIX)),
            WeekDayRange::Fixed {
                range,
                offset: 0,
                nth_from_start,
                nth_from_end,
            } if !nth_from_start.contains(&false) && !nth_from_end.contains(&false) => {
                let first = range.start().num_days_from_monday() as usize;
                let last = range.end().num_days_from_monday() as usize;
                // Fr-Mo goes over the end of the week.
                for n in 0..=(last + 7 - first) % 7 {
                    days.weekdays[(first + n) % 7] = true;
                }
            }
            _ => return Err(("days counted within a month or from another day", DATES_FIX)),
        }
    }
    for range in &selector.monthday {
        days.dates.push(dates(range)?);
    }
    Ok(days)
}

fn year(year: day::Year) -> Result<i16, Refused> {
    i16::try_from(year.0).map_err(|_| ("a year beyond 9999", "give 1900 to 9999"))
}

fn dates(range: &MonthdayRange) -> Result<Dates, Refused> {
    let (start, end) = match range {
        MonthdayRange::Month { range, year: of } => {
            return Ok(Dates::Months {
                year: of.map(year).transpose()?,
                first: u8::from(*range.start()),
                last: u8::from(*range.end()),
            });
        }
        MonthdayRange::Date { start, end } => (start, end),
    };
    let fixed = |(date, offset): &(day::Date, DateOffset)| match date {
        day::Date::Fixed {
            year: of,
            month,
            day,
        } if *offset == DateOffset::default() => {
            // Both within i8: 1 to 12 and 1 to 31.
            Ok((
                of.map(year).transpose()?,
                u8::from(*month) as i8,
                *day as i8,
            ))
        }
        _ => Err((
            "dates that move, such as Easter or days from another",
            DATES_FIX,
        )),
    };
    let (from_year, month, day) = fixed(start)?;
    let (to_year, last_month, last_day) = fixed(end)?;
    let (from, to) = ((month, day), (last_month, last_day));
    let real = |year: i16, (month, day): (i8, i8)| {
        Date::new(year, month, day)
            .map_err(|_| ("a day the month does not have", "correct the date"))
    };
    match (from_year, to_year) {
        (None, None) => {
            // A leap year, so that 29 February stands.
            real(2024, from)?;
            real(2024, to)?;
            Ok(Dates::Yearly { from, to })
        }
        (Some(year), last) => {
            let next = if to < from {
                year.saturating_add(1)
            } else {
                year
            };
            let (from, to) = (real(year, from)?, real(last.unwrap_or(next), to)?);
            match from <= to {
                true => Ok(Dates::Once { from, to }),
                false => Err(("dates that end before they begin", "give the earlier first")),
            }
        }
        (None, Some(_)) => Err(("a year at the end of a range only", "give both years")),
    }
}
