//! The real binary against stand-ins for nodes: fail-over, errors, exit codes, paging, streams.

mod support;

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use meridian_proto::livechat::v1::*;
use serde_json::Value;
use support::{Node, Script, command, dead_url, err, meridian, out, run, world_file};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

fn agents(count: usize) -> Vec<AgentState> {
    let agent = |i| AgentState {
        agent_id: format!("a{i:04}"),
        capacity: 3,
        ..Default::default()
    };
    (0..count).map(agent).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_passed_over() {
    let node = Node::start(Script {
        agents: agents(1),
        ..Default::default()
    })
    .await;
    let both = format!("{},{}", dead_url().await, node.url());
    let output = meridian(&["agents", "-q", "--endpoint", &both]).await;
    assert_eq!(
        (output.status.code(), out(&output).as_str()),
        (Some(0), "a0000\n")
    );
    // The environment serves as well, and a flag outranks it.
    let mut from_env = command(&["agents", "-q"]);
    from_env.env("MERIDIAN_ENDPOINTS", &both);
    assert_eq!(out(&run(from_env).await), "a0000\n");
    let mut outranked = command(&["agents", "-q", "--endpoint", &node.url()]);
    outranked.env("MERIDIAN_ENDPOINTS", dead_url().await);
    assert_eq!(run(outranked).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_node_is_passed_over_and_told_of() {
    let first = Node::start(Script {
        unavailable: 100,
        ..Default::default()
    })
    .await;
    let second = Node::start(Script {
        agents: agents(1),
        ..Default::default()
    })
    .await;
    let args = [
        "agents",
        "-v",
        "--endpoint",
        &first.url(),
        "--endpoint",
        &second.url(),
    ];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(first.script().questions, 1);
    assert!(
        err(&output).contains("no leader is known; trying the next"),
        "{}",
        err(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_election_is_waited_for() {
    let node = Node::start(Script {
        unavailable: 3,
        agents: agents(1),
        ..Default::default()
    })
    .await;
    let output = meridian(&["agents", "--endpoint", &node.url()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(node.script().questions, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_the_deadline_holds() {
    let node = Node::start(Script {
        unavailable: usize::MAX,
        ..Default::default()
    })
    .await;
    let started = Instant::now();
    let output = meridian(&["agents", "--timeout", "700ms", "--endpoint", &node.url()]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(5));
    let told = err(&output);
    let expected = format!(
        "error: no leader is known (unavailable, from {})\n",
        node.url()
    );
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_takes_only_its_share_of_the_time() {
    // Accepts connections, as a stopped process does, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let node = Node::start(Script {
        agents: agents(1),
        ..Default::default()
    })
    .await;
    let both = format!("{silent_url},{}", node.url());
    let output = meridian(&["agents", "-q", "--timeout", "2s", "--endpoint", &both]).await;
    assert_eq!(
        (output.status.code(), out(&output).as_str()),
        (Some(0), "a0000\n")
    );
    let output = meridian(&["agents", "--timeout", "300ms", "--endpoint", &silent_url]).await;
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_exit_3_at_once() {
    let (one, two) = (dead_url().await, dead_url().await);
    let started = Instant::now();
    let args = [
        "agents",
        "-o",
        "json",
        "--endpoint",
        &one,
        "--endpoint",
        &two,
    ];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(out(&output), "");
    let error = &json(&err(&output))["error"];
    assert_eq!(
        (&error["code"], &error["exit_code"]),
        (&"unreachable".into(), &3.into())
    );
    assert_eq!(error["tried"][1]["endpoint"], two.as_str());
    assert!(
        error["tried"][0]["error"]
            .as_str()
            .unwrap()
            .contains("refused"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_command_lines_are_exit_2() {
    for args in [
        &["agents", "--endpoint", "https://a:1"][..],
        &["agents", "--timeout", "10"],
        &["agents", "--timeout", "0s"],
        &["nonsense"],
        &["apply", "-f", "/nowhere/world.yaml"],
        &["cluster", "members", "remove", "3"],
    ] {
        assert_eq!(meridian(args).await.status.code(), Some(2), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_found_is_exit_5() {
    let node = Node::start(Script::default()).await;
    let output = meridian(&["chats", "show", "c9", "--endpoint", &node.url()]).await;
    assert_eq!(output.status.code(), Some(5));
    assert!(
        err(&output).starts_with("error: chat 'c9' is unknown"),
        "{}",
        err(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_read_every_page() {
    let node = Node::start(Script {
        agents: agents(250),
        ..Default::default()
    })
    .await;
    let output = meridian(&["agents", "list", "-o", "json", "--endpoint", &node.url()]).await;
    let list = json(&out(&output));
    assert_eq!(list.as_array().unwrap().len(), 250);
    assert_eq!(
        (&list[249]["agent_id"], &list[0]["presence"]),
        (&"a0249".into(), &"unspecified".into())
    );
    assert_eq!(node.script().questions, 3);
    let yaml = meridian(&["agents", "-o", "yaml", "--endpoint", &node.url()]).await;
    assert_eq!(out(&yaml).matches("agent_id: ").count(), 250);
    let table = out(&meridian(&["agents", "--endpoint", &node.url()]).await);
    assert!(table.starts_with("AGENT  NAME"), "{table}");
    assert_eq!(table.lines().count(), 251);
    assert!(!table.contains('\u{1b}'));
}

fn refusal() -> Status {
    let mut details = ErrorDetails::with_bad_request(vec![FieldViolation::new(
        "agents[1].languages[0]",
        "'xx' is not a language",
    )]);
    details.set_error_info(
        "BAD_LANGUAGE",
        "meridian",
        [("tag".to_owned(), "xx".to_owned())],
    );
    details.set_retry_info(Some(Duration::from_millis(1_500)));
    Status::with_error_details(
        Code::InvalidArgument,
        "the configuration is refused",
        details,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_line_of_the_file() {
    let node = Node::start(Script {
        refuse_apply: Some(refusal()),
        ..Default::default()
    })
    .await;
    let file = world_file();
    let output = meridian(&["apply", "-f", &file, "--endpoint", &node.url()]).await;
    assert_eq!(output.status.code(), Some(4));
    let url = node.url();
    let expected = format!(
        "error: the configuration is refused (invalid_argument, from {url})
  {file}:59:17: agents[1].languages[0]: 'xx' is not a language
  reason: BAD_LANGUAGE
    tag: xx
  try again in 1s500ms
"
    );
    assert_eq!(err(&output), expected);

    let output = meridian(&["apply", "-f", &file, "-o", "json", "--endpoint", &url]).await;
    let error = &json(&err(&output))["error"];
    assert_eq!(error["violations"][0]["line"], 59);
    assert_eq!(error["violations"][0]["field"], "agents[1].languages[0]");
    assert_eq!(error["reason"]["reason"], "BAD_LANGUAGE");
    assert_eq!(
        (&error["retry_after_ms"], &error["exit_code"]),
        (&1500.into(), &4.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_before_anything_is_sent() {
    let node = Node::start(Script::default()).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.yaml");
    std::fs::write(
        &path,
        "queues:\n  - {id: q, offer_timeout: 20}\n  - {id: q}\n",
    )
    .unwrap();
    let path = path.display().to_string();
    let output = meridian(&["apply", "-f", &path, "--endpoint", &node.url()]).await;
    assert_eq!(output.status.code(), Some(4));
    let expected = format!(
        "{path}:2:28: queues[0].offer_timeout: '20' is not a duration; write it like 500ms, 20s, 2m40s or 1h
{path}:3:10: queues[1].id: 'q' is given twice; the first is on line 2
error: {path} has 2 problems; nothing was sent
"
    );
    assert_eq!(err(&output), expected);
    assert_eq!(node.script().questions, 0);
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
        log_index: 0,
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
    assert!(err(&output).contains("Remove 1 objects? Nobody can be asked here; give --yes"));
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
        "node 2 leads now; no proposals were taken for 12ms\n"
    );
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
async fn a_watch_goes_on_at_the_next_node() {
    let chat = |log_index, phase: ChatPhase| Chat {
        chat_id: "c".to_owned(),
        phase: phase as i32,
        log_index,
        ..Default::default()
    };
    let first = Node::start(Script {
        watch: vec![chat(1, ChatPhase::Waiting), chat(3, ChatPhase::Active)],
        watch_end: Some(Status::unavailable("shutting down")),
        ..Default::default()
    });
    let first = first.await;
    let second = Node::start(Script {
        watch: vec![chat(2, ChatPhase::Offered), chat(4, ChatPhase::Closed)],
        ..Default::default()
    });
    let second = second.await;
    let both = format!("{},{}", first.url(), second.url());
    // The first node goes away for good once it was asked.
    let gone = first.clone();
    tokio::spawn(async move {
        while gone.script().questions == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gone.script().unavailable = usize::MAX;
    });
    let output = meridian(&["chats", "watch", "c", "-o", "json", "--endpoint", &both]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    let phases: Vec<_> = text.lines().map(|l| json(l)["phase"].clone()).collect();
    // What the second replica knew before the first one's last word is not told.
    assert_eq!(phases, ["waiting", "active", "closed"]);
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
async fn a_watched_list_is_a_line_a_change_away_from_a_terminal() {
    let mut agents = agents(3);
    agents[1].presence = Presence::Available as i32;
    let node = Node::start(Script {
        agents,
        ..Default::default()
    })
    .await;
    let url = node.url();
    let args = [
        "agents",
        "--watch",
        "--presence",
        "available",
        "-o",
        "json",
        "--endpoint",
        &url,
    ];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert_eq!(json(&out(&output))["agent_id"], "a0001");
    let table = meridian(&["agents", "--watch", "--endpoint", &url]).await;
    assert_eq!(out(&table).lines().count(), 3);
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
