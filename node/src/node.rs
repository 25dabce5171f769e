//! A node, put together; the binary and the tests start it the same way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1::admin_service_server::{self, AdminServiceServer};
use meridian_proto::livechat::v1::agent_service_server::{self, AgentServiceServer};
use meridian_proto::livechat::v1::supervisor_service_server::{self, SupervisorServiceServer};
use meridian_proto::livechat::v1::visitor_service_server::{self, VisitorServiceServer};
use meridian_routing::command::Command;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codegen::http;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::util::MapResponseLayer;

use crate::delivery::Delivery;
use crate::driver::{DriveError, Driver, Forwarded, Origin};
use crate::env::{Environment, Network, Witness};
use crate::gate::calls::Guard;
use crate::gate::doors::{self, Guest};
use crate::leadership::{self, Leadership};
use crate::machine::RoutingMachine;
use crate::metrics;
use crate::raft::{
    Connector, Group, GroupConfig, Node as Member, NodeId, Role, StartError, Timing, TimingError,
};
use crate::services::{ADMIN_BYTES_MAX, MESSAGE_BYTES_MAX, admin, agent, supervisor, visitor};
use crate::sessions;
use crate::settings::{Leading, Settings};
use crate::timers;
use crate::witness::{Invariants, Written};

/// Streams one connection of a client may carry.
const STREAMS_MAX: u32 = 10_000;
/// A node is not declared lost sooner than this: a busy machine may be silent for a second or two.
const SILENCE_FLOOR: Duration = Duration::from_secs(3);
/// How long a node that stops waits for its agents' sessions and its writes to be brought to an end.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How long it then waits for its last figures to be taken; the exporter itself gives up after five seconds.
const FIGURES_WITHIN: Duration = Duration::from_secs(6);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The round trip given makes no working times.
    #[error("round-trip-ms: {0}")]
    Timing(#[from] TimingError),
    /// Raft or the data directory.
    #[error(transparent)]
    Raft(#[from] StartError),
    /// An address cannot be listened on.
    #[error("{flag} {address}: {why}")]
    Listen {
        /// Which setting.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        why: std::io::Error,
    },
    /// The witness's file cannot be made.
    #[error("--witness {0}: {1}")]
    Witness(std::path::PathBuf, std::io::Error),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// A node that runs.
pub struct Node {
    driver: Arc<Driver>,
    group: Group,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where peers connect.
    pub peer_listen: SocketAddr,
    /// Where metrics are served.
    pub metrics_listen: Option<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
    figures: JoinHandle<()>,
}

/// Who sees what the node comes to, if anybody does.
fn witness(settings: &Settings, env: &Environment) -> Result<Option<Arc<dyn Witness>>, NodeError> {
    if let Some(path) = &settings.witness {
        let written = Written::new(path).map_err(|why| NodeError::Witness(path.clone(), why))?;
        return Ok(Some(Arc::new(written)));
    }
    let checks = settings.check_invariants;
    let checks = checks.then(|| Arc::new(Invariants) as Arc<dyn Witness>);
    Ok(env.witness.clone().or(checks))
}

/// Reaches peers through the environment's network, where the settings or the membership say.
struct Dial {
    elsewhere: BTreeMap<NodeId, String>,
    network: Arc<dyn Network>,
}

impl Connector for Dial {
    fn uri(&self, id: NodeId, node: &Member) -> String {
        format!(
            "http://{}",
            self.elsewhere.get(&id).unwrap_or(&node.address)
        )
    }
    fn connect(&self, endpoint: Endpoint) -> Channel {
        self.network.connect(endpoint)
    }
}

impl Node {
    /// Opens the data directory, starts Raft, and serves.
    ///
    /// # Errors
    /// [`NodeError`]; nothing is left running.
    pub async fn start(settings: &Settings, env: Environment) -> Result<Self, NodeError> {
        let timing = Timing::derive(settings.round_trip_ms, settings.slowest_sync_ms)?;
        // Addresses first: a taken one is the commonest mistake and the cheapest to find.
        let (network, storage) = (env.network.clone(), env.storage.clone());
        let listen = async |flag, address| {
            let listening = network.listen(address).await;
            listening.map_err(|why| NodeError::Listen { flag, address, why })
        };
        let (clients, client_address) = listen("--listen", settings.listen).await?;
        let (peers, peer_address) = listen("--peer-listen", settings.peer_listen).await?;
        let scrapes = match settings.metrics_listen {
            // For Prometheus, which no simulation plays.
            Some(address) => Some(TcpListener::bind(address).await.map_err(|why| {
                let flag = "--metrics-listen";
                NodeError::Listen { flag, address, why }
            })?),
            None => None,
        };

        let delivery = Arc::new(Delivery::default());
        let witness = witness(settings, &env)?;
        let (machine, shared, progress) = RoutingMachine::new(
            (settings.node_id, settings.rules_max),
            delivery.clone(),
            witness,
        );
        let leadership = Leadership::new(settings.leadership == Leading::Follow);
        let driver = Driver::new(
            settings.node_id,
            env,
            shared,
            progress,
            delivery,
            leadership,
        );
        let mut config = GroupConfig::new(
            settings.data.clone(),
            storage,
            settings.cluster.clone(),
            settings.node_id,
            timing.clone(),
            Arc::new(Dial {
                elsewhere: settings.dial_map(),
                network: network.clone(),
            }),
        );
        config.snapshot_every = settings.snapshot_every;
        config.log_to_keep = settings.snapshot_every / 2;
        config.rules = settings.rules_max;
        config.past_bytes = settings.past_mib.saturating_mul(1 << 20);
        let group = Group::start(config, machine).await?;
        driver.attach(group.clone());

        let mut tasks = Vec::new();
        let peer_server = group
            .peer_server()
            .add_service(group.peer_service(Arc::new(Forwarded(driver.clone()))));
        // It goes on until it is aborted, after Raft has stopped: peers' writes in hand are finished first.
        tasks.push(tokio::spawn(async move {
            if let Err(e) = peer_server.serve_with_incoming(peers).await {
                tracing::error!(error = %e, "the peer server failed");
            }
        }));
        tasks.push(tokio::spawn(serve_clients(
            driver.clone(),
            settings.cluster.clone(),
            doors::guests(clients, settings.connections_max),
            Guard::new(settings.calls_max),
        )));
        let metrics_listen = scrapes.as_ref().and_then(|l| l.local_addr().ok());
        let measured = metrics::start(&driver, settings, scrapes).map_err(NodeError::Metrics)?;
        let figures = tokio::spawn(measured);
        tasks.push(tokio::spawn(timers::ticks(driver.clone())));
        // Two elections' worth of silence: a leader that merely hears late does not empty a region.
        let silence = (timing.election_max() * 2).max(SILENCE_FLOOR);
        tasks.push(tokio::spawn(timers::lost_nodes(driver.clone(), silence)));
        tasks.push(tokio::spawn(timers::schedules(driver.clone())));
        tasks.push(tokio::spawn(timers::rules(driver.clone())));
        tasks.push(tokio::spawn(leadership::follow(driver.clone())));
        tasks.push(tokio::spawn(sessions::lose_orphans(driver.clone())));
        // Long enough that a leader's end sends nobody away.
        tasks.push(tokio::spawn(sessions::keep_contact(
            driver.clone(),
            timing.failover_bound() + silence,
        )));
        tasks.push(tokio::spawn(begin(driver.clone())));
        tracing::info!(node = settings.node_id, region = %settings.region, listen = %client_address, peers = %peer_address, failover_ms_max = timing.failover_bound().as_millis() as u64, "node started");
        Ok(Self {
            driver,
            group,
            listen: client_address,
            peer_listen: peer_address,
            metrics_listen,
            tasks,
            figures,
        })
    }

    /// The way in, for whoever runs the node in its own process.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// Returns, with the reason, when Raft has ended by itself: the disk failed, or a fault of this program. The
    /// node serves nobody any more and must be stopped.
    pub async fn failed(&self) -> String {
        let why = self.group.stopped().await;
        // Agents and visitors go to other nodes at once.
        self.driver.cut_off();
        self.driver.stop();
        why
    }

    /// Stops in order: no new agents are let in, leadership is handed on, agents are sent to other nodes and
    /// their sessions recorded as lost, writes in hand are finished, then Raft and the servers stop and the last figures are
    /// sent.
    pub async fn stop(self) {
        self.driver.cut_off();
        if self.group.status().role == Role::Leader
            && let Err(e) = self.group.hand_over().await
        {
            tracing::warn!(error = %e, "leadership was not handed on");
        }
        self.driver.stop();
        let mut sessions = self.driver.sessions().count();
        let ended = async {
            // Its sender lives as long as the driver.
            let _ = sessions.wait_for(|n| *n == 0).await;
            self.driver.idle().await;
        };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("sessions or writes in hand were cut off; other nodes find them");
        }
        self.group.shutdown().await;
        for task in self.tasks {
            // A stream of a client that does not read may keep its server for long; it is cut.
            task.abort();
            let _ = task.await;
        }
        let mut figures = self.figures;
        if tokio::time::timeout(FIGURES_WITHIN, &mut figures)
            .await
            .is_err()
        {
            tracing::warn!("a reader of metrics is slow and was cut off");
            figures.abort();
        }
    }
}

impl Node {
    /// Leaves the node to its fate, as a simulated crash does once its disk and its network are gone: nothing of it is
    /// brought to an end in good order.
    pub fn abandon(self) {
        for task in self.tasks.iter().chain([&self.figures]) {
            task.abort();
        }
        self.driver.stop();
        tokio::spawn(async move { self.group.shutdown().await });
    }
}

/// Between two tries to tell that this node begins.
const BEGIN_AGAIN: Duration = Duration::from_millis(200);

/// Sessions that an earlier run of this node held are over; told once, before agents are let in.
async fn begin(driver: Arc<Driver>) {
    let node = driver.node_id();
    // One id for every try: one that was given up and committed late must not act on the agents let in since.
    let id = driver.new_id();
    let mut told_why = String::new();
    loop {
        let (id, actor) = (id.clone(), format!("node:{node}"));
        let told = driver.write(id, actor, Origin::default(), Command::NodeLost { node });
        tokio::select! {
            told = told => match told {
                Ok(_) => return driver.ready(),
                // Raft has ended by itself, and the node will.
                Err(DriveError::Stopping) => return,
                Err(e) => {
                    let why = e.to_string();
                    // Once, and again when it is something else.
                    if why != told_why {
                        tracing::info!(error = why, "waiting to join a cluster");
                        told_why = why;
                    }
                }
            },
            () = driver.stopped() => return,
        }
        // Most failures took their time; one that comes at once must not be asked for at once again.
        tokio::time::sleep(BEGIN_AGAIN).await;
    }
}

/// The header that says, in ms, since when no leader with a majority has answered the node: what an answer shows may be as
/// old. Left out where one answers.
const STALE_HEADER: &str = "meridian-stale-ms";

/// Adds [`STALE_HEADER`] to the answers of a node that is cut off.
fn tells_age(
    driver: Arc<Driver>,
) -> impl Fn(http::Response<tonic::body::Body>) -> http::Response<tonic::body::Body> + Clone {
    move |mut response| {
        if let Some(since) = driver.alone() {
            let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            response.headers_mut().insert(STALE_HEADER, ms.into());
        }
        response
    }
}

/// Says for each service whether it can be used, and again whenever that changes; ends when the node stops.
async fn tell_health(driver: Arc<Driver>, health: HealthReporter) {
    // A cluster is formed and looked at through nodes that are not ready yet.
    let early = [admin_service_server::SERVICE_NAME];
    let late = [
        // The node as a whole.
        "",
        agent_service_server::SERVICE_NAME,
        supervisor_service_server::SERVICE_NAME,
        visitor_service_server::SERVICE_NAME,
    ];
    let mut ready = driver.readiness();
    loop {
        let mut stops = false;
        let serving = *ready.borrow_and_update();
        for (names, serving) in [(&early[..], true), (&late[..], serving)] {
            let status = if serving {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            for name in names {
                health.set_service_status(*name, status).await;
            }
        }
        tokio::select! {
            changed = ready.changed() => if changed.is_err() { return },
            () = driver.stopped() => stops = true,
        }
        if stops {
            for name in early.iter().chain(&late) {
                let status = ServingStatus::NotServing;
                health.set_service_status(*name, status).await;
            }
            return;
        }
    }
}

/// Reflection of the public API and of health, in both versions that tools speak.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(meridian_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn serve_clients(
    driver: Arc<Driver>,
    cluster: String,
    guests: impl futures::Stream<Item = std::io::Result<Guest>>,
    guard: Guard,
) {
    let (health, health_service) = tonic_health::server::health_reporter();
    let (v1, v1alpha) = match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => (v1, v1alpha),
        (Err(e), _) | (_, Err(e)) => {
            return tracing::error!(error = %e, "the descriptors in this program are broken");
        }
    };
    let healthy = tell_health(driver.clone(), health);
    let server = Server::builder()
        // A gateway may carry many desktops and pages over one connection.
        .max_concurrent_streams(Some(STREAMS_MAX))
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(std::time::Duration::from_secs(10)))
        .layer(guard)
        .layer(metrics::CallLayer)
        .layer(MapResponseLayer::new(tells_age(driver.clone())))
        .add_service(health_service)
        .add_service(v1)
        .add_service(v1alpha)
        .add_service(
            VisitorServiceServer::new(visitor::Visitors::new(driver.clone()))
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            AgentServiceServer::new(agent::Agents::new(driver.clone()))
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            SupervisorServiceServer::new(supervisor::Supervisors::new(driver.clone()))
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(
            AdminServiceServer::new(admin::Admins::new(driver.clone(), cluster))
                .max_decoding_message_size(ADMIN_BYTES_MAX)
                .max_encoding_message_size(ADMIN_BYTES_MAX),
        );
    let stopped = async move { driver.stopped().await };
    let serve = async {
        let served = server.serve_with_incoming_shutdown(guests, stopped);
        if let Err(e) = served.await {
            tracing::error!(error = %e, "the client server failed");
        }
    };
    tokio::join!(serve, healthy);
}
