//! A clean little day, and what each doctored word of it must be found out as.

use std::collections::BTreeMap;

use meridian_proto::livechat::v1 as api;
use meridian_traffic::format::Level;

use super::*;
use crate::demo::ledger::Asked;
use meridian_load::people::notes::{Act, Deed, Hold};

const REST_MS: i64 = 1_000_000;

struct Day {
    facts: Facts,
    told: Entries,
    evidence: Evidence,
}

fn event(log_index: u64, what: &str, agent: &str) -> api::ChatEvent {
    api::ChatEvent {
        log_index,
        what: what.into(),
        agent_id: agent.into(),
        at_ms: 500,
        ..Default::default()
    }
}

fn chat(id: &str, phase: api::ChatPhase, closed: api::CloseReason) -> api::Chat {
    api::Chat {
        chat_id: id.into(),
        queue_id: "general".into(),
        phase: phase.into(),
        closed: closed.into(),
        languages: vec!["de".into(), "en".into()],
        arrived_ms: 100,
        ..Default::default()
    }
}

fn visit(first: &api::Chat, last: &api::Chat) -> Visit {
    Visit {
        asked: asked(),
        region: "eu".into(),
        weight: 2,
        talk_ms: 1,
        came_ms: 90,
        first: first.clone(),
        last: last.clone(),
        closed: (last.phase() == api::ChatPhase::Closed).then(|| last.clone()),
        felt_wait_ms: Some(420),
        left_ms: Some(800),
        oddities: Vec::new(),
    }
}

fn asked() -> Asked {
    Asked {
        queue: "general".into(),
        languages: vec!["de".into(), "en".into()],
    }
}

fn deed(act: Act, chat: &str, agent: &str, index: u64) -> Deed {
    Deed {
        act,
        chat: chat.into(),
        agent: agent.into(),
        region: String::new(),
        index,
    }
}

fn hold(agent: &str, from: u64, until: Option<u64>, owned: bool) -> Hold {
    Hold {
        agent: agent.into(),
        chat: "a".into(),
        from,
        until,
        owned,
    }
}

/// Chat a is lost by ana, answered by bo and rated; b is abandoned; c is put off.
fn day() -> Day {
    use api::{ChatPhase::*, CloseReason};
    let person = |languages: &[(&str, Level)]| Person {
        region: "eu".into(),
        capacity: 3,
        languages: languages.iter().map(|(l, v)| ((*l).into(), *v)).collect(),
    };
    let waiting = |id| api::Chat {
        log_index: 10,
        ..chat(id, Waiting, CloseReason::Unspecified)
    };
    let answered = api::Chat {
        answered_ms: 600,
        answered_by: "bo".into(),
        log_index: 60,
        ..chat("a", Closed, CloseReason::Answered)
    };
    let left = api::Chat {
        log_index: 20,
        ..chat("b", Closed, CloseReason::Abandoned)
    };
    let later = api::Chat {
        due_ms: 9_999,
        log_index: 12,
        ..chat("c", Deferred, CloseReason::Unspecified)
    };
    let story = vec![
        event(10, "arrived", ""),
        event(10, "offered", "ana"),
        event(15, "accepted", "ana"),
        event(30, "agent lost", "ana"),
        event(30, "offered", "bo"),
        event(33, "accepted", "bo"),
        event(50, "ended", "bo"),
        event(55, "wrapped up", "bo"),
        event(60, "rated", ""),
    ];
    let record = |chat: &api::Chat, events| {
        let chat = chat.clone();
        Some(Record { chat, events })
    };
    let told = Entries {
        offered: 5,
        refused: [("full".to_owned(), 1)].into(),
        unknown: vec![asked()],
        visits: BTreeMap::from([
            ("a".into(), visit(&waiting("a"), &answered)),
            ("b".into(), visit(&waiting("b"), &left)),
            ("c".into(), visit(&waiting("c"), &later)),
        ]),
        deeds: vec![
            deed(Act::Accept, "a", "ana", 15),
            deed(Act::Accept, "a", "bo", 33),
            deed(Act::End, "a", "bo", 50),
            deed(Act::Rate, "a", "", 0),
            deed(Act::Leave, "b", "", 20),
        ],
        holds: vec![
            // Ana's stream broke: nobody told her that the chat went on to bo.
            hold("ana", 10, None, false),
            hold("ana", 15, None, true),
            hold("bo", 30, Some(55), false),
            hold("bo", 33, Some(50), true),
        ],
        ..Default::default()
    };
    let evidence = Evidence {
        records: BTreeMap::from([
            ("a".into(), record(&answered, story)),
            ("b".into(), record(&left, vec![event(20, "abandoned", "")])),
            ("c".into(), record(&later, vec![event(12, "deferred", "")])),
        ]),
        listed: Some(vec![answered, left, later]),
        disagreement: None,
    };
    let plan = crate::demo::plan::Plan::make(1, 30, 1, 1_795_478_400_000, 60_000).expect("a plan");
    let facts = Facts {
        seed: 1,
        stage: plan.stage(0),
        people: BTreeMap::from([
            ("ana".into(), person(&[("en", Level::Native)])),
            (
                "bo".into(),
                person(&[("de", Level::Translated), ("en", Level::Working)]),
            ),
        ]),
        rest_ms: REST_MS,
        failure: Some(Failover {
            region: "eu".into(),
            led: true,
            failover_ms: 2_000,
            bound_ms: 3_000,
            target_ms: Some(4_000),
            back_ms: 100,
        }),
    };
    Day {
        facts,
        told,
        evidence,
    }
}

/// The report of the day once it is doctored.
fn doctored(doctor: impl FnOnce(&mut Day)) -> Report {
    let mut day = day();
    doctor(&mut day);
    report(&day.facts, &day.told, &day.evidence)
}

/// Expects one fault at least, the first of which says so.
#[track_caller]
fn found(words: &str, doctor: impl FnOnce(&mut Day)) -> Report {
    let report = doctored(doctor);
    let said = report.faults.iter().any(|f| f.contains(words));
    assert!(said, "no '{words}' in {:?}", report.faults);
    report
}

fn record<'a>(day: &'a mut Day, id: &str) -> &'a mut Record {
    let record = day.evidence.records.get_mut(id).and_then(Option::as_mut);
    record.expect("a record")
}

fn drop_event(day: &mut Day, id: &str, what: &str) {
    record(day, id).events.retain(|e| e.what != what);
}

#[test]
fn a_clean_day_has_no_fault_and_the_right_figures() {
    let r = doctored(|_| {});
    assert_eq!(r.faults, Vec::<String>::new());
    assert_eq!((r.offered, r.accepted, r.unknown), (5, 3, 1));
    assert_eq!((r.answered, r.abandoned, r.deferred, r.open), (1, 1, 1, 0));
    assert_eq!((r.lost, r.double_assigned, r.over_capacity), (0, 0, 0));
    assert_eq!((r.ghosts, r.acknowledgements), (Some(0), 5));
    assert_eq!((r.wait_ms.max, r.felt_wait_ms.max), (500, 420));
    assert_eq!(r.abandoned_wait_ms.max, 800);
    assert_eq!(r.failover_ms, Some(2_000));
    // Bo speaks the second language well, and the first only through a machine.
    assert_eq!((r.language_match_share, r.first_language_share), (1.0, 0.0));
    assert_eq!(r.machine_translated_share, 0.0);
    let r = doctored(|day| {
        let bo = day.facts.people.get_mut("bo").expect("bo");
        bo.languages.truncate(1);
    });
    assert_eq!(
        (r.language_match_share, r.machine_translated_share),
        (0.0, 1.0)
    );
}

#[test]
fn a_chat_the_cluster_forgot_is_lost() {
    let r = found("chat a was accepted and is not known", |day| {
        day.evidence.records.insert("a".into(), None);
    });
    assert_eq!(r.lost, 1);
}

#[test]
fn an_acknowledgement_without_its_event_is_found() {
    for (id, what, words) in [
        ("a", "accepted", "Accept of chat a by 'ana'"),
        ("a", "ended", "End of chat a by 'bo'"),
        ("a", "rated", "Rate of chat a"),
        ("b", "abandoned", "Leave of chat b"),
    ] {
        found(words, |day| drop_event(day, id, what));
    }
    // One event does not serve two acknowledgements.
    found(
        "Accept of chat a by 'ana' was acknowledged at log index 15",
        |day| {
            day.told.deeds.push(deed(Act::Accept, "a", "ana", 17));
        },
    );
    found("Leave of chat c", |day| {
        day.told.deeds.push(deed(Act::Leave, "c", "", 12));
    });
    found("the chat is not known", |day| {
        day.told.deeds.push(deed(Act::Accept, "x", "ana", 12));
    });
}

#[test]
fn a_chat_that_goes_back_or_changes_its_past_is_found() {
    found("was told as of log index 60, and now stands at 59", |day| {
        record(day, "a").chat.log_index = 59;
    });
    found("arrived at 100, and now at 101", |day| {
        record(day, "a").chat.arrived_ms = 101;
    });
    found("was answered at 600, and now at 601", |day| {
        record(day, "a").chat.answered_ms = 601;
    });
    found("is in 'billing'", |day| {
        record(day, "a").chat.queue_id = "billing".into();
    });
    let moved = doctored(|day| {
        let a = record(day, "a");
        a.chat.queue_id = "billing".into();
        a.events.insert(3, event(20, "transferred", "ana"));
    });
    assert_eq!(moved.faults, Vec::<String>::new());
    found(
        "was told closed as answered, and now is closed (abandoned)",
        |day| {
            let a = &mut record(day, "a").chat;
            (a.closed, a.answered_ms) = (api::CloseReason::Abandoned.into(), 0);
        },
    );
    found("was told closed as abandoned, and now is waiting", |day| {
        let b = &mut record(day, "b").chat;
        (b.phase, b.closed) = (api::ChatPhase::Waiting.into(), 0);
    });
    found("chat c came back", |day| {
        let c = day.told.visits.get_mut("c").expect("c");
        c.oddities.push("came back".into());
    });
}

#[test]
fn a_chat_that_is_stuck_is_found() {
    for phase in [api::ChatPhase::Waiting, api::ChatPhase::Offered] {
        let r = found("chat c is stuck", |day| {
            record(day, "c").chat.phase = phase.into()
        });
        assert_eq!(r.open, 1);
    }
    found("chat c is stuck: deferred", |day| {
        record(day, "c").chat.due_ms = 0
    });
    found("chat a is stuck", |day| {
        record(day, "a").chat.answered_ms = 0
    });
    found("chat b is stuck", |day| {
        record(day, "b").chat.answered_ms = 7
    });
    found("chat c is stuck: active", |day| {
        record(day, "c").chat.phase = api::ChatPhase::Active.into();
    });
    // Back in line after everybody went home: on time, and nobody's fault.
    let back = doctored(|day| {
        let c = record(day, "c");
        c.chat.phase = api::ChatPhase::Waiting.into();
        let mut returned = event(99, "returned to the line", "");
        returned.at_ms = REST_MS;
        c.events.push(returned);
    });
    assert_eq!((back.open, back.faults.len()), (1, 0), "{:?}", back.faults);
}

#[test]
fn two_owners_are_found_by_story_by_acknowledgement_and_by_what_agents_were_told() {
    let r = found(
        "was accepted by bo at log index 33 while ana owned it",
        |day| {
            drop_event(day, "a", "agent lost");
        },
    );
    assert_eq!(r.double_assigned, 1);
    // The story forgot ana; she was told, and told again to end it.
    let r = found("was bo's from log index 33, while it was ana's", |day| {
        record(day, "a").events.retain(|e| e.agent_id != "ana");
        day.told.holds.clear();
    });
    assert_eq!(r.double_assigned, 1);
    let r = found("was bo's from log index 33, while it was ana's", |day| {
        drop_event(day, "a", "agent lost");
        day.told.deeds.retain(|d| d.act != Act::Accept);
    });
    assert_eq!(r.double_assigned, 1);
    found("was told at log index 34 to own chat a", |day| {
        day.told.holds.push(hold("cleo", 34, Some(36), true));
    });
}

#[test]
fn too_much_in_hand_is_found_by_what_was_told() {
    let second = |from, until| Hold {
        chat: "b".into(),
        ..hold("bo", from, Some(until), false)
    };
    let r = found("agent bo was given 4 of 3 units by log index 54", |day| {
        day.told.holds.push(second(54, 58));
    });
    assert_eq!(r.over_capacity, 1);
    // One is taken at the very index at which another goes.
    let r = doctored(|day| day.told.holds.push(second(55, 58)));
    assert_eq!((r.over_capacity, r.faults.len()), (0, 0), "{:?}", r.faults);
    let r = found("agent ana was told a load of 4 of 3 units", |day| {
        day.told.overloads.insert("ana".into(), (4, 3));
    });
    assert_eq!(r.over_capacity, 1);
}

#[test]
fn chats_nobody_asked_for_and_chats_not_listed_are_found() {
    use api::{ChatPhase::Waiting, CloseReason::Unspecified};
    // One more may come of the request that was never answered, a second may not.
    let one = doctored(|day| {
        let listed = day.evidence.listed.as_mut().expect("a list");
        listed.push(chat("x", Waiting, Unspecified));
    });
    assert_eq!(
        (one.ghosts, one.faults.len()),
        (Some(0), 0),
        "{:?}",
        one.faults
    );
    let two = found("chat y is listed and nobody asked for it", |day| {
        let listed = day.evidence.listed.as_mut().expect("a list");
        listed.extend(["x", "y"].map(|id| chat(id, Waiting, Unspecified)));
    });
    assert_eq!(two.ghosts, Some(1));
    found("chat y is listed", |day| {
        let mut other = chat("y", Waiting, Unspecified);
        other.queue_id = "billing".into();
        day.evidence.listed.as_mut().expect("a list").push(other);
    });
    found("chat a is known and not listed", |day| {
        day.evidence.listed.as_mut().expect("a list").remove(0);
    });
    let long = doctored(|day| day.evidence.listed = None);
    assert_eq!((long.ghosts, long.faults.len()), (None, 0));
}

#[test]
fn the_books_must_balance() {
    found(
        "6 chats asked for, but 3 accepted, 1 refused and 1 unknown",
        |day| {
            day.told.offered = 6;
        },
    );
    found("a simulated agent failed", |day| {
        day.told.mishaps.push("a simulated agent failed".into());
    });
    found("replicas differ", |day| {
        day.evidence.disagreement = Some("replicas differ".into());
    });
}

#[test]
fn a_failover_that_is_none_or_too_long_is_found() {
    let r = found("eu did not lead when it was killed", |day| {
        day.facts.failure.as_mut().expect("a failure").led = false;
    });
    assert_eq!(r.failover_ms, None);
    let words = "first new commit 4001 ms after the kill (bound 3000 ms by the timings in force, target 4000 ms)";
    found(words, |day| {
        day.facts.failure.as_mut().expect("a failure").failover_ms = 4_001;
    });
    let other_network = doctored(|day| {
        let failure = day.facts.failure.as_mut().expect("a failure");
        (failure.failover_ms, failure.target_ms) = (9_000, None);
    });
    assert_eq!(other_network.faults, Vec::<String>::new());
}

#[test]
fn languages_are_the_same_whatever_the_region_and_not_whatever_the_script() {
    for (one, other, same) in [
        ("pt-BR", "pt-PT", true),
        ("zh-Hant", "zh-Hans", false),
        ("zh-Hant-TW", "zh-Hant", true),
        ("zh", "zh-Hans", true),
        ("en", "de", false),
    ] {
        assert_eq!(same_language(one, other), same, "{one} {other}");
    }
}
