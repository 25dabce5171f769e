//! Plays the day: everybody comes and goes, a region is lost, and the audit follows.

use std::sync::Arc;
use std::time::Duration;

use meridian_load::people::agent::Agent;
use meridian_load::people::notes::Notes as _;
use meridian_load::people::visitor::Visitor;
use meridian_load::people::ways::{Evening, Ways};
use meridian_load::stage::Stage;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::audit::{self, Facts, Person};
use super::error::DemoError;
use super::evidence::{self, Evidence};
use super::failover;
use super::ledger::Ledger;
use super::live::Live;
use super::nodes::Nodes;
use super::plan::Plan;
use super::report::{FAILOVER_TARGET_MS, Report};
use crate::time::now_ms;

/// How long people stay once the day is over; then who talks hangs up, and who waits leaves.
const EVENING: Duration = Duration::from_secs(8);
/// How long what they leave behind may take to settle.
const SETTLE: Duration = Duration::from_secs(25);
/// Pause between two looks at where things stand.
const LOOK: Duration = Duration::from_millis(250);
/// Longest time for everybody to stop when told to.
const STOP: Duration = Duration::from_secs(10);

/// What is played, and how.
pub struct Day<'a> {
    /// Who and what.
    pub plan: &'a Plan,
    /// When.
    pub stage: &'a Stage,
    /// The cluster's regions.
    pub regions: &'a [String],
    /// Repeats the day.
    pub seed: u64,
    /// Whether a region is lost.
    pub kills: bool,
    /// Whether the network has the default round trips, for which the target of the failover holds.
    pub default_network: bool,
}

impl Day<'_> {
    /// Gives the cluster the organisation.
    ///
    /// # Errors
    /// [`DemoError::Refused`].
    pub async fn configure(&self, nodes: &Nodes) -> Result<(), DemoError> {
        let request = api::ApplyRequest {
            request_id: "demo-world".into(),
            actor: "demo".into(),
            put: Some(self.plan.configuration(self.stage)),
            ..Default::default()
        };
        let mut admin =
            AdminServiceClient::new(nodes.nodes[0].channel(0)).max_encoding_message_size(32 << 20);
        let applied = admin.apply(request).await;
        applied.map(drop).map_err(|status| DemoError::Refused {
            what: "the organisation".to_owned(),
            answer: status.message().to_owned(),
        })
    }

    /// Plays it to the end; the report, and what the cluster told for it.
    ///
    /// # Errors
    /// The cluster does not answer any more.
    pub async fn play(
        &self,
        nodes: &mut Nodes,
        live: &Live,
    ) -> Result<(Report, Evidence), DemoError> {
        let ledger = Arc::new(Ledger::default());
        let began = Instant::now();
        let over = self.at(self.stage.ends());
        let home = over + EVENING;
        let (stop, evening) = Evening::new(home);
        let mut agents = self.agents(nodes, &evening, &ledger);
        let mut visitors = self.visitors(nodes, &evening, &ledger);

        let lost = async {
            if !self.kills {
                return Ok(None);
            }
            let (region, slot) = self.plan.busiest();
            let at = self.at(self.stage.real(slot));
            let target_ms = self.default_network.then_some(FAILOVER_TARGET_MS);
            let lost = failover::lose(nodes, &region, at, target_ms, live).await?;
            Ok::<_, DemoError>(Some(lost))
        };
        let going = async {
            let mut look = tokio::time::interval(LOOK);
            while Instant::now() < over {
                look.tick().await;
                live.show(self.stage, &ledger, self.regions);
            }
        };
        let (failure, ()) = tokio::join!(lost, going);
        let failure = failure?;
        nodes.watch()?;

        // Talks go on past midnight; nobody new comes. Who was told to come back later is not waited for.
        sleep_until(over).await;
        while visitors.len() > ledger.put_off() && Instant::now() < home + SETTLE {
            live.show(self.stage, &ledger, self.regions);
            let mut gone = timeout(LOOK, visitors.join_next()).await.ok().flatten();
            while let Some(ended) = gone {
                note("visitor", ended, &ledger);
                gone = visitors.try_join_next();
            }
        }
        stop.send_replace(true);
        for (who, tasks) in [("visitor", &mut visitors), ("agent", &mut agents)] {
            join(who, tasks, &ledger).await;
        }
        let rest_ms = now_ms();
        live.done();
        let told = ledger.entries();
        let evidence = evidence::gather(nodes, &told, began.elapsed()).await?;
        let facts = Facts {
            seed: self.seed,
            stage: *self.stage,
            people: self.people(),
            rest_ms,
            failure,
        };
        Ok((audit::report(&facts, &told, &evidence), evidence))
    }

    /// The instant of a wall-clock time; now for what is past.
    fn at(&self, real: i64) -> Instant {
        let ahead = u64::try_from(real - now_ms()).unwrap_or(0);
        Instant::now() + Duration::from_millis(ahead)
    }

    fn agents(&self, nodes: &Nodes, evening: &Evening, ledger: &Arc<Ledger>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (now, habits) = (now_ms(), Arc::new(self.plan.habits(self.seed)));
        for (number, agent) in self.plan.organisation.agents.iter().enumerate() {
            let spans = agent.schedule.as_deref();
            let spans = spans.map(|s| self.plan.spans(s, self.stage));
            let shifts = spans.unwrap_or_default().into_iter();
            let shifts = shifts
                .filter(|s| s.to_ms > now)
                .map(|s| (self.at(s.from_ms), self.at(s.to_ms)));
            let agent = Agent {
                number: number as u64,
                id: agent.id.clone(),
                shifts: shifts.collect(),
                ways: ways(nodes, agent.region.as_str(), number),
                evening: evening.clone(),
                habits: habits.clone(),
                notes: ledger.clone(),
            };
            tasks.spawn_local(agent.play());
        }
        tasks
    }

    fn visitors(&self, nodes: &Nodes, evening: &Evening, ledger: &Arc<Ledger>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let habits = Arc::new(self.plan.habits(self.seed));
        for (number, arrival) in self.plan.arrivals.iter().cloned().enumerate() {
            let visitor = Visitor {
                number: number as u64,
                comes: self.at(self.stage.real(arrival.at_ms)),
                ways: ways(nodes, arrival.region.as_str(), number),
                arrival,
                evening: evening.clone(),
                habits: habits.clone(),
                notes: ledger.clone(),
            };
            tasks.spawn_local(visitor.play());
        }
        tasks
    }

    fn people(&self) -> std::collections::BTreeMap<String, Person> {
        let person = |a: &meridian_traffic::organisation::Agent| Person {
            region: a.region.to_string(),
            capacity: a.capacity,
            languages: a
                .languages
                .iter()
                .map(|l| (l.language.clone(), l.level))
                .collect(),
        };
        let agents = self.plan.organisation.agents.iter();
        agents.map(|a| (a.id.clone(), person(a))).collect()
    }
}

/// Nearest node first, then the others.
fn ways(nodes: &Nodes, region: &str, number: usize) -> Ways {
    let (near, far): (Vec<_>, Vec<_>) = nodes.nodes.iter().partition(|n| n.region == region);
    let all = near.into_iter().chain(far);
    Ways(all.map(|n| n.channel(number)).collect())
}

fn note(who: &str, ended: Result<(), JoinError>, ledger: &Ledger) {
    if let Err(error) = ended {
        ledger.mishap(format!("a simulated {who} failed: {error}"));
    }
}

/// Waits until everybody has stopped; who panicked or does not stop is noted.
async fn join(who: &str, tasks: &mut JoinSet<()>, ledger: &Ledger) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            note(who, ended, ledger);
        }
    };
    if timeout(STOP, all).await.is_err() {
        ledger.mishap(format!(
            "{} of the simulated {who}s did not stop within {} s",
            tasks.len(),
            STOP.as_secs()
        ));
        tasks.abort_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_a_simulated_person_is_noted() {
        let ledger = Ledger::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("on purpose") });
        join("visitor", &mut tasks, &ledger).await;
        let mishaps = ledger.entries().mishaps;
        assert_eq!(mishaps.len(), 1);
        assert!(mishaps[0].contains("on purpose"), "{mishaps:?}");
    }
}
