//! The way to the cluster: tries one endpoint after another until the deadline.

use std::io::Write as _;
use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::failure::{Failure, ServerError};
use crate::time::format_millis;

/// Longest wait for one TCP connection while other endpoints are left to try.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// First and longest pause between rounds while the cluster answers UNAVAILABLE, as during an election.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Largest answer read: a page of 1000 agents or the configuration of a large organisation.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One node's address, checked.
#[derive(Clone, Debug)]
pub struct Node {
    /// As the user wrote it.
    pub url: String,
    endpoint: Endpoint,
}

/// The cluster as a list of nodes of which any will do.
#[derive(Clone, Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    timeout: Duration,
    verbose: bool,
    /// Whether a node that cannot be connected may just be starting.
    patient: bool,
}

/// An answer and the endpoint it came from.
#[derive(Clone, Debug)]
pub struct Answer<R> {
    /// The answer.
    pub value: R,
    /// Who gave it.
    pub endpoint: String,
}

impl Cluster {
    /// Checks the addresses; nothing is connected yet.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a URL that cannot be used, or when there is none.
    pub fn new(urls: &[String], timeout: Duration, verbose: bool) -> Result<Self, Failure> {
        let urls = urls.iter().map(|u| u.trim()).filter(|u| !u.is_empty());
        let nodes: Vec<Node> = urls.map(node).collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            return Err(Failure::Usage(
                "no endpoint is given; name one with --endpoint".to_owned(),
            ));
        }
        Ok(Self {
            nodes,
            timeout,
            verbose,
            patient: false,
        })
    }

    /// Every node on its own, for commands that ask each.
    pub fn each(&self) -> Vec<(String, Cluster)> {
        let one = |n: &Node| Cluster {
            nodes: vec![n.clone()],
            ..self.clone()
        };
        self.nodes.iter().map(|n| (n.url.clone(), one(n))).collect()
    }

    /// A connection to every node in turn, made when first used and again after every loss.
    pub fn channels(&self) -> Vec<Channel> {
        let endpoints = self.nodes.iter().map(|n| n.endpoint.clone());
        let connect = |e: Endpoint| e.connect_timeout(CONNECT_MAX).connect_lazy();
        endpoints.map(connect).collect()
    }

    /// Every node, with so many connections to it, made when first used and again after every loss.
    pub fn ways(&self, connections: usize) -> Vec<(String, Vec<Channel>)> {
        let all: Vec<Vec<Channel>> = (0..connections).map(|_| self.channels()).collect();
        let of = |i: usize| all.iter().map(|channels| channels[i].clone()).collect();
        let nodes = self.nodes.iter().enumerate();
        nodes.map(|(i, node)| (node.url.clone(), of(i))).collect()
    }

    /// The same nodes, for a caller who waits until the deadline for one that can be connected.
    pub fn patient(&self) -> Cluster {
        Cluster {
            patient: true,
            ..self.clone()
        }
    }

    /// Calls the first node that is able to answer.
    ///
    /// A node that cannot be connected or says UNAVAILABLE is passed over. Once all were tried: if one at
    /// least spoke, the round is repeated after a pause, for an election takes seconds; if none did, the
    /// call fails at once. A write may so be sent twice, which its request id makes harmless.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] or [`Failure::Server`].
    pub async fn call<Q, R, F>(&self, request: Q, send: F) -> Result<Answer<R>, Failure>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    {
        self.run(request, send, true).await
    }

    /// As [`Cluster::call`] for a stream that may last: the deadline only holds until it is open.
    ///
    /// # Errors
    /// As [`Cluster::call`].
    pub async fn open<Q, R, F>(&self, request: Q, send: F) -> Result<Answer<R>, Failure>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    {
        self.run(request, send, false).await
    }

    async fn run<Q, R, F>(&self, request: Q, send: F, timed: bool) -> Result<Answer<R>, Failure>
    where
        Q: Clone,
        F: AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    {
        let started = Instant::now();
        let mut pause = PAUSE.0;
        loop {
            let mut tried = Vec::new();
            let mut spoke: Option<ServerError> = None;
            for (i, node) in self.nodes.iter().enumerate() {
                let left = self.timeout.saturating_sub(started.elapsed());
                if left.is_zero() {
                    tried.push((node.url.clone(), "not tried: no time left".to_owned()));
                    continue;
                }
                // Of the time left an endpoint gets its share, so that a silent one starves no other.
                let share = left / u32::try_from(self.nodes.len() - i).unwrap_or(u32::MAX);
                let mut attempt = Request::new(request.clone());
                if timed {
                    attempt.set_timeout(share);
                }
                let why = match node.ask(attempt, &send, share).await {
                    Ok(response) => {
                        let endpoint = node.url.clone();
                        if let Some(ms) = stale_ms(response.metadata()) {
                            // Without a stderr there is nobody to tell.
                            let _ = writeln!(
                                std::io::stderr(),
                                "note: {endpoint} has had no leader for {}: what it shows may be that old",
                                format_millis(ms)
                            );
                        }
                        return Ok(Answer {
                            value: response.into_inner(),
                            endpoint,
                        });
                    }
                    Err(Silence::Status(status)) if status.code() == Code::Unavailable => {
                        spoke = Some(ServerError::new(&status, &node.url));
                        status.message().to_owned()
                    }
                    Err(Silence::Status(status)) => {
                        return Err(Failure::Server(Box::new(ServerError::new(
                            &status, &node.url,
                        ))));
                    }
                    Err(Silence::Transport(why)) => why,
                };
                if self.verbose {
                    // Without a stderr there is nobody to tell.
                    let _ = writeln!(std::io::stderr(), "{}: {why}; trying the next", node.url);
                }
                tried.push((node.url.clone(), why));
            }
            let left = self.timeout.saturating_sub(started.elapsed());
            let wait = spoke.as_ref().and_then(|s| s.retry_after);
            let wait = wait.unwrap_or(pause);
            match spoke {
                None if !self.patient || left <= wait => {
                    return Err(Failure::Unreachable { tried });
                }
                Some(spoke) if left <= wait => return Err(Failure::Server(Box::new(spoke))),
                _ => {}
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

fn node(url: &str) -> Result<Node, Failure> {
    // A bare host:port is what people paste from a configuration.
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let refuse = |why: &str| Failure::Usage(format!("--endpoint: '{url}' {why}"));
    let uri: tonic::transport::Uri = full
        .parse()
        .map_err(|_| refuse("is not a URL; give http://HOST:PORT"))?;
    if uri.scheme_str() != Some("http") {
        return Err(refuse(
            "has a scheme this build cannot speak; give http://HOST:PORT",
        ));
    }
    if uri.port().is_none() {
        return Err(refuse("names no port; give http://HOST:PORT"));
    }
    let endpoint = Endpoint::from(uri)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(20));
    Ok(Node {
        url: full,
        endpoint,
    })
}

/// Since when the node that answered has had no leader, in ms.
fn stale_ms(headers: &MetadataMap) -> Option<u64> {
    headers
        .get("meridian-stale-ms")?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Why a node gave no answer.
enum Silence {
    /// It could not be reached, or took too long.
    Transport(String),
    /// It answered with an error.
    Status(Status),
}

impl Node {
    async fn ask<Q, R, F>(
        &self,
        request: Request<Q>,
        send: &F,
        share: Duration,
    ) -> Result<Response<R>, Silence>
    where
        F: AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    {
        let late = |what: &str, within: Duration| {
            let within = crate::time::format_millis(within.as_millis() as u64);
            Silence::Transport(format!("no {what} within {within}"))
        };
        let started = Instant::now();
        let within = share.min(CONNECT_MAX);
        let channel = match tokio::time::timeout(within, self.endpoint.connect()).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(Silence::Transport(root_cause(&error))),
            Err(_) => return Err(late("connection", within)),
        };
        match tokio::time::timeout_at((started + share).into(), send(channel, request)).await {
            Ok(Ok(response)) => Ok(response),
            // The transport keeps the same time, and may notice first.
            Ok(Err(_)) | Err(_) if started.elapsed() >= share => {
                Err(late("answer (a change may still have been made)", share))
            }
            // What a node sends has no source; what has one broke on the way.
            Ok(Err(status)) if std::error::Error::source(&status).is_some() => {
                Err(Silence::Transport(root_cause(&status)))
            }
            Ok(Err(status)) => Err(Silence::Status(status)),
            Err(_) => Err(late("answer", share)),
        }
    }
}

/// The transport's own text is only "transport error"; what helps is at the end of the chain.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Cluster::new(&[url.to_owned()], Duration::from_secs(1), false)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn endpoints_are_checked() {
        let say = "has a scheme this build cannot speak; give http://HOST:PORT";
        assert_eq!(
            refused("https://a:1"),
            format!("--endpoint: 'https://a:1' {say}")
        );
        assert_eq!(
            refused("http://a"),
            "--endpoint: 'http://a' names no port; give http://HOST:PORT"
        );
        assert_eq!(
            refused("a b"),
            "--endpoint: 'a b' is not a URL; give http://HOST:PORT"
        );
        assert_eq!(
            refused(" "),
            "no endpoint is given; name one with --endpoint"
        );
        let bare = Cluster::new(&["h:7001".to_owned()], Duration::from_secs(1), false).unwrap();
        assert_eq!(bare.each()[0].0, "http://h:7001");
    }
}
