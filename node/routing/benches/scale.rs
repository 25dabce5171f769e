//! Whether a decision costs more with a hundred times the agents and chats: median time at two sizes in one
//! run, and the ratio. O(log n) with the same kinds of people and chats means a ratio near 1.
//! `cargo bench -p meridian-routing --bench scale`; words after `--` choose among the measures.
#![allow(clippy::disallowed_types)] // A benchmark has a clock; what it measures has none.

use std::time::Instant;

use meridian_routing::command::*;
use meridian_routing::effect::Answer;
use meridian_routing::ids::ChatId;
use meridian_routing::model::*;
use meridian_routing::state::State;

const LANGUAGES: [&str; 8] = ["en", "es", "pt-BR", "de", "fr", "ja", "hi", "ar"];
const REGIONS: [&str; 3] = ["ap", "eu", "us"];

/// As long as those that nodes give.
fn chat_id(n: usize) -> ChatId {
    format!("{n:023}").into()
}

struct Run {
    state: State,
    index: u64,
}

impl Run {
    fn apply(&mut self, command: Command) -> Option<Answer> {
        self.index += 1;
        let stamped = Stamped {
            index: self.index,
            at: self.index as i64,
            request_id: String::new(),
            actor: String::new(),
            command,
        };
        self.state.apply(&stamped).result.ok()
    }

    /// Everybody's shift begins at `shift`.
    fn world(agents: usize, shift: i64) -> Self {
        let mut run = Self {
            state: State::default(),
            index: 0,
        };
        let mut changes = vec![ConfigChange::PutSchedule(Schedule {
            id: "s".into(),
            spans: vec![Span {
                start: shift,
                end: 1 << 40,
            }],
            horizon: 1 << 40,
            zone_data: String::new(),
            source: vec![],
            last_offer_ms: 0,
            handover_ms: 0,
            handover_to_line: false,
        })];
        changes.extend(REGIONS.map(|id| {
            ConfigChange::PutRegion(Region {
                id: id.into(),
                zone: "Etc/UTC".into(),
                schedule: "s".into(),
                neighbours: vec![],
            })
        }));
        changes.push(ConfigChange::PutQueue(Queue {
            id: "q".into(),
            offer_timeout_ms: 3_600_000,
            wait_ms_max: 86_400_000,
            waiting_max: 1_000_000,
            ..Queue::default()
        }));
        for n in 0..agents {
            changes.push(ConfigChange::PutAgent(Agent {
                id: format!("a{n}").as_str().into(),
                name: "x".into(),
                region: REGIONS[n % 3].into(),
                schedule: Some("s".into()),
                languages: vec![LanguageLevel {
                    language: LANGUAGES[n % 8].into(),
                    level: Level::Native,
                }],
                queues: vec!["q".into()],
                capacity: CAPACITY,
                ..Agent::default()
            }));
        }
        run.apply(Command::Configure(changes))
            .expect("the world is accepted");
        run
    }

    fn chat(&mut self, n: usize, weight: u32) {
        let new = NewChat {
            chat: chat_id(n),
            queue: "q".into(),
            languages: vec![WantedLanguage {
                language: LANGUAGES[n % 8].into(),
                weight: 1_000,
            }],
            weight,
            ..NewChat::default()
        };
        self.apply(Command::StartChat(new))
            .expect("the chat is accepted");
    }

    fn open(&mut self, n: usize) {
        self.apply(Command::OpenSession {
            agent: format!("a{n}").as_str().into(),
            node: 1,
            resume: 0,
            grace_ms: 1_000,
        });
    }

    fn be_available(&mut self, n: usize) {
        self.apply(Command::SetPresence {
            agent: format!("a{n}").as_str().into(),
            epoch: 1,
            presence: Presence::Available,
            overtime: false,
        });
    }

    fn come(&mut self, n: usize) {
        self.open(n);
        self.be_available(n);
    }
}

/// Microseconds a time: the median of a sample.
fn each(sample: usize, mut one: impl FnMut(usize)) -> f64 {
    let timed = |n| {
        let began = Instant::now();
        one(n);
        began.elapsed()
    };
    let mut times: Vec<_> = (0..sample).map(timed).collect();
    times.sort_unstable();
    times[sample / 2].as_secs_f64() * 1e6
}

const SAMPLE: usize = 500;
const CAPACITY: u32 = 3;
const LATER: i64 = 40_000_000;

fn chat_finds_agent(size: usize) -> f64 {
    let mut run = Run::world(size, 0);
    for n in 0..size {
        run.come(n);
    }
    each(SAMPLE, |n| run.chat(n, 1))
}

fn agent_finds_chats(size: usize) -> f64 {
    let mut run = Run::world(size, 0);
    for n in 0..size {
        run.chat(n, 1);
    }
    for n in 0..SAMPLE {
        run.open(n);
    }
    each(SAMPLE, |n| run.be_available(n)) / f64::from(CAPACITY)
}

/// Two units of three are taken, so everybody stays ready and nobody can take the next.
fn agent_finds_heavy_chats(size: usize) -> f64 {
    let mut run = Run::world(size, 0);
    for n in 0..size {
        run.chat(n, 2);
    }
    for n in 0..SAMPLE {
        run.open(n);
    }
    each(SAMPLE, |n| run.be_available(n))
}

/// One shift begins for everybody while as many chats wait: per offer made.
fn shift_begins(size: usize) -> f64 {
    let mut run = Run::world(size, LATER);
    for n in 0..size {
        run.come(n);
        run.chat(n, 1);
    }
    let tick = Stamped {
        index: run.index + 1,
        at: LATER,
        request_id: String::new(),
        actor: String::new(),
        command: Command::Tick,
    };
    let whole = each(1, |_| drop(run.state.apply(&tick)));
    whole / run.state.meta().totals.offers as f64
}

/// The place in line of the last in it.
fn place_in_line(size: usize) -> f64 {
    let mut run = Run::world(0, 0);
    for n in 0..size {
        run.chat(n, 1);
    }
    let last = &run.state.chats()[&chat_id(size - 1)];
    let place = each(SAMPLE, |_| {
        std::hint::black_box(run.state.position(std::hint::black_box(last)));
    });
    assert_eq!(run.state.position(last), Some(size as u32));
    place
}

fn one_agent_is_configured(size: usize) -> f64 {
    let mut run = Run::world(size, 0);
    for n in 0..size {
        run.chat(n, 1);
    }
    each(20, |n| {
        let id = format!("a{n}").as_str().into();
        let mut agent = run.state.agents()[&id].config.clone();
        agent.name = "y".into();
        run.apply(Command::Configure(vec![ConfigChange::PutAgent(agent)]))
            .expect("the agent is accepted");
    })
}

fn main() {
    let (few, many) = (1_000, 100_000);
    type Measure = fn(usize) -> f64;
    let measures: [(&str, Measure); 6] = [
        ("a chat finds an agent", chat_finds_agent),
        ("an agent finds chats, each", agent_finds_chats),
        ("an agent finds heavy chats", agent_finds_heavy_chats),
        ("a shift begins, per offer", shift_begins),
        ("the last one's place in line", place_in_line),
        ("one agent is configured", one_agent_is_configured),
    ];
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    for (what, measure) in measures {
        if !asked.is_empty() && !asked.iter().any(|a| what.contains(a.as_str())) {
            continue;
        }
        let (a, b) = (measure(few), measure(many));
        println!(
            "{what:<30} {a:>8.1} us at {few}, {b:>8.1} us at {many}, ratio {:.2}",
            b / a
        );
    }
}
