//! Connections to the other nodes: two each, made once and kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_client::PeerClient;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::types::{LogId, Node, NodeId};

/// The header that names the cluster.
pub const CLUSTER_HEADER: &str = "meridian-cluster";
/// The largest message between nodes, both ways: a batch of entries (see the log store's limit) or
/// one very large command, with room to spare.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Enough in flight to fill a fast link over half a planet: 8 MiB / 220 ms is 36 MiB a second.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

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

/// The connections of one node, for one group.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    group: u32,
    from: NodeId,
    cluster: MetadataValue<Ascii>,
    connector: Arc<dyn Connector>,
    keep_alive: Duration,
    open: Mutex<BTreeMap<NodeId, Connection>>,
    known: Mutex<BTreeMap<NodeId, (u64, LogId)>>,
    round_trips: Mutex<BTreeMap<NodeId, Duration>>,
    campaign_until: Mutex<Option<Instant>>,
}

impl Peers {
    /// `cluster` must be printable ASCII; `keep_alive` is how long a silent connection is trusted.
    ///
    /// # Errors
    /// The reason why `cluster` cannot be sent as a header.
    pub fn new(
        cluster: &str,
        group: u32,
        from: NodeId,
        connector: Arc<dyn Connector>,
        keep_alive: Duration,
    ) -> Result<Self, String> {
        let cluster = cluster
            .parse()
            .map_err(|_| format!("cluster id {cluster:?} is not printable ASCII"))?;
        Ok(Self(Arc::new(Inner {
            group,
            from,
            cluster,
            connector,
            keep_alive,
            open: Mutex::default(),
            known: Mutex::default(),
            round_trips: Mutex::default(),
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
        request
    }

    /// A client for `to` on one of its connections. Nothing is dialled yet.
    ///
    /// # Errors
    /// The reason why the address cannot be dialled.
    pub fn client(
        &self,
        to: NodeId,
        node: &Node,
        lane: Lane,
    ) -> Result<PeerClient<Channel>, String> {
        let uri = self.0.connector.uri(to, node);
        let mut open = self.0.open.lock();
        // A member may have moved: an address that changed is a new connection.
        if open.get(&to).is_none_or(|connection| connection.uri != uri) {
            let connection = Connection {
                bulk: self.channel(&uri)?,
                control: self.channel(&uri)?,
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
        let mut known = self.0.known.lock();
        match committed {
            Some(committed) => known.insert(id, (term, committed)),
            None => known.remove(&id),
        };
    }

    /// Forgets that again, as soon as the node itself can be asked.
    pub fn forget(&self, id: NodeId) {
        self.0.known.lock().remove(&id);
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

    /// What was learnt of `id` in the election for `term`.
    pub fn known(&self, id: NodeId, term: u64) -> Option<LogId> {
        let (of, committed) = *self.0.known.lock().get(&id)?;
        (of == term).then_some(committed)
    }

    /// Opens both connections to a member, keeps them from being closed as idle, and measures the
    /// way there and back on the one that carries heartbeats and votes.
    ///
    /// # Errors
    /// The reason why the member is not reached, `patience` included.
    pub async fn ping(&self, id: NodeId, node: &Node, patience: Duration) -> Result<(), String> {
        let ping = |lane| async move {
            let mut client = self.client(id, node, lane)?;
            let route = self.route(id);
            let sent = Instant::now();
            let call = client.ping(self.request(pb::PingRequest { route }));
            match tokio::time::timeout(patience, call).await {
                Ok(Ok(_)) => Ok(sent.elapsed()),
                Ok(Err(status)) => Err(status.to_string()),
                Err(_) => Err(format!("no answer within {patience:?}")),
            }
        };
        let (bulk, control) = tokio::join!(ping(Lane::Bulk), ping(Lane::Control));
        self.0.round_trips.lock().insert(id, control?);
        bulk.map(drop)
    }

    /// The round trips measured last.
    pub fn round_trips(&self) -> BTreeMap<NodeId, Duration> {
        self.0.round_trips.lock().clone()
    }

    fn channel(&self, uri: &str) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(uri.to_owned())
            .map_err(|error| format!("address {uri:?} cannot be dialled: {error}"))?
            .tcp_nodelay(true)
            .connect_timeout(self.0.keep_alive)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(self.0.keep_alive)
            .keep_alive_timeout(self.0.keep_alive)
            .keep_alive_while_idle(true);
        Ok(self.0.connector.connect(endpoint))
    }
}
