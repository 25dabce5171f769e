//! The world: three regions through which short days pass, so that each opens and closes while the others carry on;
//! two queues, one of them with opening hours; agents who speak a language or two.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian_proto::livechat::v1::*;
use tokio::time::Instant;

/// Languages spoken.
pub const LANGUAGES: [&str; 3] = ["en", "pt-BR", "de"];
/// Queues there are; the second has opening hours.
pub const QUEUES: [&str; 2] = ["q", "desk"];
/// Agents there are.
pub const AGENTS: u64 = 9;
/// Units that agent `n` carries.
pub fn capacity(n: u64) -> u32 {
    1 + n as u32 % 2
}

/// A region's name by its number.
pub fn region_name(region: usize) -> String {
    ["ap", "eu", "us"][region % 3].to_owned()
}

/// Days, when they begin and how long they take.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// The moment that the clocks count from.
    pub dawn: Instant,
    /// What a clock that is right shows at that moment.
    pub dawn_ms: i64,
    /// When the first day begins.
    pub begins: Instant,
    /// How long a day takes.
    pub lasts: Duration,
    /// When the last one ends.
    pub ends: Instant,
}

impl Day {
    /// What a clock that is right shows at a moment.
    pub fn wall_ms(&self, at: Instant) -> i64 {
        let passed = (at - self.dawn).as_millis();
        self.dawn_ms + i64::try_from(passed).unwrap_or(i64::MAX)
    }

    /// The shifts of a region's agents: ten of 24 hours, eight hours later in each region.
    pub fn shifts(&self, region: usize) -> Vec<(Instant, Instant)> {
        let days = (self.ends - self.begins)
            .div_duration_f64(self.lasts)
            .ceil() as i32;
        let hour = |n: i32| {
            let at = self.begins + self.lasts.mul_f64(f64::from(n.max(0)) / 24.0);
            at.min(self.ends)
        };
        let firsts = (-1..days).map(|day| 24 * day + 8 * region as i32);
        let shifts = firsts.map(|from| (hour(from), hour(from + 10)));
        shifts.filter(|(from, to)| from < to).collect()
    }

    /// Hours as the cluster knows them. Everything is open once the day is over, so that everything can be finished.
    fn schedule(&self, id: String, shifts: &[(Instant, Instant)], handover: bool) -> Schedule {
        let ms = |at| self.wall_ms(at);
        let shifts = shifts.iter().map(|(from, to)| (ms(*from), ms(*to)));
        let mut spans: Vec<UtcSpan> = Vec::new();
        for (from_ms, to_ms) in shifts.chain([(ms(self.ends), 1 << 47)]) {
            match spans.last_mut() {
                Some(last) if last.to_ms >= from_ms => last.to_ms = to_ms,
                _ => spans.push(UtcSpan { from_ms, to_ms }),
            }
        }
        let hour = u32::try_from(self.lasts.as_millis() / 24).unwrap_or(u32::MAX);
        Schedule {
            id,
            zone: "Etc/UTC".to_owned(),
            spans,
            last_offer_ms: if handover { hour / 2 } else { 0 },
            handover_ms: if handover { hour * 2 } else { 0 },
            handover_to_line: handover,
            ..Default::default()
        }
    }
}

/// The home of agent `n`.
pub fn home(n: u64) -> usize {
    n as usize % 3
}

/// All of it, as a cluster is told; everything is open once the days are over. With `handover`, agents whose shift ends hand on what they have.
pub fn configuration(day: &Day, handover: bool) -> Configuration {
    let region = |n: usize| Region {
        id: region_name(n),
        zone: "Etc/UTC".to_owned(),
        schedule: region_name(n),
        ..Default::default()
    };
    let agent = |n: u64| Agent {
        id: format!("a{n}"),
        name: format!("a{n}"),
        region: region_name(home(n)),
        schedule: region_name(home(n)),
        languages: [n, n + n / 3]
            .into_iter()
            .map(|at| LANGUAGES[at as usize % 3])
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|language| SpokenLanguage {
                language: language.to_owned(),
                level: LanguageLevel::Native.into(),
            })
            .collect(),
        queues: QUEUES.map(str::to_owned).to_vec(),
        capacity: capacity(n),
        ..Default::default()
    };
    let queue = |id: &str, schedule: String| Queue {
        id: id.to_owned(),
        schedule,
        offer_timeout_ms: 5_000,
        wrap_up_ms: 3_000,
        refusal_ms: Some(5_000),
        sticky_ms: 60_000,
        vip_priority: 2,
        ..Default::default()
    };
    let region_hours = (0..3).map(|n| day.schedule(region_name(n), &day.shifts(n), handover));
    Configuration {
        workspace: Some(Workspace {
            name: "sim".to_owned(),
            ..Default::default()
        }),
        schedules: region_hours
            .chain([day.schedule("desk".to_owned(), &day.shifts(1), false)])
            .collect(),
        regions: (0..3).map(region).collect(),
        queues: vec![
            queue(QUEUES[0], String::new()),
            queue(QUEUES[1], "desk".to_owned()),
        ],
        agents: (0..AGENTS).map(agent).collect(),
    }
}
