//! What fails, and how it is mended.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use meridian_people::operator::{self, OPERATOR};
use meridian_people::stage::{Person, Stage, Ways as _};
use meridian_people::world::region_name;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;

use crate::cluster::Machine;
use crate::net::Net;
use crate::plan::Fault;

/// How long a change of the members may take, once nothing fails any more.
const CHANGE_WITHIN: Duration = Duration::from_secs(120);

/// The machines, and who lets them fail.
pub struct Fate {
    /// All that are in use.
    pub machines: Vec<Machine>,
    /// What failed so far, by kind.
    pub failed: BTreeMap<String, u32>,
    ground: crate::cluster::Ground,
    stage: Stage,
    random: ChaCha8Rng,
    mix: Vec<Fault>,
    next_id: u64,
    /// A machine is being replaced: the one that is gone for good, and the changes of the members.
    replacing: Option<(u64, JoinHandle<Result<(), String>>)>,
    /// Whose disk is damaged; one at a time, and while nobody else is lost for good.
    damaged: Option<u64>,
}

impl Fate {
    /// Nothing has failed yet.
    pub fn new(
        machines: Vec<Machine>,
        ground: crate::cluster::Ground,
        stage: Stage,
        random: ChaCha8Rng,
        mix: Vec<Fault>,
    ) -> Self {
        Self {
            next_id: machines.len() as u64 + 1,
            machines,
            failed: BTreeMap::new(),
            ground,
            stage,
            random,
            mix,
            replacing: None,
            damaged: None,
        }
    }

    /// Lets things fail and be mended until a moment.
    ///
    /// # Errors
    /// A machine does not come back.
    pub async fn until(&mut self, end: Instant) -> anyhow::Result<()> {
        let hour = (end - Instant::now()).as_millis() as u64 / 24;
        while Instant::now() < end {
            let pause = self.random.random_range(hour / 12..hour * 2);
            sleep(Duration::from_millis(pause)).await;
            self.replace_ended().await?;
            match self.random.random_range(0..10) {
                0..2 => self.mend_ways(),
                2..4 => self.one_comes_back().await?,
                _ if self.mix.is_empty() => {}
                _ => {
                    let fault = self.mix[self.random.random_range(0..self.mix.len())];
                    if self.strike(fault).await? {
                        *self.failed.entry(format!("{fault:?}")).or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Mends everything.
    ///
    /// # Errors
    /// A machine does not come back, or the members cannot be changed.
    pub async fn mend(&mut self) -> anyhow::Result<()> {
        self.tell("everything is mended");
        self.mend_ways();
        for machine in &mut self.machines {
            machine.set_clock_wrong(0, 0);
            if machine.runs_old() {
                machine.kill();
            }
        }
        self.all_come_back().await?;
        self.settle().await
    }

    /// Replaces a damaged machine that has ended, and waits until the members are who they should be.
    ///
    /// # Errors
    /// The members cannot be changed.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        self.replace_ended().await?;
        if let Some((old, change)) = self.replacing.take() {
            let changed = timeout(CHANGE_WITHIN, change).await;
            let changed = changed.context("the members cannot be changed")?;
            changed?.map_err(anyhow::Error::msg)?;
            self.tell(format!("node {old} is replaced"));
        }
        Ok(())
    }

    fn tell(&self, what: impl AsRef<str>) {
        self.stage.trace.tell(what);
    }

    fn net(&self) -> &Net {
        &self.ground.net
    }

    fn mend_ways(&mut self) {
        self.tell("ways are whole, and disks as fast as they can be");
        self.net().mend();
        for machine in &self.machines {
            machine.set_disk_slower(Duration::ZERO);
        }
    }

    async fn one_comes_back(&mut self) -> anyhow::Result<()> {
        if let Some(one) = self.machines.iter().position(|m| !m.runs()) {
            self.tell(format!("node {} comes back", self.machines[one].id));
            self.start(one).await?;
        }
        Ok(())
    }

    async fn all_come_back(&mut self) -> anyhow::Result<()> {
        while let Some(one) = self.machines.iter().position(|m| !m.runs()) {
            self.start(one).await?;
        }
        Ok(())
    }

    /// Starts a machine, or puts another in its place when its disk is damaged and it refuses.
    async fn start(&mut self, one: usize) -> anyhow::Result<()> {
        let machine = &mut self.machines[one];
        let Err(refused) = machine.start().await else {
            return Ok(());
        };
        if self.damaged != Some(machine.id) {
            return Err(refused.context("a node comes back"));
        }
        self.tell(format!("it refuses: {refused:#}"));
        self.replace(one).await.map(drop)
    }

    /// Whether a damaged machine came upon the damage while it ran.
    pub fn has_damaged_ended(&self) -> bool {
        self.damaged_and_ended().is_some()
    }

    fn damaged_and_ended(&self) -> Option<usize> {
        let one = self.place(self.damaged?)?;
        self.machines[one].has_ended().then_some(one)
    }

    /// Puts another in its place.
    async fn replace_ended(&mut self) -> anyhow::Result<()> {
        if let Some(one) = self.damaged_and_ended() {
            self.tell("the damaged node has ended");
            self.replace(one).await?;
        }
        Ok(())
    }

    /// Whether a majority lives even without one more.
    fn spares_one(&self) -> bool {
        let dead = self.machines.iter().filter(|m| !m.runs()).count();
        let gone = usize::from(self.replacing.is_some());
        dead + gone < self.machines.len() / 2
    }

    fn some_way(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(20..1_500))
    }

    /// Lets one thing fail; whether it did.
    async fn strike(&mut self, fault: Fault) -> anyhow::Result<bool> {
        let one = self.random.random_range(0..self.machines.len());
        let (id, runs) = (self.machines[one].id, self.machines[one].runs());
        let ends = matches!(
            fault,
            Fault::Killed | Fault::LostPower | Fault::DiskFull | Fault::Replaced | Fault::Damaged
        );
        if ends && !(runs && self.spares_one()) {
            return Ok(false);
        }
        // Whose disk is damaged may be lost for good at any time.
        let lost = self.damaged.is_some() || self.is_replacing();
        if lost && matches!(fault, Fault::Replaced | Fault::Damaged) {
            return Ok(false);
        }
        match fault {
            Fault::Killed => {
                self.caught_writing(one).await;
                self.tell(format!("node {id} is killed"));
                self.machines[one].kill();
            }
            Fault::LostPower => {
                self.caught_writing(one).await;
                self.tell(format!("node {id} loses its power"));
                self.machines[one].lose_power(self.random.random_range(0..3));
            }
            Fault::AllLostPower => {
                self.caught_writing(one).await;
                self.tell("every node loses its power");
                for machine in &mut self.machines {
                    machine.lose_power(self.random.random_range(0..3));
                }
                let dark = self.random.random_range(100..5_000);
                sleep(Duration::from_millis(dark)).await;
                self.tell("the power is back");
                self.all_come_back().await?;
            }
            Fault::CutOff => self.cut_off(|machine| machine.id == id),
            Fault::RegionCutOff => {
                let region = self.machines[one].region;
                self.cut_off(|machine| machine.region == region);
            }
            Fault::PairCut => {
                let other = self.machines[self.random.random_range(0..self.machines.len())].id;
                self.tell(format!("nodes {id} and {other} hear each other no more"));
                self.net().cut(id, other);
                self.net().cut(other, id);
            }
            Fault::Snapped => {
                self.tell(format!("every connection of node {id} breaks"));
                self.net().snap(id);
            }
            Fault::SlowWay => {
                let (a, b) = (
                    self.random.random_range(0..3),
                    self.random.random_range(0..3),
                );
                let times = self.random.random_range(1.5..12.0);
                self.tell(format!(
                    "regions {a} and {b} are {times:.1} times as far apart"
                ));
                self.net().slow_down(a, b, times);
            }
            Fault::ClockWrong => {
                let wrong = self.random.random_range(-3_000..3_000);
                self.tell(format!("the clock of node {id} is wrong by {wrong} ms"));
                self.machines[one].set_clock_wrong(wrong, 0);
            }
            Fault::ClockDrifts => {
                let gains = self.random.random_range(-200..200);
                self.tell(format!("the clock of node {id} gains {gains} ms a second"));
                self.machines[one].set_clock_wrong(0, gains);
            }
            Fault::DiskSlow => {
                let by = self.some_way();
                self.tell(format!("a sync of node {id} takes {by:?} longer"));
                self.machines[one].set_disk_slower(by);
            }
            Fault::DiskFull => {
                self.tell(format!("the disk of node {id} is full"));
                self.machines[one].fill_disk();
                self.machines[one].ends().await;
                self.machines[one].kill();
            }
            Fault::AllDisksFull => {
                self.tell("every disk is full");
                let up = self.machines.iter().filter(|m| m.runs());
                up.for_each(Machine::fill_disk);
                let full = self.random.random_range(500..5_000);
                sleep(Duration::from_millis(full)).await;
                self.tell("there is room again");
                self.restart(self.running_but(&[]), Machine::kill).await?;
            }
            Fault::Usurped => return self.usurp().await,
            Fault::Transferred => {
                let to = self.machines[self.random.random_range(0..self.machines.len())].id;
                self.tell(format!("node {id} is asked to have node {to} lead"));
                let mut admin = self.operator(id);
                tokio::spawn(async move {
                    let ask = TransferLeaderRequest { node_id: to };
                    // It may well be refused.
                    let _ = admin.transfer_leader(ask).await;
                });
            }
            Fault::Pinned => {
                let region = match self.random.random_range(0..4) {
                    3 => String::new(),
                    region => region_name(region),
                };
                self.tell(format!("leadership is pinned to '{region}'"));
                let ask = PinLeaderRequest {
                    request_id: format!("pin {:016x}", self.random.random::<u64>()),
                    unpin: region.is_empty(),
                    region_id: region,
                    ..Default::default()
                };
                let mut admin = self.operator(id);
                tokio::spawn(async move {
                    // It may well be refused: older nodes do not know it.
                    let _ = admin.pin_leader(ask).await;
                });
            }
            Fault::Snapshot => {
                self.tell(format!("node {id} is asked for a snapshot"));
                let mut admin = self.operator(id);
                tokio::spawn(async move {
                    let _ = admin.snapshot(SnapshotRequest {}).await;
                });
            }
            Fault::Replaced => self.replace(one).await?,
            Fault::Damaged => {
                self.caught_writing(one).await;
                self.machines[one].kill();
                let what = self.machines[one].damage(&mut self.random)?;
                self.tell(format!("node {id} is killed, and {what}"));
                self.damaged = Some(id);
            }
        }
        Ok(true)
    }

    /// Who leads, in which term, as far as anybody thinks so of themselves; the newest, but for one.
    fn leader(&self, but: Option<usize>) -> Option<(u64, usize)> {
        let machines = self.machines.iter().enumerate();
        let others = machines.filter(|(n, _)| Some(*n) != but);
        others.filter_map(|(n, m)| Some((m.leads()?, n))).max()
    }

    /// Has a leader deposed in the way that costs most where votes or logs are not kept.
    async fn usurp(&mut self) -> anyhow::Result<bool> {
        let Some((term, old)) = self.leader(None) else {
            return Ok(false);
        };
        self.mend_ways();
        // So that a vote is not on disk for a while.
        for machine in &self.machines {
            machine.set_disk_slower(Duration::from_millis(100));
        }
        let is_old = self.machines[old].id;
        self.cut_off_both(old);
        let began = Instant::now();
        let new = loop {
            if began.elapsed() > Duration::from_secs(6) {
                self.mend_ways();
                return Ok(false);
            }
            match self.leader(Some(old)) {
                Some((newer, new)) if newer > term => break new,
                _ => sleep(Duration::from_millis(5)).await,
            }
        };
        let later = self.random.random_range(0..80);
        sleep(Duration::from_millis(later)).await;
        self.net().mend();
        self.cut_off_both(new);
        let is_new = self.machines[new].id;
        self.tell(format!(
            "node {is_new} took over from {is_old}, and is cut off; who voted loses their power"
        ));
        let voted = self.running_but(&[is_old, is_new]);
        self.restart(voted, |machine| machine.lose_power(0)).await?;
        let later = self.random.random_range(500..5_000);
        sleep(Duration::from_millis(later)).await;
        self.mend_ways();
        if let Some(old) = self.place(is_old) {
            self.caught_writing(old).await;
            self.tell(format!("node {is_old} loses its power"));
            let old = vec![is_old];
            self.restart(old, |machine| machine.lose_power(0)).await?;
        }
        Ok(true)
    }

    /// Where the machine of a node stands among them, unless another has taken its place.
    fn place(&self, id: u64) -> Option<usize> {
        self.machines.iter().position(|m| m.id == id)
    }

    /// The nodes that run, but for these.
    fn running_but(&self, but: &[u64]) -> Vec<u64> {
        let running = self.machines.iter().filter(|m| m.runs());
        running
            .map(|m| m.id)
            .filter(|id| !but.contains(id))
            .collect()
    }

    /// Ends nodes and starts them again, one after the other.
    async fn restart(&mut self, ids: Vec<u64>, end: impl Fn(&mut Machine)) -> anyhow::Result<()> {
        for id in ids {
            if let Some(one) = self.place(id) {
                end(&mut self.machines[one]);
                self.start(one).await?;
            }
        }
        Ok(())
    }

    fn cut_off_both(&self, one: usize) {
        let id = self.machines[one].id;
        for other in self.machines.iter().filter(|m| m.id != id) {
            self.net().cut(id, other.id);
            self.net().cut(other.id, id);
        }
    }

    /// The operator's way to a node, from anywhere.
    fn operator(&mut self, node: u64) -> AdminServiceClient<Channel> {
        let region = self.random.random_range(0..3);
        let me = Person { region, ..OPERATOR };
        AdminServiceClient::new(self.net().channel(me, node))
    }

    /// The worst moment to fail: in the middle of a write, or a little later, when some have answered for it.
    async fn caught_writing(&mut self, one: usize) {
        self.machines[one].caught_writing().await;
        let later = self.random.random_range(0..300);
        sleep(Duration::from_millis(later)).await;
    }

    fn cut_off(&mut self, inside: impl Fn(&Machine) -> bool) {
        // Both ways, or they are not heard, or hear nothing.
        let (mute, deaf) = match self.random.random_range(0..4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let (inside, outside): (Vec<_>, Vec<_>) = self.machines.iter().partition(|m| inside(m));
        let names: Vec<u64> = inside.iter().map(|m| m.id).collect();
        self.tell(format!(
            "nodes {names:?} are cut off, not heard: {mute}, not hearing: {deaf}"
        ));
        for (a, b) in inside
            .iter()
            .flat_map(|a| outside.iter().map(|b| (a.id, b.id)))
        {
            if mute {
                self.net().cut(a, b);
            }
            if deaf {
                self.net().cut(b, a);
            }
        }
    }

    /// Whether the members are being changed because a machine is lost.
    fn is_replacing(&self) -> bool {
        let change = self.replacing.as_ref();
        change.is_some_and(|(_, change)| !change.is_finished())
    }

    /// Loses a machine for good, while no other is being replaced; another takes its place while everything else goes on.
    async fn replace(&mut self, one: usize) -> anyhow::Result<()> {
        if let Some((_, change)) = self.replacing.take() {
            change.await?.map_err(anyhow::Error::msg)?;
        }
        let mut old = self.machines.remove(one);
        let id = self.next_id;
        self.next_id += 1;
        self.tell(format!(
            "node {} is lost for good, node {id} comes in its place",
            old.id
        ));
        old.lose_power(0);
        let sync_takes = Duration::from_micros(self.random.random_range(300..30_000));
        let at = (id, old.region);
        let mut new = Machine::new(&self.ground, at, self.random.random(), sync_takes);
        new.start().await.context("a new node starts")?;
        let member = new.member();
        self.machines.push(new);
        let nodes: Vec<u64> = self.machines.iter().map(|m| m.id).collect();
        *self.stage.nodes.lock() = nodes;
        let seed = self.random.random();
        let change = operator::replace(self.stage.clone(), (old.id, member), seed);
        let change = tokio::spawn(change);
        self.replacing = Some((old.id, change));
        self.damaged = None;
        Ok(())
    }
}
