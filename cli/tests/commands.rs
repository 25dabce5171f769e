//! The real binary against stand-ins for nodes: what each command sends and prints.

mod support;

use std::io::BufRead as _;

use meridian_proto::livechat::v1::*;
use serde_json::Value;
use support::{Node, Script, command, dead_url, err, meridian, out, world_file};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn one_removed() -> ApplyResponse {
    let change = |id: &str, change: ChangeKind, fields: &[&str]| ObjectChange {
        kind: "queue".to_owned(),
        id: id.to_owned(),
        change: change as i32,
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
    };
    let changes = vec![
        change("sales", ChangeKind::Changed, &["offer_timeout: 10s -> 20s"]),
        change("old", ChangeKind::Removed, &[]),
    ];
    ApplyResponse {
        changes,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_a_diff() {
    let node = Node::start(Script {
        apply: one_removed(),
        ..Default::default()
    })
    .await;
    let file = world_file();
    let args = [
        "apply",
        "-f",
        &file,
        "--dry-run",
        "--prune",
        "--endpoint",
        &node.url(),
    ];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(
        out(&output),
        "~ queue sales\n    offer_timeout: 10s -> 20s\n- queue old\n0 added, 1 changed, 1 removed (dry run)\n"
    );
    let script = node.script();
    let [sent] = &script.applied[..] else {
        panic!("one apply, not {}", script.applied.len())
    };
    assert!(sent.dry_run && sent.prune && !sent.request_id.is_empty());
    assert_eq!(sent.actor, "tester");
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_asks_first() {
    let node = Node::start(Script {
        apply: one_removed(),
        ..Default::default()
    })
    .await;
    let (file, url) = (world_file(), node.url());
    let output = meridian(&["apply", "-f", &file, "--prune", "--endpoint", &url]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("Remove 1 object? Nobody can be asked here; give --yes"));
    assert!(node.script().applied.iter().all(|a| a.dry_run));
    let output = meridian(&["apply", "-f", &file, "--prune", "--yes", "--endpoint", &url]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(!node.script().applied.last().unwrap().dry_run);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_config_shows_apply_reads() {
    let node = Node::start(Script::default()).await;
    let url = node.url();
    meridian(&["apply", "-f", &world_file(), "--endpoint", &url]).await;
    let sent = node.script().applied[0].put.clone().unwrap();
    node.script().configuration = sent.clone();
    let shown = meridian(&["config", "show", "--endpoint", &url]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shown.yaml");
    std::fs::write(&path, &shown.stdout).unwrap();
    let output = meridian(&["apply", "-f", path.to_str().unwrap(), "--endpoint", &url]).await;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}\n{}",
        err(&output),
        out(&shown)
    );
    assert_eq!(node.script().applied[1].put.as_ref(), Some(&sent));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_asks_every_endpoint_and_tells_of_trouble() {
    let node = |node_id, state_hash| {
        Node::start(Script {
            node_id,
            state_hash,
            ..Default::default()
        })
    };
    let (one, two, dead) = (node(1, 5).await, node(2, 5).await, dead_url().await);
    let healthy = format!("{},{}", one.url(), two.url());
    let output = meridian(&["cluster", "status", "--endpoint", &healthy]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(
        text.starts_with("cluster test, leader: node 1, a lost leader is replaced within 2s\n"),
        "{text}"
    );
    let all = format!("{healthy},{dead}");
    let output = meridian(&["cluster", "status", "-o", "json", "--endpoint", &all]).await;
    assert_eq!(output.status.code(), Some(1));
    let status = json(&out(&output));
    assert_eq!(
        (&status["healthy"], &status["nodes"][2]["reachable"]),
        (&false.into(), &false.into())
    );
    two.script().state_hash = 6;
    let output = meridian(&["cluster", "status", "--endpoint", &healthy]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("hold different states at index 20"),
        "{}",
        err(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_changes_are_told() {
    let node = Node::start(Script::default()).await;
    let url = node.url();
    let moved = meridian(&["cluster", "leader", "--move-to", "2", "--endpoint", &url]).await;
    assert_eq!(
        out(&moved),
        "node 2 leads now; proposals waited 12ms at most\n"
    );
    let shown = meridian(&["cluster", "leader", "--endpoint", &url]).await;
    let told = out(&shown);
    for line in [
        "node 1 in eu has led for 3m20s",
        "leadership follows the sun",
        "2     us      voter    74%     101ms",
        "3     ap      learner  0%      -",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let pinned = [
        "cluster",
        "leader",
        "--pin",
        "us",
        "--actor",
        "ann",
        "-o",
        "json",
        "--endpoint",
        &url,
    ];
    let pinned = json(&out(&meridian(&pinned).await));
    assert_eq!(pinned["pin"]["region_id"], "us", "{pinned}");
    assert_eq!(pinned["pin"]["by"], "operator:ann", "{pinned}");
    assert_eq!(pinned["members"][0]["writes_percent"], 25, "{pinned}");
    assert_eq!(pinned["members"][2]["write_ms"], Value::Null, "{pinned}");
    let unpinned = meridian(&["cluster", "leader", "--unpin", "--endpoint", &url]).await;
    assert!(!out(&unpinned).contains("pinned"), "{}", out(&unpinned));
    let both = ["cluster", "leader", "--unpin", "--pin", "us"];
    assert_eq!(meridian(&both).await.status.code(), Some(2));
    let snapshot = meridian(&["cluster", "snapshot", "--endpoint", &url]).await;
    assert_eq!(
        out(&snapshot),
        format!("{url} wrote a snapshot up to log index 19\n")
    );
    let args = [
        "cluster",
        "init",
        "-q",
        "--member",
        "1=eu@127.0.0.1:7100",
        "--endpoint",
        &url,
    ];
    assert_eq!(out(&meridian(&args).await), "1\n");
    let removed = meridian(&[
        "cluster",
        "members",
        "remove",
        "3",
        "--yes",
        "--endpoint",
        &url,
    ])
    .await;
    assert_eq!(removed.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_chat_tells_how_to_watch_it() {
    let node = Node::start(Script::default()).await;
    let url = node.url();
    let args = [
        "chats",
        "start",
        "--queue",
        "sales",
        "--language",
        "ca,es",
        "--endpoint",
        &url,
    ];
    let output = meridian(&args).await;
    assert!(
        out(&output).contains("languages  ca, es\n"),
        "{}",
        out(&output)
    );
    assert!(
        err(&output).contains("meridian chats watch chat-1"),
        "{}",
        err(&output)
    );
    let quiet = meridian(&[&args[..], &["-q"]].concat()).await;
    assert_eq!(
        (out(&quiet).as_str(), err(&quiet).as_str()),
        ("chat-1\n", "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_works_and_signs_off() {
    let node = Node::start(Script::default()).await;
    let args = [
        "agent",
        "work",
        "--agent",
        "ana",
        "--auto",
        "--talk",
        "50ms",
        "--endpoint",
        &node.url(),
    ];
    let mut child = command(&args).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut told, lines) = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        for line in lines.by_ref() {
            told.push(line.unwrap());
            if told.last().unwrap().ends_with("is closed") {
                break;
            }
        }
        (told, lines)
    })
    .await
    .unwrap();
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    told.extend(lines.map(|l| l.unwrap()));
    let words: Vec<_> = told
        .iter()
        .filter_map(|l| l.split_once("  "))
        .map(|(_, w)| w)
        .collect();
    assert_eq!(
        words,
        [
            "signed on, session 7, 0 open chats",
            "offer of chat-1 from sales in , answer -",
            "chat chat-1 is active",
            "chat chat-1 is wrap_up",
            "chat chat-1 is closed",
            "signed off",
        ]
    );
    let did = node.script().agent_did.clone();
    assert_eq!(
        did,
        ["hello", "available", "accept", "end", "finish", "sign off"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_fault() {
    let mut child = command(&["completion", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_and_version_need_no_cluster() {
    let script = meridian(&["completion", "bash"]).await;
    assert!(out(&script).contains("meridian"));
    assert!(out(&meridian(&["--version"]).await).starts_with("meridian 0."));
    let help = out(&meridian(&["--help"]).await);
    assert!(help.contains("3  no endpoint answered in time"), "{help}");
}
