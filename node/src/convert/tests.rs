//! Every golden script of the routing core, played with each command, answer and entity taken through its
//! durable form and back.

use meridian_routing::apply::Outcome;
use meridian_routing::command::{Command, Stamped};
use meridian_routing::state::State;

use super::{Corrupt, command, entity, history};

#[allow(dead_code)] // The scripts' language, shared with the core's own tests.
#[path = "../../routing/tests/support/mod.rs"]
pub(crate) mod support;

fn there_and_back(stamped: Stamped) -> Stamped {
    let (id, actor) = (&stamped.request_id, &stamped.actor);
    let bytes = command::encode(0, id, actor, "00-trace", &stamped.command);
    let bytes = command::stamp(&bytes, stamped.at).expect("a command can be stamped");
    let (read, traced) = command::decode(stamped.index, &bytes).expect("a written command is read");
    assert_eq!(read, stamped);
    assert_eq!(traced, "00-trace");
    read
}

fn answers_survive(outcome: &Outcome) {
    let bytes = command::encode_reply(&outcome.result);
    assert_eq!(
        command::decode_reply(&bytes).expect("a written reply is read"),
        outcome.result
    );
    for chat in &outcome.history {
        let (key, bytes) = history::encode_chat(chat);
        assert_eq!(key, history::chat_key(&chat.id));
        assert_eq!(
            &history::decode_chat(&bytes).expect("a closed chat is read"),
            chat
        );
    }
    if let Some(version) = &outcome.version {
        let entries = history::encode_version(version);
        let (head, changes) = entries.split_first().expect("a head");
        assert_eq!(head.0, history::version_key(version.number));
        let (mut read, count) = history::decode_version(&head.1).expect("a head is read");
        assert_eq!(count as usize, changes.len());
        for (place, (key, bytes)) in changes.iter().enumerate() {
            assert_eq!(*key, history::change_key(version.number, place as u32));
            let change = history::decode_change(bytes);
            read.changes.push(change.expect("a change is read"));
        }
        assert_eq!(&read, version);
    }
}

/// What a restart would find.
fn restarted(state: &State) -> State {
    let written = state.keys().into_iter().map(|key| {
        let whole = state.entity(&key).expect("a key names an entity");
        let read = entity::decode(&entity::encode(&whole)).expect("a written entity is read");
        assert_eq!(read, whole, "{key:?}");
        read
    });
    State::restore(written.collect::<Vec<_>>())
}

/// What the API shows of a configuration, put again, is the same configuration. Schedules of scripts have no source.
fn shown_and_put_again(state: &State) {
    use meridian_routing::command::ConfigChange;
    let mut shown = super::api::configuration(state);
    shown.schedules.clear();
    for change in super::api::changes(&shown, 0).expect("what is shown can be put") {
        match change {
            ConfigChange::PutWorkspace(w) => assert_eq!(&w, state.workspace()),
            ConfigChange::PutRegion(r) => assert_eq!(Some(&r), state.regions().get(&r.id)),
            ConfigChange::PutQueue(q) => assert_eq!(Some(&q), state.queues().get(&q.id)),
            ConfigChange::PutAgent(a) => {
                assert_eq!(Some(&a), state.agents().get(&a.id).map(|s| &s.config));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn golden_scripts_survive_their_durable_form() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/routing/testdata");
    let mut commands = 0;
    for script in std::fs::read_dir(folder).expect("the scripts") {
        let path = script.expect("a script").path();
        let text = std::fs::read_to_string(&path).expect("its text");
        let mut play = support::Play::default();
        play.codec = Some(there_and_back);
        play.observer = Some(answers_survive);
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(line) = line.strip_prefix("> ") else {
                continue;
            };
            let mut told = Vec::new();
            while let Some(answer) = lines.next_if(|l| l.starts_with("  ")) {
                told.push(answer.to_owned());
            }
            assert_eq!(play.line(line), told, "{}: '{line}'", path.display());
            // The next line is played by a node that has just restarted.
            play.state = restarted(&play.state);
            shown_and_put_again(&play.state);
            commands += 1;
        }
    }
    assert!(commands > 100, "the scripts were played");
}

#[test]
fn keys_are_distinct_and_numbers_keep_their_order() {
    use meridian_routing::state::Key;
    let keys = [
        Key::Meta,
        Key::Workspace,
        Key::Agent("x".into()),
        Key::Chat("x".into()),
        Key::Visitor("x".into()),
        Key::Queue("x".into()),
        Key::Region("x".into()),
        Key::Schedule("x".into()),
        Key::Language("x".into()),
        Key::Request(1),
        Key::Request(256),
    ];
    let bytes: std::collections::BTreeSet<_> = keys.iter().map(entity::key).collect();
    assert_eq!(bytes.len(), keys.len());
    assert!(entity::key(&Key::Request(255)) < entity::key(&Key::Request(256)));
}

#[test]
fn damaged_and_newer_bytes_are_errors() {
    let bytes = command::encode(1, "r", "a", "", &Command::Tick);
    assert!(command::decode(1, &bytes[..bytes.len() - 1]).is_err());
    assert!(matches!(
        command::decode(1, &[]),
        Err(Corrupt::Newer { found: 0, .. } | Corrupt::Missing(_))
    ));
    assert!(command::decode_reply(&[0xff, 0xff]).is_err());
    assert!(entity::decode(&[]).is_err());
    let newer = meridian_proto::log::v1::Stamped {
        version: command::VERSION + 1,
        ..Default::default()
    };
    let newer = prost::Message::encode_to_vec(&newer);
    assert_eq!(
        command::decode(1, &newer),
        Err(Corrupt::Newer {
            found: command::VERSION + 1,
            known: command::VERSION
        })
    );
}

fn given(from_ms: i64, to_ms: i64) -> meridian_proto::livechat::v1::Schedule {
    meridian_proto::livechat::v1::Schedule {
        id: "rota".into(),
        spans: vec![meridian_proto::livechat::v1::UtcSpan { from_ms, to_ms }],
        ..Default::default()
    }
}

#[test]
fn spans_no_calendar_holds_are_refused_by_field() {
    let last = meridian_routing::limits::TIME_MAX;
    for (from, to, field) in [
        (i64::MIN, i64::MAX, "s.spans[0].from"),
        (-1, 5, "s.spans[0].from"),
        (0, last + 1, "s.spans[0].to"),
        (0, i64::MAX, "s.spans[0].to"),
    ] {
        let refused = super::api::schedule("s", &given(from, to), 0).expect_err("refused");
        assert!(
            refused.to_string().starts_with(&format!("{field}: ")),
            "{refused}"
        );
    }
    let kept = super::api::schedule("s", &given(0, last), 0).expect("the widest there is");
    assert_eq!((kept.spans[0].start, kept.spans[0].end), (0, last));
    let mut zoned = given(0, 5);
    zoned.zone = "Europe/Atlantis".into();
    let refused = super::api::schedule("s", &zoned, 0).expect_err("refused");
    assert!(refused.to_string().starts_with("s.zone: "), "{refused}");
}

#[test]
fn spans_that_leave_the_numbers_are_refused_before_they_are_proposed() {
    use meridian_routing::command::ConfigChange;
    use meridian_routing::model::{Schedule, Span};
    let wild = Command::Configure(vec![ConfigChange::PutSchedule(Schedule {
        id: "wild".into(),
        spans: vec![Span {
            start: i64::MIN,
            end: i64::MAX,
        }],
        horizon: i64::MAX,
        zone_data: String::new(),
        source: Vec::new(),
        last_offer_ms: 0,
        handover_ms: 0,
        handover_to_line: false,
    })]);
    let bytes = command::encode(0, "r", "a", "", &wild);
    assert_eq!(
        command::stamp(&bytes, 5),
        Err(Corrupt::Missing("schedule.edges"))
    );
}

#[test]
fn midnight_ends_a_day_and_begins_none() {
    use meridian_proto::livechat::v1::{Hours, Schedule, ScheduleException, WeeklyShift};
    let hours = |from: &str, to: &str| Schedule {
        id: "s".into(),
        zone: "Etc/UTC".into(),
        week: vec![WeeklyShift {
            days: vec!["mon".into()],
            from: from.into(),
            to: to.into(),
        }],
        exceptions: vec![ScheduleException {
            date: "2026-01-01".into(),
            hours: vec![Hours {
                from: "20:00".into(),
                to: "24:00".into(),
            }],
        }],
        ..Default::default()
    };
    let now = 1_767_225_600_000; // 2026-01-01, a Thursday
    let resolved = super::api::schedule("s", &hours("16:00", "24:00"), now).expect("resolved");
    let day = resolved
        .spans
        .iter()
        .find(|s| s.start > now)
        .expect("a day");
    assert_eq!((day.end - now) % 86_400_000, 0);
    let refused = super::api::schedule("s", &hours("24:00", "08:00"), now).expect_err("refused");
    assert!(
        refused.to_string().starts_with("s.week[0].from: "),
        "{refused}"
    );
}

#[test]
fn breaks_and_closures_pause_a_day_and_are_refused_by_the_entry_they_stand_in() {
    use meridian_proto::livechat::v1::{Schedule, ScheduleClosure, WeeklyShift};
    let weekly = |days: &[&str], from: &str, to: &str| WeeklyShift {
        days: days.iter().map(|d| (*d).into()).collect(),
        from: from.into(),
        to: to.into(),
    };
    let given = Schedule {
        id: "s".into(),
        zone: "Etc/UTC".into(),
        week: vec![weekly(&["thu", "fri"], "08:00", "16:00")],
        breaks: vec![weekly(&["thu", "fri"], "12:00", "12:30")],
        closures: vec![ScheduleClosure {
            from: "2026-01-02T14:00".into(),
            to: "2026-01-03T00:00".into(),
            reason: "stocktaking".into(),
        }],
        ..Default::default()
    };
    let now = 1_767_225_600_000; // 2026-01-01, a Thursday
    let resolved = super::api::schedule("s", &given, now).expect("resolved");
    let hours = |span: &meridian_routing::model::Span| {
        ((span.start - now) / 1_800_000, (span.end - now) / 1_800_000)
    };
    let spans: Vec<_> = resolved
        .spans
        .iter()
        .filter(|s| s.start >= now)
        .map(hours)
        .collect();
    assert_eq!(
        spans[..5],
        [(16, 24), (25, 32), (64, 72), (73, 76), (352, 360)]
    );
    assert_eq!(super::api::show_schedule(&resolved), given, "as it was put");

    let refused = |change: &dyn Fn(&mut Schedule)| {
        let mut wrong = given.clone();
        change(&mut wrong);
        let refused = super::api::schedule("schedules[0]", &wrong, now).expect_err("refused");
        refused.to_string()
    };
    let outside = refused(&|s| s.breaks.push(weekly(&["thu"], "15:45", "16:15")));
    assert!(
        outside.starts_with("schedules[0].breaks[1]: lies outside"),
        "{outside}"
    );
    let twice = refused(&|s| s.week.push(weekly(&["fri"], "15:00", "17:00")));
    assert!(
        twice.starts_with("schedules[0].week[1]: overlaps week[0]"),
        "{twice}"
    );
    let backwards = refused(&|s| s.closures[0].to = "2026-01-02T14:00".into());
    assert!(
        backwards.starts_with("schedules[0].closures[0].to: ends at"),
        "{backwards}"
    );
    let no_time = refused(&|s| s.closures[0].from = "2026-01-02 14:00".into());
    assert!(
        no_time.starts_with("schedules[0].closures[0].from: '2026-01-02 14:00'"),
        "{no_time}"
    );
    let beside = refused(&|s| {
        s.spans = vec![Default::default()];
        s.week.clear();
    });
    assert!(
        beside.starts_with("schedules[0].spans: cannot stand beside"),
        "{beside}"
    );
}
