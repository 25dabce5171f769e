//! Whether a decision costs more with a hundred times the agents and chats: time per command at two sizes in
//! one run, and the ratio. O(log n) with the same kinds of people and chats means a ratio near 1.
//! `cargo bench -p meridian-routing`
#![allow(clippy::disallowed_types)] // A benchmark has a clock; what it measures has none.

use std::time::Instant;

use meridian_routing::command::*;
use meridian_routing::effect::Answer;
use meridian_routing::model::*;
use meridian_routing::state::State;

const LANGUAGES: [&str; 8] = ["en", "es", "pt-BR", "de", "fr", "ja", "hi", "ar"];
const REGIONS: [&str; 3] = ["ap", "eu", "us"];

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

    fn world(agents: usize) -> Self {
        let mut run = Self {
            state: State::default(),
            index: 0,
        };
        let mut changes = vec![ConfigChange::PutSchedule(Schedule {
            id: "s".into(),
            spans: vec![Span {
                start: 0,
                end: 1 << 40,
            }],
            horizon: 1 << 40,
            zone_data: String::new(),
            source: vec![],
        })];
        changes.extend(REGIONS.map(|id| {
            ConfigChange::PutRegion(Region {
                id: id.into(),
                zone: "Etc/UTC".into(),
                schedule: "s".into(),
            })
        }));
        changes.push(ConfigChange::PutQueue(Queue {
            id: "q".into(),
            schedule: None,
            steps: vec![RelaxationStep {
                after_ms: 0,
                language_level: Level::Fluent,
                fallback_languages: false,
                skill_levels_off: 0,
                regions: vec![],
            }],
            offer_timeout_ms: 3_600_000,
            wrap_up_ms: 0,
            wait_ms_max: 86_400_000,
            waiting_max: 1_000_000,
            ageing_ms: 0,
            answer_target_ms: 46_000,
            overflow: None,
            sticky_ms: 0,
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
                skills: vec![],
                queues: vec!["q".into()],
                capacity: 3,
            }));
        }
        run.apply(Command::Configure(changes))
            .expect("the world is accepted");
        run
    }

    fn chat(&mut self, n: usize) {
        let new = NewChat {
            chat: format!("c{n}").as_str().into(),
            queue: "q".into(),
            languages: vec![LANGUAGES[n % 8].into()],
            region: None,
            visitor: String::new(),
            skills: vec![],
            priority: 0,
            weight: 1,
            topic: String::new(),
        };
        self.apply(Command::StartChat(new))
            .expect("the chat is accepted");
    }

    fn sign_on(&mut self, n: usize) {
        let agent = format!("a{n}").as_str().into();
        self.apply(Command::OpenSession {
            agent,
            node: 1,
            resume: 0,
            grace_ms: 1_000,
        });
        self.apply(Command::SetPresence {
            agent: format!("a{n}").as_str().into(),
            epoch: 1,
            presence: Presence::Available,
        });
    }
}

/// Microseconds per command: chats finding agents, then agents finding chats.
fn measure(size: usize) -> (f64, f64) {
    const SAMPLE: usize = 500;
    let mut run = Run::world(size);
    for n in 0..size {
        run.sign_on(n);
    }
    let began = Instant::now();
    for n in 0..SAMPLE {
        run.chat(n);
    }
    let chat = began.elapsed().as_secs_f64() * 1e6 / SAMPLE as f64;

    let mut run = Run::world(size);
    for n in 0..size {
        run.chat(n);
    }
    let began = Instant::now();
    for n in 0..SAMPLE {
        run.sign_on(n);
    }
    let agent = began.elapsed().as_secs_f64() * 1e6 / SAMPLE as f64;
    (chat, agent)
}

fn main() {
    let (few, many) = (1_000, 100_000);
    let (a, b) = (measure(few), measure(many));
    println!(
        "a chat finds an agent:   {:>8.1} us at {few}, {:>8.1} us at {many}, ratio {:.2}",
        a.0,
        b.0,
        b.0 / a.0
    );
    println!(
        "an agent finds chats:    {:>8.1} us at {few}, {:>8.1} us at {many}, ratio {:.2}",
        a.1,
        b.1,
        b.1 / a.1
    );
}
