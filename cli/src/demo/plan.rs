//! The day to be played: an organisation and its visitors from public data, pressed into a minute.
//!
//! Two scales. The calendar (shifts, arrivals) runs a day in the time given, so that the sun goes round.
//! People (talking, patience, wrap-up) run [`HUMAN`] times as fast as in life, because nobody could talk
//! with anybody in a day of a minute. The network runs at its true speed.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use meridian_proto::livechat::v1 as api;
use meridian_traffic::arrivals::{Arrival, Arrivals, Parameters};
use meridian_traffic::coverage::is_open;
use meridian_traffic::format::Level;
use meridian_traffic::generate;
use meridian_traffic::organisation::Organisation;
use meridian_traffic::world::World;

/// How many times faster than in life people act.
pub const HUMAN: u64 = 20;
/// Shifts are looked up in steps of this many milliseconds of the day played.
const GRAIN_MS: i64 = 300_000;
const DAY_MS: i64 = 86_400_000;
/// An offer must outlast a round trip round the world and a leader's end.
const OFFER_TIMEOUT_MS_MIN: u64 = 3_000;

/// What is played.
pub struct Plan {
    /// The organisation, as generated.
    pub organisation: Organisation,
    /// Arrivals in the day's own time.
    pub arrivals: Vec<Arrival>,
    /// The day's begin, UTC milliseconds.
    pub day: i64,
    /// How long the day takes to play, in ms.
    pub length_ms: i64,
    holiday_years: RangeInclusive<i16>,
}

/// When a plan is played.
#[derive(Clone, Copy)]
pub struct Stage {
    day: i64,
    began: i64,
    length_ms: i64,
}

impl Stage {
    /// The wall-clock time, in ms, of an instant of the day.
    pub fn real(&self, at: i64) -> i64 {
        self.began
            + (i128::from(at - self.day) * i128::from(self.length_ms) / i128::from(DAY_MS)) as i64
    }
    /// The hour of the day, 0 to 23, at a wall-clock time; `None` outside the day.
    pub fn hour(&self, real: i64) -> Option<usize> {
        let into = real - self.began;
        (0..self.length_ms)
            .contains(&into)
            .then(|| (into * 24 / self.length_ms) as usize)
    }
    /// When the day begins by the wall clock.
    pub fn began(&self) -> i64 {
        self.began
    }
    /// When it ends by the wall clock.
    pub fn ends(&self) -> i64 {
        self.began + self.length_ms
    }
}

impl Plan {
    /// Makes the day from a seed.
    ///
    /// # Errors
    /// What is out of bounds.
    pub fn make(
        seed: u64,
        agents: u32,
        chats: u64,
        day: i64,
        length_ms: i64,
    ) -> Result<Self, String> {
        let world = World::load().map_err(|e| e.to_string())?;
        let parameters = generate::Parameters {
            seed,
            agents,
            ..generate::Parameters::default()
        };
        let organisation = generate::generate(&world, parameters).map_err(|e| e.to_string())?;
        let arrivals = Arrivals::new(&world, Parameters::day(seed, day, chats))
            .map_err(|e| e.to_string())?
            .collect();
        let holidays = world.territories().iter().flat_map(|t| &t.holidays);
        let years: BTreeSet<i16> = holidays.map(|date| date.year()).collect();
        let holiday_years =
            years.first().copied().unwrap_or(0)..=years.last().copied().unwrap_or(0);
        Ok(Self {
            organisation,
            arrivals,
            day,
            length_ms,
            holiday_years,
        })
    }

    /// The years whose public holidays are known.
    pub fn holiday_years(&self) -> RangeInclusive<i16> {
        self.holiday_years.clone()
    }

    /// The plan on the wall clock, its day beginning at `began`.
    pub fn stage(&self, began: i64) -> Stage {
        Stage {
            day: self.day,
            began,
            length_ms: self.length_ms,
        }
    }

    /// When an agent's schedule says work, in wall-clock spans, from a few hours before the day until well
    /// after it.
    pub fn spans(&self, schedule: &str, stage: &Stage) -> Vec<api::UtcSpan> {
        let Some(schedule) = self.organisation.schedule(schedule) else {
            return Vec::new();
        };
        let Ok(zone) = TimeZoneDatabase::bundled().get(&schedule.zone) else {
            return Vec::new();
        };
        let mut spans: Vec<api::UtcSpan> = Vec::new();
        let mut at = self.day - DAY_MS / 4;
        while at < self.day + DAY_MS * 3 / 2 {
            let open = Timestamp::from_millisecond(at).is_ok_and(|t| is_open(schedule, &zone, t));
            if open {
                let (from_ms, to_ms) = (stage.real(at), stage.real(at + GRAIN_MS));
                match spans.last_mut() {
                    Some(last) if last.to_ms == from_ms => last.to_ms = to_ms,
                    _ => spans.push(api::UtcSpan { from_ms, to_ms }),
                }
            }
            at += GRAIN_MS;
        }
        spans
    }

    /// The organisation as the cluster is told it.
    pub fn configuration(&self, stage: &Stage) -> api::Configuration {
        let o = &self.organisation;
        let human = |d: &meridian_traffic::format::Duration| (d.ms / HUMAN) as u32;
        let fallback = |f: &meridian_traffic::organisation::Fallback| api::LanguageFallback {
            language: f.language.clone(),
            accept: f.accept.clone(),
        };
        let queue = |q: &meridian_traffic::organisation::Queue| api::Queue {
            id: q.id.clone(),
            schedule: q.schedule.clone().unwrap_or_default(),
            steps: q
                .steps
                .iter()
                .map(|s| api::RelaxationStep {
                    after_ms: human(&s.after),
                    language_level: level(s.language_level).into(),
                    language_reach: api::LanguageReach::Near.into(),
                    language_weight: 0,
                    fallback_languages: s.fallback_languages,
                    skill_levels_off: s.skill_levels_off,
                    regions: s.regions.iter().map(ToString::to_string).collect(),
                    ..Default::default()
                })
                .collect(),
            offer_timeout_ms: human(&q.offer_timeout).max(OFFER_TIMEOUT_MS_MIN as u32),
            wrap_up_ms: human(&q.wrap_up),
            wait_ms_max: human(&q.wait_max).max(1_000),
            waiting_max: q.waiting_max,
            ageing_ms: human(&q.ageing),
            answer_target_ms: human(&q.answer_target),
            overflow: q
                .overflow
                .iter()
                .map(|o| api::Overflow {
                    after_ms: human(&o.after),
                    queue: o.queue.clone(),
                    ..Default::default()
                })
                .collect(),
            sticky_ms: human(&q.sticky),
            ..Default::default()
        };
        let agent = |a: &meridian_traffic::organisation::Agent| api::Agent {
            id: a.id.clone(),
            name: a.name.clone(),
            region: a.region.to_string(),
            schedule: a.schedule.clone().unwrap_or_default(),
            languages: a
                .languages
                .iter()
                .map(|l| api::SpokenLanguage {
                    language: l.language.clone(),
                    level: level(l.level).into(),
                })
                .collect(),
            skills: a
                .skills
                .iter()
                .map(|s| api::SkillLevel {
                    skill: s.skill.clone(),
                    level: s.level,
                })
                .collect(),
            queues: a.queues.clone(),
            capacity: a.capacity,
            ..Default::default()
        };
        api::Configuration {
            workspace: Some(api::Workspace {
                name: o.workspace.name.clone(),
                fallbacks: o.workspace.fallbacks.iter().map(fallback).collect(),
                ..Default::default()
            }),
            regions: o
                .regions
                .iter()
                .map(|r| api::Region {
                    id: r.id.to_string(),
                    zone: r.zone.clone(),
                    schedule: r.schedule.clone(),
                    ..Default::default()
                })
                .collect(),
            schedules: o
                .schedules
                .iter()
                .map(|s| api::Schedule {
                    id: s.id.clone(),
                    zone: s.zone.clone(),
                    spans: self.spans(&s.id, stage),
                    ..Default::default()
                })
                .collect(),
            queues: o.queues.iter().map(queue).collect(),
            agents: o.agents.iter().map(agent).collect(),
        }
    }

    /// The region with the most arrivals in any hour that leaves time to come back, and when that hour begins.
    pub fn busiest(&self) -> (String, i64) {
        let hour = DAY_MS / 24;
        let mut counts = std::collections::BTreeMap::<(String, i64), u64>::new();
        for arrival in &self.arrivals {
            let slot = (arrival.at_ms - self.day) / hour;
            // Neither before the teams have signed on nor too late to see the region come back.
            if (4..18).contains(&slot) {
                *counts
                    .entry((arrival.region.to_string(), slot))
                    .or_default() += 1;
            }
        }
        let best = counts
            .into_iter()
            .max_by_key(|(key, count)| (*count, std::cmp::Reverse(key.clone())));
        best.map_or_else(
            || ("eu".to_owned(), self.day + DAY_MS / 2),
            |((region, slot), _)| (region, self.day + slot * hour),
        )
    }
}

fn level(level: Level) -> api::LanguageLevel {
    match level {
        Level::Translated => api::LanguageLevel::Translated,
        Level::Working => api::LanguageLevel::Working,
        Level::Fluent => api::LanguageLevel::Fluent,
        Level::Native => api::LanguageLevel::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_of_the_day_only() {
        let stage = Stage {
            day: 0,
            began: 1_000,
            length_ms: 24_000,
        };
        let hours = [999, 1_000, 1_999, 2_000, 24_999, 25_000].map(|real| stage.hour(real));
        assert_eq!(hours, [None, Some(0), Some(0), Some(1), Some(23), None]);
    }

    #[test]
    fn the_holiday_years_are_those_of_the_data() {
        let plan = Plan::make(1, 30, 1, 1_795_478_400_000, 60_000).expect("a plan");
        assert_eq!(plan.holiday_years(), 2026..=2027);
    }
}
