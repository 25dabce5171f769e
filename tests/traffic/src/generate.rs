//! A support organisation from the world and a seed.
//!
//! The served languages are those with the most people online. Each gets agents in proportion to its
//! people, but at least [`AGENTS_PER_LANGUAGE_MIN`], who live where the language is spoken, work local
//! shifts there, and speak what people there speak besides.

use std::collections::BTreeMap;

use jiff::civil::{Date, Weekday};

use crate::draw::Draw;
use crate::format::{Day, Duration, Level, RegionId, TimeOfDay};
use crate::organisation::*;
use crate::topics::{BILLING, GENERAL, SKILLS, TECHNICAL};
use crate::world::{Territory, World};

/// Most agents generated at once.
pub const AGENTS_MAX: u32 = 100_000;
/// Most languages served: with those an agent speaks they stay within 32 on one agent.
pub const LANGUAGES_MAX: u32 = 28;
/// Every served language has this many agents at least: one each for the early, late, night, weekend and
/// weekend night shift. In one zone and without holidays these leave no hour of the week open; a language's
/// agents live in several zones, so the smaller ones have gaps, which [`crate::coverage`] counts.
pub const AGENTS_PER_LANGUAGE_MIN: u32 = 5;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The same seed gives the same organisation.
    pub seed: u64,
    /// How many agents, [`AGENTS_PER_LANGUAGE_MIN`]..=[`AGENTS_MAX`].
    pub agents: u32,
    /// How many languages are served, 1..=[`LANGUAGES_MAX`]; fewer when the agents do not suffice.
    pub languages: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            seed: 1,
            agents: 300,
            languages: 24,
        }
    }
}

/// Why nothing was generated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// A parameter is out of bounds.
    #[error("{field}: {given} is out of bounds; give {min} to {max}")]
    OutOfBounds {
        /// Which.
        field: &'static str,
        /// What was given.
        given: u32,
        /// Smallest allowed.
        min: u32,
        /// Largest allowed.
        max: u32,
    },
}

/// Generates an organisation. It passes [`Organisation::check`].
///
/// # Errors
/// [`GenerateError`] for a parameter out of bounds.
pub fn generate(world: &World, parameters: Parameters) -> Result<Organisation, GenerateError> {
    let Parameters {
        seed,
        agents,
        languages,
    } = parameters;
    bounds("agents", agents, AGENTS_PER_LANGUAGE_MIN, AGENTS_MAX)?;
    bounds("languages", languages, 1, LANGUAGES_MAX)?;
    let served = served(world, agents, languages);

    let mut schedules: BTreeMap<String, Schedule> = BTreeMap::new();
    let mut people = Vec::new();
    let mut draw = Draw::new(seed, 1);
    for (language, count) in &served {
        let homes: Vec<&Territory> = world.territories().iter().collect();
        for nth in 0..*count {
            let weights = homes.iter().map(|t| t.online_in(language) as f64);
            let home = homes[draw.weighted(weights)];
            let shift = SHIFTS[nth as usize % SHIFTS.len()];
            let schedule = shift.schedule(home);
            people.push(agent(
                world,
                &served,
                language,
                nth,
                home,
                &schedule.id,
                &mut draw,
            ));
            schedules.insert(schedule.id.clone(), schedule);
        }
    }
    people.sort_by(|a, b| a.id.cmp(&b.id));
    for schedule in regions()
        .into_iter()
        .map(|(_, s)| s)
        .chain([billing_hours()])
    {
        schedules.insert(schedule.id.clone(), schedule);
    }
    Ok(Organisation {
        workspace: workspace(),
        regions: regions().into_iter().map(|(r, _)| r).collect(),
        schedules: schedules.into_values().collect(),
        queues: queues(),
        agents: people,
    })
}

fn bounds(field: &'static str, given: u32, min: u32, max: u32) -> Result<(), GenerateError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(GenerateError::OutOfBounds {
        field,
        given,
        min,
        max,
    })
}

/// The served languages with how many agents each: the minimum, then the rest in proportion to people
/// by largest remainder (Hamilton's method), ties by order.
fn served(world: &World, agents: u32, languages: u32) -> Vec<(String, u32)> {
    let most = languages.min(agents / AGENTS_PER_LANGUAGE_MIN) as usize;
    let top: Vec<_> = world.languages().into_iter().take(most).collect();
    let people: u128 = top.iter().map(|(_, n)| u128::from(*n)).sum();
    let spare = u128::from(agents - top.len() as u32 * AGENTS_PER_LANGUAGE_MIN);
    let mut counts = Vec::new();
    let mut remainders = Vec::new();
    for (i, (language, n)) in top.into_iter().enumerate() {
        let share = u128::from(n) * spare;
        let whole = (share / people) as u32;
        counts.push((language, AGENTS_PER_LANGUAGE_MIN + whole));
        remainders.push((std::cmp::Reverse(share % people), i));
    }
    remainders.sort();
    let given: u32 = counts.iter().map(|(_, n)| n).sum();
    for (_, i) in remainders.into_iter().take((agents - given) as usize) {
        counts[i].1 += 1;
    }
    counts
}

#[derive(Clone, Copy)]
enum LocalShift {
    Early,
    Day,
    Late,
    Night,
    Split,
    Weekend,
    WeekendNight,
}

/// The order in which a language's agents take shifts: the first five cover the whole week of one zone, but
/// for its holidays.
const SHIFTS: [LocalShift; 11] = [
    LocalShift::Early,
    LocalShift::Late,
    LocalShift::Night,
    LocalShift::Weekend,
    LocalShift::WeekendNight,
    LocalShift::Day,
    LocalShift::Split,
    LocalShift::Early,
    LocalShift::Late,
    LocalShift::Day,
    LocalShift::Night,
];

fn shift(days: Vec<Day>, from: u16, to: u16) -> Shift {
    Shift {
        days,
        from: TimeOfDay::hour(from),
        to: TimeOfDay::hour(to),
    }
}

/// The days moved by some days of the week, in the week's order.
fn moved(days: &[Day], by: i64) -> Vec<Day> {
    let mut days: Vec<Day> = days
        .iter()
        .map(|d| Day::from(Weekday::from(*d).wrapping_add(by)))
        .collect();
    days.sort();
    days
}

impl LocalShift {
    /// The shift as it is worked in a territory. Early, day and split shifts close on public holidays;
    /// late, night and weekend crews work through them, as somebody must.
    fn schedule(self, home: &Territory) -> Schedule {
        let work = |d: &&Day| !home.weekend.contains(d);
        let work: Vec<Day> = Day::ALL.iter().filter(work).copied().collect();
        let (name, closes, week) = match self {
            Self::Early => ("early", true, vec![shift(work, 6, 14)]),
            Self::Day => ("day", true, vec![shift(work, 9, 17)]),
            Self::Split => (
                "split",
                true,
                vec![shift(work.clone(), 9, 13), shift(work, 16, 20)],
            ),
            Self::Late => ("late", false, vec![shift(work, 14, 22)]),
            // Begins the evening before a working day.
            Self::Night => ("night", false, vec![shift(moved(&work, -1), 22, 6)]),
            Self::Weekend => ("weekend", false, vec![shift(home.weekend.clone(), 8, 20)]),
            // The evenings of the weekend and the one before it.
            Self::WeekendNight => {
                let mut nights = moved(&home.weekend, -1);
                nights.extend(&home.weekend);
                nights.sort();
                nights.dedup();
                ("weekend-night", false, vec![shift(nights, 20, 8)])
            }
        };
        let closed = home.holidays.iter().filter(|_| closes);
        Schedule {
            id: format!("{}-{name}", home.code.to_lowercase()),
            zone: home.zone_name.clone(),
            week,
            holidays: closed.copied().collect(),
            exceptions: if matches!(self, Self::Day) {
                short_days(home)
            } else {
                Vec::new()
            },
        }
    }
}

/// The day before Christmas and before New Year end at one o'clock where the next day is a holiday.
fn short_days(home: &Territory) -> Vec<Exception> {
    let holidays = home.holidays.iter();
    let feasts = holidays.filter(|d| (d.month(), d.day()) == (12, 25) || d.day_of_year() == 1);
    let eves = feasts.filter_map(|d: &Date| d.yesterday().ok());
    eves.filter(|d| d.year() >= 2026 && !home.is_day_off(*d))
        .map(|date| Exception {
            date,
            hours: vec![Hours {
                from: TimeOfDay::hour(9),
                to: TimeOfDay::hour(13),
            }],
        })
        .collect()
}

fn agent(
    world: &World,
    served: &[(String, u32)],
    native: &str,
    nth: u32,
    home: &Territory,
    schedule: &str,
    draw: &mut Draw,
) -> Agent {
    let mut languages = vec![LanguageLevel {
        language: native.to_owned(),
        level: Level::Native,
    }];
    let mut add = |language: &str, level: Level| {
        if !languages.iter().any(|l| l.language == language) {
            let language = language.to_owned();
            languages.push(LanguageLevel { language, level });
        }
    };
    // Support desks hire for English, so it is likelier than in the street.
    if draw.chance(0.85) {
        add("en", second_level(draw));
    }
    let others = home.languages.iter().filter(|l| l.language != "en").take(2);
    for spoken in others {
        if draw.chance(f64::from(spoken.speaks_percent) / 100.0) {
            add(&spoken.language, second_level(draw));
        }
    }
    // Every eighth works with machine translation and reaches every served language.
    if nth % 8 == 7 {
        for (language, _) in served {
            add(language, Level::Translated);
        }
    }

    let mut skills = Vec::new();
    let mut queues = vec![GENERAL.to_owned()];
    for (kind, (queue, known)) in SKILLS.iter().enumerate() {
        // In turn: billing, technical, both; so that each language has both early on.
        let turn = nth as usize % 3;
        if turn == 2 || turn == kind {
            queues.push((*queue).to_owned());
            for (i, skill) in known.iter().enumerate() {
                let level = draw.between(3, 9);
                if i == 0 || draw.chance(0.6) {
                    let skill = (*skill).to_owned();
                    skills.push(SkillLevel { skill, level });
                }
            }
        }
    }
    let names = &world.people(native).names;
    Agent {
        id: format!("{}-{:03}", native.to_lowercase(), nth + 1),
        name: names[draw.index(names.len())].clone(),
        region: home.region,
        schedule: Some(schedule.to_owned()),
        languages,
        skills,
        queues,
        capacity: draw.between(3, 5),
    }
}

fn second_level(draw: &mut Draw) -> Level {
    if draw.chance(0.5) {
        Level::Fluent
    } else {
        Level::Working
    }
}

fn workspace() -> Workspace {
    let fallback = |language: &str, accept: &[&str]| Fallback {
        language: language.to_owned(),
        accept: accept.iter().map(|l| (*l).to_owned()).collect(),
    };
    // Pairs that most readers of the first understand in writing, and the other script or variety.
    let fallbacks = vec![
        fallback("be", &["ru"]),
        fallback("ca", &["es"]),
        fallback("eu", &["es"]),
        fallback("gl", &["es", "pt-PT"]),
        fallback("jv", &["id"]),
        fallback("kk", &["ru"]),
        fallback("ms", &["id"]),
        fallback("pt-BR", &["pt-PT", "es"]),
        fallback("pt-PT", &["pt-BR", "es"]),
        fallback("sk", &["cs"]),
        fallback("yue", &["zh-Hant", "zh"]),
        fallback("zh", &["zh-Hant"]),
        fallback("zh-Hant", &["zh"]),
    ];
    let name = "Meridian Outfitters".to_owned();
    Workspace { name, fallbacks }
}

/// Regions in the order of the sun, with working days of twelve hours that leave no gap between them in
/// summer or winter: 00-12, 06/07-19 and 12/13-01 UTC.
fn regions() -> Vec<(Region, Schedule)> {
    let zones = [
        (RegionId::Ap, "Asia/Singapore"),
        (RegionId::Eu, "Europe/Berlin"),
        (RegionId::Us, "America/New_York"),
    ];
    let one = |(id, zone): (RegionId, &str)| {
        let schedule = Schedule {
            id: format!("region-{id}"),
            zone: zone.to_owned(),
            week: vec![shift(Day::ALL.to_vec(), 8, 20)],
            holidays: Vec::new(),
            exceptions: Vec::new(),
        };
        let region = Region {
            id,
            zone: zone.to_owned(),
            schedule: schedule.id.clone(),
        };
        (region, schedule)
    };
    zones.into_iter().map(one).collect()
}

/// Billing rests on Sundays, so that the out-of-hours answer is seen too.
fn billing_hours() -> Schedule {
    let days = moved(&Day::ALL[..6], 0);
    Schedule {
        id: "billing-hours".to_owned(),
        zone: "Europe/London".to_owned(),
        week: vec![shift(days, 0, 0)],
        holidays: Vec::new(),
        exceptions: Vec::new(),
    }
}

fn queues() -> Vec<Queue> {
    let step = |after, language_level, fallback_languages, skill_levels_off| Step {
        after: Duration::secs(after),
        language_level,
        fallback_languages,
        skill_levels_off,
        regions: Vec::new(),
    };
    let queue = |id: &str, steps| Queue {
        id: id.to_owned(),
        schedule: None,
        steps,
        offer_timeout: Duration::secs(20),
        wrap_up: Duration::secs(30),
        wait_max: Duration::secs(600),
        waiting_max: 10_000,
        ageing: Duration::secs(60),
        answer_target: Duration::secs(46),
        overflow: None,
        sticky: Duration::ZERO,
    };
    let overflow = |after| {
        Some(Overflow {
            after: Duration::secs(after),
            queue: GENERAL.to_owned(),
        })
    };
    vec![
        queue(
            GENERAL,
            vec![
                step(0, Level::Fluent, false, 0),
                step(40, Level::Working, true, 10),
                step(90, Level::Translated, true, 10),
            ],
        ),
        Queue {
            schedule: Some("billing-hours".to_owned()),
            overflow: overflow(90),
            ..queue(
                BILLING,
                vec![
                    step(0, Level::Fluent, false, 0),
                    step(45, Level::Working, true, 2),
                    step(90, Level::Working, true, 10),
                ],
            )
        },
        Queue {
            overflow: overflow(120),
            sticky: Duration::secs(1800),
            ..queue(
                TECHNICAL,
                vec![
                    step(0, Level::Fluent, false, 0),
                    step(30, Level::Fluent, false, 2),
                    step(60, Level::Working, true, 4),
                    step(120, Level::Translated, true, 10),
                ],
            )
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::is_open;

    #[test]
    fn the_first_five_shifts_leave_no_hour_of_a_week_open_but_for_holidays() {
        let world = World::load().expect("the crate's data");
        // Monday 2026-06-15 00:00 UTC, and half past each hour from then on: no clock changes that week.
        let begin = 1_781_481_600_000;
        for home in world.territories() {
            let crew = SHIFTS[..5].iter().map(|shift| Schedule {
                holidays: Vec::new(),
                ..shift.schedule(home)
            });
            let crew: Vec<Schedule> = crew.collect();
            for hour in 0..168 {
                let at = jiff::Timestamp::from_millisecond(begin + hour * 3_600_000 + 1_800_000);
                let at = at.expect("an instant");
                let works = |s: &Schedule| is_open(s, &home.zone, at);
                assert!(crew.iter().any(works), "{}: nobody at {at}", home.code);
            }
        }
    }
}
