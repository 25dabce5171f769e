//! Three real node processes and a stand-in for an OTLP collector: one call is one trace over all of them, and
//! figures are sent without a Prometheus listener.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::Duration;

use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

const PATIENCE: Duration = Duration::from_secs(60);

/// The parts of OTLP's messages that are looked at.
mod otlp {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Spans {
        #[prost(message, repeated, tag = "1")]
        pub of: Vec<SpansOf>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SpansOf {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scopes: Vec<SpanScope>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SpanScope {
        #[prost(message, repeated, tag = "2")]
        pub spans: Vec<Span>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub trace: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub id: Vec<u8>,
        #[prost(string, tag = "3")]
        pub state: String,
        #[prost(bytes = "vec", tag = "4")]
        pub parent: Vec<u8>,
        #[prost(string, tag = "5")]
        pub name: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metrics {
        #[prost(message, repeated, tag = "1")]
        pub of: Vec<MetricsOf>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricsOf {
        #[prost(message, optional, tag = "1")]
        pub resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub scopes: Vec<MetricScope>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricScope {
        #[prost(message, repeated, tag = "2")]
        pub metrics: Vec<Metric>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metric {
        #[prost(string, tag = "1")]
        pub name: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub attributes: Vec<Attribute>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attribute {
        #[prost(string, tag = "1")]
        pub key: String,
        #[prost(message, optional, tag = "2")]
        pub value: Option<Value>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Value {
        #[prost(int64, tag = "3")]
        pub number: i64,
    }

    /// The node that speaks.
    pub fn node(resource: Option<&Resource>) -> i64 {
        let all = resource.into_iter().flat_map(|r| &r.attributes);
        let of = |a: &&Attribute| a.key == "meridian.node";
        let value = all.clone().find(of).and_then(|a| a.value.as_ref());
        value.map_or(0, |v| v.number)
    }
}

/// Reads `M`; answers with an empty message.
struct Plain<M>(PhantomData<M>);

impl<M: Message + Default + 'static> Codec for Plain<M> {
    type Encode = ();
    type Decode = M;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }
    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<M> Encoder for Plain<M> {
    type Item = ();
    type Error = Status;
    fn encode(&mut self, (): (), _: &mut EncodeBuf<'_>) -> Result<(), Status> {
        Ok(())
    }
}

impl<M: Message + Default> Decoder for Plain<M> {
    type Item = M;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        let message = M::decode(from).map_err(|e| Status::invalid_argument(e.to_string()))?;
        Ok(Some(message))
    }
}

/// Keeps whatever is exported.
struct Collector<M>(watch::Sender<Vec<M>>);

impl<M> Clone for Collector<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl NamedService for Collector<otlp::Spans> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl NamedService for Collector<otlp::Metrics> {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

struct Keep<M>(watch::Sender<Vec<M>>);

impl<M> UnaryService<M> for Keep<M> {
    type Response = ();
    type Future = std::future::Ready<Result<Response<()>, Status>>;
    fn call(&mut self, request: Request<M>) -> Self::Future {
        self.0.send_modify(|kept| kept.push(request.into_inner()));
        std::future::ready(Ok(Response::new(())))
    }
}

impl<M: Message + Default + 'static> tower::Service<http::Request<Body>> for Collector<M> {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Self::Error>> + Send>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let keep = Keep(self.0.clone());
        Box::pin(async move {
            let mut server = Grpc::new(Plain::<M>(PhantomData));
            Ok(server.unary(keep, request).await)
        })
    }
}

struct Process {
    child: Child,
    channel: Channel,
}

impl Process {
    fn spawn(id: usize, dir: &Path, ports: &[SocketAddr], otlp: &str) -> Self {
        let log = std::fs::File::create(dir.join(format!("{id}.log"))).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_meridian-node"))
            .args([
                "--node-id",
                &id.to_string(),
                "--region",
                "r",
                "--otlp",
                otlp,
            ])
            .args(["--listen", &ports[id - 1].to_string()])
            .args(["--peer-listen", &ports[id + 2].to_string()])
            .arg("--data")
            .arg(dir.join(id.to_string()))
            // What is logged has no say in what is traced.
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the node starts");
        let endpoint = Endpoint::from_shared(format!("http://{}", ports[id - 1]));
        Self {
            child,
            channel: endpoint.expect("an address").connect_lazy(),
        }
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// Asks the process to stop in order, which sends what it has.
    fn terminate(&mut self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|s| s.success()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(what: &str, ask: impl AsyncFn() -> bool) {
    let asked = async {
        while !ask().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = timeout(PATIENCE, asked).await;
    in_time.unwrap_or_else(|_| panic!("waited a minute in vain: {what}"));
}

fn free_ports() -> Vec<SocketAddr> {
    let held: Vec<_> = (0..6)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    held.iter()
        .map(|l| l.local_addr().expect("its address"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_is_one_trace_over_three_nodes_and_figures_are_sent() {
    let (traces, mut spans) = watch::channel(Vec::<otlp::Spans>::new());
    let (figures, mut metrics) = watch::channel(Vec::<otlp::Metrics>::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let otlp = format!("http://{}", listener.local_addr().expect("an address"));
    let collector = Server::builder()
        .add_service(Collector(traces))
        .add_service(Collector(figures))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    tokio::spawn(collector);

    let dir = tempfile::tempdir().expect("a directory");
    let ports = free_ports();
    let mut nodes: Vec<_> = (1..=3)
        .map(|id| Process::spawn(id, dir.path(), &ports, &otlp))
        .collect();
    let members: Vec<_> = (1..=3)
        .map(|id| Member {
            node_id: id as u64,
            region_id: "r".into(),
            peer_address: ports[id + 2].to_string(),
            ..Default::default()
        })
        .collect();
    until("the cluster forms", async || {
        let members = members.clone();
        let ask = InitializeClusterRequest { members };
        nodes[0].admin().initialize_cluster(ask).await.is_ok()
    })
    .await;
    until("everybody knows the leader", async || {
        for node in &nodes {
            let status = node.admin().cluster_status(ClusterStatusRequest {}).await;
            if status.map_or(0, |s| s.into_inner().leader_id) == 0 {
                return false;
            }
        }
        true
    })
    .await;
    let status = nodes[0]
        .admin()
        .cluster_status(ClusterStatusRequest {})
        .await;
    let leader = status.expect("a status").into_inner().leader_id as usize;
    let asked = leader % 3;

    let mut ask = Request::new(ApplyRequest {
        request_id: "traced".into(),
        put: Some(Configuration {
            workspace: Some(Workspace {
                name: "w".into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    });
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = ask.metadata_mut();
    headers.insert("traceparent", parent.parse().expect("a header"));
    headers.insert("tracestate", "vendor=1".parse().expect("a header"));
    let written = nodes[asked].admin().apply(ask).await.expect("applied");
    let index = written.into_inner().log_index;
    until("everybody has applied it", async || {
        for node in &nodes {
            let status = node.admin().cluster_status(ClusterStatusRequest {}).await;
            if status.map_or(0, |s| s.into_inner().applied_index) < index {
                return false;
            }
        }
        true
    })
    .await;
    for node in &mut nodes {
        node.terminate();
    }

    let of_trace = |kept: &[otlp::Spans]| {
        let mut found = Vec::new();
        for of in kept.iter().flat_map(|s| &s.of) {
            let node = otlp::node(of.resource.as_ref());
            let spans = of.scopes.iter().flat_map(|s| &s.spans);
            let ours = spans.filter(|s| hex(&s.trace) == TRACE);
            found.extend(ours.map(|s| (node, s.clone())));
        }
        found
    };
    let whole = spans.wait_for(|kept| {
        let found = of_trace(kept);
        let applied = found.iter().filter(|(_, s)| s.name == "apply").count();
        applied == 3 && found.iter().any(|(_, s)| s.name.ends_with("/Apply"))
    });
    drop(timeout(PATIENCE, whole).await);
    let found = of_trace(&spans.borrow());
    let names: BTreeMap<(&str, i64), &otlp::Span> = found
        .iter()
        .map(|(node, s)| ((s.name.as_str(), *node), s))
        .collect();
    let at = asked as i64 + 1;
    let told: Vec<_> = names.keys().copied().collect();
    assert_eq!(
        told,
        [
            ("apply", 1),
            ("apply", 2),
            ("apply", 3),
            ("livechat.v1.AdminService/Apply", at),
            ("write", at),
        ]
    );
    let call = names[&("livechat.v1.AdminService/Apply", at)];
    let write = names[&("write", at)];
    assert_eq!(hex(&call.parent), "b7ad6b7169203331");
    assert_eq!(write.parent, call.id);
    for node in 1..=3 {
        assert_eq!(names[&("apply", node)].parent, write.id, "node {node}");
    }
    assert!(found.iter().all(|(_, s)| s.state == "vendor=1"));

    let sent = |kept: &[otlp::Metrics]| {
        let of = kept.iter().flat_map(|m| &m.of);
        let nodes = of.filter(|of| {
            let mut metrics = of.scopes.iter().flat_map(|s| &s.metrics);
            metrics.any(|m| m.name == "meridian_apply_duration")
        });
        let nodes = nodes.map(|of| otlp::node(of.resource.as_ref()));
        nodes.collect::<std::collections::BTreeSet<_>>()
    };
    let all = timeout(PATIENCE, metrics.wait_for(|kept| sent(kept).len() == 3)).await;
    all.expect("figures of all three").expect("the collector");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
