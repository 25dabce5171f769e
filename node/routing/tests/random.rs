//! Random commands, valid and not; after each: every invariant, atomic refusals, the same bytes on a second
//! replica, and the same future from a restored state.

#[allow(dead_code)] // each test uses its part
mod support;

use meridian_routing::apply::Outcome;
use meridian_routing::command::*;
use meridian_routing::ids::*;
use meridian_routing::invariants;
use meridian_routing::model::{Phase, Presence};
use meridian_routing::state::State;
use proptest::prelude::*;
use support::Play;

const WORLD: &str = "\
schedule day spans=0h-8h,24h-32h,48h-56h last=20m handover=10m to_line
schedule night spans=7h-17h,31h-41h handover=5m
schedule always spans=0s-9000h
region us night
region eu day near=us
workspace acme fallbacks=ca:es+en loads=chat:1,chat/sales:2,sms:1! break_after=2h break=5m
queue b staff=1 offer=10s schedule=day waitmax=2m waiting=6 to=2 steps=0s/working/eu/skip,20s/translated/fallback/off3 strategy=weighted
queue a offer=20s wrap=10s steps=0s/fluent/near0/rank1/skip,10s/near1/want:billing:2,30s/working/fallback ageing=30s vip=3 sticky=5m hold=20s holdteam=15s overflow=b@40s,b@0s/size3,b@5s/level50
queue c auto strategy=round_robin overflow=a@0s/nobody wrap=5s
agent a1 eu langs=en,es:working queues=a:2,c cap=2 schedule=day team=red
agent a2 eu langs=pt-BR,es queues=a,b:1:2 cap=3 skills=billing:4 team=red extra=1
agent a3 us langs=en:fluent queues=b,c cap=1 schedule=night share=300
agent b1 us langs=en,es queues=a,c cap=9 bot
agent a4 us langs=en,ca queues=a:1:1,b cap=4 skills=billing:9 ramp=1h:1,3h:2 extra=2";

/// Enough kinds of agents that what is told of a decision is a sample. Made in another order than a restart
/// finds them in.
fn crowd() -> impl Iterator<Item = String> {
    (0..40)
        .rev()
        .map(|n| format!("agent k{n} us langs=en queues=a cap=2 skills=k{n}:3"))
}

/// A play in which all of the world stands.
fn world() -> Play {
    let mut play = Play::default();
    for line in WORLD.lines().map(str::to_owned).chain(crowd()) {
        assert!(play.line(&line).is_empty(), "'{line}' must be accepted");
    }
    play
}

#[derive(Clone, Debug)]
enum Step {
    Line(String),
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let agent = prop_oneof![
        Just("b1"),
        Just("a1"),
        Just("a2"),
        Just("a3"),
        Just("a4"),
        Just("a9")
    ];
    // Few, so that chats are met again by what is done to them.
    let chat = (0..40u32).prop_map(|n| format!("c{n}"));
    let langs = prop_oneof![
        Just("en"),
        Just("es"),
        Just("pt"),
        Just("pt-BR,es"),
        Just("ca"),
        Just("nl,en"),
        Just("")
    ];
    let who = (
        prop_oneof![3 => agent.clone(), 1 => (0..40u32).prop_map(|n| Box::leak(format!("k{n}").into_boxed_str()) as &str)],
        chat.clone(),
        0..12u64,
    );
    prop_oneof![
        6 => (chat.clone(), 0..30u32, langs, 0..11u32, 0..4u32, 0..12u32, 0..4u32, 0..6u32).prop_map(|(c, n, l, p, w, s, v, id)| {
            let queue = ["a", "b", "a", "c"][n as usize % 4];
            let more = ["", " vip", " channel=sms", " kind=sales", " region=eu", " region=us", " owner=a1", " lease=20s"];
            let more = more[(n / 4) as usize % more.len()];
            let skill = if s < 9 { String::new() } else { format!(" skills=billing:{s}") };
            Step::Line(format!("chat {c} {queue} langs={l} priority={p} weight={w} visitor=v{v}{skill}{more}{}", request(id)))
        }),
        2 => (0..40u32, 1..4u64).prop_map(|(n, node)| Step::Line(format!("ready k{n} {node}"))),
        1 => (chat.clone(), 0..6u32).prop_map(|(c, id)| Step::Line(format!("leave {c}{}", request(id)))),
        1 => (agent.clone(), 1..5u64).prop_map(|(a, e)| Step::Line(format!("available {a} epoch={e}"))),
        1 => agent.clone().prop_map(|a| Step::Line(format!("available {a} overtime"))),
        1 => prop_oneof![Just("outage 1s"), Just("outage 30s"), Just("outage 2h"), Just("clock 1h")].prop_map(|l| Step::Line(l.into())),
        1 => (0..8u32, 9..20u32).prop_map(|(from, to)| Step::Line(format!("schedule day handover={from}m spans={from}h-{to}h,{}h-{}h", from + 24, to + 24))),
        3 => (agent.clone(), 1..4u64, 0..5u64).prop_map(|(a, n, r)| Step::Line(format!("open {a} node={n} resume={r} grace=5s"))),
        4 => agent.clone().prop_map(|a| Step::Line(format!("available {a}"))),
        1 => (agent.clone(), prop_oneof![Just("break"), Just("draining"), Just("lose"), Just("close"), Just("offline")]).prop_map(|(a, p)| Step::Line(format!("{p} {a}"))),
        1 => (1..4u64).prop_map(|n| Step::Line(format!("nodelost {n}"))),
        6 => who.prop_map(|(a, _, n)| Step::Line(format!("held {a} {n}"))),
        1 => (chat.clone(), 0..7u32).prop_map(|(c, n)| Step::Line(format!("rate {c} {n}"))),
        2 => (chat.clone(), 1..4u64, 0..7usize).prop_map(|(c, node, n)| {
            Step::Line(match n {
                0 => format!("message {c} contact=x"),
                1 => format!("message {c} contact=x at={node}h"),
                2 => format!("tracked {c}"),
                3 | 4 => format!("gone {c} node={node}"),
                _ => format!("seen {c} node={node}"),
            })
        }),
        1 => (1..12u32, 0..7usize).prop_map(|(h, n)| {
            let what = ["shut queue a", "shut queue b", "shut region eu", "unshut queue a", "unshut queue b", "unshut region eu", "shut region us"][n];
            Step::Line(if n % 2 == 0 && !what.starts_with('u') { format!("{what} until={h}h") } else { what.to_owned() })
        }),
        1 => (chat.clone(), 0..6usize).prop_map(|(c, n)| {
            let what = ["monitor", "whisper", "off", "queue=b", "agent=a4", "region=eu"][n];
            Step::Line(if n < 3 { format!("supervise {c} {what}") } else { format!("move {c} {what}") })
        }),
        1 => (agent, 1..6u32, prop_oneof![Just("en"), Just("es,en:working"), Just("pt")]).prop_map(|(a, n, l)| Step::Line(format!("agent {a} eu langs={l} queues=a,b cap={n} schedule=day"))),
        1 => (5..60u32, 0..20u32).prop_map(|(o, w)| Step::Line(format!("queue a offer={o}s wrap={w}s waiting={w} overflow=b@{o}s"))),
        1 => (1..4u32, 0..6u32, 0..5usize).prop_map(|(to, n, s)| {
            let strategy = ["longest_idle", "round_robin", "weighted", "most_skilled", "least_occupied"][s];
            Step::Line(format!("queue a to={to} offer=15s sticky=5m hold={n}s holdteam={n}s ignored={to} refusal={n}s strategy={strategy} steps=0s/rank1/skip,{}s/near{n} overflow=b@0s/size{n},b@20s/nobody,c@30s", n + 1))
        }),
        1 => (0..3u32, 1..5u32, prop_oneof![Just("red"), Just("blue")]).prop_map(|(e, n, t)| Step::Line(format!("agent a2 us langs=es,en queues=a:{n}:{e},b,c cap={n} extra={e} team={t} ramp={n}h:1"))),
        1 => prop_oneof![Just("arrival"), Just("deadline")].prop_map(|o| Step::Line(format!("workspace acme order={o} loads=chat:1,sms:2!"))),
        1 => prop_oneof![Just("remove agent a3"), Just("remove queue b"), Just("remove region us"), Just("queue b overflow=a@1s"), Just("queue c overflow=a@0s/nobody")].prop_map(|l| Step::Line(l.into())),
        5 => prop_oneof![0..3_000i64, 0..90_000i64, Just(3_600_000i64), Just(7 * 3_600_000i64), Just(1i64)].prop_map(Step::Wait),
    ]
}

/// Few request ids, so that they are met again, mostly by others.
fn request(n: u32) -> String {
    if n < 3 {
        format!(" id=r{n}")
    } else {
        String::new()
    }
}

/// Lines that stand for what an agent does next, or for several commands.
fn lines(state: &State, line: &str) -> Vec<String> {
    if let Some(rest) = line.strip_prefix("held ") {
        let (agent, n) = rest.split_once(' ').expect("two words");
        return act(state, agent, n.parse().expect("number"))
            .into_iter()
            .collect();
    }
    if let Some(rest) = line.strip_prefix("ready ") {
        let (agent, node) = rest.split_once(' ').expect("two words");
        return vec![
            format!("open {agent} node={node} grace=5s"),
            format!("available {agent}"),
        ];
    }
    vec![line.to_owned()]
}

/// What an agent who holds something would do next, chosen by `n`.
fn act(state: &State, agent: &str, n: u64) -> Option<String> {
    let held: Vec<_> = state.held(&agent.into()).collect();
    let chat = held.get(n as usize % held.len().max(1))?;
    let id = &chat.id;
    Some(match (&chat.phase, n % 4) {
        (Phase::Offered { .. }, 0) => format!("decline {agent} {id} reason=busy"),
        (Phase::Offered { .. }, 1) => format!(
            "accept {agent} {id} assignment={}",
            chat.assignment.saturating_sub(1)
        ),
        (Phase::Offered { .. }, _) => format!("accept {agent} {id}"),
        (Phase::Active { .. }, _) if n == 10 => format!("lose {agent}"),
        (Phase::Active { .. }, 0) => format!("transfer {agent} {id} queue=b"),
        (Phase::Active { .. }, 1) if n == 1 => format!("transfer {agent} {id} agent=a4 back"),
        (Phase::Active { .. }, 1) if n == 5 => format!("transfer {agent} {id} region=us hold=5s"),
        (Phase::Active { .. }, 1) => format!("transfer {agent} {id} skills=billing:2"),
        (Phase::Active { .. }, 2) if n == 2 => format!("ask {agent} {id} handover queue=a"),
        (Phase::Active { .. }, 2) if n == 6 => {
            format!("ask {agent} {id} join queue=b patience=20s")
        }
        (Phase::Active { .. }, 3) if n == 11 => format!("escalate {agent} {id} phone T due=30m"),
        (Phase::Active { .. }, 3) if n == 3 => format!("ask {agent} {id} consult agent=a4"),
        (Phase::Active { .. }, 3) if n == 7 => format!("ask {agent} {id} join region=us"),
        (Phase::Active { .. }, _) => format!("end {agent} {id}"),
        _ => format!("finish {agent} {id}"),
    })
}

/// 6: whoever acts for an agent by another session than the living one is refused.
fn fenced(before: &State, line: &str, told: &[String]) -> Result<(), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let acts = [
        "available",
        "break",
        "draining",
        "accept",
        "decline",
        "end",
        "finish",
        "transfer",
        "ask",
        "lose",
        "close",
    ];
    let Some(agent) = words.get(1).and_then(|a| before.agents().get(&(*a).into())) else {
        return Ok(());
    };
    let epoch = words
        .iter()
        .find_map(|w| w.strip_prefix("epoch=")?.parse().ok());
    let alive = !matches!(agent.presence, Presence::Offline | Presence::Lost)
        && epoch.is_none_or(|e: Epoch| e == agent.epoch);
    if alive || !acts.contains(&words[0]) || told.iter().any(|l| l.starts_with("  refused")) {
        return Ok(());
    }
    Err(format!("6: a session that is over was heard: {told:?}"))
}

/// What a replica writes down: every entity, in order.
fn bytes(state: &State) -> String {
    state
        .keys()
        .iter()
        .map(|k| format!("{k:?}={:?}\n", state.entity(k)))
        .collect()
}

fn must(check: Result<(), String>, after: &str) {
    if let Err(broken) = check {
        panic!("after '{after}': invariant {broken}");
    }
}

/// How many plays: `PROPTEST_CASES`, or few enough for every run. A play is some 230 commands.
#[allow(clippy::disallowed_methods)] // Tests may be told how long to go on; the core itself reads nothing.
fn cases() -> u32 {
    let told = std::env::var("PROPTEST_CASES").ok();
    told.map_or(96, |cases| {
        cases.parse().expect("PROPTEST_CASES is a number")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn invariants_hold_whatever_happens(steps in prop::collection::vec(step(), 1..400)) {
        let (mut one, mut two) = (world(), world());
        let mut seen = invariants::Seen::default();
        for (n, step) in steps.iter().enumerate() {
            let todo = match step {
                Step::Wait(ms) => vec![format!("wait {ms}ms")],
                Step::Line(line) => lines(&one.state, line),
            };
            for line in todo {
                // Fire what is due, so that a refusal can be seen to change nothing.
                if !line.starts_with("outage") {
                    tick(&mut one);
                    tick(&mut two);
                }
                let before = one.state.clone();
                let told = one.line(&line);
                two.line(&line);
                must(invariants::check(&one.state), &line);
                must(seen.then(&one.state), &line);
                must(fenced(&before, &line, &told), &line);
                if told.iter().any(|l| l.starts_with("  refused")) && before.meta().now == one.state.meta().now {
                    must(invariants::unchanged_by_refusal(&before, &one.state), &line);
                }
                prop_assert_eq!(bytes(&one.state), bytes(&two.state), "replicas differ after {}", line);
            }
            // Now and then the second replica restarts from what it wrote.
            if n % 16 == 15 {
                two.state = State::restore(two.state.keys().iter().filter_map(|k| two.state.entity(k)));
            }
        }
    }

    /// A day's end: with everybody gone and time passing, every chat finds a way out of every phase.
    #[test]
    fn every_chat_ends_or_has_a_date(steps in prop::collection::vec(step(), 1..60)) {
        let mut play = world();
        for step in &steps {
            let todo = match step {
                Step::Wait(ms) => vec![format!("wait {ms}ms")],
                Step::Line(line) => lines(&play.state, line),
            };
            for line in todo {
                play.line(&line);
            }
        }
        for node in 1..4 {
            play.line(&format!("nodelost {node}"));
        }
        let mut turns = 0;
        let open = |play: &Play| !play.state.chats().is_empty();
        while let Some(at) = play.state.next_deadline().filter(|_| open(&play) && turns < 100_000) {
            play.now = play.now.max(at);
            tick(&mut play);
            turns += 1;
        }
        must(invariants::check(&play.state), "everybody left");
        prop_assert!(play.state.chats().is_empty(), "still here: {:?}", play.state.chats().values().next());
        let t = play.state.meta().totals;
        prop_assert_eq!(t.accepted, t.answered + t.abandoned + t.expired);
    }
}

fn tick(play: &mut Play) -> Outcome {
    play.apply("", Command::Tick)
}

#[test]
fn time_never_runs_backwards() {
    let mut play = Play::default();
    play.now = 1_000;
    tick(&mut play);
    play.now = 500;
    tick(&mut play);
    let now: Millis = play.state.meta().now;
    assert_eq!(now, 1_000, "whatever a leader stamps");
}

/// What is told of a decision is a sample of the kinds of agents; a replica that restarted must take the same.
#[test]
fn a_restarted_replica_tells_the_same_of_a_decision() {
    let mut one = world();
    for line in (0..40).flat_map(|n| [format!("open k{n} node=1"), format!("available k{n}")]) {
        one.line(&line);
    }
    // Kinds nobody is of any more are known to the one replica alone.
    for n in 0..10 {
        one.line(&format!(
            "agent k{n} us langs=en queues=a cap=2 skills=x{n}:3"
        ));
    }
    let mut two = Play::default();
    two.state = State::restore(one.state.keys().iter().filter_map(|k| one.state.entity(k)));
    (two.now, two.index) = (one.now, one.index);
    for n in 0..80 {
        let line = format!("chat c{n} a langs=en");
        one.line(&line);
        two.line(&line);
        assert_eq!(bytes(&one.state), bytes(&two.state), "after {line}");
    }
}

/// A queue set anew after an outage: what was due is fired first, and what it offers stands by the former rule.
#[test]
fn an_offer_made_before_its_queue_was_set_stands_as_it_was_made() {
    let (mut play, mut seen) = (world(), invariants::Seen::default());
    for line in [
        "chat c0 a langs=en",
        "wait 1h",
        "open k0 node=1 grace=5s",
        "available k0",
        "outage 2h",
        "queue a offer=5s wrap=1s waiting=1 overflow=b@5s",
    ] {
        play.line(line);
        must(seen.then(&play.state), line);
    }
}

/// Who guesses the number of an offer that is made by the deadlines the same command fires has it, as if it had come
/// a moment later.
#[test]
fn an_offer_may_be_made_and_accepted_by_one_command() {
    let (mut play, mut seen) = (Play::default(), invariants::Seen::default());
    for line in [
        "schedule always spans=0s-900h",
        "region eu always",
        "workspace acme",
        "queue q offer=20s wrap=2s",
        "agent eve eu langs=en queues=q cap=1",
        "open eve",
        "available eve",
        "chat c1 q langs=en",
        "accept eve c1",
        "chat c2 q langs=en",
        "end eve c1",
        "outage 3s",
    ] {
        play.line(line);
        must(seen.then(&play.state), line);
    }
    let guess = "accept eve c2 assignment=1";
    let told = play.line(guess);
    assert_eq!(
        told.first().map(String::as_str),
        Some("  c2 is active with eve")
    );
    must(seen.then(&play.state), guess);
}
