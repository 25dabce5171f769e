//! What a text says but hardly means.

use std::collections::BTreeSet;

use super::rules::{self, DAYS, Minutes, Rule};
use super::{Cell, Known, OsmError, Reading, cut};
use crate::{CalendarError, Finding, MINUTES_A_DAY};

/// Everything that is wrong with a text, cannot be represented, or is hardly meant. `known` as for
/// [`super::import`]; holidays may be none.
pub fn lint(text: &str, known: &Known) -> Vec<Finding> {
    let misspelt = rules::misspelt(text);
    if !misspelt.is_empty() {
        return misspelt.iter().map(Finding::from).collect();
    }
    let read = match rules::read(text) {
        Ok(read) => read,
        Err(error) => return vec![Finding::from(&error)],
    };
    let mut found = Vec::new();
    let mut rules = Vec::new();
    for rule in read {
        match rule {
            Ok(rule) => rules.push(rule),
            Err(error) => found.push(Finding::from(&error)),
        }
    }
    found.extend(alone(&rules, known));
    match together(&rules, known) {
        Ok(more) => found.extend(more),
        Err(error) => found.push(Finding::from(&error)),
    }
    if found.is_empty() {
        // What only shows once the days stand side by side. The zone plays no part in it.
        let import = super::import(text, "UTC", known);
        found.extend(import.err().map(|e| Finding::from(&e)));
    }
    found
}

impl From<&OsmError> for Finding {
    fn from(error: &OsmError) -> Self {
        match error {
            OsmError::Syntax { at, problem, fix } => Self::new(at, problem, fix),
            OsmError::NotRepresentable { at, part, fix } => Self::new(at, part, *fix),
            OsmError::HolidaysUnknown { at } => Self::new(
                at,
                "no public holidays are known",
                "give an iCalendar file of them, or take PH out",
            ),
            OsmError::Plan(error) => Self::from(error),
        }
    }
}

/// What each rule shows on its own.
fn alone(rules: &[Rule], known: &Known) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in rules {
        let mut tell =
            |problem: String, fix: &str| found.push(Finding::new(&rule.at, problem, fix));
        if rule.comment {
            tell("its comment is lost".into(), "put it where people read it");
        }
        if rule.days.holidays && known.holidays.is_empty() {
            let at = rule.at.clone();
            let missing = Finding::from(&OsmError::HolidaysUnknown { at });
            tell(missing.problem, &missing.fix);
        }
        if rule.late {
            tell(
                "goes on past 26:00, which not every reader takes".into(),
                "write a night as 22:00-06:00",
            );
        }
        let first = rule.times.iter().enumerate();
        for (i, (start, end)) in first {
            if rule.times[..i].iter().any(|t| *start < t.1 && t.0 < *end) {
                let hours = written((*start, *end));
                tell(
                    format!("{hours} overlaps its own hours before"),
                    "write each stretch once",
                );
            }
        }
    }
    found
}

/// A rule and the days on which it applies.
struct Placed<'a> {
    rule: &'a Rule,
    cells: BTreeSet<Cell>,
}

/// What rules do to each other.
fn together(rules: &[Rule], known: &Known) -> Result<Vec<Finding>, CalendarError> {
    let reading = Reading { rules, known };
    let mut cells: Vec<_> = (0..7).map(Cell::Weekday).collect();
    cells.extend(reading.special_dates()?.into_iter().map(Cell::Date));
    let placed: Vec<_> = rules
        .iter()
        .map(|rule| {
            let applies = |c: &&Cell| match c {
                Cell::Weekday(_) => reading.applies(rule, **c),
                // A rule of the week is meant to give way on dates.
                Cell::Date(date) => {
                    reading.applies(rule, **c) && rule.days.by_date(known.holidays.contains(date))
                }
            };
            let cells = cells.iter().filter(applies).copied().collect();
            Placed { rule, cells }
        })
        .collect();

    let mut found = always_open(rules);
    for (i, earlier) in placed.iter().enumerate() {
        if earlier.cells.is_empty() && !earlier.rule.days.holidays {
            let (from, days) = (known.from, known.days);
            let problem = format!("applies to none of the {days} days from {from} on");
            found.push(Finding::new(
                &earlier.rule.at,
                problem,
                "correct its dates or take it out",
            ));
        }
        let mut told = false;
        for later in &placed[i + 1..] {
            let shared: BTreeSet<_> = earlier.cells.intersection(&later.cells).copied().collect();
            if !earlier.rule.open || !later.rule.open || shared.is_empty() {
                continue;
            }
            if later.rule.adds {
                found.extend(overlap(earlier, later, &shared));
            } else if let Some(finding) = lost(earlier, later, &shared) {
                found.push(finding);
                told = true;
                break;
            }
        }
        if earlier.rule.open && !told && unreachable(earlier, &placed[i + 1..]) {
            let problem = "has no effect: later rules replace it on all its days";
            found.push(Finding::new(&earlier.rule.at, problem, "take it out"));
        }
        found.extend(undone(&reading, earlier, &placed[i + 1..]));
        found.extend(cut_night(earlier, &placed[i + 1..])?);
    }
    Ok(found)
}

fn always_open(rules: &[Rule]) -> Vec<Finding> {
    let all_week = |r: &&Rule| {
        r.open && r.times == [(0, MINUTES_A_DAY)] && (0..7).all(|day| r.days.every_week(day))
    };
    let rule = rules.iter().find(all_week).filter(|_| rules.len() > 1);
    let finding = rule.map(|rule| {
        let problem = "stands beside other rules: where they say nothing it is open";
        let fix = "write 00:00-24:00 on the days that are open, or take the others out";
        Finding::new(&rule.at, problem, fix)
    });
    finding.into_iter().collect()
}

fn overlap(earlier: &Placed<'_>, later: &Placed<'_>, shared: &BTreeSet<Cell>) -> Option<Finding> {
    let meets = |t: &&Minutes| earlier.rule.times.iter().any(|e| t.0 < e.1 && e.0 < t.1);
    let times = later.rule.times.iter().find(meets)?;
    let problem = format!(
        "{} overlaps {} on {}",
        written(*times),
        earlier.rule.at,
        named(shared)
    );
    Some(Finding::new(
        &later.rule.at,
        problem,
        "write each stretch once",
    ))
}

/// Hours that a rule after ';' takes from an earlier one although it names other times of the same days.
/// Other hours on some of the days are what ';' is for, unless the two never meet.
fn lost(earlier: &Placed<'_>, later: &Placed<'_>, shared: &BTreeSet<Cell>) -> Option<Finding> {
    let left = later
        .rule
        .times
        .iter()
        .fold(earlier.rule.times.clone(), |left, t| cut(&left, *t));
    let apart = left == earlier.rule.times;
    let same_days = earlier.cells.is_subset(&later.cells);
    if left.is_empty() || !(apart || same_days) {
        return None;
    }
    let hours: Vec<_> = left.into_iter().map(written).collect();
    let problem = format!(
        "replaces {} on {}, so that {} is lost",
        earlier.rule.at,
        named(shared),
        hours.join(",")
    );
    let fix = "write ', ' in place of ';' to add, or take the earlier rule out";
    Some(Finding::new(&later.rule.at, problem, fix))
}

fn unreachable(rule: &Placed<'_>, later: &[Placed<'_>]) -> bool {
    let replaced = |cell| {
        later
            .iter()
            .any(|l| l.rule.replaces() && l.cells.contains(cell))
    };
    !rule.cells.is_empty() && rule.cells.iter().all(replaced)
}

/// A rule for dates that a rule of the week replaces because it stands later.
fn undone(reading: &Reading<'_>, rule: &Placed<'_>, later: &[Placed<'_>]) -> Option<Finding> {
    let weekly = |l: &&Placed<'_>| l.rule.open && l.rule.replaces();
    later.iter().filter(weekly).find_map(|later| {
        let undoes = |c: &&Cell| {
            matches!(c, Cell::Date(_))
                && reading.applies(later.rule, **c)
                && !later.cells.contains(c)
        };
        let first = rule.cells.iter().find(undoes)?;
        let day = named(&BTreeSet::from([*first]));
        let problem = format!("{} stands later and replaces it on {day}", later.rule.at);
        Some(Finding::new(
            &rule.rule.at,
            problem,
            "put rules for dates and holidays last",
        ))
    })
}

/// A night that runs on into a day a later rule speaks for.
fn cut_night(rule: &Placed<'_>, later: &[Placed<'_>]) -> Result<Option<Finding>, CalendarError> {
    let Some(night) = rule
        .rule
        .times
        .iter()
        .find(|t| rule.rule.open && t.1 > MINUTES_A_DAY)
    else {
        return Ok(None);
    };
    for later in later.iter().filter(|l| l.rule.replaces()) {
        for cell in &later.cells {
            let before = cell.before()?;
            let begun = match (before, cell) {
                // A date's night before may be one of the week.
                (Cell::Date(date), Cell::Date(_)) => {
                    rule.rule.days.on(date, false) && !later.cells.contains(&before)
                }
                _ => rule.cells.contains(&before) && !later.cells.contains(&before),
            };
            if begun {
                let end = clock(night.1 - MINUTES_A_DAY);
                let problem = format!(
                    "its night goes on until {end} on {}, for which {} speaks; some readers end it at midnight",
                    named(&BTreeSet::from([*cell])),
                    later.rule.at
                );
                let fix = "end the night at 24:00 if it is meant to end there";
                return Ok(Some(Finding::new(&rule.rule.at, problem, fix)));
            }
        }
    }
    Ok(None)
}

/// Days in words: `Mo,Tu`, or dates, of which only the first few.
fn named(cells: &BTreeSet<Cell>) -> String {
    let name = |cell: &Cell| match cell {
        Cell::Weekday(day) => DAYS[*day].0.to_owned(),
        Cell::Date(date) => date.to_string(),
    };
    let names: Vec<_> = cells.iter().take(7).map(name).collect();
    let more = match cells.len().saturating_sub(7) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(","))
}

fn written((start, end): Minutes) -> String {
    let end = match end > MINUTES_A_DAY {
        true => end - MINUTES_A_DAY,
        false => end,
    };
    format!("{}-{}", clock(start), clock(end))
}

fn clock(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
