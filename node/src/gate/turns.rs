//! Writes take turns: so many are in hand at a time, the rest wait in lines, one a connection, and every address has its
//! turn, and within it every connection. When the lines are full, whoever has the most waiting is refused.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::Source;

/// Hands out turns. Clones are the same.
#[derive(Clone)]
pub struct Turns(Arc<Inner>);

struct Inner {
    in_hand_max: usize,
    waiting_max: usize,
    lines: Mutex<Lines>,
    in_hand: watch::Sender<usize>,
}

/// One write is in hand until this is dropped.
pub struct Turn {
    /// `None` once somebody else has it.
    turns: Option<Turns>,
}

/// There are too many waiting already, of this source's or of everybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Where somebody waits; dropped without a word when they are refused.
type Waiter = oneshot::Sender<Turn>;

#[derive(Default)]
struct Lines {
    waiting: usize,
    /// Whose turn it was last.
    last: Option<Option<IpAddr>>,
    addresses: BTreeMap<Option<IpAddr>, Address>,
}

#[derive(Default)]
struct Address {
    waiting: usize,
    last: Option<u64>,
    connections: BTreeMap<u64, VecDeque<Waiter>>,
}

/// The first key after `last`, and from the beginning where there is none.
fn after<K: Ord + Copy, V>(map: &BTreeMap<K, V>, last: Option<K>) -> Option<K> {
    let next = last.and_then(|last| {
        let mut later = map.range((Bound::Excluded(last), Bound::Unbounded));
        later.next()
    });
    next.or_else(|| map.first_key_value()).map(|(key, _)| *key)
}

impl Lines {
    fn push(&mut self, source: Source, waiter: Waiter) {
        let address = self.addresses.entry(source.address).or_default();
        let line = address.connections.entry(source.connection).or_default();
        line.push_back(waiter);
        address.waiting += 1;
        self.waiting += 1;
    }

    /// Whose turn is next.
    fn next(&mut self) -> Option<Waiter> {
        let at = after(&self.addresses, self.last)?;
        self.last = Some(at);
        let address = self.addresses.get_mut(&at)?;
        let connection = after(&address.connections, address.last)?;
        address.last = Some(connection);
        self.take(at, connection, VecDeque::pop_front)
    }

    /// Refuses the newest of the longest line of the address that has most waiting, unless that is `source`'s own.
    fn refuse_longest(&mut self, source: Source) -> bool {
        let longest = self.addresses.iter().max_by_key(|(_, a)| a.waiting);
        let Some((&at, address)) = longest else {
            return false;
        };
        let own = self.addresses.get(&source.address);
        let lines = address.connections.iter();
        let Some((&connection, line)) = lines.max_by_key(|(_, line)| line.len()) else {
            return false;
        };
        let own_line = own.and_then(|a| a.connections.get(&source.connection));
        let has_most = own.map_or(0, |a| a.waiting) >= address.waiting
            && (at != source.address || own_line.map_or(0, VecDeque::len) >= line.len());
        !has_most && self.take(at, connection, VecDeque::pop_back).is_some()
    }

    /// Takes out whoever has left without a word.
    fn sweep(&mut self) {
        self.waiting = 0;
        self.addresses.retain(|_, address| {
            address.waiting = 0;
            address.connections.retain(|_, line| {
                line.retain(|waiter| !waiter.is_closed());
                address.waiting += line.len();
                !line.is_empty()
            });
            self.waiting += address.waiting;
            address.waiting > 0
        });
    }

    fn take(
        &mut self,
        at: Option<IpAddr>,
        connection: u64,
        pop: impl Fn(&mut VecDeque<Waiter>) -> Option<Waiter>,
    ) -> Option<Waiter> {
        let address = self.addresses.get_mut(&at)?;
        let line = address.connections.get_mut(&connection)?;
        let waiter = pop(line)?;
        if line.is_empty() {
            address.connections.remove(&connection);
        }
        address.waiting -= 1;
        self.waiting -= 1;
        if address.waiting == 0 {
            self.addresses.remove(&at);
        }
        Some(waiter)
    }
}

impl Turns {
    /// So many writes are in hand at a time, and so many wait at most.
    pub fn new(in_hand_max: usize, waiting_max: usize) -> Self {
        Self(Arc::new(Inner {
            in_hand_max,
            waiting_max,
            lines: Mutex::default(),
            in_hand: watch::channel(0).0,
        }))
    }

    /// Waits for a turn. Whoever stops waiting loses their place.
    ///
    /// # Errors
    /// [`TooMany`].
    pub async fn turn(&self, source: Source) -> Result<Turn, TooMany> {
        let waits = {
            let mut lines = self.0.lines.lock();
            if lines.waiting == 0 && *self.0.in_hand.borrow() < self.0.in_hand_max {
                return Ok(self.grant());
            }
            if lines.waiting >= self.0.waiting_max {
                lines.sweep();
            }
            if lines.waiting >= self.0.waiting_max && !lines.refuse_longest(source) {
                return Err(TooMany);
            }
            let (waiter, waits) = oneshot::channel();
            lines.push(source, waiter);
            waits
        };
        waits.await.map_err(|_| TooMany)
    }

    /// A turn at once, for what the node does itself: it is bounded by what the node is, and others wait for it.
    pub fn own(&self) -> Turn {
        let _lines = self.0.lines.lock();
        self.grant()
    }

    /// How many are in hand.
    pub fn in_hand(&self) -> usize {
        *self.0.in_hand.borrow()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.lines.lock().waiting
    }

    /// Returns when none is in hand, and none waits.
    pub async fn idle(&self) {
        let mut in_hand = self.0.in_hand.subscribe();
        // Its sender lives as long as this.
        let _ = in_hand.wait_for(|count| *count == 0).await;
    }

    /// While the lines are locked.
    fn grant(&self) -> Turn {
        self.0.in_hand.send_modify(|count| *count += 1);
        Turn {
            turns: Some(self.clone()),
        }
    }

    /// While the lines are not locked: a turn goes to whoever is next and still waits.
    fn pass_on(&self) {
        loop {
            let (turn, waiter) = {
                let mut lines = self.0.lines.lock();
                self.0.in_hand.send_modify(|count| *count -= 1);
                if *self.0.in_hand.borrow() >= self.0.in_hand_max {
                    return;
                }
                let Some(waiter) = lines.next() else { return };
                (self.grant(), waiter)
            };
            match waiter.send(turn) {
                Ok(()) => return,
                // Whoever waited has left. Dropped as it is, it would come back here, deeper each time.
                Err(mut turn) => turn.turns = None,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn from(last: u8, connection: u64) -> Source {
        Source {
            address: Some(IpAddr::from([10, 0, 0, last])),
            connection,
        }
    }

    type Waits = std::pin::Pin<Box<dyn Future<Output = Result<Turn, TooMany>>>>;

    /// Asks for a turn, and stands in line.
    fn asks(turns: &Turns, source: Source) -> Waits {
        let turns = turns.clone();
        let mut waits: Waits = Box::pin(async move { turns.turn(source).await });
        assert!(waits.as_mut().now_or_never().is_none(), "it has to wait");
        waits
    }

    fn served(waits: &mut Waits) -> Option<Turn> {
        let served = waits.as_mut().now_or_never()?;
        assert!(served.is_ok(), "refused");
        served.ok()
    }

    fn at_once(turns: &Turns, source: Source) -> Option<Turn> {
        turns.turn(source).now_or_never()?.ok()
    }

    #[test]
    fn whoever_asks_for_much_waits_behind_whoever_asks_for_little() {
        let turns = Turns::new(1, 100);
        let mut held = at_once(&turns, from(1, 1));
        let mut flood: Vec<Waits> = (0..20).map(|_| asks(&turns, from(1, 1))).collect();
        let second = asks(&turns, from(1, 2));
        let other = asks(&turns, from(2, 3));
        assert_eq!((turns.in_hand(), turns.waiting()), (1, 22));

        let later = flood.split_off(1);
        let first = flood.into_iter().chain([other, second]).chain(later);
        for mut waits in first.take(5) {
            drop(held);
            held = served(&mut waits);
            assert!(held.is_some());
        }
    }

    #[test]
    fn when_the_lines_are_full_the_longest_gives_way() {
        let turns = Turns::new(1, 3);
        let held = at_once(&turns, from(1, 1));
        let mut flood: Vec<Waits> = (0..3).map(|_| asks(&turns, from(1, 1))).collect();
        let refused = turns.turn(from(1, 1)).now_or_never();
        assert!(matches!(refused, Some(Err(TooMany))), "it has the most");
        let mut other = asks(&turns, from(2, 3));
        let newest = flood[2].as_mut().now_or_never();
        assert!(
            matches!(newest, Some(Err(TooMany))),
            "the newest of the flood"
        );
        drop(held);
        drop(served(&mut flood[0]));
        assert!(served(&mut other).is_some());
    }

    #[test]
    fn behind_one_address_the_longest_line_gives_way_and_whoever_left_is_in_none() {
        let turns = Turns::new(1, 3);
        let held = at_once(&turns, from(1, 1));
        let mut flood: Vec<Waits> = (0..3).map(|_| asks(&turns, from(1, 1))).collect();
        let mut other = asks(&turns, from(1, 2));
        let newest = flood
            .pop()
            .and_then(|mut waits| waits.as_mut().now_or_never());
        assert!(
            matches!(newest, Some(Err(TooMany))),
            "the newest of the flood"
        );
        drop(flood.pop());
        let mut third = asks(&turns, from(1, 3));
        assert_eq!(turns.waiting(), 3, "one has left, and one has come");
        drop(held);
        for waits in [&mut flood[0], &mut other, &mut third] {
            drop(served(waits).expect("a turn"));
        }
    }

    #[test]
    fn whoever_leaves_the_line_costs_nobody_a_turn() {
        let turns = Turns::new(1, 100_000);
        let held = at_once(&turns, from(1, 1));
        let left: Vec<Waits> = (0..50_000).map(|_| asks(&turns, from(1, 1))).collect();
        let mut stays = asks(&turns, from(1, 1));
        drop(left);
        drop(held);
        drop(served(&mut stays).expect("a turn"));
        assert!(turns.idle().now_or_never().is_some());
        assert_eq!((turns.in_hand(), turns.waiting()), (0, 0));
        assert!(turns.0.lines.lock().addresses.is_empty());
    }

    #[test]
    fn a_turn_given_to_somebody_who_is_gone_goes_on() {
        let turns = Turns::new(1, 10);
        let held = at_once(&turns, from(1, 1));
        let gone = asks(&turns, from(1, 1));
        let mut next = asks(&turns, from(1, 1));
        drop(held);
        // It has been given its turn, and never looks.
        drop(gone);
        assert!(served(&mut next).is_some());
    }

    #[test]
    fn the_node_itself_never_waits() {
        let turns = Turns::new(1, 10);
        let held = at_once(&turns, from(1, 1));
        let own = turns.own();
        let mut waits = asks(&turns, from(1, 1));
        drop(held);
        assert!(
            waits.as_mut().now_or_never().is_none(),
            "one is still in hand"
        );
        drop(own);
        assert!(served(&mut waits).is_some());
    }
}
