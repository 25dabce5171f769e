//! Leadership follows the sun: the leader hands over to the region where most writes begin, or to the one that an operator
//! pinned it to. Every node runs this; whoever does not lead does nothing. The move is the hand-over that operators ask for
//! as well ([`Group::transfer_leader`]), with an election behind it should it stall.

mod policy;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::peer::v1 as peer;
use meridian_routing::pin::Pin;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::driver::Driver;
use crate::metrics;
use crate::raft::{Group, Member, NodeId, Role, Status};
use policy::{Rest, Scene, Steady, Voter};
use writes::Writes;

/// How often the leader looks whether it should hand over; round trips are measured as often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a node keeps of its own leadership.
pub struct Leadership {
    follows: bool,
    leads: Mutex<Option<Leads>>,
}

/// The term this node leads.
struct Leads {
    term: u64,
    since: Instant,
    writes: Writes,
}

impl Leadership {
    /// Of a node that follows the sun when it leads, or leads on wherever it stands. Where leadership is pinned counts
    /// either way.
    pub fn new(follows: bool) -> Self {
        Self {
            follows,
            leads: Mutex::default(),
        }
    }

    /// Counts a write that was proposed here because `from`, which may be this node, handed it on: for a client, or a
    /// session that it holds. What a leader proposes by itself comes with leadership and is not counted.
    pub fn wrote(&self, from: NodeId) {
        if let Some(leads) = &mut *self.leads.lock() {
            leads.writes.add(from, Instant::now());
        }
    }

    /// Begins anew when this node has come to lead, in another term or at all.
    fn turns(&self, term: Option<u64>) {
        let mut leads = self.leads.lock();
        if leads.as_ref().map(|leads| leads.term) != term {
            let now = Instant::now();
            *leads = term.map(|term| Leads {
                term,
                since: now,
                writes: Writes::new(now),
            });
        }
    }

    /// How long it has led this term, and the writes counted since by member.
    fn counted(&self, status: &Status) -> (Duration, BTreeMap<NodeId, u64>) {
        let mut leads = self.leads.lock();
        let Some(leads) = leads.as_mut().filter(|leads| leads.term == status.term) else {
            return Default::default();
        };
        let now = Instant::now();
        let mut counts = leads.writes.counts(now);
        // Who has left hands nothing on any more.
        counts.retain(|id, _| status.members.contains_key(id));
        (now - leads.since, counts)
    }

    /// What this node knows as the leader of where leadership should stand.
    pub fn told(&self, group: &Group, status: &Status) -> peer::Leadership {
        let (led, writes) = self.counted(status);
        let scene = scene(group, status, writes);
        let weighed = |id: &NodeId| peer::leadership::Weighed {
            node: *id,
            writes: scene.writes.get(id).copied().unwrap_or(0),
            write_us: match scene.voters.contains_key(id) {
                true => scene.expected(*id),
                false => None,
            },
        };
        peer::Leadership {
            led_ms: led.as_millis().try_into().unwrap_or(u64::MAX),
            follows: self.follows,
            nodes: status.members.keys().map(weighed).collect(),
        }
    }
}

/// The voters as this leader sees them.
fn scene(group: &Group, status: &Status, writes: BTreeMap<NodeId, u64>) -> Scene {
    let (fit, silence_max) = (group.heirs(), group.timing().silence_max());
    let voters = status.members.iter().filter(|(_, member)| member.voter);
    let voter = |(id, member): (&NodeId, &Member)| {
        let heard = member.heard.is_some_and(|at| at.elapsed() <= silence_max);
        let voter = Voter {
            region: member.node.region.clone(),
            answers: heard || *id == status.node_id,
            fit: fit.contains(id),
        };
        (*id, voter)
    };
    Scene {
        leader: status.node_id,
        voters: voters.map(voter).collect(),
        writes,
        ways: group.ways(),
    }
}

/// Looks now and then whether this node leads and should hand over, and does. Ends when the node stops.
pub async fn follow(driver: Arc<Driver>) {
    let Ok(group) = driver.group() else { return };
    let (mut status, mut steady) = (group.watch(), Steady::default());
    let rest = Rest::of(group.timing());
    let mut term = None;
    loop {
        let turned = async {
            let seen = |now: &Status| (now.role == Role::Leader).then_some(now.term);
            let turned = status.wait_for(|now| seen(now) != term || now.role == Role::Stopped);
            match turned.await {
                Ok(now) if now.role != Role::Stopped => Some(seen(&now)),
                _ => None,
            }
        };
        tokio::select! {
            turned = turned => {
                let Some(now) = turned else { return };
                term = now;
                driver.leadership().turns(term);
                steady = Steady::default();
            }
            () = sleep(LOOK_EVERY), if term.is_some() => look(&driver, group, &mut steady, rest).await,
            () = driver.stopped() => return,
        }
    }
}

/// One look.
async fn look(driver: &Driver, group: &Group, steady: &mut Steady, rest: Rest) {
    let status = group.status();
    // One that joins or stops has others to hand over to, or does so itself.
    if status.role != Role::Leader || status.joint || !*driver.readiness().borrow() {
        return;
    }
    let leadership = driver.leadership();
    let (led, writes) = leadership.counted(&status);
    let scene = scene(group, &status, writes);
    let pin = driver.state().meta().pin.clone();
    if let Some(Pin { region, by, .. }) = pin {
        *steady = Steady::default();
        let to = scene.pinned(region.as_str());
        if let Some(to) = to.filter(|_| led >= rest.pin) {
            tracing::info!(
                to,
                from_region = scene.region(),
                to_region = %region,
                by,
                write_ms_now = scene.expected(status.node_id).map(|us| us / 1_000),
                write_ms_then = scene.expected(to).map(|us| us / 1_000),
                led_s = led.as_secs(),
                "leadership is pinned: handing over"
            );
            hand_over(group, to, "pin").await;
        }
        return;
    }
    if !leadership.follows {
        return;
    }
    let Some(better) = steady.look(&scene, led, rest) else {
        return;
    };
    let region = |id: &NodeId| status.members.get(id).map_or("", |m| &m.node.region);
    let to_region = region(&better.to);
    let writes: u64 = scene.writes.values().sum();
    let there = scene
        .writes
        .iter()
        .filter(|(id, _)| region(id) == to_region);
    let there: u64 = there.map(|(_, count)| count).sum();
    tracing::info!(
        to = better.to,
        from_region = scene.region(),
        to_region,
        writes,
        writes_begun_there_percent = there * 100 / writes.max(1),
        write_ms_now = better.now_us / 1_000,
        write_ms_then = better.then_us / 1_000,
        led_s = led.as_secs(),
        "leadership follows the sun: handing over"
    );
    // Whatever comes of it, the next one is weighed anew.
    *steady = Steady::default();
    hand_over(group, better.to, "sun").await;
}

async fn hand_over(group: &Group, to: NodeId, reason: &'static str) {
    match group.transfer_leader(to).await {
        Ok(()) => metrics::observe_move(reason),
        // Nothing was done, or somebody else leads by now; the next look sees.
        Err(error) => tracing::info!(to, %error, "leadership was not handed over"),
    }
}
