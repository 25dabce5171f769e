//! Connections to the other nodes: two each, made once and kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_client::PeerClient;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint, Server};

use super::known::{KnownLog, RoundTrips, of_term};
use super::timing::Timing;
use super::types::{LogId, Node, NodeId};

/// The header that names the cluster.
pub const CLUSTER_HEADER: &str = "meridian-cluster";
/// The header that tells a cluster from another of its name; left out by who has not joined one yet.
pub const FOUNDED_HEADER: &str = "meridian-founded";
/// The largest message between nodes, both ways: a batch of entries (see the log store's limit) or
/// one very large command, with room to spare.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// So many bytes of a stream and of a connection a node takes before it has said that it read them.
/// The largest command must pass in one round trip, and a fast link over half a planet be filled:
/// 16 MiB / 220 ms is 72 MiB a second.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// A silent connection is trusted at least this long: a busy moment must not cost one, and heartbeats
/// and votes have shorter limits of their own.
const KEEP_ALIVE_FLOOR: Duration = Duration::from_secs(1);

/// On a connection for entries a ping waits behind them, on a slow link for long. A stream that is
/// not answered gets a new connection well before this.
const BULK_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// The server for the peer service. Its windows matter: entries and snapshots travel towards servers,
/// and what hyper takes by itself, about a megabyte for each round trip, is less than one large
/// entry in the time an answer may take. `keep_alive` is how long a silent connection is trusted.
pub fn server(keep_alive: Duration) -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(keep_alive))
}

/// Where to dial, and how. The seam for a delay proxy or a simulated network.
pub trait Connector: Send + Sync + 'static {
    /// The URI to dial for a member, e.g. `http://127.0.0.1:7001`.
    fn uri(&self, id: NodeId, node: &Node) -> String;

    /// Makes the channel; it connects when first used and again after every loss.
    fn connect(&self, endpoint: Endpoint) -> Channel {
        endpoint.connect_lazy()
    }
}

/// Dials the address in the membership, in plain text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Connector for Direct {
    fn uri(&self, _: NodeId, node: &Node) -> String {
        format!("http://{}", node.address)
    }
}

/// Which of a peer's two connections a message takes. Bulk data in front of a heartbeat on one
/// connection would make a busy leader look dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Log entries and snapshots.
    Bulk,
    /// Heartbeats, votes, forwarded commands.
    Control,
}

struct Connection {
    uri: String,
    bulk: Channel,
    control: Channel,
}

/// The ends of the streams of appends to one node.
#[derive(Clone, Default)]
struct Appending {
    /// Of the last stream over the connection in use.
    last: Option<CancellationToken>,
    /// Of the last stream over a connection that was left because it was not answered.
    left: Option<CancellationToken>,
}

/// Why a member did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    /// It is there, and wants nothing of this node.
    #[error("it refuses this node: {0}")]
    Refused(String),
    /// It is not reached.
    #[error("{0}")]
    Unreached(String),
}

/// The connections of one node, for one group.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    group: u32,
    from: NodeId,
    cluster: MetadataValue<Ascii>,
    founded: Mutex<Option<MetadataValue<Ascii>>>,
    connector: Arc<dyn Connector>,
    timing: Timing,
    answered: Mutex<Option<Instant>>,
    addresses: Mutex<BTreeMap<NodeId, Node>>,
    open: Mutex<BTreeMap<NodeId, Connection>>,
    known: Mutex<BTreeMap<NodeId, KnownLog>>,
    appending: Mutex<BTreeMap<NodeId, Appending>>,
    round_trips: Mutex<BTreeMap<NodeId, RoundTrips>>,
    /// What each of the others measured, as it last said.
    told: Mutex<BTreeMap<NodeId, Vec<pb::RoundTrip>>>,
    rules: Mutex<BTreeMap<NodeId, u32>>,
    campaign_until: Mutex<Option<Instant>>,
}

impl Peers {
    /// `cluster` must be printable ASCII.
    ///
    /// # Errors
    /// The reason why `cluster` cannot be sent as a header.
    pub fn new(
        cluster: &str,
        group: u32,
        from: NodeId,
        connector: Arc<dyn Connector>,
        timing: Timing,
    ) -> Result<Self, String> {
        let cluster = cluster
            .parse()
            .map_err(|_| format!("cluster id {cluster:?} is not printable ASCII"))?;
        Ok(Self(Arc::new(Inner {
            group,
            from,
            cluster,
            founded: Mutex::default(),
            connector,
            timing,
            answered: Mutex::default(),
            addresses: Mutex::default(),
            open: Mutex::default(),
            known: Mutex::default(),
            appending: Mutex::default(),
            round_trips: Mutex::default(),
            told: Mutex::default(),
            rules: Mutex::default(),
            campaign_until: Mutex::default(),
        })))
    }

    /// The route of a message to `to`.
    pub fn route(&self, to: NodeId) -> Option<pb::Route> {
        Some(pb::Route {
            group: self.0.group,
            from: self.0.from,
            to,
        })
    }

    /// The number of this group.
    pub fn group(&self) -> u32 {
        self.0.group
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.0.from
    }

    /// A request with the headers every request has.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert(CLUSTER_HEADER, self.0.cluster.clone());
        if let Some(founded) = self.founded() {
            request.metadata_mut().insert(FOUNDED_HEADER, founded);
        }
        request
    }

    /// The mark of this node's cluster; `None` until it has joined one.
    pub fn founded(&self) -> Option<MetadataValue<Ascii>> {
        self.0.founded.lock().clone()
    }

    /// Takes the addresses of the present members, and forgets who is none any more.
    pub fn members_are(&self, members: BTreeMap<NodeId, Node>) {
        // A cluster older than marks are has the empty one, which is another than any that is founded now.
        let founded = members.values().next().map(|node| node.founded.as_str());
        *self.0.founded.lock() = founded.and_then(|mark| mark.parse().ok());
        let before = std::mem::replace(&mut *self.0.addresses.lock(), members.clone());
        for id in before.into_keys().filter(|id| !members.contains_key(id)) {
            self.0.open.lock().remove(&id);
            self.0.round_trips.lock().remove(&id);
            self.0.told.lock().remove(&id);
            self.0.rules.lock().remove(&id);
            self.0.appending.lock().remove(&id);
            self.joins(id);
        }
    }

    /// `id` is about to become a member: whatever was known of its log was of an earlier life.
    pub fn joins(&self, id: NodeId) {
        self.0.known.lock().remove(&id);
    }

    /// A client for `to` on one of its connections. Nothing is dialled yet. The address in the
    /// present membership goes before `node`, which may be older.
    ///
    /// # Errors
    /// The reason why the address cannot be dialled.
    pub fn client(
        &self,
        to: NodeId,
        node: &Node,
        lane: Lane,
    ) -> Result<PeerClient<Channel>, String> {
        let present = self.0.addresses.lock().get(&to).cloned();
        let uri = self.0.connector.uri(to, present.as_ref().unwrap_or(node));
        let mut open = self.0.open.lock();
        // A member may have moved: an address that changed is a new connection.
        if open.get(&to).is_none_or(|connection| connection.uri != uri) {
            let connection = Connection {
                bulk: self.channel(&uri, Lane::Bulk)?,
                control: self.channel(&uri, Lane::Control)?,
                uri,
            };
            open.insert(to, connection);
        }
        let connection = &open[&to];
        let channel = match lane {
            Lane::Bulk => &connection.bulk,
            Lane::Control => &connection.control,
        };
        Ok(PeerClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Remembers how far the log of `id` is committed and on its disk, as it said in an election for
    /// `term`.
    pub fn learn(&self, id: NodeId, term: u64, committed: Option<LogId>) {
        let committed = committed.map(|committed| (term, committed));
        self.0.known.lock().entry(id).or_default().committed = committed;
    }

    /// Forgets that again, as soon as the node itself can be asked.
    pub fn forget(&self, id: NodeId) {
        if let Some(known) = self.0.known.lock().get_mut(&id) {
            known.committed = None;
        }
    }

    /// What was learnt of `id` in the election for `term`.
    pub fn known(&self, id: NodeId, term: u64) -> Option<LogId> {
        of_term(self.0.known.lock().get(&id)?.committed, term)
    }

    /// `id` acknowledged `position` to this node as the leader of `term`.
    pub fn matches(&self, id: NodeId, term: u64, position: LogId) {
        let mut known = self.0.known.lock();
        known.entry(id).or_default().matches(term, position);
    }

    /// The furthest position `id` has acknowledged to this node as the leader of `term`, over
    /// whichever connection.
    pub fn matched(&self, id: NodeId, term: u64) -> Option<LogId> {
        of_term(self.0.known.lock().get(&id)?.matched, term)
    }

    /// Notes that `id` has lost what it had acknowledged; `true` the first time in a term.
    pub fn reverted(&self, id: NodeId, term: u64) -> bool {
        let mut known = self.0.known.lock();
        known.entry(id).or_default().reverted.replace(term) != Some(term)
    }

    /// A stream of appends to `id` begins; it lasts until what is returned is dropped.
    pub fn appends(&self, id: NodeId) -> DropGuard {
        let ended = CancellationToken::new();
        self.0.appending.lock().entry(id).or_default().last = Some(ended.clone());
        ended.drop_guard()
    }

    /// Waits until the last stream of appends to `id` over the connection in use has ended.
    pub async fn appended(&self, id: NodeId) {
        let last = self.0.appending.lock().get(&id).cloned();
        if let Some(last) = last.and_then(|appending| appending.last) {
            last.cancelled().await;
        }
    }

    /// A stream of appends to `id` was not answered: the next one gets a new connection. Until what
    /// the old one holds has gone there is no other, so that a follower that does not read is not
    /// sent more and more.
    pub fn renew(&self, id: NodeId) {
        let mut appending = self.0.appending.lock();
        let Some(appending) = appending.get_mut(&id) else {
            return;
        };
        let left = appending.left.as_ref();
        if left.is_some_and(|left| !left.is_cancelled()) {
            return;
        }
        if let Some(connection) = self.0.open.lock().get_mut(&id)
            && let Ok(bulk) = self.channel(&connection.uri, Lane::Bulk)
        {
            connection.bulk = bulk;
            appending.left = appending.last.take();
        }
    }

    /// Notes that this node is asking for pre-votes, for at most `duration` from now.
    pub fn campaigns(&self, duration: Duration) {
        *self.0.campaign_until.lock() = Some(Instant::now() + duration);
    }

    /// Whether this node is asking for pre-votes.
    pub fn campaigning(&self) -> bool {
        self.0
            .campaign_until
            .lock()
            .is_some_and(|until| Instant::now() < until)
    }

    /// Opens both connections to a member, keeps them from being closed as idle, and measures the
    /// way there and back on the one that carries heartbeats and votes.
    ///
    /// # Errors
    /// [`PingError`], `patience` included.
    pub async fn ping(&self, id: NodeId, node: &Node, patience: Duration) -> Result<(), PingError> {
        let ping = async |lane| {
            let sent = Instant::now();
            match tokio::time::timeout(patience, self.ask(id, node, lane)).await {
                Ok(answer) => answer.map(|_| sent.elapsed()),
                Err(_) => Err(PingError::Unreached(format!(
                    "no answer within {patience:?}"
                ))),
            }
        };
        let measure = async {
            // The first one may have had to connect.
            ping(Lane::Control).await?;
            loop {
                let measured = ping(Lane::Control).await?;
                let mut round_trips = self.0.round_trips.lock();
                let round_trips = round_trips.entry(id).or_default();
                round_trips.add(measured);
                if round_trips.enough() {
                    return Ok(());
                }
            }
        };
        let (bulk, control) = tokio::join!(ping(Lane::Bulk), measure);
        control.and(bulk.map(drop))
    }

    /// How a member stands now, asked where heartbeats and votes go. Waits as long as it takes.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn look(&self, id: NodeId, node: &Node) -> Result<pb::PingReply, PingError> {
        self.ask(id, node, Lane::Control).await
    }

    async fn ask(&self, id: NodeId, node: &Node, lane: Lane) -> Result<pb::PingReply, PingError> {
        let mut client = self.client(id, node, lane).map_err(PingError::Unreached)?;
        let route = self.route(id);
        let call = client.ping(self.request(pb::PingRequest { route }));
        match call.await {
            Ok(reply) => {
                let reply = reply.into_inner();
                self.0.rules.lock().insert(id, reply.rules);
                self.0.told.lock().insert(id, reply.round_trips.clone());
                Ok(reply)
            }
            Err(status) if status.code() == Code::PermissionDenied => {
                Err(PingError::Refused(status.message().to_owned()))
            }
            Err(status) => Err(PingError::Unreached(status.to_string())),
        }
    }

    /// The round trip to `id` that nine of the last ten did not exceed, once there are enough.
    pub fn round_trip(&self, id: NodeId) -> Option<Duration> {
        self.0.round_trips.lock().get(&id)?.high()
    }

    /// The usual round trips from here, as far as they are measured.
    pub fn usual_round_trips(&self) -> Vec<pb::RoundTrip> {
        let measured = self.0.round_trips.lock();
        let usual = measured.iter().filter_map(|(to, trips)| {
            let us = trips.usual()?.as_micros();
            Some(pb::RoundTrip {
                to: *to,
                us: us.try_into().unwrap_or(u64::MAX),
            })
        });
        usual.collect()
    }

    /// The usual round trips between any two nodes, from whom to whom, in microseconds: measured here, and as each of the
    /// others last said. Of a node of a version that does not tell there is none.
    pub fn ways(&self) -> BTreeMap<(NodeId, NodeId), u64> {
        let mut told = self.0.told.lock().clone();
        told.insert(self.0.from, self.usual_round_trips());
        let each = told.iter().flat_map(|(from, ways)| {
            let from = *from;
            ways.iter().map(move |way| ((from, way.to), way.us))
        });
        each.collect()
    }

    /// The newest rules that another node's machine knows, as it last said.
    pub fn rules(&self, id: NodeId) -> Option<u32> {
        self.0.rules.lock().get(&id).copied()
    }

    /// When a majority last answered this node as the leader, or elected it; `None` if it does not
    /// lead or needs nobody's answer.
    pub fn answered(&self, at: Option<Instant>) {
        *self.0.answered.lock() = at;
    }

    /// Whether to send nothing for now that would keep others waiting for this leader.
    pub fn quiet(&self) -> bool {
        let answered = *self.0.answered.lock();
        answered.is_some_and(|at| self.0.timing.keeps_quiet(at.elapsed()))
    }

    fn channel(&self, uri: &str, lane: Lane) -> Result<Channel, String> {
        let keep_alive = self.0.timing.election_max().max(KEEP_ALIVE_FLOOR);
        let trusted = match lane {
            Lane::Bulk => keep_alive.max(BULK_KEEP_ALIVE),
            Lane::Control => keep_alive,
        };
        let endpoint = Endpoint::from_shared(uri.to_owned())
            .map_err(|error| format!("address {uri:?} cannot be dialled: {error}"))?
            .tcp_nodelay(true)
            .connect_timeout(keep_alive)
            .http2_keep_alive_interval(keep_alive)
            .keep_alive_timeout(trusted)
            .keep_alive_while_idle(true);
        Ok(self.0.connector.connect(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what it is asked to dial.
    #[derive(Default)]
    struct Noting(Mutex<Vec<String>>);

    impl Connector for Arc<Noting> {
        fn uri(&self, _: NodeId, node: &Node) -> String {
            self.0.lock().push(node.address.clone());
            format!("http://{}", node.address)
        }
    }

    fn node(address: &str) -> Node {
        Node {
            address: address.to_owned(),
            ..Node::default()
        }
    }

    #[tokio::test]
    async fn members_are_dialled_where_they_are_now_and_forgotten_when_they_leave() {
        let dialled = Arc::new(Noting::default());
        let timing = Timing::derive(5, 50).unwrap();
        let connector = Arc::new(dialled.clone());
        let peers = Peers::new("test", 1, 1, connector, timing).unwrap();
        let (old, new) = (node("10.0.0.1:1"), node("10.0.0.2:1"));
        peers.client(2, &old, Lane::Bulk).unwrap();
        peers.members_are(BTreeMap::from([(2, new)]));
        peers.client(2, &old, Lane::Bulk).unwrap();
        assert_eq!(*dialled.0.lock(), ["10.0.0.1:1", "10.0.0.2:1"]);
        assert_eq!(peers.0.open.lock()[&2].uri, "http://10.0.0.2:1");

        let position = LogId::new(3.into(), 9);
        peers.matches(2, 3, position);
        let measured = [4, 5, 9].map(Duration::from_micros);
        for trip in measured {
            peers.0.round_trips.lock().entry(2).or_default().add(trip);
        }
        let back = pb::RoundTrip { to: 1, us: 6 };
        peers.0.told.lock().insert(2, vec![back]);
        assert_eq!(peers.matched(2, 3), Some(position));
        let ways = BTreeMap::from([((1, 2), 5), ((2, 1), 6)]);
        assert_eq!(peers.ways(), ways);
        peers.members_are(BTreeMap::new());
        assert_eq!(peers.matched(2, 3), None);
        assert!(peers.0.open.lock().is_empty());
        assert!(peers.0.round_trips.lock().is_empty());
        assert!(peers.ways().is_empty());
    }
}
