//! Chats that arrive over a span of time and follow the sun.
//!
//! # The model
//! - **When.** An inhomogeneous Poisson process, given its number of events: each territory's intensity is
//!   its people online times [`diurnal`] at its local time, times [`DAY_OFF_FACTOR`] on weekends and
//!   public holidays ([`Shape::World`]). The arrival times are drawn in order as uniform order statistics
//!   and mapped through the cumulated intensity, so that memory does not grow with the count.
//! - **Who.** A visitor's first language follows the territory's first choices; others are added with the
//!   probability that somebody there reads them. Some visitors return.
//! - **Patience** is log-normal, [`PATIENCE`] unless told otherwise: a
//!   tenth leaves within 50 s, a tenth waits longer than 8.5 minutes. The median is the figure the project
//!   plans with; the form is our choice.
//! - **Talk** is log-normal, [`TALK`] unless told otherwise; that service times are
//!   log-normal was found by Brown, Gans, Mandelbaum et al., "Statistical Analysis of a Telephone Call
//!   Center" (Journal of the American Statistical Association, 2005).

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::format::RegionId;
use crate::organisation::SkillLevel;
use crate::topics::{TOPICS, Topic};
use crate::world::{Territory, World};

/// Longest span, in days.
pub const SPAN_DAYS_MAX: i64 = 400;
/// Most arrivals in a span.
pub const COUNT_MAX: u64 = 100_000_000;
/// How long visitors wait: half of them less than 2 min 40 s.
pub const PATIENCE: LogNormal = LogNormal {
    median_ms: 160_000,
    deviation: 0.9,
};
/// Shortest and longest patience, in ms.
pub const PATIENCE_MS: (u32, u32) = (5_000, 3_600_000);
/// How long talks take: half of them less than 9 min.
pub const TALK: LogNormal = LogNormal {
    median_ms: 540_000,
    deviation: 0.6,
};
/// Shortest and longest talk, in ms.
pub const TALK_MS: (u32, u32) = (20_000, 7_200_000);
/// Intensity on weekends and public holidays, as a share of a working day's; our assumption.
pub const DAY_OFF_FACTOR: f64 = 0.55;
/// Most languages of one visitor.
pub const LANGUAGES_MAX: usize = 3;

/// Relative intensity at each full local hour, 100 = the peak. Our assumption: asleep until six, a first
/// hump before noon, a second in the afternoon, a shoulder in the evening.
const HOURLY: [f64; 24] = [
    10.0, 6.0, 4.0, 3.0, 3.0, 5.0, 10.0, 22.0, 45.0, 75.0, 95.0, 100.0, 92.0, 88.0, 93.0, 92.0,
    86.0, 78.0, 70.0, 66.0, 64.0, 55.0, 38.0, 20.0,
];

/// Relative intensity at a local minute of the day: straight lines between the full hours, peak 100 at
/// eleven, least 3 between three and four.
pub fn diurnal(minute: u32) -> f64 {
    let (hour, part) = (minute as usize / 60 % 24, f64::from(minute % 60) / 60.0);
    HOURLY[hour] + (HOURLY[(hour + 1) % 24] - HOURLY[hour]) * part
}

/// The intensity is taken as constant for so long: offsets from UTC are whole quarters of an hour.
const BIN_MS: i64 = 900_000;
/// Visitors remembered in each territory, of whom one may return.
const REMEMBERED: usize = 64;

/// Lengths of time whose logarithms are normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    /// Half of them are shorter, in ms.
    pub median_ms: u32,
    /// Deviation of the logarithm; 0 = all alike.
    pub deviation: f64,
}

/// When people come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As their local hour, weekday and holidays have it.
    #[default]
    World,
    /// At any hour alike, so that the rate stays the same.
    Flat,
}

/// Of whom alone a stream consists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Visitors of this region; `None` = of all.
    pub region: Option<RegionId>,
    /// Chats about what this queue serves, one of [`TOPICS`]'s; `None` = about anything.
    pub queue: Option<&'static str>,
}

impl Only {
    fn topic_weight(&self, topic: &Topic) -> f64 {
        match self.queue {
            Some(queue) if queue != topic.queue => 0.0,
            _ => f64::from(topic.percent),
        }
    }
}

/// What arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// The same seed gives the same arrivals.
    pub seed: u64,
    /// Begin, UTC milliseconds.
    pub from_ms: i64,
    /// Length, 1 ms to [`SPAN_DAYS_MAX`] days.
    pub span_ms: i64,
    /// How many arrive in the span, at most [`COUNT_MAX`].
    pub count: u64,
    /// Share of chats whose visitor was here before, percent 0..=100.
    pub returning_percent: u32,
    /// When people come.
    pub shape: Shape,
    /// Who comes.
    pub only: Only,
    /// How long they wait.
    pub patience: LogNormal,
    /// How long they talk.
    pub talk: LogNormal,
    /// Tells visitors of several streams apart: it stands in their names; may be empty.
    pub crowd: String,
}

impl Parameters {
    /// A whole UTC day with 15 % returning visitors.
    pub fn day(seed: u64, from_ms: i64, count: u64) -> Self {
        Self {
            seed,
            from_ms,
            span_ms: 86_400_000,
            count,
            returning_percent: 15,
            shape: Shape::World,
            only: Only::default(),
            patience: PATIENCE,
            talk: TALK,
            crowd: String::new(),
        }
    }
}

/// One chat that arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// UTC milliseconds; never earlier than that of the arrival before.
    pub at_ms: i64,
    /// ISO 3166 code of where the visitor is.
    pub territory: String,
    /// The cluster region the visitor connects to.
    pub region: RegionId,
    /// Canonical tags, best first, 1..=[`LANGUAGES_MAX`].
    pub languages: Vec<String>,
    /// The queue.
    pub queue: String,
    /// Skills wanted, at most one.
    pub skills: Vec<SkillLevel>,
    /// 0 (lowest) ..= 9 (urgent).
    pub priority: u32,
    /// Capacity units, 1 or 2.
    pub weight: u32,
    /// Who; the same for a returning visitor, such as `BR-17`.
    pub visitor: String,
    /// First message: a greeting in the visitor's language and the concern in English.
    pub topic: String,
    /// How long the visitor waits for an agent before leaving.
    pub patience_ms: u32,
    /// How long the conversation takes once answered.
    pub talk_ms: u32,
}

/// Why there are no arrivals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrivalsError {
    /// A parameter is out of bounds.
    #[error("{field}: {given} is out of bounds; give {min} to {max}")]
    OutOfBounds {
        /// Which.
        field: &'static str,
        /// What was given.
        given: i128,
        /// Smallest allowed.
        min: i128,
        /// Largest allowed.
        max: i128,
    },
    /// Nobody is left who could come.
    #[error("only: nobody of that region comes about that queue")]
    Nobody,
}

/// The stream of arrivals, in order of time; yields exactly the count that was asked for.
#[derive(Clone, Debug)]
pub struct Arrivals<'w> {
    world: &'w World,
    parameters: Parameters,
    draw: Draw,
    /// Intensity summed over all territories up to the end of each bin.
    cumulated: Vec<f64>,
    bin: usize,
    /// Each territory's intensity in `bin`.
    weights: Vec<f64>,
    /// Position on 0..1 of the last arrival in the cumulated intensity.
    position: f64,
    left: u64,
    visitors: Vec<Visitors>,
}

#[derive(Clone, Debug, Default)]
struct Visitors {
    seen: u64,
    recent: VecDeque<(u64, Vec<String>)>,
}

impl<'w> Arrivals<'w> {
    /// Prepares a span.
    ///
    /// # Errors
    /// [`ArrivalsError`] for a parameter out of bounds.
    pub fn new(world: &'w World, parameters: Parameters) -> Result<Self, ArrivalsError> {
        let p = &parameters;
        bounds(
            "span_ms",
            p.span_ms.into(),
            1,
            i128::from(SPAN_DAYS_MAX) * 86_400_000,
        )?;
        bounds("count", p.count.into(), 0, COUNT_MAX.into())?;
        bounds("returning_percent", p.returning_percent.into(), 0, 100)?;
        // What the calendar computes, less the span.
        let (min, max) = (
            Timestamp::MIN.as_millisecond(),
            Timestamp::MAX.as_millisecond(),
        );
        let (min, max) = (i128::from(min), i128::from(max - p.span_ms - BIN_MS));
        bounds("from_ms", p.from_ms.into(), min, max)?;
        for (field, length) in [("patience", p.patience), ("talk", p.talk)] {
            bounds(field, length.median_ms.into(), 1, u32::MAX.into())?;
            // In thousandths, as bounds are whole numbers; no number is none of them.
            let thousandths = match length.deviation {
                deviation if deviation.is_nan() => -1,
                deviation => (deviation * 1_000.0) as i128,
            };
            bounds("deviation, in thousandths", thousandths, 0, 5_000)?;
        }

        let cumulated = cumulated(world, p);
        let some = cumulated.last().is_some_and(|all| *all > 0.0);
        let topics: f64 = TOPICS.iter().map(|t| p.only.topic_weight(t)).sum();
        if p.count > 0 && !(some && topics > 0.0) {
            return Err(ArrivalsError::Nobody);
        }
        Ok(Self {
            world,
            draw: Draw::new(p.seed, 2),
            cumulated,
            bin: 0,
            weights: weights(world, p, p.from_ms),
            position: 0.0,
            left: p.count,
            visitors: vec![Visitors::default(); world.territories().len()],
            parameters,
        })
    }

    /// The next of `left` ordered uniform draws on the rest of 0..1, mapped to time. The smallest of n
    /// uniforms is 1 - U^(1/n).
    fn next_time(&mut self) -> i64 {
        let u = 1.0 - self.draw.unit();
        let step = libm::exp(libm::log(u) / self.left as f64);
        self.position = 1.0 - (1.0 - self.position) * step;

        let target = self.position * self.cumulated[self.cumulated.len() - 1];
        let first = self.bin;
        while self.bin + 1 < self.cumulated.len() && self.cumulated[self.bin] <= target {
            self.bin += 1;
        }
        let start = self.parameters.from_ms + self.bin as i64 * BIN_MS;
        if self.bin != first {
            self.weights = weights(self.world, &self.parameters, start);
        }
        let before = self.bin.checked_sub(1).map_or(0.0, |b| self.cumulated[b]);
        let part = (target - before) / (self.cumulated[self.bin] - before);
        let end = self.parameters.from_ms + self.parameters.span_ms;
        let width = (end - start).min(BIN_MS);
        (start + (part * width as f64) as i64).clamp(start, end - 1)
    }

    fn visitor(&mut self, territory: usize) -> (u64, Vec<String>) {
        let returning = f64::from(self.parameters.returning_percent) / 100.0;
        let returns = self.draw.chance(returning);
        let home = &self.world.territories()[territory];
        let visitors = &mut self.visitors[territory];
        if returns && !visitors.recent.is_empty() {
            return visitors.recent[self.draw.index(visitors.recent.len())].clone();
        }
        visitors.seen += 1;
        let visitor = (visitors.seen, languages(home, &mut self.draw));
        if visitors.recent.len() == REMEMBERED {
            visitors.recent.pop_front();
        }
        visitors.recent.push_back(visitor.clone());
        visitor
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        if self.left == 0 {
            return None;
        }
        let at_ms = self.next_time();
        self.left -= 1;
        let territory = self.draw.weighted(self.weights.iter().copied());
        let (number, languages) = self.visitor(territory);
        let home = &self.world.territories()[territory];
        let draw = &mut self.draw;
        let parameters = &self.parameters;
        let only = parameters.only;
        let topic = &TOPICS[draw.weighted(TOPICS.iter().map(|t| only.topic_weight(t)))];
        let skills = topic.skill.into_iter().map(|(skill, level)| SkillLevel {
            skill: skill.to_owned(),
            level,
        });
        // Most are ordinary; some pay for being preferred; a few are urgent; a few can wait.
        const PRIORITIES: [(u32, f64); 4] = [(3, 85.0), (6, 10.0), (9, 3.0), (1, 2.0)];
        let greeting = &self.world.people(&languages[0]).greeting;
        Some(Arrival {
            at_ms,
            territory: home.code.clone(),
            region: home.region,
            queue: topic.queue.to_owned(),
            skills: skills.collect(),
            priority: PRIORITIES[draw.weighted(PRIORITIES.iter().map(|p| p.1))].0,
            weight: if draw.chance(0.1) { 2 } else { 1 },
            visitor: format!("{}-{}{number}", home.code, parameters.crowd),
            topic: format!("{greeting} / {}", topic.text),
            patience_ms: length(draw, parameters.patience, PATIENCE_MS),
            talk_ms: length(draw, parameters.talk, TALK_MS),
            languages,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Arrivals<'_> {}

/// Several streams in one, in order of time; of those at one moment, the earlier stream's first.
pub fn together<'w>(streams: Vec<Arrivals<'w>>) -> impl Iterator<Item = Arrival> + 'w {
    let mut streams: Vec<_> = streams.into_iter().map(Iterator::peekable).collect();
    std::iter::from_fn(move || {
        let next = |s: &mut std::iter::Peekable<Arrivals<'_>>| s.peek().map(|a| a.at_ms);
        let heads = streams.iter_mut().enumerate();
        let heads = heads.filter_map(|(i, stream)| Some((next(stream)?, i)));
        let (_, first) = heads.min()?;
        streams[first].next()
    })
}

fn bounds(field: &'static str, given: i128, min: i128, max: i128) -> Result<(), ArrivalsError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(ArrivalsError::OutOfBounds {
        field,
        given,
        min,
        max,
    })
}

/// How many of a stream's visitors may be expected in a part of its span, of whom only some are counted.
pub fn expected(world: &World, stream: &Parameters, from_ms: i64, span_ms: i64, only: Only) -> f64 {
    let part = Parameters {
        from_ms,
        span_ms,
        only,
        ..stream.clone()
    };
    let topics = |only: Only| -> f64 { TOPICS.iter().map(|t| only.topic_weight(t)).sum() };
    let all = |p: &Parameters| cumulated(world, p).last().copied().unwrap_or(0.0) * topics(p.only);
    let whole = all(stream);
    if whole > 0.0 {
        stream.count as f64 * all(&part) / whole
    } else {
        0.0
    }
}

/// Intensity summed over all territories up to the end of each bin.
fn cumulated(world: &World, p: &Parameters) -> Vec<f64> {
    let bins = (p.span_ms + BIN_MS - 1) / BIN_MS;
    let mut sum = 0.0;
    let one = |bin: i64| {
        let width = (p.span_ms - bin * BIN_MS).min(BIN_MS) as f64 / BIN_MS as f64;
        sum += width
            * weights(world, p, p.from_ms + bin * BIN_MS)
                .iter()
                .sum::<f64>();
        sum
    };
    (0..bins).map(one).collect()
}

/// Each territory's intensity in the bin that begins at a UTC time, taken in its middle.
fn weights(world: &World, p: &Parameters, start_ms: i64) -> Vec<f64> {
    let middle = Timestamp::from_millisecond(start_ms + BIN_MS / 2).unwrap_or(Timestamp::MAX);
    let hour = |territory: &Territory| {
        let local = territory.zone.to_datetime(middle);
        let minute = local.hour() as u32 * 60 + local.minute() as u32;
        let day_off = territory.is_day_off(local.date());
        diurnal(minute) * if day_off { DAY_OFF_FACTOR } else { 1.0 }
    };
    let one = |territory: &Territory| match p.shape {
        _ if p.only.region.is_some_and(|only| only != territory.region) => 0.0,
        Shape::World => territory.online() as f64 * hour(territory),
        Shape::Flat => territory.online() as f64,
    };
    world.territories().iter().map(one).collect()
}

fn languages(home: &Territory, draw: &mut Draw) -> Vec<String> {
    let firsts = home.languages.iter().map(|l| f64::from(l.first_permille));
    let first = draw.weighted(firsts);
    let mut languages = vec![home.languages[first].language.clone()];
    for spoken in &home.languages {
        let reads = draw.chance(f64::from(spoken.speaks_percent) / 100.0);
        if reads && languages.len() < LANGUAGES_MAX && spoken.language != languages[0] {
            languages.push(spoken.language.clone());
        }
    }
    languages
}

fn length(draw: &mut Draw, length: LogNormal, (min, max): (u32, u32)) -> u32 {
    let drawn = draw.log_normal(f64::from(length.median_ms), length.deviation);
    drawn.clamp(f64::from(min), f64::from(max)) as u32
}
