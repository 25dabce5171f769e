//! The file that says what happens: who comes when, how patient they are, who answers, and what must hold.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use meridian_traffic::arrivals::{LogNormal, PATIENCE, Shape, TALK};
use meridian_traffic::format::{Duration, RegionId};
use meridian_traffic::generate::{AGENTS_MAX, AGENTS_PER_LANGUAGE_MIN, LANGUAGES_MAX};
use meridian_traffic::topics::{BILLING, GENERAL, TECHNICAL};
use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::threshold::Threshold;

/// The text of a scenario that comes along, by name.
pub fn shipped(name: &str) -> Option<&'static str> {
    let known = SHIPPED.iter().find(|(known, _)| *known == name);
    known.map(|(_, text)| *text)
}

/// Scenarios that come along.
pub const SHIPPED: [(&str, &str); 5] = [
    ("day", include_str!("../scenarios/day.toml")),
    ("outage", include_str!("../scenarios/outage.toml")),
    ("quick", include_str!("../scenarios/quick.toml")),
    ("sale", include_str!("../scenarios/sale.toml")),
    ("steady", include_str!("../scenarios/steady.toml")),
];

/// Most chats in a run.
pub const CHATS_MAX: u64 = 10_000_000;
/// Most times faster than in life that people act, and longest run in days.
const PEOPLE_MAX: f64 = 1_000.0;
const DAYS_MAX: u64 = 31;

/// A scenario. What the file leaves out has the value stated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Shown in reports; 1 to 128 characters.
    pub name: String,
    /// What it is for, in a sentence or two; none.
    #[serde(default)]
    pub about: String,
    /// The same seed brings the same people; 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// What must hold, such as `start.p99 <= 250ms`; nothing.
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
    /// When it plays, and how fast.
    #[serde(default)]
    pub time: Pace,
    /// Who comes.
    pub arrivals: Stream,
    /// What comes on top of it; nothing.
    #[serde(default)]
    pub bursts: Vec<Burst>,
    /// Visitors.
    #[serde(default)]
    pub visitors: Visitors,
    /// Who answers.
    #[serde(default)]
    pub agents: Agents,
}

/// When a scenario plays: a span of the world's time, pressed into one of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// The day on which it begins, by UTC; 2026-11-24, a Tuesday and a holiday almost nowhere.
    pub date: Date,
    /// The hour at which it begins, by UTC; 00:00.
    pub from: Time,
    /// How much of the world's time is played, 1m to 31 days; 24h.
    pub span: Duration,
    /// How long that takes, 1s to 31 days; 5m.
    pub takes: Duration,
    /// How many times faster than in life people talk, wait and write, 0.1 to 1000; 20.
    pub people: f64,
    /// What is felt before is not counted: agents sign on, connections are made; 0s.
    pub warm_up: Duration,
}

/// Who comes over the whole span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// How many, 1 to 10,000,000.
    pub chats: u64,
    /// Whether they come as the sun has it, or at any hour alike; `world`.
    #[serde(default)]
    pub shape: ShapeName,
    /// How many in a hundred were here before; 15.
    #[serde(default = "fifteen")]
    pub returning: u32,
}

/// When people come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShapeName {
    /// As their local hour, weekday and holidays have it.
    #[default]
    World,
    /// At any hour alike.
    Flat,
}

impl From<ShapeName> for Shape {
    fn from(name: ShapeName) -> Self {
        match name {
            ShapeName::World => Self::World,
            ShapeName::Flat => Self::Flat,
        }
    }
}

/// A rush: for a while more come than otherwise would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Shown in reports, such as `product outage`.
    pub name: String,
    /// When it begins, in the world's time since the scenario's begin.
    pub after: Duration,
    /// How long it lasts, in the world's time.
    pub lasts: Duration,
    /// How many times as many of those concerned come, 1 to 1000.
    pub times: f64,
    /// Whom it concerns: visitors of this region; of all.
    #[serde(default)]
    pub region: Option<RegionId>,
    /// Whom it concerns: chats of this queue, `general`, `billing` or `technical`; of all.
    #[serde(default)]
    pub queue: Option<String>,
}

impl Burst {
    /// The queue it concerns, as the world knows it.
    pub fn queue(&self) -> Option<&'static str> {
        let known = [GENERAL, BILLING, TECHNICAL];
        let named = self.queue.as_deref();
        known.into_iter().find(|known| Some(*known) == named)
    }
}

/// Lengths of time whose logarithms are normal, in life.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// Half of them are shorter.
    pub median: Duration,
    /// Deviation of the logarithm, 0 to 5; 0 = all alike.
    pub deviation: f64,
}

impl From<LogNormal> for Lengths {
    fn from(lengths: LogNormal) -> Self {
        Self {
            median: Duration {
                ms: lengths.median_ms.into(),
            },
            deviation: lengths.deviation,
        }
    }
}

impl Lengths {
    /// As the world's draws take them. [`Scenario::check`] has seen to it that they fit.
    pub fn log_normal(&self) -> LogNormal {
        LogNormal {
            median_ms: self.median.ms.try_into().unwrap_or(u32::MAX),
            deviation: self.deviation,
        }
    }
}

/// Those who seek help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Visitors {
    /// How long they wait for an answer before they leave; median 2m40s, deviation 0.9.
    pub patience: Lengths,
    /// How many in a hundred rate a talk that was answered; 100.
    pub rate: u32,
}

/// Those who help.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    /// How many, in every region and language in proportion to the people there, 5 to 100,000; 300.
    pub count: u32,
    /// How many languages are served, 1 to 28; 24.
    pub languages: u32,
    /// Whether they work their shifts, or all of them all the time; `world`.
    pub shifts: Shifts,
    /// How long they look at an offer before they accept it; median 4s, deviation 0.5.
    pub look: Lengths,
    /// How long they talk; median 9m, deviation 0.6.
    pub talk: Lengths,
    /// How long they write up a chat; median 20s, deviation 0.5.
    pub write_up: Lengths,
}

/// When agents work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shifts {
    /// Their local shifts.
    #[default]
    World,
    /// All the time.
    Always,
}

fn one() -> u64 {
    1
}
fn fifteen() -> u32 {
    15
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            date: jiff::civil::date(2026, 11, 24),
            from: Time::midnight(),
            span: Duration::secs(86_400),
            takes: Duration::secs(300),
            people: 20.0,
            warm_up: Duration::ZERO,
        }
    }
}

impl Default for Visitors {
    fn default() -> Self {
        Self {
            patience: PATIENCE.into(),
            rate: 100,
        }
    }
}

impl Default for Agents {
    fn default() -> Self {
        let lengths = |seconds, deviation| Lengths {
            median: Duration::secs(seconds),
            deviation,
        };
        Self {
            count: 300,
            languages: 24,
            shifts: Shifts::World,
            look: lengths(4, 0.5),
            talk: TALK.into(),
            write_up: lengths(20, 0.5),
        }
    }
}

impl Pace {
    /// When it begins in the world, UTC milliseconds.
    pub fn begins_ms(&self) -> i64 {
        let begin = self.date.to_datetime(self.from);
        let begin = TimeZone::UTC.to_timestamp(begin);
        begin.unwrap_or(Timestamp::UNIX_EPOCH).as_millisecond()
    }

    /// How many times faster than in life the sun goes.
    pub fn sun(&self) -> f64 {
        self.span.ms as f64 / self.takes.ms as f64
    }
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError::File`] if it cannot be read, and what [`Scenario::parse`] says.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|error| LoadError::File {
            path: path.to_owned(),
            error,
        })?;
        Self::parse(&text)
    }

    /// Reads a file's text, and checks it.
    ///
    /// # Errors
    /// [`LoadError::Scenario`] with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let read = toml::from_str(text).map_err(|error| LoadError::Scenario(error.to_string()));
        let scenario: Self = read?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// [`LoadError::Field`] naming the first field that is out of bounds, and its bounds.
    pub fn check(&self) -> Result<(), LoadError> {
        let characters = self.name.chars().count();
        within("name", "characters", characters as f64, 1.0, 128.0)?;
        let days = |days: u64| (days * 86_400_000) as f64;
        let time = &self.time;
        let ms = |d: Duration| d.ms as f64;
        within("time.span", "ms", ms(time.span), 60_000.0, days(DAYS_MAX))?;
        within("time.takes", "ms", ms(time.takes), 1_000.0, days(DAYS_MAX))?;
        within("time.people", "times", time.people, 0.1, PEOPLE_MAX)?;
        let most = ms(time.takes);
        within("time.warm_up", "ms", ms(time.warm_up), 0.0, most)?;
        let chats = self.arrivals.chats as f64;
        within("arrivals.chats", "chats", chats, 1.0, CHATS_MAX as f64)?;
        let percent = |field, given: u32| within(field, "percent", given.into(), 0.0, 100.0);
        percent("arrivals.returning", self.arrivals.returning)?;
        percent("visitors.rate", self.visitors.rate)?;
        within(
            "agents.count",
            "agents",
            self.agents.count.into(),
            AGENTS_PER_LANGUAGE_MIN.into(),
            AGENTS_MAX.into(),
        )?;
        within(
            "agents.languages",
            "languages",
            self.agents.languages.into(),
            1.0,
            LANGUAGES_MAX.into(),
        )?;
        for (field, lengths) in [
            ("visitors.patience", self.visitors.patience),
            ("agents.look", self.agents.look),
            ("agents.talk", self.agents.talk),
            ("agents.write_up", self.agents.write_up),
        ] {
            within(
                &format!("{field}.median"),
                "ms",
                ms(lengths.median),
                1.0,
                days(1),
            )?;
            within(
                &format!("{field}.deviation"),
                "",
                lengths.deviation,
                0.0,
                5.0,
            )?;
        }
        for (i, burst) in self.bursts.iter().enumerate() {
            let field = |name| format!("bursts[{i}].{name}");
            let last = ms(time.span);
            within(&field("after"), "ms", ms(burst.after), 0.0, last - 1.0)?;
            let left = last - ms(burst.after);
            within(&field("lasts"), "ms", ms(burst.lasts), 1.0, left)?;
            within(&field("times"), "times", burst.times, 1.0, 1_000.0)?;
            if burst.queue.is_some() && burst.queue().is_none() {
                return Err(LoadError::Field {
                    field: field("queue"),
                    rule: "is not a queue of the world; give general, billing or technical".into(),
                });
            }
        }
        Ok(())
    }
}

fn within(field: &str, unit: &str, given: f64, min: f64, max: f64) -> Result<(), LoadError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(LoadError::Field {
        field: field.to_owned(),
        rule: format!("is {given}; give {min} to {max} {unit}")
            .trim_end()
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_leaves_out_has_the_stated_value() {
        let scenario = Scenario::parse("name = 'a'\n[arrivals]\nchats = 7\n").expect("a scenario");
        assert_eq!(scenario.time, Pace::default());
        assert_eq!(scenario.agents.talk.log_normal(), TALK);
        assert_eq!(scenario.time.sun(), 288.0);
        let written = toml::to_string(&scenario).expect("written");
        assert_eq!(Scenario::parse(&written).expect("read again"), scenario);
    }

    #[test]
    fn scenarios_that_come_along_can_be_played() {
        for (name, text) in SHIPPED {
            let scenario = Scenario::parse(text).expect(name);
            assert!(
                !scenario.about.is_empty() && !scenario.thresholds.is_empty(),
                "{name}"
            );
            crate::plan::Plan::new(scenario).expect(name);
        }
    }

    #[test]
    fn what_is_wrong_names_its_field_and_what_may_be_there() {
        let told = |more: &str| {
            let text = format!("name = 'a'\n{more}");
            Scenario::parse(&text).expect_err(more).to_string()
        };
        let chats = "[arrivals]\nchats = 5\n";
        assert_eq!(
            told("[arrivals]\nchats = 0\n"),
            "arrivals.chats: is 0; give 1 to 10000000 chats"
        );
        let burst = "[[bursts]]\nname = 'b'\nafter = '23h'\nlasts = '2h'\ntimes = 2\n";
        assert_eq!(
            told(&format!("{chats}{burst}")),
            "bursts[0].lasts: is 7200000; give 1 to 3600000 ms"
        );
        let burst = "[[bursts]]\nname = 'b'\nafter = '1h'\nlasts = '2h'\ntimes = 2\nqueue = 'x'\n";
        assert!(told(&format!("{chats}{burst}")).starts_with("bursts[0].queue: is not a queue"));
        let unknown = told(&format!("{chats}chatz = 1\n"));
        assert!(
            unknown.contains("line 4") && unknown.contains("chatz"),
            "{unknown}"
        );
        let threshold = told(&format!("thresholds = ['start.p98 <= 1s']\n{chats}"));
        assert!(threshold.contains("p98"), "{threshold}");
    }
}
