//! The day to be played: an organisation and its visitors from public data, pressed into a minute.
//!
//! Two scales. The calendar (shifts, arrivals) runs a day in the time given, so that the sun goes round.
//! People (talking, patience, wrap-up) run [`HUMAN`] times as fast as in life, because nobody could talk
//! with anybody in a day of a minute. The network runs at its true speed.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use meridian_load::configure;
use meridian_load::people::Habits;
use meridian_load::stage::Stage;
use meridian_proto::livechat::v1 as api;
use meridian_traffic::arrivals::{Arrival, Arrivals, LogNormal, Parameters, TALK};
use meridian_traffic::generate;
use meridian_traffic::organisation::Organisation;
use meridian_traffic::world::World;

/// How many times faster than in life people act.
pub const HUMAN: u64 = 20;
const DAY_MS: i64 = 86_400_000;
/// How long a broken session's chats wait for it.
const GRACE_MS: u32 = 8_000;

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

/// The hour of the day, 0 to 23, at a wall-clock time; `None` outside the day.
pub fn hour(stage: &Stage, real: i64) -> Option<usize> {
    let into = real - stage.began;
    (0..stage.length_ms)
        .contains(&into)
        .then(|| (into * 24 / stage.length_ms) as usize)
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
            from: self.day,
            span_ms: DAY_MS,
            began,
            length_ms: self.length_ms,
        }
    }

    /// How people go about it.
    pub fn habits(&self, seed: u64) -> Habits {
        let lengths = |median_ms, deviation| LogNormal {
            median_ms,
            deviation,
        };
        Habits {
            people: HUMAN as f64,
            look: lengths(10_000, 0.4),
            talk: TALK,
            write_up: lengths(20_000, 0.0),
            grace_ms: GRACE_MS,
            rate: 100,
            seed,
            run: "demo".to_owned(),
        }
    }

    /// When an agent's schedule says work, in wall-clock spans, from a few hours before the day until well
    /// after it.
    pub fn spans(&self, schedule: &str, stage: &Stage) -> Vec<api::UtcSpan> {
        let schedule = self.organisation.schedule(schedule);
        schedule.map_or_else(Vec::new, |schedule| configure::spans(schedule, stage))
    }

    /// The organisation as the cluster is told it.
    pub fn configuration(&self, stage: &Stage) -> api::Configuration {
        configure::configuration(&self.organisation, HUMAN as f64, |schedule| {
            configure::spans(schedule, stage)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_of_the_day_only() {
        let stage = Stage {
            from: 0,
            span_ms: DAY_MS,
            began: 1_000,
            length_ms: 24_000,
        };
        let hours = [999, 1_000, 1_999, 2_000, 24_999, 25_000].map(|real| hour(&stage, real));
        assert_eq!(hours, [None, Some(0), Some(0), Some(1), Some(23), None]);
    }

    #[test]
    fn the_holiday_years_are_those_of_the_data() {
        let plan = Plan::make(1, 30, 1, 1_795_478_400_000, 60_000).expect("a plan");
        assert_eq!(plan.holiday_years(), 2026..=2027);
    }
}
