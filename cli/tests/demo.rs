//! The demo, small: the real binary starts real nodes, plays a short day, loses a region and audits it.

mod support;

use std::io::BufRead as _;

use serde_json::Value;
use support::real::node_binary;
use support::{command, err, meridian, out, run};

/// One at a time: each has three nodes.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const SMALL: [&str; 7] = ["demo", "--seconds", "20", "--chats", "80", "--agents", "60"];

#[tokio::test(flavor = "multi_thread")]
async fn a_short_day_loses_a_region_and_no_chat() {
    let _one = ONE.lock().await;
    node_binary();
    let output = meridian(&[&SMALL[..], &["--json"]].concat()).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        out(&output),
        err(&output)
    );
    // Nothing but the report: progress goes to stderr.
    let text = out(&output);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let number = |key: &str| {
        let value = report[key].as_u64();
        value.unwrap_or_else(|| panic!("no number '{key}' in {report}"))
    };
    assert_eq!(number("offered"), 80);
    for must_be_0 in ["lost", "double_assigned", "over_capacity", "ghosts", "open"] {
        assert_eq!(number(must_be_0), 0, "{must_be_0} in {report}");
    }
    let outcomes = ["answered", "abandoned", "deferred", "expired"].map(number);
    assert_eq!(outcomes.iter().sum::<u64>(), number("accepted"), "{report}");
    assert!(outcomes[0] > 0, "{report}");
    assert!(number("acknowledgements") > number("answered"), "{report}");
    assert_eq!(report["failure"]["led"], true, "{report}");
    assert!(number("failover_ms") > 0, "{report}");
    for waits in ["wait_ms", "felt_wait_ms", "abandoned_wait_ms"] {
        let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"].map(|p| report[waits][p].as_i64());
        assert!(
            p50.is_some() && p50 <= p90 && p90 <= p99 && p99 <= max,
            "{report}"
        );
    }
    let matched = report["language_match_share"].as_f64();
    assert!(matched > Some(0.0) && matched <= Some(1.0), "{report}");
    assert_eq!(report["faults"], Value::Array(Vec::new()), "{report}");
    assert!(err(&output).contains("is killed (SIGKILL); it led the cluster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_stops_the_nodes_and_leaves_nothing_behind() {
    let _one = ONE.lock().await;
    node_binary();
    let place = tempfile::tempdir().unwrap();
    let mut demo = command(&SMALL);
    demo.env("TMPDIR", place.path());
    let mut child = demo.spawn().unwrap();
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let process = child.id().to_string();
    let (status, told) = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        for line in stderr.lines() {
            told.push(line.unwrap());
            if told
                .last()
                .is_some_and(|line| line.starts_with("look on with"))
            {
                let killed = std::process::Command::new("kill")
                    .args(["-TERM", &process])
                    .status();
                assert!(killed.unwrap().success());
            }
        }
        (child.wait().unwrap(), told)
    })
    .await
    .unwrap();
    assert_eq!(status.code(), Some(143), "{told:?}");
    let left = std::fs::read_dir(place.path()).unwrap().count();
    assert_eq!(left, 0, "{told:?}");
    // Nobody listens where the nodes were.
    let endpoints = told
        .iter()
        .find_map(|l| l.split_once("MERIDIAN_ENDPOINTS="));
    for endpoint in endpoints.unwrap().1.split(',') {
        let address = endpoint.trim_start_matches("http://");
        assert!(std::net::TcpStream::connect(address).is_err(), "{endpoint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_options_are_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "precious").unwrap();
    let kept = dir.path().display().to_string();
    let not_empty =
        format!("error: --keep: {kept} is not empty; name an empty or a new directory\n");
    let unknown = "error: --rtt: there is no region 'mars'; name two of ";
    for (args, words) in [
        (["--keep", kept.as_str()], not_empty.as_str()),
        (["--rtt", "eu-mars=80"], unknown),
        (
            ["--node-binary", "/nowhere/node"],
            "error: --node-binary: /nowhere/node is not there",
        ),
    ] {
        let output = run(command(&[&["demo"], &args[..]].concat())).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(err(&output).starts_with(words), "{}", err(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_are_kept_when_a_node_does_not_start() {
    let place = tempfile::tempdir().unwrap();
    let mut demo = command(&["demo", "--node-binary", "/bin/false"]);
    demo.env("TMPDIR", place.path());
    let output = run(demo).await;
    assert_eq!(output.status.code(), Some(1));
    let told = err(&output);
    assert!(told.contains("ended by itself (exit status: 1)"), "{told}");
    let kept = std::fs::read_dir(place.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let kept = kept.path().display().to_string();
    assert!(
        told.contains(&format!("the nodes' data and logs are kept in {kept}")),
        "{told}"
    );
}
