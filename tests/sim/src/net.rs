//! A network in memory: every byte arrives, in order, after a delay that a seed decides, or not before a cut is
//! mended, or the connection breaks and takes along what was under way. A host that crashes takes its connections along.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use meridian_node::env::{Connection, Connections, Network};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Uri};

/// A machine on the network: a node or a client.
pub type Host = u64;

/// Bytes under way in one direction before the writer has to wait.
const WINDOW: usize = 256 << 10;
/// How long a host waits for an answer to its first packet.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// One way within a region, at least and at most.
const NEAR: (Duration, Duration) = (Duration::from_micros(100), Duration::from_micros(400));

/// The whole network. Clones are the same one.
#[derive(Clone)]
pub struct Net(Arc<Mutex<Wires>>);

struct Wires {
    random: ChaCha8Rng,
    listeners: BTreeMap<SocketAddr, (Host, mpsc::UnboundedSender<io::Result<Connection>>)>,
    regions: BTreeMap<Host, usize>,
    /// One way between two regions, at least and at most.
    delay: BTreeMap<(usize, usize), (Duration, Duration)>,
    /// So many times as far as they are.
    slower: BTreeMap<(usize, usize), f64>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(Host, Host)>,
    mended: Arc<Notify>,
    /// Counts the lives of each host.
    lives: BTreeMap<Host, u64>,
    /// What breaks each connection.
    ties: Vec<((Host, Host), watch::Sender<bool>)>,
}

impl Net {
    /// A network in which nothing listens.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Wires {
            random: ChaCha8Rng::seed_from_u64(seed),
            listeners: BTreeMap::new(),
            regions: BTreeMap::new(),
            delay: BTreeMap::new(),
            slower: BTreeMap::new(),
            cut: BTreeSet::new(),
            mended: Arc::new(Notify::new()),
            lives: BTreeMap::new(),
            ties: Vec::new(),
        })))
    }

    /// Sets how far two regions are apart, one way.
    pub fn distance(&self, a: usize, b: usize, least: Duration, most: Duration) {
        let mut wires = self.0.lock();
        wires.delay.insert((a, b), (least, most));
        wires.delay.insert((b, a), (least, most));
    }

    /// What is sent between two regions takes so many times as long, until it is mended.
    pub fn slow_down(&self, a: usize, b: usize, times: f64) {
        let mut wires = self.0.lock();
        wires.slower.insert((a, b), times);
        wires.slower.insert((b, a), times);
    }

    /// The network as a host in a region sees it.
    pub fn side(&self, host: Host, region: usize) -> Side {
        let mut wires = self.0.lock();
        wires.regions.insert(host, region);
        let life = wires.life(host);
        Side {
            net: self.clone(),
            host,
            life,
        }
    }

    /// Nothing that one host sends arrives at the other, until it is mended.
    pub fn cut(&self, from: Host, to: Host) {
        self.0.lock().cut.insert((from, to));
    }

    /// Everything arrives again, what was sent meanwhile too.
    pub fn mend(&self) {
        let mut wires = self.0.lock();
        wires.cut.clear();
        wires.slower.clear();
        wires.mended.notify_waiters();
    }

    /// Every connection of a host ends, and nothing listens there.
    pub fn crash(&self, host: Host) {
        let mut wires = self.0.lock();
        wires.listeners.retain(|_, (h, _)| *h != host);
        *wires.lives.entry(host).or_default() += 1;
        wires.snap(|a, b| a == host || b == host);
    }

    /// Every connection of a host breaks; what was under way never arrives.
    pub fn snap(&self, host: Host) {
        self.0.lock().snap(|a, b| a == host || b == host);
    }

    fn takes(&self, from: Host, to: Host) -> Duration {
        self.0.lock().takes(from, to)
    }

    /// Returns once what one host sends arrives at the other.
    async fn passable(&self, from: Host, to: Host) {
        loop {
            let mended = {
                let wires = self.0.lock();
                if !wires.cut.contains(&(from, to)) {
                    return;
                }
                wires.mended.clone()
            };
            let waits = mended.notified();
            tokio::pin!(waits);
            waits.as_mut().enable();
            if !self.0.lock().cut.contains(&(from, to)) {
                return;
            }
            waits.await;
        }
    }

    async fn dial(self, from: Host, life: u64, address: SocketAddr) -> io::Result<DuplexStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let there = {
            let mut wires = self.0.lock();
            let found = wires.listeners.get(&address).cloned();
            found.map(|(to, listener)| (to, wires.life(to), listener))
        };
        let Some((to, its_life, listener)) = there else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            return Err(refused());
        };
        let reached = async {
            self.passable(from, to).await;
            self.passable(to, from).await;
            tokio::time::sleep(self.takes(from, to) + self.takes(to, from)).await;
        };
        if tokio::time::timeout(CONNECT_WITHIN, reached).await.is_err() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (near, near_end) = tokio::io::duplex(WINDOW);
        let (far, far_end) = tokio::io::duplex(WINDOW);
        let (tie, broken) = watch::channel(false);
        {
            let mut wires = self.0.lock();
            if wires.life(from) != life || wires.life(to) != its_life {
                return Err(refused());
            }
            wires.ties.retain(|(_, tie)| !tie.is_closed());
            wires.ties.push(((from, to), tie));
        }
        if listener.send(Ok(Connection::new(far))).is_err() {
            return Err(refused());
        }
        let (near_read, near_write) = tokio::io::split(near_end);
        let (far_read, far_write) = tokio::io::split(far_end);
        let there = carry(self.clone(), (from, to), near_read, far_write);
        let back = carry(self, (to, from), far_read, near_write);
        tokio::spawn(until(broken.clone(), there));
        tokio::spawn(until(broken, back));
        Ok(near)
    }
}

impl Wires {
    fn life(&mut self, host: Host) -> u64 {
        *self.lives.entry(host).or_default()
    }

    fn snap(&mut self, which: impl Fn(Host, Host) -> bool) {
        for (_, tie) in self.ties.iter().filter(|((a, b), _)| which(*a, *b)) {
            tie.send_replace(true);
        }
    }

    fn takes(&mut self, from: Host, to: Host) -> Duration {
        let at = |h: &Host| self.regions.get(h).copied().unwrap_or(0);
        let between = (at(&from), at(&to));
        let (least, most) = self.delay.get(&between).copied().unwrap_or(NEAR);
        let times = self.slower.get(&between).copied().unwrap_or(1.0);
        let spread = (most - least).as_micros() as u64;
        let takes = least + Duration::from_micros(self.random.random_range(0..=spread));
        takes.mul_f64(times)
    }
}

/// Carries until the connection breaks.
async fn until(mut broken: watch::Receiver<bool>, carrying: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        _ = broken.wait_for(|broken| *broken) => {}
        () = carrying => {}
    }
}

/// Carries one direction of a connection.
async fn carry(
    net: Net,
    (from, to): (Host, Host),
    mut read: ReadHalf<DuplexStream>,
    mut write: WriteHalf<DuplexStream>,
) {
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut last = Instant::now();
    let mut open = true;
    let mut buffer = vec![0; 16 << 10];
    loop {
        let next = under_way.front().map(|(at, _)| *at);
        if next.is_none() && !open {
            let _ = write.shutdown().await;
            return;
        }
        tokio::select! {
            biased;
            () = arrives(&net, from, to, next), if next.is_some() => {
                if let Some((_, bytes)) = under_way.pop_front()
                    && write.write_all(&bytes).await.is_err()
                {
                    return;
                }
            }
            got = read.read(&mut buffer), if open => match got {
                Ok(0) | Err(_) => open = false,
                Ok(n) => {
                    last = last.max(Instant::now() + net.takes(from, to));
                    under_way.push_back((last, buffer[..n].to_vec()));
                }
            },
        }
    }
}

async fn arrives(net: &Net, from: Host, to: Host, at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
    net.passable(from, to).await;
}

/// The network as one host sees it.
#[derive(Clone)]
pub struct Side {
    net: Net,
    host: Host,
    /// Which life of the host: what is left of an earlier one reaches nobody.
    life: u64,
}

#[tonic::async_trait]
impl Network for Side {
    async fn listen(&self, address: SocketAddr) -> io::Result<(Connections, SocketAddr)> {
        let (send, receive) = mpsc::unbounded_channel();
        let mut wires = self.net.0.lock();
        if wires.listeners.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        wires.listeners.insert(address, (self.host, send));
        let incoming = tokio_stream::wrappers::UnboundedReceiverStream::new(receive);
        Ok((Box::pin(incoming), address))
    }

    fn connect(&self, endpoint: Endpoint) -> Channel {
        let side = self.clone();
        endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
            let side = side.clone();
            async move {
                let authority = uri.authority().map(ToString::to_string);
                let address = authority.and_then(|a| a.parse::<SocketAddr>().ok());
                let address = address.ok_or(io::ErrorKind::InvalidInput)?;
                if side.net.0.lock().life(side.host) != side.life {
                    return Err(io::ErrorKind::NotConnected.into());
                }
                let stream = side.net.dial(side.host, side.life, address).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        }))
    }
}
