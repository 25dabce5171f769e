//! The real binary against a real node.

mod support;

use serde_json::Value;
use support::real::RealNode;
use support::{err, meridian, out, world_file};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_shown_and_refused_and_a_chat_is_explained() {
    let node = RealNode::start();
    let url = node.url();
    let ask = async |args: &[&str]| {
        let common = ["--endpoint", &url, "--timeout", "30s"];
        meridian(&[args, &common].concat()).await
    };
    // The node may still be starting; this waits for it.
    let member = format!("1=eu-west@{}", node.peer);
    let formed = ask(&["cluster", "init", "--member", &member]).await;
    assert_eq!(formed.status.code(), Some(0), "{}", err(&formed));

    let leader = json(&out(&ask(&["cluster", "leader", "-o", "json"]).await));
    let who = (&leader["leader_id"], &leader["region_id"]);
    assert_eq!(who, (&1.into(), &"eu-west".into()), "{leader}");
    assert_eq!(leader["follows_sun"], true, "{leader}");
    let refused = ask(&["cluster", "leader", "--pin", "mars"]).await;
    let told = err(&refused);
    assert!(told.contains("region_id: no node"), "{told}");
    assert!(
        told.contains("name a region with a voter: eu-west"),
        "{told}"
    );

    let file = world_file();
    let first = ask(&["apply", "-f", &file, "-o", "json"]).await;
    assert_eq!(first.status.code(), Some(0), "{}", err(&first));
    let changes = json(&out(&first));
    assert_eq!(
        (&changes["added"], &changes["removed"]),
        (&9.into(), &0.into()),
        "{changes}"
    );
    assert!(changes["log_index"].as_u64() > Some(0), "{changes}");
    let again = ask(&["apply", "-f", &file]).await;
    assert_eq!(out(&again), "nothing to change\n", "{}", err(&again));

    // What the node shows, it takes for the same.
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().join("shown.yaml");
    std::fs::write(&shown, out(&ask(&["config", "show"]).await)).unwrap();
    let shown = shown.display().to_string();
    let same = ask(&["apply", "-f", &shown, "--prune", "--yes"]).await;
    assert_eq!(out(&same), "nothing to change\n", "{}", err(&same));

    // The command line knows no languages; the node does, and the answer names line and column of the file.
    let bad = dir.path().join("bad.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("language: pt-PT", "language: qq");
    let line = 1 + text.lines().position(|l| l.contains("qq")).unwrap();
    std::fs::write(&bad, text).unwrap();
    let bad = bad.display().to_string();
    let refused = ask(&["apply", "-f", &bad]).await;
    assert_eq!(refused.status.code(), Some(4), "{}", out(&refused));
    let named = format!("  {bad}:{line}:");
    let told = err(&refused);
    assert!(told.contains(&named), "{told}");
    assert!(told.contains("agents[0].languages[0]"), "{told}");
    assert_eq!(
        out(&ask(&["apply", "-f", &file]).await),
        "nothing to change\n"
    );

    let ask_for = [
        "chats",
        "start",
        "--queue",
        "support",
        "--language",
        "pt-BR",
        "-q",
    ];
    let started = ask(&ask_for).await;
    let id = out(&started).trim().to_owned();
    let explained = ask(&["chats", "explain", &id, "--fresh", "-o", "json"]).await;
    assert_eq!(explained.status.code(), Some(0), "{}", err(&explained));
    let story = json(&out(&explained));
    let arrived = &story["events"][0];
    assert_eq!(arrived["what"], "arrived", "{story}");
    assert!(arrived["log_index"].as_u64() > Some(0), "{story}");
    let weighed = story["candidates"].as_array().unwrap();
    let bruno = weighed.iter().find(|c| c["agent_id"] == "bruno");
    assert_eq!(bruno.unwrap()["rule"], "presence", "{story}");
    let page = ask(&["chats", "explain", &id, "--fresh"]).await;
    assert!(out(&page).contains("What happened"), "{}", out(&page));

    // Each version is told, can be shown, and can be gone back to.
    let changed = dir.path().join("changed.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&changed, text.replace("name: \"12\"", "name: Bruno")).unwrap();
    let changed = changed.display().to_string();
    let by_ann = ["apply", "-f", &changed, "--actor", "ann"];
    let applied = ask(&by_ann).await;
    assert!(out(&applied).contains("1 changed"), "{}", out(&applied));
    let history = ask(&["config", "history", "-o", "json"]).await;
    assert_eq!(history.status.code(), Some(0), "{}", err(&history));
    let history = json(&out(&history));
    assert_eq!(history[0]["version"], 2, "{history}");
    assert_eq!(history[0]["actor"], "operator:ann", "{history}");
    assert_eq!(history[0]["changes"][0]["id"], "bruno", "{history}");
    assert_eq!(history[1]["changed"], 9, "{history}");
    let former = out(&ask(&["config", "show", "--version", "1"]).await);
    assert_eq!(former, std::fs::read_to_string(&shown).unwrap());
    assert_eq!(
        out(&ask(&["config", "show", "--version", "0"]).await).trim(),
        "{}"
    );
    let never = ask(&["config", "show", "--version", "3"]).await;
    assert!(err(&never).contains("version"), "{}", err(&never));
    let back = ask(&["apply", "-f", &shown, "--prune", "--yes"]).await;
    assert!(out(&back).contains("name: Bruno -> 12"), "{}", out(&back));
    // What was decided tells by which version.
    let story = json(&out(&ask(&["chats", "explain", &id, "-o", "json"]).await));
    assert_eq!(story["events"][0]["version"], 1, "{story}");

    // What is likely not meant so is found, with its cure; one voter alone is worse than a notice.
    let lonely = dir.path().join("lonely.yaml");
    std::fs::write(&lonely, "queues: [{id: lonely}]\n").unwrap();
    let lonely = lonely.display().to_string();
    let applied = ask(&["apply", "-f", &lonely]).await;
    assert_eq!(applied.status.code(), Some(0), "{}", err(&applied));
    let found = ask(&["doctor", "-o", "json"]).await;
    assert_eq!(found.status.code(), Some(1), "{}", out(&found));
    let found = json(&out(&found));
    let about = |about: &str| {
        let mut found = found.as_array().into_iter().flatten();
        found.find(|f| f["about"] == about).cloned()
    };
    let queue = about("queue lonely").expect("nobody serves it");
    assert_eq!(queue["severity"], "warning", "{queue}");
    assert!(queue["cure"].as_str().is_some_and(|c| c.contains("queues")));
    let voter = about("membership").expect("one voter alone");
    assert_eq!(voter["severity"], "warning", "{voter}");
    assert!(
        about("state").is_none() && about("queue support").is_none(),
        "{found}"
    );

    // A backup arrives whole under a name that tells what it is of, and of then as well as of now.
    let kept = dir.path().join("backups").display().to_string();
    let now = json(&out(&ask(&["backup", "create", &kept, "-o", "json"]).await));
    let file = now["file"].as_str().unwrap();
    assert_eq!(
        std::fs::metadata(file).unwrap().len(),
        now["bytes"],
        "{now}"
    );
    let index = arrived["log_index"].to_string();
    let then = [
        "backup",
        "create",
        &kept,
        "--at-index",
        &index,
        "-o",
        "json",
    ];
    let then = json(&out(&ask(&then).await));
    assert_eq!(then["log_index"], arrived["log_index"], "{then}");
    assert_ne!(then["state_hash"], now["state_hash"]);
    let long_ago = ["backup", "create", &kept, "--at", "2001-01-01T00:00Z"];
    let refused = ask(&long_ago).await;
    assert_ne!(refused.status.code(), Some(0), "{}", out(&refused));
    assert_eq!(
        std::fs::read_dir(&kept).unwrap().count(),
        2,
        "nothing is left of it"
    );

    let status = ask(&["cluster", "status", "-o", "json"]).await;
    assert_eq!(status.status.code(), Some(0), "{}", out(&status));
    assert_eq!(json(&out(&status))["leader_id"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn forming_a_cluster_waits_no_longer_than_it_may() {
    let dead = support::dead_url().await;
    let init = ["cluster", "init", "--member", "1=eu@127.0.0.1:7101"];
    let began = std::time::Instant::now();
    let args = [&init[..], &["--endpoint", &dead, "--timeout", "700ms"]].concat();
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    // It tried for most of that time, and not at once only.
    assert!(began.elapsed() >= std::time::Duration::from_millis(300));
}

/// Drills on three real nodes, one of which is frozen meanwhile: what is felt is told, and everything is as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_drill_tells_what_users_felt_and_undoes_itself() {
    let places = ["eu", "us", "ap"];
    let nodes: Vec<RealNode> = (1..4)
        .map(|id| RealNode::start_as(id, places[id as usize - 1]))
        .collect();
    let urls: Vec<String> = nodes.iter().map(RealNode::url).collect();
    let ask = async |endpoints: &[String], args: &[&str]| {
        let endpoints = endpoints.join(",");
        let common = ["--endpoint", &endpoints, "--timeout", "30s"];
        meridian(&[args, &common].concat()).await
    };
    let members: Vec<String> = (0..3)
        .map(|n| format!("{}={}@{}", n + 1, places[n], nodes[n].peer))
        .collect();
    let init = ["cluster", "init", "--member", &members[0], "--member"];
    let init = [&init[..], &[&members[1], "--member", &members[2]]].concat();
    let formed = ask(&urls[..1], &init).await;
    assert_eq!(formed.status.code(), Some(0), "{}", err(&formed));
    let leader = async || {
        let asked = ask(&urls, &["cluster", "leader", "-o", "json"]).await;
        json(&out(&asked))["leader_id"].as_u64().unwrap_or(0)
    };
    let mut led = leader().await;
    while led == 0 {
        led = leader().await;
    }

    // Whatever cannot be watched or survived is not begun.
    let blind = ask(&urls[..2], &["drill", "leader", "--yes"]).await;
    assert_eq!(blind.status.code(), Some(2), "{}", out(&blind));
    assert!(err(&blind).contains("node 3"), "{}", err(&blind));
    let nowhere = [
        "drill", "region", "mars", "--stop", "true", "--start", "true",
    ];
    let nowhere = ask(&urls, &[&nowhere[..], &["--yes"]].concat()).await;
    assert_eq!(nowhere.status.code(), Some(2), "{}", err(&nowhere));
    assert!(err(&nowhere).contains("mars"), "{}", err(&nowhere));

    let moved = ask(&urls, &["drill", "leader", "--yes", "-o", "json"]).await;
    let report = json(&out(&moved));
    let steps = report["steps"].as_array().unwrap();
    // Two others lead, then the first again, and each is felt at three nodes.
    assert_eq!(steps.len(), 9, "{report}");
    let answered = steps.iter().all(|s| s["answered"].as_u64() > Some(0));
    assert!(
        answered && report["left"] == serde_json::json!([]),
        "{report}"
    );
    assert_eq!(report["failed"], Value::Null, "{report}");
    assert_eq!(leader().await, led);

    // The leader is frozen for longer than an election takes.
    let dir = tempfile::tempdir().unwrap();
    for (n, node) in nodes.iter().enumerate() {
        let file = dir.path().join((n + 1).to_string());
        std::fs::write(file, node.pid().to_string()).unwrap();
    }
    let signal = |name: &str| {
        let dir = dir.path().display();
        format!("kill -{name} $(cat {dir}/$MERIDIAN_NODE_ID)")
    };
    let (stop, start, id) = (signal("STOP"), signal("CONT"), led.to_string());
    let drill = ["drill", "node", &id, "--stop", &stop, "--start", &start];
    let drill = [&drill[..], &["--down-for", "4s", "--yes", "-o", "json"]].concat();
    let drilled = ask(&urls, &drill).await;
    let report = json(&out(&drilled));
    let steps = report["steps"].as_array().unwrap();
    let frozen = steps
        .iter()
        .filter(|s| s["step"] == format!("node {led} is stopped"));
    let (own, others): (Vec<_>, Vec<_>) = frozen.partition(|s| s["stopped"] == true);
    assert_eq!((own.len(), others.len()), (1, 2), "{report}");
    assert!(own[0]["longest_ms"].as_u64() > Some(3_000), "{report}");
    for other in others {
        let longest = other["longest_ms"].as_u64();
        assert!(longest > Some(200) && longest < Some(4_500), "{report}");
    }
    assert_eq!(report["left"], serde_json::json!([]), "{report}");
    assert_eq!(leader().await, led);

    // What fails is told, and undone: nothing was stopped.
    let fails = [
        "drill",
        "node",
        &id,
        "--stop",
        "echo no >&2; false",
        "--start",
        "true",
    ];
    let fails = ask(&urls, &[&fails[..], &["--yes"]].concat()).await;
    assert_eq!(fails.status.code(), Some(1), "{}", out(&fails));
    let told = "the drill was not finished: 'echo no >&2; false' for node";
    assert!(err(&fails).contains(told), "{}", err(&fails));
    assert!(
        out(&fails).contains("everything is as it was"),
        "{}",
        out(&fails)
    );
    assert_eq!(leader().await, led);
}
