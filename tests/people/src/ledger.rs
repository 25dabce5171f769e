//! What the cluster decided, as its nodes saw it; every promise is checked against it as soon as it is made.
//!
//! The log is the order in which everything happened. An answer to a client is linearizable when the command stands in
//! the log as it was answered, after every command that had been answered before it was first asked; a read, when it
//! tells of all that had been answered before. Both are checked at each answer, in constant time. That the log was
//! carried out as the rules say is the routing core's own business: every node must come to the same state at the same
//! index, whichever life it is in.

use std::collections::BTreeMap;

use meridian_node::env::{Moment, Witness};
use meridian_routing::effect::{Answer, Reject};
use meridian_routing::invariants::{self, Seen};
use parking_lot::{Mutex, MutexGuard};

use crate::judge::{Deed, Judge};
use crate::trace::Trace;

/// What was decided so far.
pub struct Ledger {
    trace: Trace,
    kept: Mutex<Kept>,
    /// Brings what nodes outside decided before an answer is checked.
    catches_up: Option<CatchesUp>,
}

/// Tells a ledger of everything that was decided so far.
pub type CatchesUp = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Kept {
    /// What every node must come to, by log index.
    hashes: BTreeMap<u64, u64>,
    /// Who led, by term.
    leaders: BTreeMap<u64, u64>,
    /// The newest state that was checked.
    checked: u64,
    seen: Seen,
    /// Where each request was carried out first, and what came of it.
    requests: BTreeMap<(String, String), (u64, Result<Answer, Reject>)>,
    /// The newest command that anybody was told of.
    answered: u64,
    /// Chats that are open, in the newest state.
    open: Vec<String>,
    /// Commands by kind.
    kinds: BTreeMap<&'static str, u64>,
    /// What was asked and answered, for a second opinion.
    judge: Judge,
    /// What must not be, once it was.
    broken: Option<String>,
}

/// When something was asked: what had been answered before.
#[derive(Clone, Copy, Debug)]
pub struct Asked(u64);

impl Ledger {
    /// An empty one.
    pub fn new(trace: Trace) -> Self {
        Self {
            trace,
            kept: Mutex::default(),
            catches_up: None,
        }
    }

    /// One whose nodes are processes of their own, of whom somebody has to read.
    pub fn reading(trace: Trace, catches_up: CatchesUp) -> Self {
        Self {
            catches_up: Some(catches_up),
            ..Self::new(trace)
        }
    }

    /// What was kept, with everything that was decided before this moment.
    fn newest(&self) -> MutexGuard<'_, Kept> {
        if let Some(catches_up) = &self.catches_up {
            catches_up();
        }
        self.kept.lock()
    }

    /// To be called right before something is asked for the first time.
    pub fn asks(&self) -> Asked {
        Asked(self.kept.lock().answered)
    }

    /// To be called right before a request is sent for the first time that does something to a chat.
    pub fn acts(&self, actor: &str, request: &str, chat: &str, deed: Deed) -> Asked {
        let mut kept = self.kept.lock();
        kept.judge.asks(actor, request, chat, deed);
        Asked(kept.answered)
    }

    /// Whether one order explains what people asked and were told.
    ///
    /// # Errors
    /// What none explains.
    pub fn verdict(&self) -> Result<(), String> {
        self.newest().judge.verdict()
    }

    /// A request was answered with yes (at this log index, where it was told), or refused by the state.
    pub fn answers(&self, actor: &str, request: &str, asked: Asked, yes: bool, index: Option<u64>) {
        let mut kept = self.newest();
        if yes {
            kept.judge.grants(actor, request);
        }
        let found = kept.requests.get(&(actor.to_owned(), request.to_owned()));
        let Some((at, result)) = found.cloned() else {
            // What never came before the state may be refused, but not granted.
            if yes {
                kept.breaks(format!(
                    "3: {actor} was told yes to {request}, which no node has carried out"
                ));
            }
            return;
        };
        if yes != result.is_ok() {
            // A node may refuse by itself what another took.
            if yes {
                kept.breaks(format!(
                    "3: {actor} was told yes to {request}, which was refused at {at}: {result:?}"
                ));
            }
            return;
        }
        if index.is_some_and(|told| told != 0 && told < at) {
            kept.breaks(format!(
                "3: {actor} was told that {request} took place at {index:?}, and not at {at}"
            ));
        }
        if at <= asked.0 {
            kept.breaks(format!(
                "linearizable: {request} of {actor} took place at {at}, before {} was answered, after which it was asked",
                asked.0
            ));
        }
        kept.answered = kept.answered.max(at);
    }

    /// A request was answered with this chat.
    pub fn answers_with(&self, actor: &str, request: &str, chat: &str) {
        let mut kept = self.newest();
        let found = kept.requests.get(&(actor.to_owned(), request.to_owned()));
        if let Some((at, Ok(Answer::Chat { chat: made, .. }))) = found
            && made.as_str() != chat
        {
            let told =
                format!("3: {actor} was told that {request} is {chat}, and at {at} it made {made}");
            kept.breaks(told);
        }
    }

    /// A read told of everything up to this log index.
    pub fn reads(&self, asked: Asked, index: u64) {
        let mut kept = self.kept.lock();
        if index < asked.0 {
            kept.breaks(format!(
                "linearizable: a read told of {index}, after {} had been answered",
                asked.0
            ));
        }
        kept.answered = kept.answered.max(index);
    }

    /// A node came to a state, by this at last; every node must come to the same, in every life.
    pub fn comes_to(&self, node: u64, index: u64, hash: u64, by: &impl std::fmt::Debug) {
        self.kept.lock().comes_to(node, index, hash, by);
    }

    /// A node leads in a term.
    pub fn leads(&self, term: u64, node: u64) {
        let known = *self.kept.lock().leaders.entry(term).or_insert(node);
        if known != node {
            self.breaks(format!("nodes {known} and {node} both lead in term {term}"));
        }
    }

    /// Something must not be, and was seen.
    pub fn breaks(&self, what: String) {
        self.trace.tell(format!("broken: {what}"));
        self.kept.lock().breaks(what);
    }

    /// What must not be and was, if anything.
    pub fn broken(&self) -> Option<String> {
        self.kept.lock().broken.clone()
    }

    /// How many commands of each kind were carried out.
    pub fn kinds(&self) -> BTreeMap<&'static str, u64> {
        self.kept.lock().kinds.clone()
    }

    /// Chats that are open, in the newest state.
    pub fn open(&self) -> Vec<String> {
        self.kept.lock().open.clone()
    }
}

impl Kept {
    /// A node came to a state, by this at last; every node must come to the same, in every life.
    fn comes_to(&mut self, node: u64, index: u64, hash: u64, by: &impl std::fmt::Debug) {
        let first = *self.hashes.entry(index).or_insert(hash);
        if first != hash {
            self.breaks(format!(
                "7: node {node} has {hash:016x} at log index {index}, where another had {first:016x}: {by:?}"
            ));
        }
    }

    fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}

impl Witness for Ledger {
    fn applied(&self, moment: Moment<'_>) -> Result<(), String> {
        let mut kept = self.kept.lock();
        let index = moment.command.index;
        kept.comes_to(moment.node, index, moment.hash, &moment.command.command);
        // The same state is the same on every node; and whoever restarts comes by old ones again.
        if index <= kept.checked {
            return Ok(());
        }
        kept.checked = index;
        let command = moment.command;
        *kept.kinds.entry(command.command.name()).or_default() += 1;
        if !command.request_id.is_empty() {
            let key = (command.actor.clone(), command.request_id.clone());
            let result = &moment.outcome.result;
            // A refusal is not remembered: the same request may be granted later, once.
            match kept.requests.get(&key) {
                Some((at, Ok(Answer::Chat { chat: one, .. }))) => {
                    if let Ok(Answer::Chat { chat, .. }) = result
                        && chat != one
                    {
                        let twice =
                            format!("3: {key:?} made '{one}' at {at} and '{chat}' at {index}");
                        kept.breaks(twice);
                    }
                }
                Some((_, Ok(_))) => {}
                Some((_, Err(_))) | None => {
                    if result.is_ok()
                        && let Err(broken) = invariants::acts(command, moment.state)
                    {
                        kept.breaks(broken);
                    }
                    kept.requests.insert(key, (index, result.clone()));
                }
            }
        }
        let granted = moment.outcome.result.is_ok();
        kept.judge.sees(command, granted, moment.state);
        let open = moment.state.chats().values().filter(|c| !c.is_closed());
        kept.open = open.map(|c| c.id.to_string()).collect();
        let checked = invariants::check(moment.state).and_then(|()| kept.seen.then(moment.state));
        if let Err(broken) = checked {
            self.trace.tell(format!("broken at {index}: {broken}"));
            kept.breaks(format!("{broken}, after {:?}", command.command));
        }
        Ok(())
    }
}
