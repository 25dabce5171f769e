//! One connection through a link: two directions, each a reader that stamps and a writer that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::link::{Control, Counters, Cut};

/// Most bytes under way in one direction of a connection: 4 MiB, which is 300 Mbit/s at a one-way delay of
/// 110 ms.
pub const WINDOW_BYTES: usize = 4 << 20;
/// Most chunks under way in one direction of a connection. A chunk is what one read found, so many small
/// writes in a row are few chunks.
pub const WINDOW_CHUNKS: usize = 8_192;
/// Largest chunk.
const CHUNK_BYTES: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl Control {
    fn holds(&self, direction: Direction) -> bool {
        match self.cut {
            None => false,
            Some(Cut::Hold | Cut::Reset) => true,
            Some(Cut::HoldForward) => direction == Direction::Forward,
            Some(Cut::HoldBackward) => direction == Direction::Backward,
        }
    }
}

/// Carries one accepted connection until both directions have ended, an end is reset, or the link is.
pub(crate) async fn serve(
    mut client: TcpStream,
    mut control: watch::Receiver<Control>,
    counters: &Counters,
    seed: (u64, u64),
) {
    let mut server = None;
    let reset = {
        let mut control = control.clone();
        async move {
            let reset = control.wait_for(|c| c.cut == Some(Cut::Reset)).await;
            drop(reset);
        }
    };
    let ended = tokio::select! {
        // A reset comes first, so that nothing slips through a link that is cut.
        biased;
        () = reset => End::Broken,
        ended = carry(&mut client, &mut server, &mut control, counters, seed) => ended,
    };
    if matches!(ended, End::Broken) {
        // Without lingering, closing resets: the ends learn that it was no orderly end.
        for stream in [Some(client), server].into_iter().flatten() {
            let _ = stream.set_zero_linger();
        }
    }
}

enum End {
    /// Both directions ended in order.
    Orderly,
    /// An end is gone or was never there.
    Broken,
}

async fn carry(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    control: &mut watch::Receiver<Control>,
    counters: &Counters,
    seed: (u64, u64),
) -> End {
    let shape = control.borrow().shape;
    sleep(shape.delay * 2).await;
    // A handshake needs both ways.
    let Ok(target) = control
        .wait_for(|c| c.cut.is_none())
        .await
        .map(|c| c.target)
    else {
        return End::Broken;
    };
    let Ok(connected) = TcpStream::connect(target).await else {
        return End::Broken;
    };
    let server = server.insert(connected);
    // Distance is the only thing that may hold back a small message.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let pump = |direction, bytes, read, write| Pump {
        direction,
        control: control.clone(),
        bytes,
        draw: draw(seed, direction),
        read,
        write,
    };
    let forward = pump(
        Direction::Forward,
        &counters.forward_bytes,
        client_read,
        server_write,
    );
    let backward = pump(
        Direction::Backward,
        &counters.backward_bytes,
        server_read,
        client_write,
    );
    // An end that reset (`Err`) breaks the connection once its last bytes have arrived. An end that can
    // no longer be written to is only noted: what it sent before is still under way the other way, and
    // that direction's reader will meet its end.
    match tokio::try_join!(forward.run(), backward.run()) {
        Ok((Written::All, Written::All)) => End::Orderly,
        Ok(_) | Err(ResetByPeer) => End::Broken,
    }
}

/// Jitter of one direction of one connection of one link.
fn draw((link, connection): (u64, u64), direction: Direction) -> ChaCha8Rng {
    let mut draw = ChaCha8Rng::seed_from_u64(link);
    draw.set_stream(connection * 2 + u64::from(direction == Direction::Backward));
    draw
}

/// Whether a direction's writer reached the end.
enum Written {
    All,
    /// The receiving end went away before.
    Less,
}

/// The sending end reset the connection; all it sent before has been passed on.
struct ResetByPeer;

/// What travels.
enum Cargo {
    /// Bytes, with their share of the window.
    Bytes(Vec<u8>, OwnedSemaphorePermit),
    /// The sender has finished.
    End,
    /// The sender reset.
    Reset,
}

/// One direction.
struct Pump<'a> {
    direction: Direction,
    control: watch::Receiver<Control>,
    bytes: &'a AtomicU64,
    draw: ChaCha8Rng,
    read: ReadHalf<'a>,
    write: WriteHalf<'a>,
}

impl Pump<'_> {
    async fn run(self) -> Result<Written, ResetByPeer> {
        let (sender, receiver) = mpsc::channel(WINDOW_CHUNKS);
        let schedule = Departures {
            control: self.control.clone(),
            draw: self.draw,
            idle_at: Instant::now(),
            last: Instant::now(),
        };
        let reading = read(self.read, schedule, sender);
        let writing = write(
            self.write,
            self.control,
            self.direction,
            self.bytes,
            receiver,
        );
        tokio::select! {
            written = writing => written,
            // Having read everything, wait for it to be written.
            never = async { reading.await; std::future::pending().await } => never,
        }
    }
}

/// Reads, stamps and queues until the sender ends or the receiver is gone.
async fn read(
    mut from: ReadHalf<'_>,
    mut schedule: Departures,
    queue: mpsc::Sender<(Instant, Cargo)>,
) {
    let window = Arc::new(Semaphore::new(WINDOW_BYTES));
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let (arrives, cargo, last) = match from.read(&mut buffer).await {
            Ok(0) => (schedule.arrival(0), Cargo::End, true),
            Err(_) => (schedule.arrival(0), Cargo::Reset, true),
            Ok(count) => {
                let arrives = schedule.arrival(count);
                let share = window.clone().acquire_many_owned(count as u32).await;
                // The window is never closed while it is borrowed here.
                let Ok(share) = share else { return };
                (
                    arrives,
                    Cargo::Bytes(buffer[..count].to_vec(), share),
                    false,
                )
            }
        };
        if queue.send((arrives, cargo)).await.is_err() || last {
            return;
        }
    }
}

/// Writes each chunk when its time has come and the link is not cut.
async fn write(
    mut to: WriteHalf<'_>,
    mut control: watch::Receiver<Control>,
    direction: Direction,
    bytes: &AtomicU64,
    mut queue: mpsc::Receiver<(Instant, Cargo)>,
) -> Result<Written, ResetByPeer> {
    while let Some((arrives, cargo)) = queue.recv().await {
        sleep_until(arrives).await;
        if control.wait_for(|c| !c.holds(direction)).await.is_err() {
            return Ok(Written::Less);
        }
        match cargo {
            Cargo::Bytes(chunk, _share) => {
                if to.write_all(&chunk).await.is_err() {
                    return Ok(Written::Less);
                }
                bytes.fetch_add(chunk.len() as u64, Relaxed);
            }
            Cargo::End => {
                // Fails only when the receiver has gone, and then it needs no telling.
                let _ = to.shutdown().await;
                return Ok(Written::All);
            }
            Cargo::Reset => return Err(ResetByPeer),
        }
    }
    Ok(Written::Less)
}

/// Computes when chunks arrive.
struct Departures {
    control: watch::Receiver<Control>,
    draw: ChaCha8Rng,
    /// When the sender's end has put everything so far on the line, at the rate limit.
    idle_at: Instant,
    /// The latest arrival so far: none may overtake it, whatever the jitter or a new delay says.
    last: Instant,
}

impl Departures {
    fn arrival(&mut self, count: usize) -> Instant {
        let shape = self.control.borrow().shape;
        self.idle_at = self.idle_at.max(Instant::now());
        if let Some(rate) = shape.rate {
            let nanos = count as u128 * 1_000_000_000 / u128::from(rate.get());
            self.idle_at += Duration::from_nanos(nanos as u64);
        }
        let part = (self.draw.next_u32() >> 8) as f64 / f64::from(1 << 24);
        let arrives = self.idle_at + shape.delay + shape.jitter.mul_f64(part);
        self.last = self.last.max(arrives);
        self.last
    }
}
