//! The state machine the caller plugs in.

/// What one command did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The answer to whoever proposed the command.
    pub reply: Vec<u8>,
    /// Keys of the state family written (`Some`) or deleted (`None`), in order.
    pub writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The same for the history family, which is never read back as a whole.
    pub history: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A pure state machine: the same commands in the same order give the same state, replies and
/// writes on every node. It keeps its state in memory; this layer keeps it on disk.
///
/// All methods are called one at a time; they may compute for long, but not wait.
pub trait Machine: Send + 'static {
    /// Applies the command committed at `index`. A command that is refused is still applied: the
    /// refusal is its reply.
    fn apply(&mut self, index: u64, command: &[u8]) -> Applied;

    /// Replaces the whole state by the content of the state family, in key order. Called at start
    /// and after a snapshot from the leader was installed.
    ///
    /// # Errors
    /// A description of what is corrupt; the node then refuses to run.
    fn restore(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String>;

    /// The index of the last command the state has seen, if the state itself keeps it; at start it
    /// is compared with the log, so that a state that lacks something is found out.
    fn index(&self) -> Option<u64> {
        None
    }

    /// A hash of the state, equal on every node that has applied the same index.
    fn hash(&self) -> u64;

    /// Everything applied so far is written to the database: effects held back since the last call
    /// may be published now.
    fn committed(&mut self) {}
}
