//! What is measured as it happens: durations of calls, writes and applied commands, and how long visitors waited.
//!
//! One set a process, whichever node of it started its metrics last; before that nothing is measured.

use std::time::Duration;

use meridian_routing::command::{Command, Stamped};
use meridian_routing::effect::{Answer, Reject};
use meridian_routing::ids::Millis;
use meridian_routing::state::State;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use parking_lot::RwLock;

static MEASURED: RwLock<Option<Measured>> = RwLock::new(None);

/// From a memory access to a patient client, in seconds.
const SECONDS: [f64; 16] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0,
    15.0,
];
/// From at once to the longest wait of a queue, in seconds.
const WAITS: [f64; 14] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 46.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
];

struct Measured {
    calls: Histogram<f64>,
    writes: Histogram<f64>,
    applied: Histogram<f64>,
    waits: Histogram<f64>,
    answers: Counter<u64>,
    refused: Counter<u64>,
    moves: Counter<u64>,
}

/// Makes the instruments, in place of those there were.
pub(super) fn install(meter: &Meter) {
    let seconds = |name: &'static str, about: &'static str, bounds: &[f64]| {
        let histogram = meter.f64_histogram(name).with_description(about);
        histogram
            .with_unit("s")
            .with_boundaries(bounds.to_vec())
            .build()
    };
    *MEASURED.write() = Some(Measured {
        calls: seconds(
            "meridian_rpc_duration",
            "Calls of clients by method and gRPC code; of a stream, until it is open.",
            &SECONDS,
        ),
        writes: seconds(
            "meridian_write_duration",
            "Writes taken by this node, from the call to its own replica's apply, by command and result.",
            &SECONDS,
        ),
        applied: seconds(
            "meridian_apply_duration",
            "Applying one committed command on this replica.",
            &SECONDS,
        ),
        waits: seconds(
            "meridian_chat_wait",
            "From a visitor's arrival to the first answer, by queue, as this replica applied it: every replica \
             tells the same, so take one of them.",
            &WAITS,
        ),
        answers: meter
            .u64_counter("meridian_chat_answers")
            .with_description(
                "First answers by queue, and whether within its answer_target: the service level. Every replica \
                 tells the same, so take one of them.",
            )
            .build(),
        refused: meter
            .u64_counter("meridian_refused")
            .with_description(
                "What was turned away at the gate: connections, calls and messages, because the node or one address \
                 had its fill, or nothing came in time.",
            )
            .build(),
        moves: meter
            .u64_counter("meridian_leadership_moves")
            .with_description(
                "Times this node handed leadership over: after the sun, to where it is pinned, or because an operator \
                 asked for it.",
            )
            .build(),
    });
}

fn seconds(took: Duration) -> f64 {
    took.as_secs_f64()
}

/// A write came to its end. `result` is one of a few words, such as `done`, `rejected` or `unavailable`.
pub fn observe_write(command: &'static str, result: &'static str, took: Duration) {
    if let Some(m) = &*MEASURED.read() {
        let labels = [
            KeyValue::new("command", command),
            KeyValue::new("result", result),
        ];
        m.writes.record(seconds(took), &labels);
    }
}

/// Something was turned away at the gate. `why` is one of a few words: `node`, `address`, `silent` or `slow`.
pub fn observe_refused(what: &'static str, why: &'static str) {
    if let Some(m) = &*MEASURED.read() {
        let labels = [KeyValue::new("what", what), KeyValue::new("why", why)];
        m.refused.add(1, &labels);
    }
}

/// This node handed leadership over. `reason` is `sun`, `pin` or `operator`.
pub fn observe_move(reason: &'static str) {
    if let Some(m) = &*MEASURED.read() {
        m.moves.add(1, &[KeyValue::new("reason", reason)]);
    }
}

/// A committed command was applied here.
pub fn observe_apply(took: Duration) {
    if let Some(m) = &*MEASURED.read() {
        m.applied.record(seconds(took), &[]);
    }
}

/// A client's call was answered.
pub(super) fn observe_call(method: String, code: &'static str, took: Duration) {
    if let Some(m) = &*MEASURED.read() {
        let labels = [KeyValue::new("method", method), KeyValue::new("code", code)];
        m.calls.record(seconds(took), &labels);
    }
}

/// Looks whether a command just applied was a chat's first answer, and measures its wait.
pub fn observe_answer(state: &State, stamped: &Stamped, result: &Result<Answer, Reject>) {
    let Some((queue, wait_ms, in_time)) = first_answer(state, stamped, result) else {
        return;
    };
    if let Some(m) = &*MEASURED.read() {
        let queue = KeyValue::new("queue", queue.to_owned());
        m.waits
            .record(wait_ms as f64 / 1_000.0, std::slice::from_ref(&queue));
        m.answers
            .add(1, &[queue, KeyValue::new("in_time", in_time)]);
    }
}

/// Queue, wait, and whether that was within the queue's target.
fn first_answer<'a>(
    state: &'a State,
    stamped: &Stamped,
    result: &Result<Answer, Reject>,
) -> Option<(&'a str, Millis, bool)> {
    let (Command::AcceptOffer { chat, .. }, Ok(_)) = (&stamped.command, result) else {
        return None;
    };
    let chat = state.chats().get(chat)?;
    // A repeat is answered again but changes no chat, and who takes a chat over is not its first answer.
    if chat.index != stamped.index || chat.answered != state.meta().now {
        return None;
    }
    let wait = (chat.answered - chat.arrived).max(0);
    let target = state.queues().get(&chat.queue)?.answer_target_ms;
    Some((chat.queue.as_str(), wait, wait <= target.into()))
}

#[cfg(test)]
mod tests;
