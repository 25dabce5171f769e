//! One round of each kind of fault on real processes; `make chaos` goes on for longer.

use std::process::Command;

#[test]
fn nothing_that_was_promised_is_lost_whatever_fails() {
    let run = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["--rounds", "19"])
        .output()
        .expect("chaos runs");
    let told = String::from_utf8_lossy(&run.stdout);
    let why = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{why}{told}");
    let report: serde_json::Value = serde_json::from_str(&told).expect("a report");
    let count = |field: &str| {
        let counts = report[field].as_object().into_iter().flatten();
        counts.filter_map(|(_, n)| n.as_u64()).sum::<u64>()
    };
    assert_eq!(count("faults"), 19, "{report}");
    // So that a run in which nobody is served does not pass for one that went well.
    assert!(report["chats"].as_u64() > Some(19), "{report}");
    assert!(report["accepted"].as_u64() > Some(5), "{report}");
    // Every kind of fault is possible in namespaces; on loopback fewer are, and come more than once.
    let kinds = report["faults"].as_object().map_or(0, |kinds| kinds.len());
    let expected = if report["ground"] == "namespaces" {
        19
    } else {
        12
    };
    assert_eq!(kinds, expected, "{report}");
}
