//! Who watches what a node comes to, where somebody does: tests on real processes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use parking_lot::Mutex;
use prost::Message as _;

use crate::env::{Moment, Witness};

/// Checks every invariant after every command.
pub struct Invariants;

impl Witness for Invariants {
    fn applied(&self, moment: Moment<'_>) -> Result<(), String> {
        meridian_routing::invariants::check(moment.state)
    }
}

/// Writes down every state a node comes to, before anybody is told of it, for a reader outside.
pub struct Written(Mutex<File>);

/// One state a node came to.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// Log index of the command.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The state's hash after it.
    #[prost(fixed64, tag = "2")]
    pub hash: u64,
    /// The command as the log holds it.
    #[prost(bytes = "vec", tag = "3")]
    pub entry: Vec<u8>,
}

impl Written {
    /// Into a new file.
    ///
    /// # Errors
    /// It exists, or cannot be made.
    pub fn new(path: &Path) -> std::io::Result<Self> {
        File::create_new(path).map(|file| Self(Mutex::new(file)))
    }
}

impl Witness for Written {
    fn applied(&self, moment: Moment<'_>) -> Result<(), String> {
        let record = Record {
            index: moment.command.index,
            hash: moment.hash,
            entry: moment.entry.to_vec(),
        };
        // One write, which outlives a killed process whole.
        let written = self
            .0
            .lock()
            .write_all(&record.encode_length_delimited_to_vec());
        written.map_err(|error| format!("the witness cannot write: {error}"))
    }
}

impl Record {
    /// Takes the next record off the front of what was read of a file; nothing while it is not whole.
    ///
    /// # Errors
    /// It is none.
    pub fn take(bytes: &mut &[u8]) -> Result<Option<Self>, prost::DecodeError> {
        let mut rest = *bytes;
        let Ok(length) = prost::decode_length_delimiter(&mut rest) else {
            return Ok(None);
        };
        let Some((record, after)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let record = Self::decode(record)?;
        *bytes = after;
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_one_by_one_once_each_is_whole() {
        let record = |index| Record {
            index,
            hash: 7,
            entry: vec![1; 300],
        };
        let mut file = record(1).encode_length_delimited_to_vec();
        file.extend(record(2).encode_length_delimited_to_vec());
        let mut rest = &file[..file.len() - 1];
        assert_eq!(Record::take(&mut rest), Ok(Some(record(1))));
        assert_eq!(Record::take(&mut rest), Ok(None));
        let read = file.len() - 1 - rest.len();
        assert_eq!(Record::take(&mut &file[read..]), Ok(Some(record(2))));
        assert!(Record::take(&mut &[2, 0xff, 0xff][..]).is_err());
    }
}
