//! The wires: packets between the namespaces, as late as the regions are apart, and lost, doubled or out of order when
//! the weather is bad.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tun_rs::{AsyncDevice, DeviceBuilder};

/// One way between regions, in ms: the round trip of the farthest two is 220 ms.
const APART_MS: [[u64; 3]; 3] = [[0, 80, 110], [80, 0, 45], [110, 45, 0]];
/// The round trip of the farthest two, without jitter.
pub const ROUND_TRIP: Duration = Duration::from_millis(2 * APART_MS[0][2]);
/// One way within a region.
const NEAR: Duration = Duration::from_micros(250);
/// What a packet takes longer at most, as a share of its way.
const JITTER: f64 = 0.05;
/// The longest packet.
const MTU: u16 = 1_400;

/// What happens to packets between regions.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Share of packets lost.
    pub lost: f64,
    /// Share of packets that come twice.
    pub doubled: f64,
    /// Share of packets that others overtake.
    pub overtaken: f64,
    /// How many times as long ways take.
    pub slower: f64,
}

impl Weather {
    /// Nothing happens.
    pub const FAIR: Self = Self {
        lost: 0.0,
        doubled: 0.0,
        overtaken: 0.0,
        slower: 1.0,
    };
}

/// All wires.
#[derive(Clone)]
pub struct Wires {
    shared: Arc<Mutex<Shared>>,
    sends: mpsc::UnboundedSender<Packet>,
}

struct Shared {
    ends: BTreeMap<Ipv4Addr, End>,
    weather: Weather,
    random: ChaCha8Rng,
    /// When the newest packet of a way arrives: later ones come after it.
    last: BTreeMap<(Ipv4Addr, Ipv4Addr), Instant>,
    count: u64,
}

/// Where a wire ends.
struct End {
    region: usize,
    device: Arc<AsyncDevice>,
}

/// A packet on its way.
struct Packet {
    arrives: Instant,
    /// Which of those that arrive at the same moment is first.
    number: u64,
    to: Arc<AsyncDevice>,
    bytes: Arc<[u8]>,
}

impl Wires {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        let (sends, receives) = mpsc::unbounded_channel();
        tokio::spawn(deliver(receives));
        let shared = Shared {
            ends: BTreeMap::new(),
            weather: Weather::FAIR,
            random: ChaCha8Rng::seed_from_u64(seed),
            last: BTreeMap::new(),
            count: 0,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            sends,
        }
    }

    /// Makes the device by which these addresses are reached, each in its region.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn device(&self, name: &str, addresses: &[(Ipv4Addr, usize)]) -> std::io::Result<()> {
        let device = DeviceBuilder::new()
            .name(name)
            .mtu(MTU)
            .inherit_enable_state();
        let device = Arc::new(device.build_async()?);
        let mut shared = self.shared.lock();
        for (address, region) in addresses {
            let end = End {
                region: *region,
                device: device.clone(),
            };
            shared.ends.insert(*address, end);
        }
        drop(shared);
        tokio::spawn(read(self.clone(), device));
        Ok(())
    }

    /// Takes a device away again.
    pub fn forget(&self, address: Ipv4Addr) {
        self.shared.lock().ends.remove(&address);
    }

    /// Makes the weather.
    pub fn weather(&self, weather: Weather) {
        self.shared.lock().weather = weather;
    }

    fn send(&self, bytes: &[u8]) {
        let address = |at: usize| {
            let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(bytes))
        };
        // Whatever is not of version 4 is the system's own chatter.
        if bytes.first().is_none_or(|first| first >> 4 != 4) {
            return;
        }
        let (Some(from), Some(to)) = (address(12), address(16)) else {
            return;
        };
        for packet in self.shared.lock().packets(from, to, bytes) {
            // Nobody takes them any more once everything is over.
            let _ = self.sends.send(packet);
        }
    }
}

impl Shared {
    /// What becomes of a packet: none, one or two that arrive.
    fn packets(&mut self, from: Ipv4Addr, to: Ipv4Addr, bytes: &[u8]) -> Vec<Packet> {
        let (Some(source), Some(target)) = (self.ends.get(&from), self.ends.get(&to)) else {
            return Vec::new();
        };
        let (near, device) = (source.region == target.region, target.device.clone());
        let apart = Duration::from_millis(APART_MS[source.region][target.region]);
        let weather = if near { Weather::FAIR } else { self.weather };
        let takes = NEAR + apart.mul_f64(weather.slower);
        let bytes: Arc<[u8]> = bytes.into();
        let copies = match self.random.random::<f64>() {
            chance if chance < weather.lost => 0,
            chance if chance < weather.lost + weather.doubled => 2,
            _ => 1,
        };
        let mut packets = Vec::new();
        for _ in 0..copies {
            let jitter = self.random.random_range(0.0..JITTER);
            let mut arrives = Instant::now() + takes.mul_f64(1.0 + jitter);
            let last = self.last.entry((from, to)).or_insert(arrives);
            if self.random.random::<f64>() < weather.overtaken {
                arrives += takes.mul_f64(0.3);
            } else {
                arrives = arrives.max(*last);
                *last = arrives;
            }
            self.count += 1;
            packets.push(Packet {
                arrives,
                number: self.count,
                to: device.clone(),
                bytes: bytes.clone(),
            });
        }
        packets
    }
}

/// Takes what a device sends.
async fn read(wires: Wires, device: Arc<AsyncDevice>) {
    let mut buffer = vec![0; usize::from(MTU) + 64];
    // An error means that the device is gone with its namespace.
    while let Ok(length) = device.recv(&mut buffer).await {
        wires.send(&buffer[..length]);
    }
}

/// Hands every packet over when it arrives.
async fn deliver(mut receives: mpsc::UnboundedReceiver<Packet>) {
    let mut under_way = BinaryHeap::new();
    loop {
        let next = under_way.peek().map(|packet: &Packet| packet.arrives);
        tokio::select! {
            biased;
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                if let Some(packet) = under_way.pop() {
                    // A host that is gone, or has no room, loses its packets.
                    let _ = packet.to.try_send(&packet.bytes);
                }
            }
            packet = receives.recv() => match packet {
                Some(packet) => under_way.push(packet),
                None => return,
            },
        }
    }
}

impl Ord for Packet {
    /// The first to arrive is the greatest.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.arrives, other.number).cmp(&(self.arrives, self.number))
    }
}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Packet {}
