//! The agents' sessions whose streams this node holds, against those the cluster says it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meridian_routing::command::Command;
use meridian_routing::ids::*;
use meridian_routing::model::Presence;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::driver::Driver;

/// How often the two are compared. A session without a stream is lost after two rounds.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// Sessions with a stream here.
pub struct Sessions {
    live: Mutex<BTreeMap<AgentId, Vec<Epoch>>>,
    count: watch::Sender<usize>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

/// A session's entry; taken out when dropped.
pub struct Held {
    sessions: Arc<Sessions>,
    agent: AgentId,
    epoch: Epoch,
}

impl Sessions {
    /// Enters a session whose stream begins.
    pub fn hold(self: &Arc<Self>, agent: AgentId, epoch: Epoch) -> Held {
        let mut live = self.live.lock();
        live.entry(agent.clone()).or_default().push(epoch);
        self.count.send_modify(|n| *n += 1);
        Held {
            sessions: self.clone(),
            agent,
            epoch,
        }
    }

    /// How many there are; follow it to wait until all have ended.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn holds(&self, agent: &AgentId, epoch: Epoch) -> bool {
        let live = self.live.lock();
        live.get(agent).is_some_and(|all| all.contains(&epoch))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut live = self.sessions.live.lock();
        if let Some(all) = live.get_mut(&self.agent) {
            if let Some(at) = all.iter().position(|e| *e == self.epoch) {
                all.swap_remove(at);
            }
            if all.is_empty() {
                live.remove(&self.agent);
            }
        }
        self.sessions.count.send_modify(|n| *n -= 1);
    }
}

/// Loses the sessions that the cluster says are held here and that have no stream: the desktop vanished while
/// its session was being opened, or the loss could not be written when its stream broke. Ends when the node
/// stops.
pub async fn lose_orphans(driver: Arc<Driver>) {
    let mut seen = BTreeSet::new();
    loop {
        tokio::select! {
            () = sleep(COMPARE_EVERY) => {}
            () = driver.stopped() => return,
        }
        let orphans: BTreeSet<(AgentId, Epoch)> = {
            let state = driver.state();
            let alive = state
                .sessions_of(driver.node_id())
                .filter(|a| !matches!(a.presence, Presence::Offline | Presence::Lost))
                .filter(|a| !driver.sessions().holds(&a.config.id, a.epoch));
            alive.map(|a| (a.config.id.clone(), a.epoch)).collect()
        };
        // One that was just opened may not have its stream yet.
        for (agent, epoch) in orphans.intersection(&seen) {
            tracing::info!(%agent, epoch, "a session without a stream is lost");
            let lose = Command::LoseSession {
                agent: agent.clone(),
                epoch: *epoch,
            };
            if let Err(e) = driver.write_own(lose).await {
                tracing::debug!(%agent, epoch, error = %e, "it was not recorded; tried again");
            }
        }
        seen = orphans;
    }
}

/// Ends the agents' streams when this node has had no leader with a majority for `silence`, because then the
/// others declare its sessions lost, and their desktops must go to another node; lets agents in again once it
/// has one. Ends when the node stops.
pub async fn keep_contact(driver: Arc<Driver>, silence: Duration) {
    let mut heard = Instant::now();
    let (mut cut_off, mut confirmed) = (false, false);
    loop {
        tokio::select! {
            () = sleep(silence / 4) => {}
            () = driver.stopped() => return,
        }
        if timeout(silence / 2, driver.confirm_leader()).await == Ok(true) {
            heard = Instant::now();
            confirmed = true;
            driver.set_alone(None);
            if std::mem::take(&mut cut_off) {
                tracing::info!("a leader with a majority answers again; agents are let in");
                driver.ready();
            }
            continue;
        }
        if heard.elapsed() < silence {
            continue;
        }
        // Before anybody answered, what it shows is as old as its last command may be.
        let since = if confirmed {
            heard
        } else {
            heard.checked_sub(driver.age()).unwrap_or(heard)
        };
        driver.set_alone(Some(since));
        if !cut_off && *driver.readiness().borrow() {
            cut_off = true;
            tracing::warn!(
                silence_ms = silence.as_millis() as u64,
                "no leader with a majority answers; agents are sent to other nodes"
            );
            driver.cut_off();
        }
    }
}
