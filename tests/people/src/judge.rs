//! A second opinion on what people were told, by a checker that somebody else keeps.
//!
//! The [ledger](crate::ledger) takes the log for the order in which everything happened. This one does not: it is given
//! when each thing was asked and when it was answered, and what the cluster did by itself, and looks for an order that
//! rules much plainer than the core's allow. There must be one for every chat (offers, acceptances, one owner) and for every
//! agent (capacity). What was carried out and never answered, or answered with no, may have happened at any time since.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use meridian_routing::command::{Command, Stamped};
use meridian_routing::model::Phase;
use meridian_routing::state::{Chat, State};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

use crate::world::capacity;

/// What happens to a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The cluster offers it.
    Offered {
        /// To whom.
        to: Vec<String>,
        /// Which offer it is.
        assignment: u64,
    },
    /// The cluster withdraws the offer.
    Withdrawn,
    /// The cluster takes it from its owner, back into the line.
    Freed,
    /// The cluster gives it to an agent without asking.
    Given(String),
    /// The cluster ends it.
    Over,
    /// An agent accepts an offer.
    Accept(String, u64),
    /// An agent declines an offer.
    Decline(String, u64),
    /// Its owner ends the talk.
    End(String),
    /// Its owner finishes what comes after.
    Finish(String),
    /// Its visitor leaves.
    Leave,
}

impl Deed {
    /// What somebody asks for by a command, and of which chat.
    fn of(command: &Command) -> Option<(String, Self)> {
        let (chat, deed) = match command {
            Command::AcceptOffer {
                agent,
                chat,
                assignment,
                ..
            } => (chat, Self::Accept(agent.to_string(), *assignment)),
            Command::DeclineOffer {
                agent,
                chat,
                assignment,
                ..
            } => (chat, Self::Decline(agent.to_string(), *assignment)),
            Command::EndChat { agent, chat, .. } => (chat, Self::End(agent.to_string())),
            Command::FinishWrapUp { agent, chat, .. } => (chat, Self::Finish(agent.to_string())),
            Command::LeaveChat { chat } => (chat, Self::Leave),
            _ => return None,
        };
        Some((chat.to_string(), deed))
    }
}

/// A chat, by the plainest rules there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OneChat {
    offer: Option<(Vec<String>, u64)>,
    /// Who owns it, and by which offer; 0 where there was none.
    owner: Option<(String, u64)>,
    over: bool,
}

impl OneChat {
    fn of(chat: &Chat) -> Self {
        let name = ToString::to_string;
        Self {
            offer: match &chat.phase {
                Phase::Offered { to, .. } => Some((to.iter().map(name).collect(), chat.assignment)),
                _ => None,
            },
            owner: match &chat.phase {
                Phase::Active { agent } => Some((agent.to_string(), chat.assignment)),
                _ => None,
            },
            over: matches!(chat.phase, Phase::WrapUp { .. } | Phase::Closed(_)),
        }
    }

    /// What the cluster must have done by itself to come from here to there.
    fn becomes(&self, there: &Self) -> Vec<Deed> {
        let owner = |chat: &Self| chat.owner.as_ref().map(|(agent, _)| agent.clone());
        let mut deeds = Vec::new();
        if there.over {
            if !self.over {
                deeds.push(Deed::Over);
            }
            return deeds;
        }
        let changed = owner(self) != owner(there);
        if changed && self.owner.is_some() {
            deeds.push(Deed::Freed);
        }
        match &there.offer {
            Some((to, assignment)) if self.offer != there.offer => deeds.push(Deed::Offered {
                to: to.clone(),
                assignment: *assignment,
            }),
            None if self.offer.is_some() => deeds.push(Deed::Withdrawn),
            _ => {}
        }
        if changed && let Some(agent) = owner(there) {
            deeds.push(Deed::Given(agent));
        }
        deeds
    }

    fn is_offered(&self, agent: &String, assignment: u64) -> bool {
        let offer = self.offer.as_ref();
        offer.is_some_and(|(to, number)| to.contains(agent) && *number == assignment)
    }
}

impl SequentialSpec for OneChat {
    type Op = Deed;
    /// Whether it was done.
    type Ret = bool;

    fn invoke(&mut self, deed: &Deed) -> bool {
        let free = self.owner.is_none() && !self.over;
        let done = match deed {
            Deed::Offered { .. } | Deed::Withdrawn | Deed::Given(_) => free,
            Deed::Freed => self.owner.is_some(),
            Deed::Over => !self.over,
            Deed::Accept(agent, assignment) => {
                let again = self.owner == Some((agent.clone(), *assignment));
                again || free && self.is_offered(agent, *assignment)
            }
            Deed::Decline(agent, assignment) => free && self.is_offered(agent, *assignment),
            Deed::End(agent) => self.owner.as_ref().is_some_and(|(owner, _)| owner == agent),
            Deed::Finish(_) => self.over,
            Deed::Leave => true,
        };
        if !done {
            return false;
        }
        match deed {
            Deed::Offered { to, assignment } => self.offer = Some((to.clone(), *assignment)),
            Deed::Withdrawn | Deed::Decline(..) => self.offer = None,
            Deed::Freed => self.owner = None,
            Deed::Given(agent) => (self.owner, self.offer) = (Some((agent.clone(), 0)), None),
            Deed::Accept(agent, number) => {
                (self.owner, self.offer) = (Some((agent.clone(), *number)), None);
            }
            Deed::Over | Deed::End(_) | Deed::Leave => {
                *self = Self {
                    over: true,
                    ..Self::default()
                };
            }
            Deed::Finish(_) => {}
        }
        true
    }
}

/// What happens to an agent: a chat takes a place, or makes room.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Load {
    Takes(String),
    Drops(String),
}

/// An agent, who carries so many chats and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OneAgent {
    capacity: usize,
    chats: BTreeSet<String>,
}

impl SequentialSpec for OneAgent {
    type Op = Load;
    type Ret = bool;

    fn invoke(&mut self, load: &Load) -> bool {
        match load {
            Load::Takes(chat) => {
                let fits = self.chats.contains(chat) || self.chats.len() < self.capacity;
                if fits {
                    self.chats.insert(chat.clone());
                }
                fits
            }
            // Whoever finishes twice is told yes twice.
            Load::Drops(chat) => {
                self.chats.remove(chat);
                true
            }
        }
    }
}

/// One moment of a history: what was asked under a key, that it was answered with yes, or what the cluster did by itself.
#[derive(Clone, Debug)]
enum Moment<Op> {
    Asked(u64, Op),
    Yes(u64),
    Happened(Op),
}

impl<Op> Moment<Op> {
    fn asked(&self) -> Option<u64> {
        match self {
            Self::Asked(key, _) => Some(*key),
            Self::Yes(_) | Self::Happened(_) => None,
        }
    }

    fn answered(&self) -> Option<u64> {
        match self {
            Self::Yes(key) => Some(*key),
            Self::Asked(..) | Self::Happened(_) => None,
        }
    }
}

/// What happened to each of many things, in the order in which it was seen.
#[derive(Debug)]
struct Histories<S: SequentialSpec>(BTreeMap<String, Vec<Moment<S::Op>>>);

impl<S: SequentialSpec> Default for Histories<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S> Histories<S>
where
    S: SequentialSpec<Ret = bool> + Clone,
    S::Op: Clone + Debug,
{
    fn add(&mut self, of: &str, moment: Moment<S::Op>) {
        self.0.entry(of.to_owned()).or_default().push(moment);
    }

    /// Whether there is an order for each that starts from `first`. What was asked and never done changes nothing, and
    /// would only be tried at every place.
    fn check(&self, done: &BTreeSet<u64>, first: impl Fn(&str) -> S) -> Result<(), String> {
        for (of, moments) in &self.0 {
            let told: BTreeSet<u64> = moments.iter().filter_map(Moment::answered).collect();
            let moments: Vec<_> = moments
                .iter()
                .filter(|m| {
                    m.asked()
                        .is_none_or(|key| done.contains(&key) || told.contains(&key))
                })
                .cloned()
                .collect();
            if !linearizable(first(of), &moments)? {
                return Err(format!("linearizable: no order explains {of}: {moments:?}"));
            }
        }
        Ok(())
    }
}

/// Whether an order explains it. The cluster is one thread, 0; people are as many as ask at the same time.
fn linearizable<S>(first: S, moments: &[Moment<S::Op>]) -> Result<bool, String>
where
    S: SequentialSpec<Ret = bool> + Clone,
    S::Op: Clone + Debug,
{
    let mut tester = LinearizabilityTester::new(first);
    let mut asking: BTreeMap<u64, u32> = BTreeMap::new();
    let mut busy = BTreeSet::from([0]);
    for moment in moments {
        match moment {
            Moment::Asked(key, op) => {
                let thread = (1..).find(|thread| !busy.contains(thread)).unwrap_or(0);
                busy.insert(thread);
                asking.insert(*key, thread);
                tester.on_invoke(thread, op.clone())?;
            }
            Moment::Yes(key) => {
                if let Some(thread) = asking.remove(key) {
                    busy.remove(&thread);
                    tester.on_return(thread, true)?;
                }
            }
            Moment::Happened(op) => {
                tester.on_invoke(0, op.clone())?.on_return(0, true)?;
            }
        }
    }
    Ok(tester.is_consistent())
}

/// What was asked, answered and done.
#[derive(Debug, Default)]
pub struct Judge {
    chats: Histories<OneChat>,
    agents: Histories<OneAgent>,
    /// What was asked for, by who and under which request.
    keys: BTreeMap<(String, String), (u64, String, Deed)>,
    /// What of it was carried out, whether anybody was told or not.
    done: BTreeSet<u64>,
    /// Where the log has brought each chat, and whom it is carried by.
    now: BTreeMap<String, OneChat>,
    carried: BTreeMap<String, String>,
}

impl Judge {
    /// Somebody asks for something, for the first time.
    pub fn asks(&mut self, who: &str, request: &str, chat: &str, deed: Deed) {
        let name = (who.to_owned(), request.to_owned());
        if self.keys.contains_key(&name) {
            return;
        }
        let key = self.keys.len() as u64;
        self.chats.add(chat, Moment::Asked(key, deed.clone()));
        if let Some((agent, load)) = load(chat, &deed) {
            self.agents.add(&agent, Moment::Asked(key, load));
        }
        self.keys.insert(name, (key, chat.to_owned(), deed));
    }

    /// They were told yes, for the first time or again.
    pub fn grants(&mut self, who: &str, request: &str) {
        let asked = self.keys.get(&(who.to_owned(), request.to_owned()));
        let Some((key, chat, deed)) = asked.cloned() else {
            return;
        };
        self.chats.add(&chat, Moment::Yes(key));
        if let Some((agent, _)) = load(&chat, &deed) {
            self.agents.add(&agent, Moment::Yes(key));
        }
    }

    /// A command was carried out for the first time, or refused: what the cluster did beside what it was asked for.
    pub fn sees(&mut self, command: &Stamped, granted: bool, state: &State) {
        let asked = Deed::of(&command.command);
        let asked = asked.filter(|_| granted && !command.request_id.is_empty());
        if granted {
            let name = (command.actor.clone(), command.request_id.clone());
            self.done.extend(self.keys.get(&name).map(|(key, ..)| *key));
        }
        // What the agent asked for stands in their history already.
        let own = asked.as_ref().and_then(|(of, deed)| load(of, deed));
        for chat in state.chats().values() {
            let id = chat.id.to_string();
            let asked = asked.as_ref().filter(|(of, _)| *of == id);
            self.comes_to(&id, asked.map(|(_, deed)| deed), OneChat::of(chat));
            let carrier = match &chat.phase {
                Phase::Active { agent } | Phase::WrapUp { agent, .. } => Some(agent.to_string()),
                _ => None,
            };
            self.carries(&id, own.as_ref(), carrier);
        }
    }

    fn comes_to(&mut self, id: &str, asked: Option<&Deed>, there: OneChat) {
        let mut here = self.now.get(id).cloned().unwrap_or_default();
        if let Some(deed) = asked {
            here.invoke(deed);
        }
        for deed in here.becomes(&there) {
            self.chats.add(id, Moment::Happened(deed));
        }
        self.now.insert(id.to_owned(), there);
    }

    fn carries(&mut self, id: &str, own: Option<&(String, Load)>, now: Option<String>) {
        let before = self.carried.get(id).cloned();
        if before == now {
            return;
        }
        for (agent, load) in [
            (&before, Load::Drops(id.to_owned())),
            (&now, Load::Takes(id.to_owned())),
        ] {
            if let Some(agent) = agent
                && own != Some(&(agent.clone(), load.clone()))
            {
                self.agents.add(agent, Moment::Happened(load));
            }
        }
        match now {
            Some(agent) => self.carried.insert(id.to_owned(), agent),
            None => self.carried.remove(id),
        };
    }

    /// Whether one order explains what happened to each chat, and to each agent.
    ///
    /// # Errors
    /// The first for which none does.
    pub fn verdict(&self) -> Result<(), String> {
        self.chats.check(&self.done, |_| OneChat::default())?;
        self.agents.check(&self.done, |agent| OneAgent {
            // Their names are their numbers.
            capacity: agent[1..].parse().map_or(0, capacity) as usize,
            chats: BTreeSet::new(),
        })
    }
}

/// What a deed asked for means for an agent. Whoever accepts a call for somebody to take a chat over, which is named after
/// the chat, carries the chat.
fn load(chat: &str, deed: &Deed) -> Option<(String, Load)> {
    let chat = chat.split_once('~').map_or(chat, |(chat, _)| chat);
    match deed {
        Deed::Accept(agent, _) => Some((agent.clone(), Load::Takes(chat.to_owned()))),
        Deed::Finish(agent) => Some((agent.clone(), Load::Drops(chat.to_owned()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(to: &[&str], assignment: u64) -> Moment<Deed> {
        let to = to.iter().map(|name| (*name).to_owned()).collect();
        Moment::Happened(Deed::Offered { to, assignment })
    }

    fn accepts(key: u64, agent: &str, assignment: u64) -> Moment<Deed> {
        Moment::Asked(key, Deed::Accept(agent.to_owned(), assignment))
    }

    fn explained(moments: &[Moment<Deed>]) -> bool {
        linearizable(OneChat::default(), moments).expect("a history")
    }

    #[test]
    fn two_owners_at_a_time_are_explained_by_no_order() {
        let to_both = offered(&["a0", "a1"], 1);
        let asked = [to_both, accepts(1, "a0", 1), accepts(2, "a1", 1)];
        let both = [&asked[..], &[Moment::Yes(1), Moment::Yes(2)]].concat();
        assert!(explained(&asked), "nobody was answered");
        assert!(!explained(&both));
        let freed = [
            Moment::Happened(Deed::Freed),
            offered(&["a1"], 2),
            accepts(3, "a1", 2),
            Moment::Yes(3),
        ];
        let one_after_the_other = [&asked[..], &[Moment::Yes(1)], &freed[..]].concat();
        assert!(explained(&one_after_the_other));
    }

    #[test]
    fn what_was_answered_before_something_was_asked_came_before_it() {
        let end = Moment::Asked(2, Deed::End("a0".to_owned()));
        let accepted = [offered(&["a0"], 1), accepts(1, "a0", 1)];
        let in_order = [
            &accepted[..],
            &[Moment::Yes(1), end.clone(), Moment::Yes(2)],
        ]
        .concat();
        assert!(explained(&in_order));
        // Answered before the acceptance was even asked for.
        let too_soon = [
            offered(&["a0"], 1),
            end,
            Moment::Yes(2),
            accepts(1, "a0", 1),
            Moment::Yes(1),
        ];
        assert!(!explained(&too_soon));
    }

    #[test]
    fn nobody_carries_more_than_they_can() {
        let takes = |key, chat: &str| Moment::Asked(key, Load::Takes(chat.to_owned()));
        let drops = Moment::Happened(Load::Drops("c1".to_owned()));
        let one = OneAgent {
            capacity: 1,
            chats: BTreeSet::new(),
        };
        let both = [
            takes(1, "c1"),
            takes(2, "c2"),
            Moment::Yes(1),
            Moment::Yes(2),
        ];
        assert_eq!(linearizable(one.clone(), &both), Ok(false));
        let after = [
            takes(1, "c1"),
            Moment::Yes(1),
            drops,
            takes(2, "c2"),
            Moment::Yes(2),
        ];
        assert_eq!(linearizable(one, &after), Ok(true));
    }
}
