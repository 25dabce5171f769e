//! The envelope around every value in the database: a format version and a checksum.
//!
//! `format: u8 | crc32c: u32 BE | payload`. The checksum also covers the key, so a value that ends
//! up under another key is found out.

use meridian_routing::mutants::{self, Mutant};

use super::error::StorageError;

/// The newest format this version writes and reads.
pub const FORMAT: u8 = 1;

const HEAD: usize = 5;

/// Wraps `payload`, to be stored under `key`.
pub fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + payload.len());
    out.push(FORMAT);
    out.extend_from_slice(&checksum(FORMAT, key, payload).to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Unwraps what [`seal`] made for `key`. `place` names the record in an error.
///
/// # Errors
/// [`StorageError::NewerFormat`] before anything else is believed, else [`StorageError::Corrupt`].
pub fn open<'a>(
    key: &[u8],
    value: &'a [u8],
    place: impl Fn() -> String,
) -> Result<&'a [u8], StorageError> {
    let corrupt = |what: &str| StorageError::Corrupt {
        place: place(),
        what: what.to_owned(),
    };
    let Some((head, payload)) = value.split_at_checked(HEAD) else {
        return Err(corrupt("the value is too short"));
    };
    if head[0] > FORMAT {
        return Err(StorageError::NewerFormat {
            place: place(),
            found: head[0],
            supported: FORMAT,
        });
    }
    let matches = head[1..] == checksum(head[0], key, payload).to_be_bytes();
    if !matches && !mutants::is(Mutant::DamageBelieved) {
        return Err(corrupt("the checksum does not match"));
    }
    Ok(payload)
}

fn checksum(format: u8, key: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&[format]);
    let crc = crc32c::crc32c_append(crc, key);
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> String {
        "here".to_owned()
    }

    #[test]
    fn a_value_reads_back_only_under_its_key_and_unchanged() {
        let sealed = seal(b"k", b"payload");
        assert_eq!(open(b"k", &sealed, place).unwrap(), b"payload");
        assert!(matches!(
            open(b"other", &sealed, place),
            Err(StorageError::Corrupt { .. })
        ));
        for at in 1..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(matches!(
                open(b"k", &bad, place),
                Err(StorageError::Corrupt { .. })
            ));
        }
        assert!(open(b"k", b"", place).is_err());
    }

    #[test]
    fn a_newer_format_is_named_as_such() {
        let mut sealed = seal(b"k", b"payload");
        sealed[0] = FORMAT + 1;
        assert!(matches!(
            open(b"k", &sealed, place),
            Err(StorageError::NewerFormat { found, .. }) if found == FORMAT + 1
        ));
    }
}
