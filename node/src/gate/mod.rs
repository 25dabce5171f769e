//! What stands between clients and the node, so that others go on when one asks for too much, or never finishes asking:
//! connections ([`doors`]), calls and what they hold ([`calls`]), writes ([`turns`]).
//!
//! Who asks is told by where they come from. An address gets half of everything at most; behind a proxy that is the
//! proxy, so writes are shared out among the connections of an address as well.

pub mod calls;
pub mod doors;
pub mod turns;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Where a call comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The address; `None` where there are none, as on a simulated network.
    pub address: Option<IpAddr>,
    /// The connection's number on this node.
    pub connection: u64,
}

/// How many of something there may be, in all and from one address, which gets half at most.
#[derive(Clone)]
pub struct Room(Arc<Mutex<Taken>>, usize);

#[derive(Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<Option<IpAddr>, usize>,
}

/// A place taken; it is free again when this is dropped.
pub struct Place {
    room: Room,
    address: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The address has its half.
    Address(usize),
    /// There is no room at all.
    All(usize),
}

impl Room {
    /// Room for so many.
    pub fn new(max: usize) -> Self {
        Self(Arc::default(), max)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take(&self, address: Option<IpAddr>) -> Result<Place, Full> {
        let max = self.1;
        let half = max.div_ceil(2);
        let mut taken = self.0.lock();
        if taken.all >= max {
            return Err(Full::All(max));
        }
        let count = taken.by_address.entry(address).or_default();
        if *count >= half {
            return Err(Full::Address(half));
        }
        *count += 1;
        taken.all += 1;
        Ok(Place {
            room: self.clone(),
            address,
        })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.0.lock().all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.0.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_gets_half_and_what_is_left_goes_to_others() {
        let address = |last| Some(IpAddr::from([10, 0, 0, last]));
        let room = Room::new(4);
        let mut places = vec![room.take(address(1)).ok(), room.take(address(1)).ok()];
        assert!(places.iter().all(Option::is_some));
        assert_eq!(room.take(address(1)).err(), Some(Full::Address(2)));
        places.push(room.take(address(2)).ok());
        places.push(room.take(address(3)).ok());
        assert_eq!(room.take(address(4)).err(), Some(Full::All(4)));
        assert_eq!(room.taken(), 4);
        places.clear();
        assert_eq!(room.taken(), 0);
        assert!(room.0.lock().by_address.is_empty());
    }
}
