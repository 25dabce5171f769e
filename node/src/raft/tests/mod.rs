//! The whole of Raft on real disks and real loopback connections.

mod cluster;
mod damage;
mod disk;
mod elections;
mod failover;
mod install;
mod membership;
mod past;
mod pipeline;
mod proxy;
mod refusals;
mod reversion;
mod speed;
mod store;
mod suite;
mod wan;

use std::collections::BTreeMap;

use super::machine::{Applied, Machine};

/// Adds up numbers; remembers every command in its history.
#[derive(Default)]
pub(super) struct Counter {
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The command that adds `number` to the counter `name`.
pub(super) fn add(name: &str, number: u64) -> Vec<u8> {
    [&number.to_be_bytes(), name.as_bytes()].concat()
}

/// The same, `bytes` long: what follows a zero byte means nothing.
pub(super) fn large(name: &str, number: u64, bytes: usize) -> Vec<u8> {
    let mut command = add(name, number);
    command.resize(bytes, 0);
    command
}

pub(super) fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

impl Machine for Counter {
    fn apply(&mut self, index: u64, command: &[u8]) -> Applied {
        let (amount, name) = command.split_at(8);
        let name = name.split(|byte| *byte == 0).next().unwrap();
        let old = self.state.get(name).map_or(0, |old| number(old));
        let new = (old + number(amount)).to_be_bytes().to_vec();
        self.state.insert(name.to_vec(), new.clone());
        Applied {
            reply: new.clone(),
            writes: vec![(name.to_vec(), Some(new))],
            history: vec![(index.to_be_bytes().to_vec(), Some(command.to_vec()))],
        }
    }

    fn restore(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), String> {
        if entries.iter().any(|(_, value)| value.len() != 8) {
            return Err("a counter is not eight bytes long".to_owned());
        }
        self.state = entries.into_iter().collect();
        Ok(())
    }

    fn hash(&self) -> u64 {
        self.state.iter().fold(7, |hash, (key, value)| {
            let crc = crc32c::crc32c_append(crc32c::crc32c(key), value);
            hash * 31 % 1_000_000_007 + u64::from(crc)
        })
    }
}
