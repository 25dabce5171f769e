//! The real binary against stand-ins for nodes: fail-over, errors, exit codes, paging, watching.

mod support;

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
        &["agents", "--timeout", "2h"],
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

/// Starts `chats watch` on one stand-in, stops it, and waits until the watch has tried it in vain.
async fn watch_in_vain() -> (std::process::Child, std::net::SocketAddr) {
    let waiting = Chat {
        chat_id: "c".to_owned(),
        phase: ChatPhase::Waiting as i32,
        log_index: 1,
        ..Default::default()
    };
    let node = Node::start(Script {
        watch: vec![waiting],
        watch_end: Some(Status::unavailable("shutting down")),
        ..Default::default()
    })
    .await;
    let args = ["chats", "watch", "c", "-o", "json", "--endpoint"];
    let mut child = command(&[&args[..], &[&node.url()]].concat())
        .spawn()
        .unwrap();
    while node.script().questions == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let address = node.stop().await;
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufRead::lines(stderr).map(|l| l.unwrap());
        assert!(
            lines
                .next()
                .unwrap()
                .contains("opening it again until Ctrl-C")
        );
        assert!(lines.any(|l| l.ends_with("trying again")));
    })
    .await
    .unwrap();
    (child, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_the_restart_of_its_only_node_and_repeats_nothing() {
    let (child, address) = watch_in_vain().await;
    let chat = |log_index, phase: ChatPhase| Chat {
        chat_id: "c".to_owned(),
        phase: phase as i32,
        log_index,
        ..Default::default()
    };
    let again = Script {
        watch: vec![chat(1, ChatPhase::Waiting), chat(2, ChatPhase::Closed)],
        ..Default::default()
    };
    let _again = Node::start_at(again, address).await;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = output.await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = out(&output);
    let phases: Vec<_> = text.lines().map(|l| json(l)["phase"].clone()).collect();
    assert_eq!(phases, ["waiting", "closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_watch_that_looks_for_its_node() {
    let (mut child, _) = watch_in_vain().await;
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert_eq!(status.await.unwrap().code(), Some(130));
}
