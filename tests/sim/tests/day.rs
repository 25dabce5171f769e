//! The simulator itself: one seed tells one story, and days with faults keep what was promised.

use std::process::{Command, Output};

fn sim(args: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_sim")).args(args).output();
    run.expect("the simulator runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_same_seed_tells_the_same_story_byte_for_byte_and_another_tells_another() {
    let tell = |seed: &str| {
        let told = sim(&["--seed", seed, "--minutes", "4", "--trace"]);
        assert!(told.status.success(), "{}", text(&told.stderr));
        text(&told.stdout)
    };
    let first = tell("3");
    assert!(
        first.contains("is killed") || first.contains("loses its power"),
        "{first}"
    );
    assert!(first == tell("3"), "two stories of one seed");
    assert_ne!(first, tell("4"));
}

#[test]
fn days_with_faults_keep_what_was_promised() {
    let lived = sim(&["--seed", "1000", "--seeds", "24", "--minutes", "4"]);
    assert!(
        lived.status.success(),
        "{}{}",
        text(&lived.stdout),
        text(&lived.stderr)
    );
    let report = text(&lived.stdout);
    assert!(report.contains("\"seeds\":24"), "{report}");
    assert!(!report.contains("\"chats\":0,"), "{report}");
}
