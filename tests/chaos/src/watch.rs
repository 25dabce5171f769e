//! Reads what the nodes came to, in every life, and tells the ledger.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use meridian_node::delivery::Delivery;
use meridian_node::machine::RoutingMachine;
use meridian_node::raft::Machine as _;
use meridian_node::witness::Record;
use meridian_people::ledger::Ledger;
use meridian_routing::rules;
use parking_lot::Mutex;

/// Reads for a ledger.
#[derive(Default)]
pub struct Watch {
    ledger: OnceLock<Arc<Ledger>>,
    read: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    lives: Vec<Life>,
    follower: Option<Follower>,
    /// What was read and not carried out here yet, by log index.
    pending: BTreeMap<u64, Vec<u8>>,
}

/// One life of a node.
struct Life {
    node: u64,
    path: PathBuf,
    /// Open once it is there.
    file: Option<File>,
    /// What was read of a record that is not whole yet.
    rest: Vec<u8>,
    /// Nothing comes any more.
    over: bool,
}

/// Carries out the log as a node does; the ledger sees every state.
struct Follower {
    machine: RoutingMachine,
    index: u64,
}

/// A follower is no node.
const NOBODY: u64 = 0;

impl Watch {
    /// Says who is told.
    pub fn tells(&self, ledger: Arc<Ledger>) {
        let (machine, ..) = RoutingMachine::new(
            (NOBODY, rules::NEWEST),
            Arc::new(Delivery::default()),
            Some(ledger.clone()),
        );
        self.read.lock().follower = Some(Follower { machine, index: 0 });
        // Said once.
        let _ = self.ledger.set(ledger);
    }

    /// Reads this life of a node, too.
    pub fn follow(&self, node: u64, path: PathBuf) {
        self.read.lock().lives.push(Life {
            node,
            path,
            file: None,
            rest: Vec::new(),
            over: false,
        });
    }

    /// Every life of a node so far is over.
    pub fn is_over(&self, node: u64) {
        let mut read = self.read.lock();
        let lives = read.lives.iter_mut().filter(|life| life.node == node);
        lives.for_each(|life| life.over = true);
    }

    /// Tells the ledger of everything that was decided before this moment.
    pub fn catch_up(&self) {
        // It reads files and carries out the log; packets and people go on meanwhile.
        tokio::task::block_in_place(|| self.read_on());
    }

    fn read_on(&self) {
        let Some(ledger) = self.ledger.get() else {
            return;
        };
        let mut read = self.read.lock();
        read.take_in(ledger);
        let Some(newest) = read.pending.keys().next_back().copied() else {
            return;
        };
        // A node that was given a state whole has no record of what came before it; whoever has, wrote it before the
        // newest record seen now, and so before this second look.
        read.take_in(ledger);
        read.carry_out(newest);
    }
}

impl Reading {
    /// Reads on in every life.
    fn take_in(&mut self, ledger: &Ledger) {
        let done = self.follower.as_ref().map_or(0, |f| f.index);
        for life in &mut self.lives {
            for record in life.records(ledger) {
                let by = format_args!("what is told of it");
                ledger.comes_to(life.node, record.index, record.hash, &by);
                if record.index > done {
                    self.pending.entry(record.index).or_insert(record.entry);
                }
            }
        }
        self.lives.retain(|life| !life.over);
    }

    /// Carries out everything up to a log index.
    fn carry_out(&mut self, newest: u64) {
        let Some(follower) = &mut self.follower else {
            return;
        };
        while let Some(first) = self.pending.first_entry()
            && *first.key() <= newest
        {
            let (index, entry) = first.remove_entry();
            follower.machine.apply(index, &entry);
            follower.machine.committed();
            follower.index = index;
        }
    }
}

impl Life {
    /// What it came to since the last look.
    fn records(&mut self, ledger: &Ledger) -> Vec<Record> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => ledger.breaks(format!("{}: {error}", self.path.display())),
            }
        }
        let Some(file) = &mut self.file else {
            return Vec::new();
        };
        if let Err(error) = file.read_to_end(&mut self.rest) {
            ledger.breaks(format!("{}: {error}", self.path.display()));
        }
        let (mut records, mut bytes) = (Vec::new(), self.rest.as_slice());
        loop {
            match Record::take(&mut bytes) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => {
                    ledger.breaks(format!("{}: {error}", self.path.display()));
                    break;
                }
            }
        }
        self.rest = bytes.to_vec();
        records
    }
}
