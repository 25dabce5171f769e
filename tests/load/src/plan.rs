//! The people of a scenario: an organisation and streams of visitors, from public data and the seed.

use meridian_traffic::arrivals::{self, Arrival, Arrivals, Only, Parameters, together};
use meridian_traffic::generate::{self, generate};
use meridian_traffic::organisation::{Agent, Organisation};
use meridian_traffic::world::World;

use crate::configure::here_ms;
use crate::error::LoadError;
use crate::people::Habits;
use crate::scenario::Scenario;
use crate::stage::Stage;

/// How long a broken session's chats wait for the agent to come back, in ms.
const GRACE_MS: u32 = 8_000;

/// What is played.
pub struct Plan {
    /// What was asked for.
    pub scenario: Scenario,
    /// Those who help, and their queues.
    pub organisation: Organisation,
    world: World,
    streams: Vec<Parameters>,
}

/// One load process of several that play one scenario together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Whether somebody, by number, is played by this process.
    pub fn has(self, number: u64) -> bool {
        number % u64::from(self.of) == u64::from(self.number - 1)
    }
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = text.split_once('/').and_then(|(number, of)| {
            let (number, of) = (number.parse().ok()?, of.parse().ok()?);
            ((1..=of).contains(&number) && of <= 64).then_some(Self { number, of })
        });
        share.ok_or_else(|| {
            format!("'{text}' is no share; give NUMBER/OF, such as 1/3, of 64 at most")
        })
    }
}

impl Plan {
    /// Makes the people of a scenario.
    ///
    /// # Errors
    /// What [`Scenario::check`] says, and [`LoadError::Field`] for bursts that concern nobody.
    pub fn new(scenario: Scenario) -> Result<Self, LoadError> {
        scenario.check()?;
        let wrong = |field: &str, rule: String| LoadError::Field {
            field: field.to_owned(),
            rule,
        };
        let world = World::load().map_err(|error| wrong("the world", error.to_string()))?;
        let asked = generate::Parameters {
            seed: scenario.seed,
            agents: scenario.agents.count,
            languages: scenario.agents.languages,
        };
        let organisation = generate(&world, asked);
        let organisation = organisation.map_err(|error| wrong("agents", error.to_string()))?;
        let time = &scenario.time;
        let stream = Parameters {
            seed: scenario.seed,
            from_ms: time.begins_ms(),
            span_ms: time.span.ms as i64,
            count: scenario.arrivals.chats,
            returning_percent: scenario.arrivals.returning,
            shape: scenario.arrivals.shape.into(),
            only: Only::default(),
            patience: scenario.visitors.patience.log_normal(),
            talk: scenario.agents.talk.log_normal(),
            crowd: String::new(),
        };
        let bursts = scenario.bursts.iter().enumerate().map(|(i, burst)| {
            let only = Only {
                region: burst.region,
                queue: burst.queue(),
            };
            let from_ms = stream.from_ms + burst.after.ms as i64;
            let span_ms = burst.lasts.ms as i64;
            let usual = arrivals::expected(&world, &stream, from_ms, span_ms, only);
            Parameters {
                // One seed would bring the same people at the same parts of both spans.
                seed: scenario.seed.wrapping_add(i as u64 + 1),
                from_ms,
                span_ms,
                count: (usual * (burst.times - 1.0)).round() as u64,
                only,
                crowd: format!("b{i}-"),
                ..stream.clone()
            }
        });
        let streams: Vec<Parameters> = bursts.collect();
        let mut plan = Self {
            scenario,
            organisation,
            world,
            streams,
        };
        plan.streams.insert(0, stream);
        // What is out of bounds shows before anything is asked of a cluster.
        plan.arrivals().map(drop)?;
        Ok(plan)
    }

    /// Everybody who comes, in order, and their numbers.
    ///
    /// # Errors
    /// [`LoadError::Field`] for what is out of bounds.
    pub fn arrivals(&self) -> Result<impl Iterator<Item = (u64, Arrival)> + '_, LoadError> {
        let streams = self.streams.iter().enumerate().map(|(i, parameters)| {
            let field = i
                .checked_sub(1)
                .map_or("arrivals".to_owned(), |i| format!("bursts[{i}]"));
            Arrivals::new(&self.world, parameters.clone()).map_err(|error| LoadError::Field {
                field,
                rule: error.to_string(),
            })
        });
        let streams: Vec<Arrivals> = streams.collect::<Result<_, _>>()?;
        Ok((0..).zip(together(streams)))
    }

    /// How many come.
    pub fn count(&self) -> u64 {
        self.streams.iter().map(|stream| stream.count).sum()
    }

    /// Agents and their numbers.
    pub fn agents(&self) -> impl Iterator<Item = (u64, &Agent)> {
        (0..).zip(&self.organisation.agents)
    }

    /// The scenario's span, from a wall-clock time on.
    pub fn stage(&self, began: i64) -> Stage {
        let time = &self.scenario.time;
        Stage {
            from: time.begins_ms(),
            span_ms: time.span.ms as i64,
            began,
            length_ms: time.takes.ms as i64,
        }
    }

    /// How its people go about it; `run` begins their request ids.
    pub fn habits(&self, run: String) -> Habits {
        let Scenario {
            agents, visitors, ..
        } = &self.scenario;
        Habits {
            people: self.scenario.time.people,
            look: agents.look.log_normal(),
            talk: agents.talk.log_normal(),
            write_up: agents.write_up.log_normal(),
            grace_ms: GRACE_MS,
            rate: visitors.rate,
            seed: self.scenario.seed,
            run,
        }
    }

    /// Chats that would be talked over at the same time on average, if everybody were answered at once and nobody left:
    /// arrivals a second times the length of a talk (Little's law), and the seats of all agents together.
    pub fn offered_load(&self) -> (f64, u64) {
        let talk = self.scenario.agents.talk;
        // The mean of a log-normal length.
        let mean = talk.median.ms as f64 * (talk.deviation.powi(2) / 2.0).exp();
        let here = mean / self.scenario.time.people;
        let load = self.count() as f64 / self.scenario.time.takes.ms as f64 * here;
        let seats = self
            .organisation
            .agents
            .iter()
            .map(|a| u64::from(a.capacity));
        (load, seats.sum())
    }

    /// How soon each queue is to be answered, here.
    pub fn targets(&self) -> std::collections::BTreeMap<String, std::time::Duration> {
        let queues = self
            .organisation
            .queues
            .iter()
            .filter(|q| q.answer_target.ms > 0);
        let target = |ms: u32| std::time::Duration::from_millis(ms.into());
        let people = self.scenario.time.people;
        queues
            .map(|q| (q.id.clone(), target(here_ms(q.answer_target, people))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(more: &str) -> Plan {
        let text = format!("name = 'a'\n[arrivals]\nchats = 2000\n{more}");
        Plan::new(Scenario::parse(&text).expect("a scenario")).expect("a plan")
    }

    #[test]
    fn shares_are_everybody_once() {
        let shares: Vec<Share> = ["1/3", "2/3", "3/3"].map(|s| s.parse().expect(s)).into();
        for number in 0..10 {
            assert_eq!(shares.iter().filter(|share| share.has(number)).count(), 1);
        }
        assert!("0/3".parse::<Share>().is_err() && "4/3".parse::<Share>().is_err());
        assert!("1".parse::<Share>().is_err() && "1/65".parse::<Share>().is_err());
    }

    #[test]
    fn a_burst_comes_on_top_and_the_same_seed_brings_the_same() {
        let burst =
            "[[bursts]]\nname = 'outage'\nafter = '9h'\nlasts = '1h'\ntimes = 10\nregion = 'eu'\n";
        let (calm, rush) = (plan(""), plan(burst));
        let count = |plan: &Plan| {
            let hour = plan.scenario.time.begins_ms() + 9 * 3_600_000;
            let all = plan.arrivals().expect("arrivals");
            let within = |a: &Arrival| (hour..hour + 3_600_000).contains(&a.at_ms);
            let eu = |a: &Arrival| a.region.as_str() == "eu";
            all.filter(|(_, a)| within(a) && eu(a)).count() as f64
        };
        let times = count(&rush) / count(&calm);
        assert!((7.0..13.0).contains(&times), "{times} times as many");
        let told =
            |plan: &Plan| -> Vec<(u64, Arrival)> { plan.arrivals().expect("arrivals").collect() };
        assert_eq!(told(&rush), told(&plan(burst)));
        assert_eq!(told(&rush).len() as u64, rush.count());
    }

    #[test]
    fn the_offered_load_is_arrivals_times_talk() {
        let text = "name = 'a'\n[arrivals]\nchats = 600\n[time]\ntakes = '1m'\npeople = 10\n[agents]\ntalk = { median = '10s', deviation = 0.0 }\n";
        let plan = Plan::new(Scenario::parse(text).expect("a scenario")).expect("a plan");
        // Ten a second, each for a second.
        assert_eq!(plan.offered_load().0, 10.0);
    }
}
