//! The saved corpus, and fresh inputs made from it: what a fuzzer would do first, on a stable compiler and in seconds.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use meridian_fuzz::TARGETS;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Most fresh inputs a target is given, and for how long at most.
const FRESH: usize = 20_000;
const FRESH_FOR: Duration = Duration::from_secs(2);
/// An input that takes so long has no end, however busy the machine is.
const ENDLESS: Duration = Duration::from_secs(60);
const BYTES_MAX: usize = 4_096;

fn saved(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|file| file.expect("a file").path())
        .collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("a file that can be read");
    paths.into_iter().map(read).collect()
}

/// A saved input with a few changes, or bytes of chance.
fn fresh(rng: &mut ChaCha8Rng, saved: &[Vec<u8>]) -> Vec<u8> {
    let any = |rng: &mut ChaCha8Rng, most: usize| {
        let length = rng.random_range(0..=most);
        (0..length).map(|_| rng.random()).collect::<Vec<u8>>()
    };
    if saved.is_empty() || rng.random_ratio(1, 8) {
        return any(rng, 512);
    }
    let mut bytes = saved[rng.random_range(0..saved.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let to = rng.random_range(at..=bytes.len().min(at + 16));
        let other = &saved[rng.random_range(0..saved.len())];
        match rng.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => {
                bytes[at] = *[0, 1, 0x7f, 0x80, 0xff]
                    .get(rng.random_range(0..5))
                    .unwrap_or(&0)
            }
            2 => drop(bytes.drain(at..to)),
            3 => {
                let from = rng.random_range(0..=other.len());
                let part = &other[from..other.len().min(from + 32)];
                drop(bytes.splice(at..to, part.iter().copied()));
            }
            _ => drop(bytes.splice(at..to, any(rng, 8))),
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Runs one target in a thread of its own, so that one without an end is found out, and tells of the input by which it
/// broke.
fn hold(name: &'static str) {
    let run = TARGETS.iter().find(|(known, _)| *known == name);
    let run = run.map(|(_, run)| *run).expect("a target of that name");
    let seed: u64 = rand::random();
    let (give, given) = sync_channel::<Vec<u8>>(0);
    let (done, finished) = sync_channel::<()>(0);
    let worker = std::thread::spawn(move || {
        for input in given {
            run(&input);
            if done.send(()).is_err() {
                break;
            }
        }
    });
    let saved = saved(name);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let began = Instant::now();
    let mut count = 0;
    let mut inputs = saved.clone().into_iter();
    loop {
        let input = match inputs.next() {
            Some(input) => input,
            None if count < FRESH && began.elapsed() < FRESH_FOR => {
                count += 1;
                fresh(&mut rng, &saved)
            }
            None => break,
        };
        let told = give.send(input.clone()).is_ok();
        let how = match told.then(|| finished.recv_timeout(ENDLESS)) {
            Some(Ok(())) => continue,
            Some(Err(RecvTimeoutError::Timeout)) => "did not come to an end",
            Some(Err(RecvTimeoutError::Disconnected)) | None => "broke",
        };
        let path = std::env::temp_dir().join(format!("meridian-fuzz-{name}-{seed:016x}"));
        std::fs::write(&path, &input).expect("a place to keep it");
        panic!("{name} {how} by the input kept as {}", path.display());
    }
    drop(give);
    worker.join().expect("nothing broke");
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })*

        /// Each has a test here, a program for libFuzzer and a corpus.
        #[test]
        fn none_is_forgotten() {
            let names = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), names);
            let here = Path::new(env!("CARGO_MANIFEST_DIR"));
            let manifest = std::fs::read_to_string(here.join("libfuzzer/Cargo.toml"));
            let manifest = manifest.expect("the manifest of libfuzzer");
            for name in names {
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
                assert!(here.join(format!("libfuzzer/targets/{name}.rs")).is_file(), "{name}");
                assert!(!saved(name).is_empty(), "{name} has no corpus");
            }
        }
    };
}

targets!(api apply command config ical log opening_hours plan raft snapshot state words);
