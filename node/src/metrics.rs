//! What Prometheus scrapes, the same figures by OTLP where a collector is named, and two health pages.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use meridian_routing::model::Presence;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::driver::Driver;
use crate::raft::Role;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

mod calls;
mod measured;

pub use calls::{CallLayer, Calls};
pub use measured::{observe_answer, observe_apply, observe_write};

/// Sets the instruments up, for whoever is to have them: Prometheus on the listener, the collector named in the
/// settings, or both. The future serves and exports until the node stops.
///
/// # Errors
/// The exporter or collector address cannot be used.
pub fn start(
    driver: &Arc<Driver>,
    settings: &Settings,
    listener: Option<TcpListener>,
) -> Result<impl Future<Output = ()> + Send + use<>, String> {
    let resource = Telemetry {
        node_id: settings.node_id,
        region: settings.region.clone(),
        ..Default::default()
    }
    .resource();
    let mut provider = SdkMeterProvider::builder().with_resource(resource);
    let registry = Registry::new();
    if listener.is_some() {
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(|e| e.to_string())?;
        provider = provider.with_reader(exporter);
    }
    if !settings.otlp.is_empty() {
        let otlp = opentelemetry_otlp::MetricExporter::builder()
            .with_tonic()
            .with_endpoint(settings.otlp.clone())
            .build()
            .map_err(|e| e.to_string())?;
        provider = provider.with_periodic_exporter(otlp);
    }
    let provider = provider.build();
    let wanted = listener.is_some() || !settings.otlp.is_empty();
    let leaders = wanted.then(|| {
        let meter = provider.meter("meridian");
        measured::install(&meter);
        raft(&meter, driver);
        peers(&meter, driver);
        routing(&meter, driver);
        leader_changes(&meter, driver)
    });
    let pages = listener.map(|listener| pages(driver, registry, listener));
    let driver = driver.clone();
    Ok(async move {
        let work = async {
            tokio::join!(
                async {
                    if let Some(pages) = pages {
                        pages.await
                    }
                },
                async {
                    if let Some(leaders) = leaders {
                        leaders.await
                    }
                },
                driver.stopped(),
            )
        };
        work.await;
        // Sends what is left, and waits for it.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown()).await;
        if let Ok(Err(e)) = ended {
            tracing::warn!(error = %e, "the last figures were not sent");
        }
    })
}

/// Serves what Prometheus scrapes and the two health pages.
fn pages(
    driver: &Arc<Driver>,
    registry: Registry,
    listener: TcpListener,
) -> impl Future<Output = ()> + Send + use<> {
    let (ready, stop) = (driver.readiness(), driver.clone());
    let app = Router::new()
        .route("/metrics", get(move || async move { scrape(&registry) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                if *ready.borrow() {
                    (StatusCode::OK, "ready\n")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "joining a cluster\n")
                }
            }),
        );
    async move {
        let stopped = async move { stop.stopped().await };
        if let Err(e) = axum::serve(listener, app)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!(error = %e, "the metrics server failed");
        }
    }
}

/// Counts the leaders this node has seen come, until the node stops.
fn leader_changes(meter: &Meter, driver: &Arc<Driver>) -> impl Future<Output = ()> + Send + use<> {
    let counter = meter
        .u64_counter("meridian_raft_leader_changes")
        .with_description(
            "Times this node saw another node, or the same in another term, become leader.",
        )
        .build();
    // Told from the start, so that the first change is a step and not a beginning.
    counter.add(0, &[group()]);
    let driver = driver.clone();
    async move {
        let Ok(raft) = driver.group() else { return };
        let (mut status, mut seen) = (raft.watch(), None);
        loop {
            let leads = {
                let now = status.borrow_and_update();
                now.leader.map(|leader| (now.term, leader))
            };
            if leads.is_some() && leads != seen {
                counter.add(1, &[group()]);
                seen = leads;
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = driver.stopped() => return,
            }
        }
    }
}

/// What the leader knows of the members, and every node of the way to them.
fn peers(meter: &Meter, driver: &Arc<Driver>) {
    let member = |id: u64| [group(), KeyValue::new("member", id as i64)];
    let d = driver.clone();
    meter
        .u64_observable_gauge("meridian_raft_member_lag_entries")
        .with_description("At the leader: entries of its log that a member is not known to hold.")
        .with_callback(move |o| {
            let Ok(raft) = d.group() else { return };
            let status = raft.status();
            let others = status
                .members
                .iter()
                .filter(|(id, _)| **id != status.node_id);
            for (id, m) in others.filter(|_| status.role == Role::Leader) {
                let held = m.matched.unwrap_or(0);
                o.observe(status.last_log.saturating_sub(held), &member(*id));
            }
        })
        .build();
    let d = driver.clone();
    meter
        .f64_observable_gauge("meridian_peer_round_trip")
        .with_unit("s")
        .with_description("The way to a member and back, as last measured.")
        .with_callback(move |o| {
            let Ok(raft) = d.group() else { return };
            for (id, m) in &raft.status().members {
                if let Some(took) = m.round_trip {
                    o.observe(took.as_secs_f64(), &member(*id));
                }
            }
        })
        .build();
}

fn group() -> KeyValue {
    KeyValue::new("group", 1)
}

fn scrape(registry: &Registry) -> Result<Vec<u8>, StatusCode> {
    let mut page = Vec::new();
    let encoded = TextEncoder::new().encode(&registry.gather(), &mut page);
    encoded
        .map(|()| page)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn raft(meter: &Meter, driver: &Arc<Driver>) {
    type Figure = (&'static str, &'static str, fn(&crate::raft::Status) -> u64);
    let figures: [Figure; 6] = [
        ("meridian_raft_term", "The Raft term.", |s| s.term),
        ("meridian_raft_is_leader", "1 on the leader.", |s| {
            u64::from(s.role == Role::Leader)
        }),
        (
            "meridian_raft_last_log_index",
            "Newest entry in the log.",
            |s| s.last_log,
        ),
        (
            "meridian_raft_committed_index",
            "Newest committed entry.",
            |s| s.committed,
        ),
        (
            "meridian_raft_applied_index",
            "Newest applied entry.",
            |s| s.applied,
        ),
        (
            "meridian_raft_snapshot_index",
            "Newest entry in a snapshot.",
            |s| s.snapshot,
        ),
    ];
    for (name, about, figure) in figures {
        let (driver, group) = (driver.clone(), group());
        let gauge = meter.u64_observable_gauge(name).with_description(about);
        let observe = move |o: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            if let Ok(raft) = driver.group() {
                o.observe(figure(&raft.status()), std::slice::from_ref(&group));
            }
        };
        gauge.with_callback(observe).build();
    }
}

fn routing(meter: &Meter, driver: &Arc<Driver>) {
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
}
