//! What a node takes from the world, given to it at assembly, so that a simulator can give something else:
//! the clock, randomness, the network and storage. Nothing below `main` reaches for a global of these. Only
//! the database is storage so far; snapshots and the small files beside it are files in the data directory.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use std::task::{Context, Poll};

use futures::{Stream, StreamExt as _};
use meridian_routing::ids::Millis;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Channel, Endpoint};

#[cfg(feature = "rocks")]
use crate::storage::Rocks;
use crate::storage::Storage;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// UTC milliseconds since 1970.
    fn now(&self) -> Millis;
}

/// Makes numbers nobody can guess, or that a seed decides.
pub trait Random: Send + Sync + 'static {
    /// The next number.
    fn next(&self) -> u64;
}

/// Takes and makes connections.
#[tonic::async_trait]
pub trait Network: Send + Sync + 'static {
    /// Listens, and gives the address in full: port 0 becomes the port chosen.
    ///
    /// # Errors
    /// The address cannot be listened on.
    async fn listen(&self, address: SocketAddr) -> io::Result<(Connections, SocketAddr)>;

    /// Makes the channel to an endpoint; it connects when first used and again after every loss.
    fn connect(&self, endpoint: Endpoint) -> Channel;
}

/// Connections as they come in.
pub type Connections = Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>>;

/// One connection, whatever carries it.
pub struct Connection {
    carrier: Pin<Box<dyn Duplex>>,
    address: Option<IpAddr>,
}

trait Duplex: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl Connection {
    /// Wraps what carries it.
    pub fn new(carrier: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self {
            carrier: Box::pin(carrier),
            address: None,
        }
    }

    /// The same, and where it comes from.
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }

    /// Where it comes from, if there are addresses.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

// As other nodes' connections are served, of whom nothing but that is asked.
impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.carrier.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.carrier.as_mut().poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier.as_mut().poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carrier.as_mut().poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.carrier.as_mut().poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }
}

/// Sees every state a node comes to, under the lock that guards it; for checks.
pub trait Witness: Send + Sync + 'static {
    /// A command was applied, which made this the state; `hash` is the one replicas compare.
    ///
    /// # Errors
    /// What must not be; the node does not go on.
    fn applied(&self, moment: Moment<'_>) -> Result<(), String>;
}

/// A state just come to.
pub struct Moment<'a> {
    /// By which node.
    pub node: u64,
    /// The command as the log holds it.
    pub entry: &'a [u8],
    /// The command.
    pub command: &'a meridian_routing::command::Stamped,
    /// What came of it.
    pub outcome: &'a meridian_routing::apply::Outcome,
    /// The state after it.
    pub state: &'a meridian_routing::state::State,
    /// The state's hash after it.
    pub hash: u64,
}

/// The world a node lives in.
#[derive(Clone)]
pub struct Environment {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The network.
    pub network: Arc<dyn Network>,
    /// Where the database is kept.
    pub storage: Arc<dyn Storage>,
    /// Who sees every state; nobody in the real world, since it costs.
    pub witness: Option<Arc<dyn Witness>>,
}

impl Environment {
    /// The real world.
    #[cfg(feature = "rocks")]
    pub fn real() -> Self {
        Self::with(Arc::new(Rocks))
    }

    /// The real world, but for where the database is kept.
    pub fn with(storage: Arc<dyn Storage>) -> Self {
        Self {
            clock: Arc::new(WallClock),
            random: Arc::new(ThreadRandom),
            network: Arc::new(Tcp),
            storage,
            witness: None,
        }
    }

    /// A new id: the time first, so that ids sort by it, then 70 bits of randomness; 23 characters of a-z and 0-9,
    /// which is the longest that the routing core keeps within its rows.
    pub fn id(&self) -> String {
        let time = u128::from(self.clock.now().max(0).unsigned_abs()) & ((1 << 45) - 1);
        let bits = (time << 70)
            | (u128::from(self.random.next()) << 6)
            | u128::from(self.random.next() & 0x3f);
        // Five bits a letter, without i, l, o and u, which are easily misread.
        const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        (0..23)
            .rev()
            .map(|i| LETTERS[((bits >> (5 * i)) & 31) as usize] as char)
            .collect()
    }
}

struct WallClock;
impl Clock for WallClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    }
}

struct Tcp;
#[tonic::async_trait]
impl Network for Tcp {
    async fn listen(&self, address: SocketAddr) -> io::Result<(Connections, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        // Small messages both ways: waiting to fill a packet costs ten times the throughput.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let known = |stream: TcpStream| {
            let address = stream.peer_addr().ok().map(|peer| whose(peer.ip()));
            Connection::new(stream).from(address)
        };
        Ok((incoming.map(move |c| c.map(known)).boxed(), bound))
    }

    fn connect(&self, endpoint: Endpoint) -> Channel {
        endpoint.connect_lazy()
    }
}

/// The address that stands for whoever has it: of IPv6 a network of 64 bits is one's, each address of which they may use.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

struct ThreadRandom;
impl Random for ThreadRandom {
    fn next(&self) -> u64 {
        rand::random()
    }
}

/// Numbers a seed decides (splitmix64, by Steele, Lea and Flood 2014).
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Random for SeededRandom {
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_whoever_may_use_it() {
        let whose = |text: &str| super::whose(text.parse().unwrap()).to_string();
        assert_eq!(whose("10.0.0.7"), "10.0.0.7");
        assert_eq!(whose("::ffff:10.0.0.7"), "10.0.0.7");
        assert_eq!(whose("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn ids_sort_by_time_and_a_seed_decides_the_rest() {
        struct Fixed(Millis);
        impl Clock for Fixed {
            fn now(&self) -> Millis {
                self.0
            }
        }
        let at = |now, seed| {
            Environment {
                clock: Arc::new(Fixed(now)),
                random: Arc::new(SeededRandom::new(seed)),
                network: Arc::new(Tcp),
                storage: Arc::new(Rocks),
                witness: None,
            }
            .id()
        };
        assert_eq!(at(1_700_000_000_000, 7), at(1_700_000_000_000, 7));
        assert_ne!(at(1_700_000_000_000, 7), at(1_700_000_000_000, 8));
        assert!(at(1_700_000_000_000, 9) < at(1_700_000_000_001, 1));
        assert_eq!(at(5, 5).len(), 23);
    }
}
