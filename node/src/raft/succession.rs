//! Whose turn it is to campaign once the leader has gone silent.
//!
//! openraft by itself waits for a random time after the leader's lease, long enough that two seldom campaign at once:
//! on a planet that wait is a third of a failover, and when a bare majority is left it still fails at times. But those
//! who are left can talk while the lease runs out. So whoever misses two heartbeats asks the other voters how far their
//! logs go and when they last heard the leader; who has the longest log campaigns the moment nobody is bound to the
//! leader any more, the next one only if nothing has come of it. openraft's own wait stays behind this, for whoever
//! cannot talk. None of it can do harm: these campaigns begin with a pre-vote, which nobody grants while a leader lives.

use std::cmp::Reverse;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::Raft;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::peers::Peers;
use super::state_machine::StateMachine;
use super::status::{Role, Status};
use super::timing::Timing;
use super::types::{Config, NodeId};

/// When this node last heard a leader it follows.
#[derive(Clone, Default)]
pub(super) struct Led(Arc<LedInner>);

#[derive(Default)]
struct LedInner {
    at: Mutex<Option<Instant>>,
    anew: Notify,
}

impl Led {
    /// A leader was followed just now.
    pub fn heard(&self) {
        if self.0.at.lock().replace(Instant::now()).is_none() {
            self.0.anew.notify_one();
        }
    }

    /// When that was; `None` if none was since this node started, or since it led itself.
    pub fn at(&self) -> Option<Instant> {
        *self.0.at.lock()
    }

    /// Forgets it, and waits until a leader is heard again.
    async fn anew(&self) {
        *self.0.at.lock() = None;
        self.0.anew.notified().await;
    }
}

/// What a voter says when the leader has gone silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heir {
    id: NodeId,
    /// The end of its log.
    last_log: u64,
    /// When it last heard the leader; `None` if it waits for openraft's own time.
    led: Option<Instant>,
}

/// How many of the others campaign before `own`: those with a longer log, and of equal ones those with the greater
/// number, as among rivals for a pre-vote. A log whose end is of an older term is not told from one of a newer; such a
/// campaign is denied, and the next one has its turn.
fn turn(own: &Heir, others: &[Heir]) -> u32 {
    let place = |heir: &Heir| (Reverse(heir.last_log), Reverse(heir.id));
    let before = others
        .iter()
        .filter(|heir| heir.led.is_some() && place(heir) < place(own));
    before.count().try_into().unwrap_or(u32::MAX)
}

/// Takes this node's turn whenever a leader has gone silent, for as long as it runs.
pub(super) async fn take_turns(
    raft: Raft<Config, StateMachine>,
    peers: Peers,
    led: Led,
    status: watch::Receiver<Status>,
    timing: Timing,
) -> Infallible {
    loop {
        let Some(heard) = led.at() else {
            led.anew().await;
            continue;
        };
        let noticed = heard + timing.heartbeat() * 2;
        if Instant::now() < noticed {
            sleep_until(noticed).await;
            continue;
        }
        let now = status.borrow().clone();
        let voter = now.members.get(&now.node_id).is_some_and(|own| own.voter);
        if !voter || matches!(now.role, Role::Leader | Role::Stopped) {
            led.anew().await;
            continue;
        }
        let others = ask(&peers, &now, &timing).await;
        let own = Heir {
            id: now.node_id,
            last_log: status.borrow().last_log,
            led: Some(heard),
        };
        let heard_by_any = others.iter().filter_map(|heir| heir.led).max();
        let free = heard_by_any.map_or(heard, |at| at.max(heard)) + timing.election_max();
        let term = status.borrow().term;
        sleep_until(free.max(Instant::now()) + timing.turn() * turn(&own, &others)).await;
        // A leader that is heard, or somebody else's campaign, goes before.
        if led.at() != Some(heard) || status.borrow().term != term {
            sleep_until(Instant::now() + timing.heartbeat()).await;
            continue;
        }
        tracing::debug!(term, "the leader is silent, and it is this node's turn");
        if raft.trigger().elect(true).await.is_err() {
            led.anew().await;
        }
        sleep_until(Instant::now() + timing.election_min()).await;
    }
}

/// What the voters that answer in time say.
async fn ask(peers: &Peers, status: &Status, timing: &Timing) -> Vec<Heir> {
    let voters = status.members.iter().filter(|(id, member)| {
        // The leader is silent: an answer would come too late.
        member.voter && **id != status.node_id && Some(**id) != status.leader
    });
    let asked = voters.map(|(&id, member)| async move {
        let sent = Instant::now();
        let answer = timeout(timing.turn(), peers.look(id, &member.node)).await;
        let (reply, half_way) = (answer.ok()?.ok()?, sent.elapsed() / 2);
        let ago = reply.led_ms_ago.map(Duration::from_millis);
        Some(Heir {
            id,
            last_log: reply.last_log,
            led: ago.and_then(|ago| (sent + half_way).checked_sub(ago)),
        })
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heir(id: NodeId, last_log: u64) -> Heir {
        let led = Some(Instant::now());
        Heir { id, last_log, led }
    }

    #[test]
    fn the_longest_log_goes_first_and_everybody_has_a_turn_of_their_own() {
        let heirs = [heir(1, 10), heir(2, 12), heir(3, 10), heir(4, 12)];
        let turns = heirs.map(|own| {
            let others: Vec<Heir> = heirs.into_iter().filter(|other| *other != own).collect();
            turn(&own, &others)
        });
        assert_eq!(turns, [3, 1, 2, 0]);
    }

    #[test]
    fn who_waits_for_a_time_of_its_own_keeps_nobody_waiting() {
        let started_anew = Heir {
            led: None,
            ..heir(9, 99)
        };
        assert_eq!(turn(&heir(1, 10), &[started_anew]), 0);
    }
}
