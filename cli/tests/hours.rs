//! The real binary on working hours: no node is there to ask.

mod support;

use serde_json::Value;
use support::{err, meridian, out, world_file};

fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

const HOLIDAYS: &str = "\
BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20201225
RRULE:FREQ=YEARLY
SUMMARY:Christmas
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;TZID=Europe/Lisbon:20261224T140000
DTEND;TZID=Europe/Lisbon:20261225T000000
SUMMARY:Christmas Eve
END:VEVENT
END:VCALENDAR
";

#[tokio::test(flavor = "multi_thread")]
async fn lint_names_line_problem_and_fix() {
    let world = world_file();
    let output = meridian(&["hours", "lint", &world, "--from", "2026-11-25"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        out(&output),
        format!(
            "{world}:21:9: schedules[0].exceptions[1]: 2026-12-26: says what every Saturday says; take it out\n"
        )
    );
    assert_eq!(
        err(&output),
        format!("error: {world}: 2 schedules: 1 finding\n")
    );

    let (_dir, path) = file(
        "world.yaml",
        "\
schedules:
  - id: night
    zone: Europe/London
    week:
      - {days: [fri], from: \"09:00\", to: \"10:00\"}
      - {days: [sat, sun], from: \"01:30\", to: \"05:00\"}
    holidays: [\"2025-12-25\"]
  - id: never
    zone: Europe/London
",
    );
    let args = ["hours", "lint", &path, "--from", "2026-11-25", "-o", "json"];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&out(&output)).unwrap();
    let told: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            format!(
                "{} {} {}",
                f["line"],
                f["field"].as_str().unwrap(),
                f["description"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "2 schedules[0] no region, queue or agent of this file uses 'night'; take it out, or name it where it is meant",
            "6 schedules[0].week[1] sun: starts at 01:30 on 2027-03-28, which the clock skips: it is 2027-03-28 02:30; give that date hours of its own where this is not meant",
            "6 schedules[0].week[1] sun: starts at 01:30 on 2027-10-31, which comes twice: the first counts; give that date hours of its own where this is not meant",
            "7 schedules[0].holidays 2025-12-25 has passed; put the coming ones in",
            "8 schedules[1] no region, queue or agent of this file uses 'never'; take it out, or name it where it is meant",
            "8 schedules[1].week has no shifts, so it never opens; give the week some, or take the schedule out",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lint_is_quiet_and_zero_when_clean() {
    let clean = ["hours", "lint", "--osm", "Mo-Fr 09:00-17:00"];
    let output = meridian(&clean).await;
    assert_eq!(
        (output.status.code(), out(&output)),
        (Some(0), String::new())
    );
    assert_eq!(err(&output), "--osm: nothing to tell\n");
    let output = meridian(&[&clean[..], &["-o", "json"]].concat()).await;
    let report: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(report["findings"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn lint_explains_what_openstreetmap_overrides() {
    let text = "Mo-Fr 09:00-12:00; Mo-Fr 13:00-17:00";
    let output = meridian(&["hours", "lint", "--osm", text]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).contains("so that 09:00-12:00 is lost; write ', ' in place of ';' to add"),
        "{}",
        out(&output)
    );
    let output = meridian(&["hours", "lint", "--osm", "Mo-Fr 9-17"]).await;
    assert_eq!(
        out(&output),
        "part 1 'Mo-Fr 9-17': has times without minutes; write Mo-Fr 09:00-17:00\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_shows_local_time_utc_and_why() {
    let (_dir, ics) = file("holidays.ics", HOLIDAYS);
    let world = world_file();
    let args = [
        "hours",
        "preview",
        &world,
        "--schedule",
        "lisbon-day",
        "--from",
        "2026-12-22",
        "--days",
        "5",
        "--ics",
        &ics,
    ];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("lisbon-day: Europe/Lisbon (zone data "),
        "{text}"
    );
    assert!(
        lines[0].ends_with(", Mo-Fr 09:00-13:00,14:00-18:00"),
        "{text}"
    );
    let rest = "\
DATE        DAY  LOCAL                     UTC                       LENGTH  NOTES
2026-12-22  Tue  09:00-13:00, 14:00-18:00  09:00-13:00, 14:00-18:00  8h
2026-12-23  Wed  09:00-13:00, 14:00-18:00  09:00-13:00, 14:00-18:00  8h
2026-12-24  Thu  09:00-12:00               09:00-12:00               3h      hours of its own; closed from 14:00: Christmas Eve
2026-12-25  Fri  -                         -                         -       holiday: Christmas
2026-12-26  Sat  -                         -                         -       closed on this date
total of the 5 days from 2026-12-22: 19h";
    assert_eq!(lines[1..].join("\n"), rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_is_exact_where_the_clock_is_changed() {
    let night = |zone: &'static str, from: &'static str| async move {
        let args = [
            "hours",
            "preview",
            "--osm",
            "Mo-Su 22:00-06:00",
            "--zone",
            zone,
            "--from",
            from,
            "--days",
            "2",
            "-o",
            "json",
        ];
        let output = meridian(&args).await;
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let preview: Value = serde_json::from_str(&out(&output)).unwrap();
        let span = &preview["days"][0]["spans"][0];
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        (
            [
                text(&span["from_utc"]),
                text(&span["to_utc"]),
                text(&span["to"]),
            ],
            preview["days"][1]["notes"]
                .as_array()
                .unwrap()
                .iter()
                .map(text)
                .collect::<Vec<_>>(),
        )
    };
    for (zone, from, span, note) in [
        (
            "Europe/London",
            "2026-10-24",
            [
                "2026-10-24T21:00:00Z",
                "2026-10-25T06:00:00Z",
                "2026-10-25T06:00:00+00:00",
            ],
            vec!["clock back from 02:00 to 01:00"],
        ),
        (
            "America/New_York",
            "2026-03-07",
            [
                "2026-03-08T03:00:00Z",
                "2026-03-08T10:00:00Z",
                "2026-03-08T06:00:00-04:00",
            ],
            vec!["clock forward from 02:00 to 03:00"],
        ),
        (
            "Australia/Lord_Howe",
            "2026-04-04",
            [
                "2026-04-04T11:00:00Z",
                "2026-04-04T19:30:00Z",
                "2026-04-05T06:00:00+10:30",
            ],
            vec!["clock back from 02:00 to 01:30"],
        ),
        (
            "Asia/Kolkata",
            "2026-04-04",
            [
                "2026-04-04T16:30:00Z",
                "2026-04-05T00:30:00Z",
                "2026-04-05T06:00:00+05:30",
            ],
            vec![],
        ),
        (
            "Pacific/Apia",
            "2011-12-29",
            [
                "2011-12-30T08:00:00Z",
                "2011-12-30T16:00:00Z",
                "2011-12-31T06:00:00+14:00",
            ],
            vec!["the zone skipped this date"],
        ),
    ] {
        let (told, notes) = night(zone, from).await;
        assert_eq!(
            (told, notes),
            (
                span.map(str::to_owned),
                note.into_iter().map(str::to_owned).collect()
            ),
            "{zone}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_is_a_world_file() {
    let (_dir, ics) = file("holidays.ics", HOLIDAYS);
    let args = [
        "hours",
        "import",
        "--osm",
        "Mo-Fr 09:00-13:00,14:00-18:00; Sa 22:00-02:00; PH off",
        "--zone",
        "Europe/Lisbon",
        "--id",
        "lisbon",
        "--from",
        "2026-11-25",
        "--ics",
        &ics,
    ];
    let output = meridian(&args).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        err(&output).ends_with("2 holidays and 1 closure\n"),
        "{}",
        err(&output)
    );
    let comments = "# 2026-12-25 Christmas\n# 2027-12-25 Christmas\n";
    assert!(
        out(&output).starts_with(&format!("{comments}schedules:\n- id: lisbon\n")),
        "{}",
        out(&output)
    );
    let closure = "  closures:\n  - from: 2026-12-24T14:00\n    to: 2026-12-25T00:00\n    reason: Christmas Eve\n";
    assert!(out(&output).contains(closure), "{}", out(&output));
    let (_dir, path) = file("world.yaml", &out(&output));
    let shown = meridian(&[
        "hours",
        "preview",
        &path,
        "--from",
        "2026-12-24",
        "--days",
        "3",
    ])
    .await;
    let text = out(&shown);
    let rows: Vec<_> = text
        .lines()
        .skip(2)
        .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            // The afternoon is the closure's, which the world file holds as an exception.
            "2026-12-24 Thu 09:00-13:00 09:00-13:00 4h closed from 14:00: Christmas Eve",
            "2026-12-25 Fri - - - holiday",
            "2026-12-26 Sat 22:00-Sun 02:00 22:00-Sun 02:00 4h",
            "total of the 3 days from 2026-12-24: 8h",
        ]
    );
    let bad = meridian(&[
        "hours", "import", "--osm", "24/7", "--zone", "UTC", "--id", "No Id",
    ])
    .await;
    assert_eq!(bad.status.code(), Some(4));
    assert!(
        err(&bad).contains("schedules[0].id: 'No Id' is not an id"),
        "{}",
        err(&bad)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_code() {
    let world = world_file();
    let (_dir, broken) = file(
        "broken.ics",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n",
    );
    for (args, code, told) in [
        (vec!["lint"], 2, "required arguments were not provided"),
        (
            vec!["lint", &world, "--osm", "24/7"],
            2,
            "cannot be used with",
        ),
        (
            vec!["lint", "/nowhere.yaml"],
            2,
            "FILE: cannot read /nowhere.yaml",
        ),
        (vec!["preview", "--osm", "24/7"], 2, "--zone <ZONE>"),
        (
            vec!["preview", "--osm", "24/7", "--zone", "Europe/Lisboa"],
            2,
            "--zone: 'Europe/Lisboa' is not an IANA time zone; use a name such as Europe/Lisbon",
        ),
        (
            vec!["preview", "--osm", "24/7", "--zone", "UTC", "--days", "0"],
            2,
            "give 1 to 400",
        ),
        (
            vec![
                "preview", "--osm", "24/7", "--zone", "UTC", "--from", "tomorrow",
            ],
            2,
            "write it like 2026-12-25",
        ),
        (
            vec!["preview", "--osm", "sunrise-sunset", "--zone", "UTC"],
            4,
            "--osm: rule 1 'sunrise-sunset': dawn, sunrise",
        ),
        (
            vec![
                "preview",
                "--osm",
                "Mo-Fr 09:00-17:00; PH off",
                "--zone",
                "UTC",
            ],
            4,
            "give an iCalendar file of them, or take PH out",
        ),
        (
            vec!["preview", &world],
            2,
            "has lisbon-day, sao-paulo-day; name one of them",
        ),
        (
            vec!["preview", &world, "--schedule", "paris"],
            2,
            "has lisbon-day, sao-paulo-day; name one of them",
        ),
        (
            vec![
                "preview",
                &world,
                "--schedule",
                "lisbon-day",
                "--ics",
                &broken,
            ],
            4,
            "broken.ics: line 2: DTSTART: is missing",
        ),
        (
            vec![
                "import",
                "--osm",
                "24/7",
                "--zone",
                "UTC",
                "--id",
                "a",
                "--ics",
                "/nowhere.ics",
            ],
            2,
            "--ics: cannot read /nowhere.ics",
        ),
    ] {
        let output = meridian(&[&["hours"], &args[..]].concat()).await;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}\n{}",
            err(&output)
        );
        assert!(err(&output).contains(told), "{args:?}\n{}", err(&output));
    }
}
