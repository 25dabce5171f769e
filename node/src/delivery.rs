//! Wakes the streams this node holds when what they show has changed.
//!
//! Nothing is queued: a stream that is woken compares the state with what it last sent. So a slow client
//! costs no memory, and nothing can be missed: whatever was not sent is still in the state.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use meridian_routing::effect::Effect;
use meridian_routing::ids::*;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Everyone who watches something on this node.
pub struct Delivery {
    chats: Mutex<HashMap<ChatId, Vec<Weak<Notify>>>>,
    agents: Mutex<HashMap<AgentId, Vec<Weak<Notify>>>>,
    /// Counts batches of changes, for those who watch everything.
    changes: watch::Sender<u64>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            chats: Mutex::default(),
            agents: Mutex::default(),
            changes: watch::channel(0).0,
        }
    }
}

/// Wakes when the thing watched may have changed; wake-ups before it is awaited are not lost.
pub type Wake = Arc<Notify>;

fn register<K: std::hash::Hash + Eq>(map: &Mutex<HashMap<K, Vec<Weak<Notify>>>>, key: K) -> Wake {
    let wake = Arc::new(Notify::new());
    let mut map = map.lock();
    let list = map.entry(key).or_default();
    list.retain(|w| w.strong_count() > 0);
    list.push(Arc::downgrade(&wake));
    // Streams that ended without anything changing leave empty entries; sweep as the map grows.
    if map.len().is_power_of_two() {
        map.retain(|_, list| list.iter().any(|w| w.strong_count() > 0));
    }
    wake
}

fn live<K>(map: &Mutex<HashMap<K, Vec<Weak<Notify>>>>) -> usize {
    let alive = |list: &&Vec<Weak<Notify>>| list.iter().any(|w| w.strong_count() > 0);
    map.lock().values().filter(alive).count()
}

fn wake<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Vec<Weak<Notify>>>, key: &K) {
    if let Some(list) = map.get_mut(key) {
        list.retain(|w| w.upgrade().inspect(|wake| wake.notify_one()).is_some());
        if list.is_empty() {
            map.remove(key);
        }
    }
}

impl Delivery {
    /// Watches one chat.
    pub fn chat(&self, id: ChatId) -> Wake {
        register(&self.chats, id)
    }
    /// Watches one agent: presence, load, offers and chats held.
    pub fn agent(&self, id: AgentId) -> Wake {
        register(&self.agents, id)
    }
    /// Watches everything.
    pub fn all(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
    /// Streams held now: chats and agents.
    pub fn watched(&self) -> (usize, usize) {
        (live(&self.chats), live(&self.agents))
    }

    /// Wakes those whom the effects concern.
    pub fn deliver(&self, effects: &[Effect]) {
        if effects.is_empty() {
            return;
        }
        let (mut chats, mut agents) = (self.chats.lock(), self.agents.lock());
        for effect in effects {
            match effect {
                Effect::ChatChanged { chat } => wake(&mut chats, chat),
                Effect::OfferMade { agent, .. }
                | Effect::OfferWithdrawn { agent, .. }
                | Effect::AgentChanged { agent }
                | Effect::SessionFenced { agent, .. } => wake(&mut agents, agent),
                Effect::ConfigChanged => agents
                    .values()
                    .flatten()
                    .filter_map(Weak::upgrade)
                    .for_each(|w| w.notify_one()),
            }
        }
        drop((chats, agents));
        self.changes.send_modify(|n| *n += 1);
    }

    /// Wakes everybody: the state was replaced as a whole.
    pub fn everything_changed(&self) {
        for list in self.chats.lock().values() {
            list.iter()
                .filter_map(Weak::upgrade)
                .for_each(|w| w.notify_one());
        }
        for list in self.agents.lock().values() {
            list.iter()
                .filter_map(Weak::upgrade)
                .for_each(|w| w.notify_one());
        }
        self.changes.send_modify(|n| *n += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_lost_and_the_dead_are_forgotten() {
        let delivery = Delivery::default();
        let wake = delivery.chat("c1".into());
        let other = delivery.chat("c2".into());
        delivery.deliver(&[Effect::ChatChanged { chat: "c1".into() }]);
        wake.notified().await;
        drop((wake, other));
        let changed = |id: &str| Effect::ChatChanged { chat: id.into() };
        delivery.deliver(&[changed("c1"), changed("c2")]);
        assert_eq!(delivery.watched(), (0, 0));
    }
}
