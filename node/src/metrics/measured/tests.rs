//! The wait of a chat's first answer, read from commands as they are applied.

use super::*;
use crate::convert::tests::support;

#[test]
fn the_first_answer_of_a_chat_is_measured_once() {
    let mut play = support::Play::default();
    let mut line = |text: &str| {
        play.line(text);
        (play.state.clone(), play.now, play.index)
    };
    for setup in [
        "schedule always spans=0s-900h",
        "region eu always",
        "workspace w",
        "queue q",
        "agent anna eu langs=en queues=q cap=2",
        "open anna",
        "chat c1 q langs=en",
        "wait 50s",
        "available anna",
    ] {
        line(setup);
    }
    let accept = |index, at| Stamped {
        index,
        at,
        request_id: "r".into(),
        actor: "agent:anna".into(),
        command: Command::AcceptOffer {
            agent: "anna".into(),
            epoch: 1,
            chat: "c1".into(),
            assignment: 1,
        },
    };
    let (mut state, now, index) = line("clock 50s");
    let first = accept(index + 1, now);
    let outcome = state.apply(&first);
    // 50 s are more than the 46 s the queue promises.
    assert_eq!(
        first_answer(&state, &first, &outcome.result),
        Some(("q", 50_000, false))
    );
    let repeat = accept(index + 2, now);
    let outcome = state.apply(&repeat);
    assert!(outcome.result.is_ok());
    assert_eq!(first_answer(&state, &repeat, &outcome.result), None);
}
