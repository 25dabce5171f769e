//! `meridian load` on three real nodes: a short scenario, shares of one, thresholds, and whom it refuses to touch.

mod support;

use std::path::Path;

use serde_json::Value;
use support::real::RealNode;
use support::{err, meridian, out};

/// A few seconds of traffic, with everybody at work.
const SHORT: &str = "
name = 'Short'
about = 'For a test.'
thresholds = ['unknown.percent <= 0%', 'start.p99 <= 30s', 'sign_on.max <= 30s']
[time]
takes = '4s'
people = 200.0
[arrivals]
chats = 120
shape = 'flat'
[[bursts]]
name = 'rush'
after = '12h'
lasts = '3h'
times = 3.0
[agents]
count = 60
shifts = 'always'
";

struct Cluster {
    _nodes: Vec<RealNode>,
    endpoints: String,
    place: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let places = ["eu", "us", "ap"];
        let nodes: Vec<RealNode> = (1..)
            .zip(places)
            .map(|(id, place)| RealNode::start_as(id, place))
            .collect();
        let members = (1..).zip(&nodes).zip(places);
        let members =
            members.map(|((id, node), place)| format!("--member={id}={place}@{}", node.peer));
        let urls: Vec<String> = nodes.iter().map(RealNode::url).collect();
        let mut init = vec!["cluster".to_owned(), "init".to_owned()];
        init.extend(members);
        init.extend([
            "--timeout=30s".to_owned(),
            format!("--endpoint={}", urls[0]),
        ]);
        let init: Vec<&str> = init.iter().map(String::as_str).collect();
        let formed = meridian(&init).await;
        assert_eq!(formed.status.code(), Some(0), "{}", err(&formed));
        Self {
            _nodes: nodes,
            endpoints: format!("--endpoint={}", urls.join(",")),
            place: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str) -> String {
        self.place.path().join(name).to_str().unwrap().to_owned()
    }

    fn scenario(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn load(&self, args: &[&str]) -> std::process::Output {
        meridian(&[&["load"], args, &[&self.endpoints]].concat()).await
    }
}

fn report(path: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(path)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_scenario_is_played_and_told_in_every_form() {
    let cluster = Cluster::start().await;
    let scenario = cluster.scenario("short.toml", SHORT);
    let (page, json) = (cluster.file("report.html"), cluster.file("report.json"));
    let played = cluster
        .load(&["--scenario", &scenario, "--html", &page, "--json", &json])
        .await;
    let (told, noted) = (out(&played), err(&played));
    assert_eq!(played.status.code(), Some(0), "{told}{noted}");
    for expected in ["start: a visitor is taken in", "answered on time", "held"] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let report = report(&json);
    let count = |name: &str| report["counts"][name].as_u64().unwrap();
    // Three of 24 hours bring two more of what they bring anyway.
    assert_eq!(count("came"), 120 + 30, "{report}");
    assert_eq!(count("taken_in"), count("came"), "{report}");
    let became = ["answered", "abandoned", "put_off"].map(count);
    assert_eq!(became.iter().sum::<u64>(), count("came"), "{report}");
    assert!(became[0] > 100, "{report}");
    let times = |act: &str| report["acts"][act]["all"]["count"].as_u64().unwrap_or(0);
    assert_eq!(times("start"), count("taken_in"));
    assert_eq!(times("answer"), count("answered"));
    assert_eq!(times("sign_on"), 60);
    assert!(
        times("accept") >= count("answered") && times("notice") > 0,
        "{report}"
    );
    let seconds = report["seconds"].as_array().unwrap();
    let came: u64 = seconds.iter().map(|s| s["came"].as_u64().unwrap()).sum();
    assert_eq!(came, count("came"));
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("<title>Short</title>")
    );

    // Nobody is left behind: no chat open, no agent signed on.
    for phase in ["waiting", "offered", "active", "wrap_up"] {
        let listed = [
            "chats",
            "list",
            "--phase",
            phase,
            "-q",
            "--fresh",
            &cluster.endpoints,
        ];
        let listed = meridian(&listed).await;
        assert_eq!(listed.status.code(), Some(0), "{}", err(&listed));
        assert_eq!(out(&listed), "", "{phase}");
    }

    // Two processes play it together, on the cluster as it is by now.
    let shares = ["1/2", "2/2"].map(|share| {
        let json = cluster.file(&share.replace('/', "-"));
        (share, json)
    });
    let start = jiff::Timestamp::now() + std::time::Duration::from_secs(8);
    let start = start.to_string();
    let play = |(share, json): &(&str, String)| {
        let args = [
            "--scenario",
            &scenario,
            "--start-at",
            &start,
            "--share",
            share,
            "--json",
            json,
        ];
        let args = args.map(str::to_owned);
        let cluster = &cluster;
        async move { cluster.load(&args.each_ref().map(String::as_str)).await }
    };
    let (one, two) = tokio::join!(play(&shares[0]), play(&shares[1]));
    for share in [&one, &two] {
        assert_eq!(share.status.code(), Some(0), "{}{}", out(share), err(share));
    }
    let whole = cluster
        .load(&["--add", &shares[0].1, &shares[1].1, "-o", "json"])
        .await;
    assert_eq!(whole.status.code(), Some(0), "{}", err(&whole));
    let whole: Value = serde_json::from_str(&out(&whole)).unwrap();
    assert_eq!(whole["counts"]["came"], 150);
    assert_eq!(whole["shares"], serde_json::json!([1, 2]));
    assert_eq!(whole["acts"]["sign_on"]["all"]["count"], 60);

    // What must hold and does not is a failure that says so.
    let strict = SHORT.replace("start.p99 <= 30s", "start.p50 <= 0ms");
    let strict = cluster.scenario("strict.toml", &strict);
    let failed = cluster
        .load(&["--scenario", &strict, "--chats", "30"])
        .await;
    assert_eq!(failed.status.code(), Some(1), "{}", out(&failed));
    assert!(
        err(&failed).contains("did not hold: start.p50 <= 0s"),
        "{}",
        err(&failed)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_serves_somebody_is_left_alone() {
    let cluster = Cluster::start().await;
    let world = support::world_file();
    let applied = meridian(&["apply", "-f", &world, &cluster.endpoints]).await;
    assert_eq!(applied.status.code(), Some(0), "{}", err(&applied));
    let scenario = cluster.scenario("short.toml", SHORT);
    let refused = cluster.load(&["--scenario", &scenario]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", out(&refused));
    assert!(
        err(&refused).contains("--on-configured"),
        "{}",
        err(&refused)
    );
    let agents = meridian(&["agents", "list", "-q", &cluster.endpoints]).await;
    assert!(out(&agents).lines().count() < 60, "{}", out(&agents));
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_asked() {
    let dead = support::dead_url().await;
    let load =
        async |args: &[&str]| meridian(&[&["load"], args, &["--endpoint", &dead]].concat()).await;
    for (args, code, told) in [
        (
            &["--scenario", "no-such-file.toml"][..],
            2,
            "no-such-file.toml: No such file",
        ),
        (
            &["--scenario", "quick", "--chats", "0"],
            2,
            "arrivals.chats: is 0; give 1 to",
        ),
        (&["--scenario", "quick", "--share", "1/2"], 2, "--start-at"),
        (
            &[
                "--scenario",
                "quick",
                "--share",
                "3/2",
                "--start-at",
                "2026-01-01T00:00:00Z",
            ],
            2,
            "no share",
        ),
        (
            &["--add", "no-such-report.json"],
            2,
            "no-such-report.json: No such file",
        ),
        (&["--scenario", "quick"], 3, "no endpoint answered"),
        (&[], 2, "--scenario"),
    ] {
        let refused = load(args).await;
        assert_eq!(
            refused.status.code(),
            Some(code),
            "{args:?}: {}",
            err(&refused)
        );
        assert!(err(&refused).contains(told), "{args:?}: {}", err(&refused));
    }
    let printed = load(&["--scenario", "outage", "--seed", "9", "--print"]).await;
    assert_eq!(printed.status.code(), Some(0), "{}", err(&printed));
    assert!(out(&printed).contains("seed = 9") && out(&printed).contains("[[bursts]]"));
}
