//! What Prometheus scrapes, the same figures by OTLP where a collector is named, and two health pages.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
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
mod routing;

pub use calls::{CallLayer, Calls};
pub use measured::{observe_answer, observe_apply, observe_move, observe_refused, observe_write};

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
        routing::observe(&meter, driver);
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
