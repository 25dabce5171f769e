//! What there is to route and how it goes: read when scraped.

use std::sync::Arc;

use meridian_routing::model::Presence;
use meridian_routing::service::Minute;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::driver::Driver;

/// Registers them.
pub(super) fn observe(meter: &Meter, driver: &Arc<Driver>) {
    of_late(meter, driver);
    let d = driver.clone();
    let chats = meter
        .u64_observable_gauge("meridian_chats")
        .with_description("Open chats by queue and phase.");
    chats
        .with_callback(move |o| {
            let state = d.state();
            for id in state.queues().keys() {
                let c = state.queue_counts(id);
                for (phase, count) in [
                    ("waiting", c.waiting),
                    ("offered", c.offered),
                    ("active", c.active),
                    ("wrap_up", c.wrap_up),
                    ("deferred", c.deferred),
                    ("tracked", c.tracked),
                ] {
                    o.observe(
                        count.into(),
                        &[
                            KeyValue::new("queue", id.to_string()),
                            KeyValue::new("phase", phase),
                        ],
                    );
                }
            }
        })
        .build();
    let d = driver.clone();
    let oldest = meter
        .i64_observable_gauge("meridian_oldest_wait_ms")
        .with_description(
            "How long the longest waiting chat of a queue has waited; 0 when none waits.",
        );
    oldest
        .with_callback(move |o| {
            let state = d.state();
            for id in state.queues().keys() {
                let waited = state
                    .oldest_waiting(id)
                    .map_or(0, |at| (d.now() - at).max(0));
                o.observe(waited, &[KeyValue::new("queue", id.to_string())]);
            }
        })
        .build();
    let d = driver.clone();
    let agents = meter
        .u64_observable_gauge("meridian_agents")
        .with_description("Agents by region and presence.");
    agents
        .with_callback(move |o| {
            let mut counts = std::collections::BTreeMap::<(String, &str), u64>::new();
            for agent in d.state().agents().values() {
                let presence = match agent.presence {
                    Presence::Offline => "offline",
                    Presence::Available => "available",
                    Presence::Break => "break",
                    Presence::Draining => "draining",
                    Presence::NotResponding => "not_responding",
                    Presence::Lost => "lost",
                };
                *counts
                    .entry((agent.config.region.to_string(), presence))
                    .or_default() += 1;
            }
            for ((region, presence), count) in counts {
                o.observe(
                    count,
                    &[
                        KeyValue::new("region", region),
                        KeyValue::new("presence", presence),
                    ],
                );
            }
        })
        .build();
    type Figure = (
        &'static str,
        &'static str,
        fn(&meridian_routing::state::Totals) -> u64,
    );
    let totals: [Figure; 6] = [
        (
            "meridian_chats_accepted",
            "Chats taken in since the cluster began.",
            |t| t.accepted,
        ),
        (
            "meridian_chats_answered",
            "Chats closed after an agent answered.",
            |t| t.answered,
        ),
        (
            "meridian_chats_abandoned",
            "Chats whose visitor left before an answer.",
            |t| t.abandoned,
        ),
        ("meridian_chats_expired", "Chats put off too often.", |t| {
            t.expired
        }),
        ("meridian_deferrals", "Times a chat was put off.", |t| {
            t.deferrals
        }),
        ("meridian_offers", "Offers made.", |t| t.offers),
    ];
    for (name, about, figure) in totals {
        let d = driver.clone();
        let counter = meter.u64_observable_counter(name).with_description(about);
        counter
            .with_callback(move |o| o.observe(figure(&d.state().meta().totals), &[]))
            .build();
    }
    let d = driver.clone();
    let sessions = meter
        .u64_observable_gauge("meridian_sessions")
        .with_description("Agents whose session this node holds, lost ones not counted.");
    sessions
        .with_callback(move |o| {
            let state = d.state();
            let live = state
                .sessions_of(d.node_id())
                .filter(|a| !matches!(a.presence, Presence::Lost | Presence::Offline));
            o.observe(live.count() as u64, &[]);
        })
        .build();
    let d = driver.clone();
    let streams = meter
        .u64_observable_gauge("meridian_watched")
        .with_description("Chats and agents watched by streams of this node.");
    streams
        .with_callback(move |o| {
            let (chats, agents) = d.delivery().watched();
            o.observe(chats as u64, &[KeyValue::new("kind", "chat")]);
            o.observe(agents as u64, &[KeyValue::new("kind", "agent")]);
        })
        .build();
    let d = driver.clone();
    let writes = meter
        .u64_observable_gauge("meridian_writes_in_hand")
        .with_description("Writes this node has in hand.");
    writes
        .with_callback(move |o| o.observe(d.writes_in_hand() as u64, &[]))
        .build();
    let d = driver.clone();
    let waiting = meter
        .u64_observable_gauge("meridian_writes_waiting")
        .with_description("Writes that wait for their turn on this node.");
    waiting
        .with_callback(move |o| o.observe(d.writes_waiting() as u64, &[]))
        .build();
}

/// How each queue served within the last half hour.
fn of_late(meter: &Meter, driver: &Arc<Driver>) {
    type Figure = (&'static str, &'static str, fn(&Minute) -> Option<u64>);
    let figures: [Figure; 6] = [
        (
            "meridian_service_level_percent",
            "Of the chats answered or abandoned within the last half hour, those answered in time.",
            |m| m.service_level().map(u64::from),
        ),
        (
            "meridian_recent_answered",
            "Chats answered within the last half hour.",
            |m| Some(m.answered.into()),
        ),
        (
            "meridian_recent_abandoned",
            "Chats given up within the last half hour.",
            |m| Some(m.abandoned.into()),
        ),
        (
            "meridian_wait_mean_ms",
            "How long those answered within the last half hour had waited.",
            |m| m.wait_ms.checked_div(m.answered.into()),
        ),
        (
            "meridian_wait_error_mean_ms",
            "How far the wait told at their arrival was from how long they waited.",
            |m| m.error_ms.checked_div(m.estimated.into()),
        ),
        (
            "meridian_handle_mean_ms",
            "How long those ended within the last half hour took.",
            |m| m.handle_ms.checked_div(m.handled.into()),
        ),
    ];
    for (name, about, figure) in figures {
        let d = driver.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(about);
        gauge
            .with_callback(move |o| {
                let now = d.now();
                let state = d.state();
                for queue in state.queues().keys() {
                    // A mean of nothing is left out.
                    if let Some(value) = figure(&state.service_at(queue, now)) {
                        o.observe(value, &[KeyValue::new("queue", queue.to_string())]);
                    }
                }
            })
            .build();
    }
}
