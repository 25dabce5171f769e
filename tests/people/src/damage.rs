//! Files damaged while their node is down.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Damages a file somewhere below; what was done.
///
/// # Errors
/// There is none, or it cannot be written.
pub fn damage(dir: &Path, random: &mut ChaCha8Rng) -> anyhow::Result<String> {
    let mut files = Vec::new();
    collect(dir, &mut files).with_context(|| dir.display().to_string())?;
    files.sort();
    ensure!(!files.is_empty(), "{} holds nothing", dir.display());
    let path = &files[random.random_range(0..files.len())];
    let mut bytes = std::fs::read(path)?;
    let at = random.random_range(0..bytes.len());
    let what = match random.random_range(0..4) {
        0 => {
            std::fs::remove_file(path)?;
            "is gone".to_owned()
        }
        1 => {
            std::fs::write(path, &bytes[..at])?;
            format!("ends at {at} of {}", bytes.len())
        }
        _ => {
            bytes[at] ^= 1 << random.random_range(0..8);
            std::fs::write(path, &bytes)?;
            format!("has another bit at {at} of {}", bytes.len())
        }
    };
    let name = path.strip_prefix(dir).unwrap_or(path);
    Ok(format!("{} {what}", name.display()))
}

/// Everything that a node reads again: not what the database tells of itself, nor locks.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if entry.metadata()?.len() > 0 && !name.starts_with("LO") {
            files.push(entry.path());
        }
    }
    Ok(())
}
