//! What the operator sets. Every flag also reads an environment variable; a flag goes first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use meridian_routing::rules;

/// What a node does that has come to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Leading {
    /// Hands leadership on to the region where most writes begin, once that is clearly better for a while.
    Follow,
    /// Leads on, wherever writes come from.
    Stay,
}

/// A Meridian node: takes chats, shares agents and queues with its peers, and finds each chat its agent.
#[derive(Clone, Debug, Parser)]
#[command(name = "meridian-node", version)]
pub struct Settings {
    /// This node's number in the cluster, from 1; never used again for another.
    #[arg(long, env = "MERIDIAN_NODE_ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub node_id: u64,
    /// Region this node stands in.
    #[arg(long, env = "MERIDIAN_REGION", default_value = "local")]
    pub region: String,
    /// Name of the cluster; nodes of other clusters are refused.
    #[arg(long, env = "MERIDIAN_CLUSTER", default_value = "meridian")]
    pub cluster: String,
    /// Directory for everything this node keeps; made if absent.
    #[arg(long, env = "MERIDIAN_DATA")]
    pub data: PathBuf,
    /// Where clients connect.
    #[arg(long, env = "MERIDIAN_LISTEN", default_value = "127.0.0.1:7001")]
    pub listen: SocketAddr,
    /// Where other nodes connect.
    #[arg(long, env = "MERIDIAN_PEER_LISTEN", default_value = "127.0.0.1:7101")]
    pub peer_listen: SocketAddr,
    /// Where Prometheus metrics, /healthz and /readyz are served; left out = nowhere.
    #[arg(long, env = "MERIDIAN_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Worst round trip between voters, in ms (its 99.9th percentile, at most 1000); heartbeats and elections
    /// follow from it.
    #[arg(long, env = "MERIDIAN_ROUND_TRIP_MS", default_value_t = 0)]
    pub round_trip_ms: u64,
    /// Slowest sync of a voter's disk, in ms (its 99.9th percentile, at most 1000); elections wait for that long.
    #[arg(long, env = "MERIDIAN_SLOWEST_SYNC_MS", default_value_t = 50)]
    pub slowest_sync_ms: u64,
    /// What this node does when it leads; where an operator pins leadership counts either way.
    #[arg(
        long,
        env = "MERIDIAN_LEADERSHIP",
        value_enum,
        default_value = "follow"
    )]
    pub leadership: Leading,
    /// Most connections of clients, and half as many from one address; more are closed at once.
    #[arg(long, env = "MERIDIAN_CONNECTIONS_MAX", default_value_t = 20_000, value_parser = at_least_two)]
    pub connections_max: usize,
    /// Most calls of clients that are open, streams included, and half as many from one address; more are refused.
    #[arg(long, env = "MERIDIAN_CALLS_MAX", default_value_t = 50_000, value_parser = at_least_two)]
    pub calls_max: usize,
    /// Dial a peer elsewhere than the membership says, as ID=HOST:PORT; for tunnels and tests; repeatable.
    #[arg(long = "dial", env = "MERIDIAN_DIAL", value_parser = dial, value_delimiter = ',')]
    pub dial: Vec<(u64, String)>,
    /// A snapshot is taken every so many log entries.
    #[arg(long, env = "MERIDIAN_SNAPSHOT_EVERY", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(100..))]
    pub snapshot_every: u64,
    /// Most MiB kept of the past (former states with the log since, beside what runs the node), so that decisions can
    /// be explained as of then; 0 = none.
    #[arg(long, env = "MERIDIAN_PAST_MIB", default_value_t = 1_024)]
    pub past_mib: u64,
    /// OTLP collector for traces and metrics, such as http://127.0.0.1:4317; left out = none.
    #[arg(long, env = "MERIDIAN_OTLP", default_value = "")]
    pub otlp: String,
    /// Check every invariant after every command and stop at the first broken one; slow, for tests.
    #[arg(long, env = "MERIDIAN_CHECK_INVARIANTS", hide = true)]
    pub check_invariants: bool,
    /// Write every command and the hash of the state after it into this file, for a test that checks them from outside.
    #[arg(long, env = "MERIDIAN_WITNESS", hide = true)]
    pub witness: Option<PathBuf>,
    /// Know rules up to these alone, as an earlier version would; for tests of upgrades.
    #[arg(long, env = "MERIDIAN_RULES_MAX", hide = true, default_value_t = rules::NEWEST, value_parser = clap::value_parser!(u32).range(..=i64::from(rules::NEWEST)))]
    pub rules_max: u32,
    /// Write logs as one JSON object a line.
    #[arg(long, env = "MERIDIAN_LOG_JSON")]
    pub log_json: bool,
}

/// One for others than the first address.
fn at_least_two(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(max) if max >= 2 => Ok(max),
        _ => Err(format!("'{text}' is no number from 2 on")),
    }
}

fn dial(text: &str) -> Result<(u64, String), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(id, address)| Some((id.parse().ok()?, address)));
    parsed
        .map(|(id, address)| (id, address.to_owned()))
        .ok_or_else(|| format!("'{text}' is not ID=HOST:PORT"))
}

impl Settings {
    /// Addresses dialled in place of the membership's.
    pub fn dial_map(&self) -> BTreeMap<u64, String> {
        self.dial.iter().cloned().collect()
    }
}
