//! The routing core as the state machine Raft drives: bytes in, bytes out, and word of what changed.

use std::collections::HashMap;
use std::sync::Arc;

use meridian_routing::command::Command;
use meridian_routing::effect::Effect;
use meridian_routing::mutants::{self, Mutant};
use meridian_routing::state::{Entity, State};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::convert::{command, entity, history};
use crate::delivery::Delivery;
use crate::env::{Moment, Witness};
use crate::raft::{Applied, Machine};

/// The state every service reads; only the machine writes it.
pub type Shared = Arc<RwLock<State>>;

/// Applies the log to the routing core.
pub struct RoutingMachine {
    shared: Shared,
    delivery: Arc<Delivery>,
    /// Where the state stands, for whoever waits for an index or the next deadline.
    progress: watch::Sender<Progress>,
    /// Hash of every entity by its key; their sum is the state's hash, kept up entry by entry.
    hashes: HashMap<Vec<u8>, u64>,
    hash: u64,
    pending: Vec<Effect>,
    node: u64,
    /// The newest rules it carries out.
    rules: u32,
    witness: Option<Arc<dyn Witness>>,
}

/// How far the state has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Last index applied.
    pub index: u64,
    /// When the earliest deadline falls due.
    pub next_deadline: Option<i64>,
    /// Largest time stamped so far.
    pub now: i64,
}

impl RoutingMachine {
    /// An empty state of a node that knows rules up to these; [`Machine::restore`] fills it.
    pub fn new(
        (node, rules): (u64, u32),
        delivery: Arc<Delivery>,
        witness: Option<Arc<dyn Witness>>,
    ) -> (Self, Shared, watch::Receiver<Progress>) {
        let shared = Shared::default();
        let (progress, seen) = watch::channel(Progress::default());
        let machine = Self {
            shared: shared.clone(),
            delivery,
            progress,
            hashes: HashMap::new(),
            hash: 0,
            pending: Vec::new(),
            node,
            rules,
            witness,
        };
        (machine, shared, seen)
    }

    fn put_hash(&mut self, key: &[u8], value: Option<&[u8]>) {
        let old = match value {
            Some(value) => {
                let new = fingerprint(key, value);
                self.hash = self.hash.wrapping_add(new);
                self.hashes.insert(key.to_vec(), new)
            }
            None => self.hashes.remove(key),
        };
        self.hash = self.hash.wrapping_sub(old.unwrap_or(0));
    }

    fn publish_progress(&self) {
        let state = self.shared.read();
        let now = Progress {
            index: state.meta().index,
            next_deadline: state.next_deadline(),
            now: state.meta().now,
        };
        drop(state);
        self.progress
            .send_if_modified(|p| std::mem::replace(p, now) != now);
    }
}

/// The hash of a state by its parts as they are kept, in any order.
pub fn hash_of(records: &[(Vec<u8>, Vec<u8>)]) -> u64 {
    let hashes = records.iter().map(|(key, value)| fingerprint(key, value));
    hashes.fold(0, u64::wrapping_add)
}

/// FNV-1a over key and value, with the key's length between, then mixed so that sums do not cancel.
fn fingerprint(key: &[u8], value: &[u8]) -> u64 {
    let length = (key.len() as u64).to_be_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in length.iter().chain(key).chain(value) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

impl Machine for RoutingMachine {
    fn apply(&mut self, index: u64, bytes: &[u8]) -> Applied {
        let (mut stamped, traceparent) = match command::decode(index, bytes) {
            Ok(decoded) => decoded,
            // Going on would make this replica differ from those that know the command.
            Err(e) => {
                tracing::error!(index, error = %e, "a committed command cannot be read; this node must not go on");
                std::process::abort();
            }
        };
        if let Command::Adopt { rules } = stamped.command
            && rules > self.rules
        {
            let known = self.rules;
            tracing::error!(
                index,
                rules,
                known,
                "the cluster goes on by rules that this version does not know; start a newer one"
            );
            std::process::abort();
        }
        if mutants::is(Mutant::ReplicasDiffer) {
            stamped.at += self.node as i64;
        }
        let began = std::time::Instant::now();
        let span = tracing::info_span!("apply", index, request_id = %stamped.request_id);
        crate::telemetry::follow(&span, &traceparent);
        let _entered = span.enter();
        let shared = self.shared.clone();
        let mut state = shared.write();
        let outcome = state.apply(&stamped);
        let writes: Vec<_> = outcome
            .dirty
            .iter()
            .map(|key| {
                (
                    entity::key(key),
                    state.entity(key).map(|e| entity::encode(&e)),
                )
            })
            .collect();
        crate::metrics::observe_answer(&state, &stamped, &outcome.result);
        for (key, value) in &writes {
            self.put_hash(key, value.as_deref());
        }
        if let Some(witness) = &self.witness
            && let Err(broken) = witness.applied(Moment {
                node: self.node,
                entry: bytes,
                command: &stamped,
                outcome: &outcome,
                state: &state,
                hash: self.hash,
            })
        {
            tracing::error!(index, command = ?stamped.command, broken, "an invariant is broken; this node must not go on");
            std::process::abort();
        }
        drop(state);
        self.pending.extend(outcome.effects);
        let chats = outcome.history.iter().map(history::encode_chat);
        let version = outcome.version.iter().flat_map(history::encode_version);
        let history = chats.chain(version).map(|(k, v)| (k, Some(v))).collect();
        crate::metrics::observe_apply(began.elapsed());
        Applied {
            reply: command::encode_reply(&outcome.result),
            writes,
            history,
        }
    }

    fn restore(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        let mut entities = Vec::with_capacity(entries.len());
        self.hashes.clear();
        self.hash = 0;
        let lacks = usize::from(mutants::is(Mutant::RestartLacks));
        let count = entries.len().saturating_sub(lacks);
        for (key, value) in &entries[..count] {
            let entity = entity::decode(value)
                .map_err(|e| format!("state entry {}: {e}", String::from_utf8_lossy(key)))?;
            if let Entity::Meta(meta) = &entity
                && meta.rules > self.rules
            {
                return Err(format!(
                    "the state goes by rules {}, of which this version knows {}: start a newer one",
                    meta.rules, self.rules
                ));
            }
            entities.push(entity);
            self.put_hash(key, Some(value));
        }
        *self.shared.write() = State::restore(entities);
        self.pending.clear();
        self.delivery.everything_changed();
        self.publish_progress();
        Ok(())
    }

    fn index(&self) -> Option<u64> {
        Some(self.shared.read().meta().index)
    }

    fn hash(&self) -> u64 {
        self.hash
    }

    fn committed(&mut self) {
        self.publish_progress();
        self.delivery.deliver(&std::mem::take(&mut self.pending));
    }
}
