//! What fails, and how it is mended.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use meridian_people::damage;
use meridian_people::operator;
use meridian_people::stage::Stage;
use meridian_proto::livechat::v1::ClusterStatusResponse;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::ground::Kind;
use crate::packets::Weather;
use crate::process::{Common, Machine};
use crate::recovery;

/// How long a replacement may take.
const REPLACED_WITHIN: Duration = Duration::from_secs(90);
/// How long the nodes may take to agree once nothing fails any more.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// How long a node that was damaged is looked at.
const LOOKS_FOR: Duration = Duration::from_secs(3);

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
pub enum Fault {
    /// The leader is killed.
    LeaderKilled,
    /// Another than the leader is killed.
    FollowerKilled,
    /// As many as the others can do without are killed, the leader among them.
    MinorityKilled,
    /// All are killed at once.
    AllKilled,
    /// The leader is asked to stop.
    LeaderStops,
    /// The leader is frozen, and thaws later.
    LeaderFrozen,
    /// Another is frozen, and thaws later.
    FollowerFrozen,
    /// The leader's disk is full.
    LeaderDiskFull,
    /// All disks are full.
    AllDisksFull,
    /// Every node of the leader's region is killed.
    LeaderRegionLost,
    /// Every node of another region is killed.
    OtherRegionLost,
    /// The leader's region and the rest of the world hear each other no more.
    LeaderRegionCutOff,
    /// The smaller side of a split has the leader.
    LeaderInMinority,
    /// A node is not heard any more, or hears nobody.
    OneWayCut,
    /// Two nodes hear each other no more.
    PairCut,
    /// Packets are lost, doubled, late and out of order.
    BadWeather,
    /// A clock jumps.
    ClockWrong,
    /// A node is killed, and a file of it is damaged before it comes back.
    Damaged,
    /// A machine is lost for good, and another takes its place in the membership.
    Replaced,
}

impl Fault {
    /// Whether it can be brought about there.
    pub fn is_possible(self, on: Kind) -> bool {
        let apart = matches!(
            self,
            Self::LeaderDiskFull
                | Self::AllDisksFull
                | Self::LeaderRegionCutOff
                | Self::LeaderInMinority
                | Self::OneWayCut
                | Self::PairCut
                | Self::BadWeather
        );
        !apart || on == Kind::Namespaces
    }
}

/// What each node does not hear any more.
type Cuts = BTreeMap<u64, BTreeSet<Ipv4Addr>>;

/// The machines, and who lets them fail.
pub struct Fate {
    /// All that are in use.
    pub machines: Vec<Machine>,
    /// What measures of recoveries came to.
    pub recoveries: recovery::Recoveries,
    /// Damaged nodes that refused to start.
    pub refused: u32,
    /// Damaged nodes that did start, as what was damaged does not matter.
    pub unharmed: u32,
    common: Common,
    stage: Stage,
    random: ChaCha8Rng,
    next_id: u64,
}

impl Fate {
    /// Nothing has failed yet.
    pub fn new(machines: Vec<Machine>, common: Common, stage: Stage, random: ChaCha8Rng) -> Self {
        Self {
            next_id: machines.len() as u64 + 1,
            machines,
            recoveries: recovery::Recoveries::default(),
            refused: 0,
            unharmed: 0,
            common,
            stage,
            random,
        }
    }

    /// Lets one thing fail, and mends it.
    ///
    /// # Errors
    /// What must not be.
    pub async fn round(&mut self, number: u32, fault: Fault) -> anyhow::Result<()> {
        let leader = self.settled().await?;
        self.tell(format!("round {number}: {fault:?}, node {leader} leads"));
        let leader = self.at(leader)?;
        let other = self.another(leader);
        let mut since = Instant::now();
        let lost = match fault {
            Fault::LeaderKilled => self.kill(&[leader])?,
            Fault::FollowerKilled => self.kill(&[other])?,
            Fault::MinorityKilled => self.kill(&[leader, other])?,
            Fault::AllKilled => {
                let all: Vec<usize> = (0..self.machines.len()).collect();
                self.kill(&all)?;
                self.start_all()?;
                Vec::new()
            }
            Fault::LeaderStops => {
                self.machines[leader].terminate()?;
                vec![leader]
            }
            Fault::LeaderFrozen => self.freeze(leader)?,
            Fault::FollowerFrozen => self.freeze(other)?,
            Fault::LeaderDiskFull => {
                self.machines[leader].fill_disk()?;
                // The last page of its log may take some more; measured is from the end on.
                self.machines[leader].ends().await?;
                since = Instant::now();
                vec![leader]
            }
            Fault::AllDisksFull => return self.all_disks_full().await,
            Fault::LeaderRegionLost => {
                let region = self.machines[leader].region;
                let lost = self.of_region(region);
                since = self.silence(&lost)?;
                self.kill(&lost)?
            }
            Fault::OtherRegionLost => {
                let region = (self.machines[leader].region + self.random.random_range(1..3)) % 3;
                let lost = self.of_region(region);
                since = self.silence(&lost)?;
                self.kill(&lost)?
            }
            Fault::LeaderRegionCutOff => {
                let region = self.machines[leader].region;
                let lost = self.of_region(region);
                let mut cuts = self.cut_off(&lost, (true, true));
                self.cut_off_clients(&mut cuts, &lost, region);
                since = self.cut(&cuts)?;
                lost
            }
            Fault::LeaderInMinority => {
                let lost = vec![leader, other];
                since = self.cut(&self.cut_off(&lost, (true, true)))?;
                lost
            }
            Fault::OneWayCut => {
                let one = self.random.random_range(0..self.machines.len());
                let mute = self.random.random_bool(0.5);
                since = self.cut(&self.cut_off(&[one], (mute, !mute)))?;
                vec![one]
            }
            Fault::PairCut => {
                let (one, two) = (self.machines[leader].id, self.machines[other].id);
                let from = |node| BTreeSet::from([self.common.ground.address(node)]);
                since = self.cut(&Cuts::from([(one, from(two)), (two, from(one))]))?;
                Vec::new()
            }
            Fault::BadWeather => {
                let weather = Weather {
                    lost: self.random.random_range(0.0..0.1),
                    doubled: self.random.random_range(0.0..0.1),
                    overtaken: self.random.random_range(0.0..0.2),
                    slower: self.random.random_range(0.5..2.0),
                };
                self.tell(format!("{weather:?}"));
                self.common.ground.weather(weather);
                Vec::new()
            }
            Fault::ClockWrong => {
                let one = self.random.random_range(0..self.machines.len());
                let wrong = self.random.random_range(-3_000..3_000);
                self.machines[one].set_clock_wrong(wrong)?;
                Vec::new()
            }
            Fault::Damaged => return self.damage(other).await,
            Fault::Replaced => {
                let lost = if self.random.random_bool(0.3) {
                    leader
                } else {
                    other
                };
                return self.replace(lost).await;
            }
        };
        let survivors = self.machines.iter().enumerate();
        let survivors = survivors.filter(|(n, _)| !lost.contains(n));
        let survivors: Vec<_> = survivors.map(|(_, m)| (m.id, m.region)).collect();
        let name = format!("probe-{number}");
        let took = recovery::measure(&self.stage, &name, &survivors, since).await;
        let took = took.with_context(|| format!("{fault:?}"))?;
        self.tell(format!("the first is taken in after {took:?}"));
        self.recoveries.add(fault, took);
        let pause = match fault {
            // It is seen only after a while, up to two seconds.
            Fault::ClockWrong => self.random.random_range(2_500..4_500),
            _ => self.random.random_range(200..3_000),
        };
        sleep(Duration::from_millis(pause)).await;
        self.mend().await
    }

    /// Mends everything.
    ///
    /// # Errors
    /// It cannot be mended.
    pub async fn mend(&mut self) -> anyhow::Result<()> {
        self.common.ground.weather(Weather::FAIR);
        for machine in &mut self.machines {
            self.common.ground.hear(machine.id)?;
            machine.set_clock_wrong(0)?;
            machine.signal(Signal::CONT)?;
            machine.ends().await?;
            machine.lives_on()?;
        }
        self.start_all()
    }

    /// Waits until everybody agrees on one leader and has what it has; its id.
    ///
    /// # Errors
    /// That does not come to be.
    pub async fn settled(&mut self) -> anyhow::Result<u64> {
        let began = Instant::now();
        loop {
            meridian_people::audit::kept(&self.stage.ledger)?;
            let told = self.statuses().await;
            let known: Vec<_> = told.iter().flatten().collect();
            for status in &known {
                if status.leader_id == status.node_id {
                    self.stage.ledger.leads(status.term, status.node_id);
                }
            }
            if let Some(first) = known.first()
                && first.leader_id != 0
                && known.len() == self.machines.len()
                && known.iter().all(|s| s.leader_id == first.leader_id)
                && known
                    .iter()
                    .all(|s| s.applied_index + 50 > first.applied_index)
            {
                return Ok(first.leader_id);
            }
            for machine in &mut self.machines {
                machine.lives_on()?;
            }
            let short =
                |s: &&ClusterStatusResponse| (s.node_id, s.leader_id, s.term, s.applied_index);
            anyhow::ensure!(
                began.elapsed() < SETTLES_WITHIN,
                "5: the nodes do not agree within {SETTLES_WITHIN:?}: (node, leader, term, applied): {:?}",
                known.iter().map(short).collect::<Vec<_>>()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What every node tells, where it answers.
    pub async fn statuses(&self) -> Vec<Option<ClusterStatusResponse>> {
        let mut told = Vec::new();
        for machine in &self.machines {
            told.push(machine.status().await);
        }
        told
    }

    /// How long the nodes expect to be without a leader at most.
    ///
    /// # Errors
    /// None of them answers.
    pub async fn bound(&mut self) -> anyhow::Result<Duration> {
        self.settled().await?;
        let told = self.statuses().await.into_iter().flatten().next();
        let told = told.context("no node answers")?;
        Ok(Duration::from_millis(told.failover_ms_max.into()))
    }

    fn tell(&self, what: impl AsRef<str>) {
        self.stage.trace.tell(what);
    }

    fn at(&self, id: u64) -> anyhow::Result<usize> {
        let at = self.machines.iter().position(|m| m.id == id);
        at.with_context(|| format!("node {id} leads, which is gone"))
    }

    /// Any but one.
    fn another(&mut self, one: usize) -> usize {
        let count = self.machines.len();
        (one + self.random.random_range(1..count)) % count
    }

    fn of_region(&self, region: usize) -> Vec<usize> {
        let machines = self.machines.iter().enumerate();
        let inside = machines.filter(|(_, m)| m.region == region);
        inside.map(|(n, _)| n).collect()
    }

    fn kill(&mut self, lost: &[usize]) -> anyhow::Result<Vec<usize>> {
        for &n in lost {
            self.machines[n].kill()?;
        }
        Ok(lost.to_vec())
    }

    fn freeze(&mut self, one: usize) -> anyhow::Result<Vec<usize>> {
        self.machines[one].signal(Signal::STOP)?;
        Ok(vec![one])
    }

    fn start_all(&mut self) -> anyhow::Result<()> {
        for machine in &mut self.machines {
            if !machine.is_started() {
                machine.start()?;
            }
        }
        Ok(())
    }

    /// Who hears whom no more, by node, when nodes are cut off from the others: they are not heard, or do not hear.
    fn cut_off(&self, inside: &[usize], (mute, deaf): (bool, bool)) -> Cuts {
        let (ground, mut cuts) = (&self.common.ground, Cuts::new());
        for (n, a) in self.machines.iter().enumerate() {
            for (m, b) in self.machines.iter().enumerate() {
                if inside.contains(&n) && !inside.contains(&m) {
                    if mute {
                        cuts.entry(b.id).or_default().insert(ground.address(a.id));
                    }
                    if deaf {
                        cuts.entry(a.id).or_default().insert(ground.address(b.id));
                    }
                }
            }
        }
        cuts
    }

    /// Nor do clients of other regions reach them, nor theirs the other nodes.
    fn cut_off_clients(&self, cuts: &mut Cuts, inside: &[usize], region: usize) {
        let ground = &self.common.ground;
        for (n, machine) in self.machines.iter().enumerate() {
            for from in (0..3).filter(|from| inside.contains(&n) != (*from == region)) {
                let cut = cuts.entry(machine.id).or_default();
                cut.insert(ground.client(from));
            }
        }
    }

    /// Nobody hears of these nodes any more, nor they of anybody: a region that is lost cannot even say that a connection
    /// is none, as a killed process does.
    fn silence(&self, lost: &[usize]) -> anyhow::Result<Instant> {
        let mut cuts = self.cut_off(lost, (true, true));
        for &n in lost {
            let cut = cuts.entry(self.machines[n].id).or_default();
            cut.extend((0..3).map(|region| self.common.ground.client(region)));
        }
        self.cut(&cuts)
    }

    /// Cuts; when that began to be felt.
    fn cut(&self, cuts: &Cuts) -> anyhow::Result<Instant> {
        let began = Instant::now();
        for (node, from) in cuts {
            self.common.ground.deafen(*node, from)?;
        }
        Ok(began)
    }

    async fn all_disks_full(&mut self) -> anyhow::Result<()> {
        for machine in &mut self.machines {
            machine.fill_disk()?;
        }
        let began = Instant::now();
        loop {
            let ended = self.machines.iter_mut().filter_map(Machine::ended);
            let ended: Vec<_> = ended.collect();
            if let Some((_, words)) = ended.iter().find(|(status, _)| status.success()) {
                anyhow::bail!("a node ends well on a full disk: {words}");
            }
            // Once a majority has seen it, the others have nothing more to write.
            if 2 * ended.len() > self.machines.len() {
                break;
            }
            anyhow::ensure!(
                began.elapsed() < SETTLES_WITHIN,
                "{} nodes have seen that their disks are full",
                ended.len()
            );
            for machine in self.machines.iter_mut().filter(|m| m.is_started()) {
                machine.fill_disk()?;
            }
            sleep(Duration::from_millis(50)).await;
        }
        for machine in &mut self.machines {
            machine.kill()?;
            machine.start()?;
        }
        Ok(())
    }

    /// A node comes back with a damaged file: it refuses to start, or the damage is in nothing that it needs yet. It is
    /// replaced, as an operator would.
    async fn damage(&mut self, one: usize) -> anyhow::Result<()> {
        let id = self.machines[one].id;
        self.machines[one].kill()?;
        let what = damage::damage(&self.machines[one].data(), &mut self.random)?;
        self.tell(format!("node {id}: {what}"));
        self.machines[one].start()?;
        let began = Instant::now();
        while self.machines[one].runs() {
            let answers = self.machines[one].status().await;
            // Time enough to read what it reads only later, too.
            if answers.is_some_and(|s| s.leader_id != 0) && began.elapsed() > LOOKS_FOR {
                self.unharmed += 1;
                return self.replace(one).await;
            }
            anyhow::ensure!(
                began.elapsed() < SETTLES_WITHIN,
                "node {id} neither starts nor refuses to: {}",
                self.machines[one].last_words()
            );
            sleep(Duration::from_millis(50)).await;
        }
        let Some((status, words)) = self.machines[one].ended() else {
            anyhow::bail!("node {id} neither runs nor has ended");
        };
        anyhow::ensure!(
            status.code() == Some(1) && words.contains("error:"),
            "node {id} does not refuse what is damaged, it ends with {status}: {words}"
        );
        self.tell(format!("node {id} refuses: {words}"));
        self.refused += 1;
        self.replace(one).await
    }

    /// Loses a machine for good; another takes its place.
    async fn replace(&mut self, one: usize) -> anyhow::Result<()> {
        let mut old = self.machines.remove(one);
        let (id, region) = (self.next_id, old.region);
        self.next_id += 1;
        old.kill()?;
        let mut new = Machine::new(&self.common, id, region)?;
        new.start()?;
        let member = new.member();
        self.machines.push(new);
        *self.stage.nodes.lock() = self.machines.iter().map(|m| m.id).collect();
        self.tell(format!("node {id} comes in the place of {}", old.id));
        let seed = self.random.random();
        let change = operator::replace(self.stage.clone(), (old.id, member), seed);
        let changed = timeout(REPLACED_WITHIN, change).await;
        let changed = changed.context("5: the members cannot be changed")?;
        changed.map_err(anyhow::Error::msg)?;
        self.common.ground.abandon(old.id)
    }
}
