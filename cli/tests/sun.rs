//! The real binary on who covers what when, of a file and of a node.

mod support;

use serde_json::Value;
use support::{Node, Script, err, meridian, out, world_file};

const WEEK: &str = "days: [mon, tue, wed, thu, fri, sat, sun]";

/// A queue that is open all day: London's day and Auckland's leave hours to nobody.
fn two_regions(london_until: &str) -> (tempfile::TempDir, String) {
    let agent = |id: &str, region: &str, schedule: &str, language: &str| {
        format!(
            "  - {{id: {id}, name: {id}, region: {region}{schedule}, queues: [support], capacity: 1, \
             languages: [{{language: {language}, level: native}}]}}\n"
        )
    };
    let text = format!(
        "\
regions:
  - {{id: ap, zone: Pacific/Auckland, schedule: auckland}}
  - {{id: eu, zone: Europe/London, schedule: london}}
schedules:
  - {{id: auckland, zone: Pacific/Auckland, week: [{{{WEEK}, from: \"08:00\", to: \"22:00\"}}]}}
  - {{id: london, zone: Europe/London, week: [{{{WEEK}, from: \"09:00\", to: \"{london_until}\"}}]}}
queues:
  - {{id: support}}
agents:
{}{}{}{}",
        agent("lee", "eu", ", schedule: london", "en-GB"),
        agent("kai", "ap", ", schedule: auckland", "en-NZ"),
        agent("noa", "eu", "", "en"),
        agent("ida", "eu", "", "da"),
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("world.yaml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_listed_with_who_comes_next_and_end_with_1() {
    let (_dir, world) = two_regions("18:00");
    let args = ["sun", "gaps", "--file", &world, "--from", "2026-01-13"];
    let output = meridian(&[&args[..], &["--days", "1"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert_eq!(
        out(&output),
        "\
QUEUE    LANGUAGE  FROM UTC          TO UTC            LENGTH  ON SHIFT  THERE                              NEXT
support  en        2026-01-13 18:00  2026-01-13 19:00  1h      nobody    Wed 07:00 - 08:00 Pacific/Auckland  kai (ap) 2026-01-13 19:00
support: da: only whenever available, so no gap can be told: ida
support: en: not counted, as they have no schedule: noa
"
        .replace("THERE                              NEXT", "THERE                               NEXT")
    );
    assert_eq!(
        err(&output),
        "error: 1 gap from 2026-01-13 00:00 to 2026-01-14 00:00\n"
    );

    // When London has its summer time and Auckland its winter time, it is two hours.
    let july = [
        "sun",
        "gaps",
        "--file",
        &world,
        "--from",
        "2026-07-13T12:00Z",
    ];
    let output = meridian(&[&july[..], &["--days", "1", "-o", "json"]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&out(&output)).unwrap();
    let gap = &report["gaps"][0];
    assert_eq!(gap["from_utc"], "2026-07-13T17:00:00Z");
    assert_eq!(gap["length_ms"], 3 * 3_600_000);
    assert_eq!(gap["next"]["agent"], "kai");
    assert_eq!(gap["next"]["local"]["at"], "2026-07-14T08:00:00+12:00");
    assert_eq!(report["gaps"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gaps_it_ends_with_0_and_thin_does_not_change_that() {
    let (_dir, world) = two_regions("21:00");
    let args = ["sun", "gaps", "--file", &world, "--from", "2026-01-13"];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).starts_with("no gaps\n"), "{}", out(&output));
    let thin = [&args[..], &["--days", "1", "--thin", "-o", "json"]].concat();
    let output = meridian(&thin).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let report: Value = serde_json::from_str(&out(&output)).unwrap();
    let thin = report["thin"].as_array().unwrap().iter();
    let alone: Vec<_> = thin
        .map(|t| format!("{} {}", t["from_utc"], t["only"]).replace('"', ""))
        .collect();
    assert_eq!(
        alone,
        [
            "2026-01-13T00:00:00Z kai",
            "2026-01-13T09:00:00Z lee",
            "2026-01-13T21:00:00Z kai",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn show_draws_the_day_in_80_columns() {
    let (_dir, world) = two_regions("18:00");
    let args = ["sun", "show", "--file", &world, "--at", "2026-01-13T18:30Z"];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert_eq!(
        text,
        "\
2026-01-13 (UTC, half an hour a column)
         00  02  04  06  08  10  12  14  16  18  20  22
                                              v 18:30
queue support
da       ................................................
en       111111111111111111111111111111111111..1111111111
  da: whenever available, not counted: ida
  en: whenever available, not counted: noa
regions
ap       ##################....................##########
eu       ..................##################............
sun order at 2026-01-13 18:30 UTC
  1 ap       begins 2026-01-13 19:00 UTC (08:00 NZDT)
  2 eu       begins 2026-01-14 09:00 UTC (09:00 GMT)
1-9 agents on shift, + ten or more, . nobody, blank: queue closed; # at work
"
    );
    assert!(text.lines().all(|l| l.chars().count() <= 80));
    let output = meridian(&[&args[..], &["-o", "json"]].concat()).await;
    let chart: Value = serde_json::from_str(&out(&output)).unwrap();
    let row = &chart["queues"][0]["languages"][1];
    assert_eq!(
        (&row["agents"][35], &row["agents"][36]),
        (&1.into(), &0.into())
    );
    assert_eq!(chart["regions"][0]["region"], "ap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_not_there_and_a_bad_instant_are_refused() {
    let world = world_file();
    let output = meridian(&["sun", "show", "--file", &world, "--queue", "sale"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        err(&output),
        "error: --queue: no queue 'sale'; name one of sales, support\n"
    );
    let output = meridian(&["sun", "gaps", "--file", &world, "--from", "noon"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("write it like 2026-12-25"),
        "{}",
        err(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_asked_without_a_file() {
    let (_dir, world) = two_regions("18:00");
    let text = std::fs::read_to_string(&world).unwrap();
    let configuration = meridian_cli::world::File::read("world.yaml", &text)
        .unwrap()
        .configuration;
    let node = Node::start(Script {
        configuration,
        ..Default::default()
    })
    .await;
    let url = node.url();
    let args = ["sun", "gaps", "--endpoint", &url, "--from", "2026-01-13"];
    let output = meridian(&[&args[..], &["--days", "2"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("2 gaps"), "{}", err(&output));
}
