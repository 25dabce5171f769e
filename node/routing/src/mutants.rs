//! Deliberate bugs, to show that the tests which promise something would notice. None of this is built unless the
//! feature `mutants` is on, which nothing that ships turns on; then one of them may be chosen for the whole process.

/// A deliberate bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// An offer is accepted whatever number the acceptance names.
    AcceptsOldOffers = 1,
    /// A chat is accepted by whoever says so.
    AcceptsWithoutOffer,
    /// An older session may still act.
    SessionsUnfenced,
    /// A resumed session keeps its number.
    SessionsUnnumbered,
    /// A request that is repeated acts again.
    RequestsRepeat,
    /// Answers to requests are not written down.
    AnswersForgotten,
    /// A chat that comes back to the line counts from then on.
    ArrivalLost,
    /// A chat whose agent is gone goes with them.
    ChatLost,
    /// An offer stands for a day.
    OffersStand,
    /// Who has become free is not looked at.
    FreeUnseen,
    /// One more chat than there is room for.
    OverCapacity,
    /// Whoever came last is served first.
    NewestFirst,
    /// A chat that is over is not counted.
    Uncounted,
    /// Time is what the leader says.
    TimeRunsBack,
    /// Entries are acknowledged before they are on disk.
    AckBeforeSync,
    /// A vote is given before it is on disk.
    VoteBeforeSync,
    /// A vote is not written down.
    VoteForgotten,
    /// Entries that another leader replaces stay in the log.
    ReplacedEntriesStay,
    /// A disk that takes nothing more is taken for one that does.
    SyncFailureIgnored,
    /// A read asks nobody whether it is still right.
    ReadsStale,
    /// What a node decides depends on which one it is.
    ReplicasDiffer,
    /// A snapshot leaves something out.
    SnapshotLacks,
    /// A node that starts again leaves something out.
    RestartLacks,
    /// What a disk gives back is taken for what was written.
    DamageBelieved,
}

/// All of them.
pub const ALL: [Mutant; 24] = [
    Mutant::AcceptsOldOffers,
    Mutant::AcceptsWithoutOffer,
    Mutant::SessionsUnfenced,
    Mutant::SessionsUnnumbered,
    Mutant::RequestsRepeat,
    Mutant::AnswersForgotten,
    Mutant::ArrivalLost,
    Mutant::ChatLost,
    Mutant::OffersStand,
    Mutant::FreeUnseen,
    Mutant::OverCapacity,
    Mutant::NewestFirst,
    Mutant::Uncounted,
    Mutant::TimeRunsBack,
    Mutant::AckBeforeSync,
    Mutant::VoteBeforeSync,
    Mutant::VoteForgotten,
    Mutant::ReplacedEntriesStay,
    Mutant::SyncFailureIgnored,
    Mutant::ReadsStale,
    Mutant::ReplicasDiffer,
    Mutant::SnapshotLacks,
    Mutant::RestartLacks,
    Mutant::DamageBelieved,
];

#[cfg(feature = "mutants")]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether this is the one that was chosen.
#[cfg(feature = "mutants")]
pub fn is(mutant: Mutant) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

/// None is ever chosen.
#[cfg(not(feature = "mutants"))]
pub const fn is(_mutant: Mutant) -> bool {
    false
}

/// Chooses one, for the whole process.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Mutant) {
    CHOSEN.store(mutant as u8, std::sync::atomic::Ordering::Relaxed);
}
