//! Plays a plan on a cluster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_traffic::organisation::Agent as Person;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tonic::transport::Channel;

use crate::configure::{configuration, schedules, spans};
use crate::error::LoadError;
use crate::measure::{Measures, Standing};
use crate::people::Habits;
use crate::people::agent::Agent;
use crate::people::notes::Notes as _;
use crate::people::visitor::Visitor;
use crate::people::ways::{Evening, Ways};
use crate::plan::{Plan, Share};
use crate::report::{About, Report};
use crate::scenario::Shifts;
use crate::stage::Stage;

/// Who asks for the configuration.
const ACTOR: &str = "load";
/// So many agents are configured with one request.
const AGENTS_AT_ONCE: usize = 500;
/// Largest request that configures, in bytes.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Longest wait for an answer while the run is prepared.
const PREPARE: Duration = Duration::from_secs(30);
/// So many agents are asked to sign on in a second before it begins, and for so long at least, in ms.
const SIGN_ON_A_SECOND: u64 = 500;
const SIGN_ON_MS_MIN: i64 = 3_000;
/// How long people stay once the run is over; then who talks hangs up, and who waits leaves.
const EVENING: Duration = Duration::from_secs(8);
/// How long what they leave behind may take to settle.
const SETTLE: Duration = Duration::from_secs(25);
/// A visitor is made so long before coming.
const READY: Duration = Duration::from_millis(20);
/// Longest time for everybody to stop when told to.
const STOP: Duration = Duration::from_secs(10);

/// How to reach one node.
#[derive(Clone)]
pub struct Way {
    /// As the user wrote it.
    pub endpoint: String,
    /// Connections to it, among which people are shared out.
    pub channels: Vec<Channel>,
}

/// How a plan is to be played.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which part of it.
    pub share: Share,
    /// When it begins, in UTC milliseconds; `None` = as soon as the cluster is prepared.
    pub start_at_ms: Option<i64>,
    /// Whether a cluster that serves somebody else may be used.
    pub on_configured: bool,
}

/// One node, and where it is.
struct Node {
    way: Way,
    region: String,
}

/// Plays the plan, and tells where things stand once a second.
///
/// # Errors
/// [`LoadError`] when the cluster cannot be reached, or does not take the organisation.
pub async fn run(
    plan: &Plan,
    ways: Vec<Way>,
    options: &Options,
    mut look: impl FnMut(&Stage, &Standing),
) -> Result<Report, LoadError> {
    let cluster = Cluster::find(ways).await?;
    let first = options.share.number == 1;
    if first {
        cluster
            .serves_nobody_else(plan, options.on_configured)
            .await?;
        cluster.configure_people(plan).await?;
    }
    let agents = plan.organisation.agents.len() as u64 / u64::from(options.share.of);
    let sign_on = ((agents * 1_000 / SIGN_ON_A_SECOND) as i64).max(SIGN_ON_MS_MIN);
    let now = Timestamp::now().as_millisecond();
    let began = options.start_at_ms.unwrap_or(now + sign_on);
    if began < now {
        return Err(LoadError::TooLate(now - began));
    }
    let stage = plan.stage(began);
    if first {
        cluster.configure_shifts(plan, &stage).await?;
    }
    let ahead = began - Timestamp::now().as_millisecond();
    let begins = Instant::now() + Duration::from_millis(ahead.max(0).unsigned_abs());
    let warm = begins + Duration::from_millis(plan.scenario.time.warm_up.ms);
    let people = plan
        .agents()
        .map(|(_, a)| (a.id.clone(), a.region.to_string()));
    let regions: HashMap<String, String> = people.collect();
    let measures = Arc::new(Measures::new(warm, plan.targets(), regions));
    // A visitor asks under ids that no other run has used.
    let run = uuid::Uuid::now_v7().simple().to_string();
    let play = Play {
        plan,
        share: options.share,
        stage,
        begins,
        cluster: &cluster,
        habits: Arc::new(plan.habits(run)),
        measures: measures.clone(),
    };
    play.everybody(|| look(&stage, &measures.standing()))
        .await?;
    let about = About {
        started_ms: began,
        share: options.share,
        nodes: cluster
            .nodes
            .iter()
            .map(|n| (n.way.endpoint.clone(), n.region.clone()))
            .collect(),
        version: cluster.version.clone(),
    };
    Ok(Report::new(plan, about, measures.measured()))
}

/// The nodes by region.
struct Cluster {
    nodes: Vec<Node>,
    version: String,
}

impl Cluster {
    /// Asks every node where it is. Nodes that do not answer are left out.
    async fn find(ways: Vec<Way>) -> Result<Self, LoadError> {
        let asked = ways.into_iter().map(|way| async move {
            let channel = way.channels.first().cloned();
            let Some(channel) = channel else {
                return Err((way.endpoint, "no connection".to_owned()));
            };
            let mut admin = AdminServiceClient::new(channel);
            let status = timeout(
                PREPARE,
                admin.cluster_status(api::ClusterStatusRequest::default()),
            );
            match status.await {
                Ok(Ok(status)) => Ok((way, status.into_inner())),
                Ok(Err(status)) => Err((way.endpoint, status.message().to_owned())),
                Err(_) => Err((way.endpoint, "no answer within 30 s".to_owned())),
            }
        });
        let (mut nodes, mut silent, mut version) = (Vec::new(), Vec::new(), String::new());
        for answer in join_all(asked).await {
            match answer {
                Ok((way, status)) => {
                    let own = status.members.iter().find(|m| m.node_id == status.node_id);
                    let region = own.map(|m| m.region_id.clone()).unwrap_or_default();
                    version.clone_from(&status.version);
                    nodes.push(Node { way, region });
                }
                Err(why) => silent.push(why),
            }
        }
        if nodes.is_empty() {
            return Err(LoadError::Unreachable { tried: silent });
        }
        Ok(Self { nodes, version })
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        let channel = self.nodes[0].way.channels[0].clone();
        AdminServiceClient::new(channel)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
            .max_decoding_message_size(MESSAGE_BYTES_MAX * 2)
    }

    /// Ways from a region to all nodes: its own first, then the others; by number another connection, and where several
    /// are as near, another node first.
    fn ways(&self, region: &str, number: u64) -> Ways {
        let turn = |nodes: Vec<&Node>| -> Vec<Channel> {
            let first = (number as usize).checked_rem(nodes.len()).unwrap_or(0);
            let nodes = nodes[first..].iter().chain(&nodes[..first]);
            let channel = |n: &&Node| {
                let turn = number as usize / self.nodes.len();
                n.way.channels[turn % n.way.channels.len()].clone()
            };
            nodes.map(channel).collect()
        };
        let (near, far) = self.nodes.iter().partition(|n| n.region == region);
        let mut ways = turn(near);
        ways.extend(turn(far));
        Ways(ways)
    }

    async fn serves_nobody_else(&self, plan: &Plan, even_so: bool) -> Result<(), LoadError> {
        let asked = api::GetConfigurationRequest::default();
        let answer = self.admin().get_configuration(asked).await;
        let answer = answer.map_err(|status| refused("a look at its configuration", &status))?;
        let known = answer.into_inner().configuration.unwrap_or_default();
        let name = known.workspace.map(|w| w.name).unwrap_or_default();
        let own = plan.organisation.workspace.name == name;
        if own || even_so || known.agents.is_empty() && known.queues.is_empty() {
            return Ok(());
        }
        Err(LoadError::Configured(name))
    }

    async fn put(&self, what: &str, put: api::Configuration) -> Result<(), LoadError> {
        let request = api::ApplyRequest {
            request_id: uuid::Uuid::now_v7().to_string(),
            actor: ACTOR.to_owned(),
            put: Some(put),
            ..Default::default()
        };
        let answer = timeout(PREPARE, self.admin().apply(request)).await;
        let answer = answer.map_err(|_| LoadError::Refused {
            what: what.to_owned(),
            answer: "no answer within 30 s".to_owned(),
        })?;
        answer.map(drop).map_err(|status| refused(what, &status))
    }

    /// Gives the cluster everything but when people work, which hangs on when it begins.
    async fn configure_people(&self, plan: &Plan) -> Result<(), LoadError> {
        let people = plan.scenario.time.people;
        let mut all = configuration(&plan.organisation, people, |_| Vec::new());
        if plan.scenario.agents.shifts == Shifts::Always {
            all.agents
                .iter_mut()
                .for_each(|agent| agent.schedule.clear());
            all.queues
                .iter_mut()
                .for_each(|queue| queue.schedule.clear());
        }
        let agents = std::mem::take(&mut all.agents);
        self.put("queues and regions", all).await?;
        for some in agents.chunks(AGENTS_AT_ONCE) {
            let put = api::Configuration {
                agents: some.to_vec(),
                ..Default::default()
            };
            self.put("agents", put).await?;
        }
        Ok(())
    }

    async fn configure_shifts(&self, plan: &Plan, stage: &Stage) -> Result<(), LoadError> {
        let put = api::Configuration {
            schedules: schedules(&plan.organisation, |schedule| spans(schedule, stage)),
            ..Default::default()
        };
        self.put("schedules", put).await
    }
}

fn refused(what: &str, status: &tonic::Status) -> LoadError {
    LoadError::Refused {
        what: what.to_owned(),
        answer: status.message().to_owned(),
    }
}

struct Play<'a> {
    plan: &'a Plan,
    share: Share,
    stage: Stage,
    /// When that begins.
    begins: Instant,
    cluster: &'a Cluster,
    habits: Arc<Habits>,
    measures: Arc<Measures>,
}

impl Play<'_> {
    /// The instant of a wall-clock time.
    fn at(&self, real: i64) -> Instant {
        let into = Duration::from_millis((real - self.stage.began).unsigned_abs());
        if real >= self.stage.began {
            return self.begins + into;
        }
        self.begins.checked_sub(into).unwrap_or(self.begins)
    }

    /// Everybody comes and goes.
    async fn everybody(&self, mut look: impl FnMut()) -> Result<(), LoadError> {
        let over = self.at(self.stage.ends());
        let home = over + EVENING;
        let (stop, evening) = Evening::new(home);
        let mut agents = self.agents(&evening);
        let mut visitors = JoinSet::new();
        let mut clock = interval_at(self.begins, Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        clock.tick().await;
        let mut second = || {
            self.measures.tick();
            look();
        };
        for (number, arrival) in self.plan.arrivals()?.filter(|(n, _)| self.share.has(*n)) {
            let comes = self.at(self.stage.real(arrival.at_ms));
            let visitor = Visitor {
                number,
                comes,
                ways: self.cluster.ways(arrival.region.as_str(), number),
                arrival,
                evening: evening.clone(),
                habits: self.habits.clone(),
                notes: self.measures.clone(),
            };
            // Made shortly before they come, so that memory is of those who are there.
            let ready = comes.checked_sub(READY).unwrap_or(comes);
            loop {
                tokio::select! {
                    biased;
                    _ = clock.tick() => second(),
                    () = sleep_until(ready) => break,
                }
            }
            visitors.spawn(visitor.play());
            while let Some(ended) = visitors.try_join_next() {
                self.note("visitor", ended);
            }
        }
        // Talks go on past the end; nobody new comes. Who was told to come back later is not waited for.
        let settled = home + SETTLE;
        while visitors.len() > self.measures.put_off() && Instant::now() < settled {
            tokio::select! {
                _ = clock.tick() => second(),
                Some(ended) = visitors.join_next() => self.note("visitor", ended),
            }
        }
        // Agents sign off by themselves once their shift is over and nothing is in hand.
        while !agents.is_empty() && Instant::now() < settled {
            tokio::select! {
                _ = clock.tick() => second(),
                Some(ended) = agents.join_next() => self.note("agent", ended),
            }
        }
        stop.send_replace(true);
        self.join("visitor", &mut visitors).await;
        self.join("agent", &mut agents).await;
        Ok(())
    }

    fn agents(&self, evening: &Evening) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (now, begins) = (Instant::now(), self.begins);
        // Whoever works from the first moment on signs on before it, one after another.
        let ahead = begins.saturating_duration_since(now);
        let own: Vec<_> = self
            .plan
            .agents()
            .filter(|(n, _)| self.share.has(*n))
            .collect();
        let all = own.len().max(1) as u32;
        let mut by_schedule = BTreeMap::<&str, Vec<api::UtcSpan>>::new();
        for (turn, (number, person)) in (0u32..).zip(own) {
            let sign_on = now + ahead * turn / all;
            let shifts: Vec<(Instant, Instant)> = match &person.schedule {
                Some(id) if self.plan.scenario.agents.shifts == Shifts::World => {
                    let known = by_schedule.entry(id);
                    let known = known.or_insert_with(|| {
                        let schedule = self.plan.organisation.schedule(id);
                        schedule.map_or_else(Vec::new, |s| spans(s, &self.stage))
                    });
                    let shift = |s: &api::UtcSpan| {
                        let (from, to) = (self.at(s.from_ms), self.at(s.to_ms));
                        (from, to.min(evening.home))
                    };
                    let shifts = known.iter().map(shift);
                    shifts.filter(|(_, to)| *to > begins).collect()
                }
                _ => vec![(now, evening.home)],
            };
            let later = |(from, to): (Instant, Instant)| {
                let from = if from < begins { sign_on } else { from };
                (from < to).then_some((from, to))
            };
            let shifts = shifts.into_iter().filter_map(later).collect();
            tasks.spawn(self.agent(number, person, shifts, evening).play());
        }
        tasks
    }

    fn agent(
        &self,
        number: u64,
        person: &Person,
        shifts: Vec<(Instant, Instant)>,
        evening: &Evening,
    ) -> Agent<Measures> {
        Agent {
            number,
            id: person.id.clone(),
            shifts,
            ways: self.cluster.ways(person.region.as_str(), number),
            evening: evening.clone(),
            habits: self.habits.clone(),
            notes: self.measures.clone(),
        }
    }

    fn note(&self, who: &str, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            self.measures
                .mishap(format!("a simulated {who} failed: {error}"));
        }
    }

    /// Waits until everybody has stopped; who panicked or does not stop is noted.
    async fn join(&self, who: &str, tasks: &mut JoinSet<()>) {
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                self.note(who, ended);
            }
        };
        if timeout(STOP, all).await.is_err() {
            let left = tasks.len();
            self.measures.mishap(format!(
                "{left} of the simulated {who}s did not stop within 10 s"
            ));
            tasks.abort_all();
        }
    }
}
