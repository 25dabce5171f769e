//! The world: three regions through which a short day passes, so that each opens and closes while the others carry on;
//! two queues, one of them with opening hours; agents who speak a language or two.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::{region_name, wall_ms, way};
use crate::net::Side;

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

/// A day, when it begins and how long it takes.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// The moment that the clocks count from.
    pub dawn: Instant,
    /// When it begins.
    pub begins: Instant,
    /// How long it takes.
    pub lasts: Duration,
}

impl Day {
    /// When it is over.
    pub fn ends(&self) -> Instant {
        self.begins + self.lasts
    }

    /// The shifts of a region's agents: ten of 24 hours, eight hours later in each region.
    pub fn shifts(&self, region: usize) -> Vec<(Instant, Instant)> {
        let hour = |n: i32| {
            let at = self.lasts.mul_f64(f64::from(n.clamp(0, 24)) / 24.0);
            self.begins + at
        };
        let first = 8 * region as i32;
        let shifts = [first - 24, first].map(|from| (hour(from), hour(from + 10)));
        shifts.into_iter().filter(|(from, to)| from < to).collect()
    }

    /// Hours as the cluster knows them. Everything is open once the day is over, so that everything can be finished.
    fn schedule(&self, id: String, shifts: &[(Instant, Instant)], handover: bool) -> Schedule {
        let ms = |at| wall_ms(self.dawn, at);
        let shifts = shifts.iter().map(|(from, to)| (ms(*from), ms(*to)));
        let mut spans: Vec<UtcSpan> = Vec::new();
        for (from_ms, to_ms) in shifts.chain([(ms(self.ends()), 1 << 47)]) {
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

/// All of it, as a cluster is told. With `handover`, agents whose shift ends hand on what they have.
fn configuration(day: &Day, handover: bool) -> Configuration {
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

/// Tells the cluster of it.
///
/// # Errors
/// It is refused, or nobody takes it.
pub async fn apply(side: &Side, day: &Day, handover: bool, nodes: u64) -> anyhow::Result<()> {
    let ask = ApplyRequest {
        request_id: "world".to_owned(),
        put: Some(configuration(day, handover)),
        ..Default::default()
    };
    let mut last = "no node answered".to_owned();
    for attempt in 0..100 {
        let mut admin = AdminServiceClient::new(way(side, 1 + attempt % nodes));
        match timeout(Duration::from_secs(10), admin.apply(ask.clone())).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(status)) if status.code() == tonic::Code::InvalidArgument => {
                bail!("the world is refused: {}", status.message())
            }
            Ok(Err(status)) => last = status.to_string(),
            Err(_) => {}
        }
        sleep(Duration::from_millis(300)).await;
    }
    bail!("the world cannot be applied: {last}")
}
