//! The network between two real sockets. Delays are bounded from below, always, and from above by the best of
//! several tries, for how late a busy machine is once says nothing about the proxy. Where something must not
//! happen, a short wait stands for never.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use meridian_wan::{Cut, Geography, LinkId, LinkSpec, Place, Shape, WINDOW_BYTES, Wan, WanError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const MS: Duration = Duration::from_millis(1);
/// Long enough that a working link has answered, short enough to wait for.
const NEVER: Duration = Duration::from_millis(300);

fn id() -> LinkId {
    LinkId::new("a", "b")
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A link and both ends of one connection through it: the side that connected, then the target's.
async fn connected(shape: Shape) -> (Wan, TcpStream, TcpStream) {
    let (listener, target) = listen().await;
    let wan = start(target, shape).await;
    let client = connect(&wan).await;
    let (server, _) = listener.accept().await.expect("a connection");
    server.set_nodelay(true).expect("no delay");
    (wan, client, server)
}

async fn start(target: SocketAddr, shape: Shape) -> Wan {
    let link = LinkSpec {
        id: id(),
        target,
        shape,
    };
    Wan::start([link], 1).await.expect("a link")
}

async fn connect(wan: &Wan) -> TcpStream {
    let address = wan.address(&id()).expect("the link");
    let client = TcpStream::connect(address).await.expect("connected");
    client.set_nodelay(true).expect("no delay");
    client
}

async fn read_u32(stream: &mut TcpStream) -> u32 {
    stream.read_u32().await.expect("a number")
}

/// Answers each number with itself.
fn echo(mut server: TcpStream) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok(number) = server.read_u32().await {
            if server.write_u32(number).await.is_err() {
                return;
            }
        }
    })
}

async fn round_trip(client: &mut TcpStream, number: u32) -> Duration {
    let begin = Instant::now();
    client.write_u32(number).await.expect("written");
    assert_eq!(read_u32(client).await, number);
    begin.elapsed()
}

#[tokio::test]
async fn a_round_trip_takes_at_least_both_delays_and_follows_changes() {
    let (wan, mut client, server) = connected(Shape::delay_ms(30)).await;
    let echo = echo(server);
    assert!(round_trip(&mut client, 1).await >= 60 * MS);
    wan.set_delay(&id(), 70 * MS).expect("the link");
    assert!(round_trip(&mut client, 2).await >= 140 * MS);
    drop(client);
    echo.await.expect("the end arrives");
}

/// What the best of several tries may take on top of the delay: scheduling and the timer's grain.
const LATE: Duration = Duration::from_millis(15);
const TRIES: u32 = 20;

/// How long a number takes from one socket to the other.
async fn one_way(from: &mut TcpStream, to: &mut TcpStream, number: u32) -> Duration {
    let begin = Instant::now();
    from.write_u32(number).await.expect("written");
    assert_eq!(read_u32(to).await, number);
    begin.elapsed()
}

#[tokio::test]
async fn each_direction_takes_its_delay_and_hardly_more() {
    let (_wan, mut client, mut server) = connected(Shape::delay_ms(40)).await;
    let (mut there, mut back) = (Duration::MAX, Duration::MAX);
    for number in 0..TRIES {
        there = there.min(one_way(&mut client, &mut server, number).await);
        back = back.min(one_way(&mut server, &mut client, number).await);
    }
    for (way, took) in [("there", there), ("back", back)] {
        assert!(took >= 40 * MS, "{way}: {took:?}");
        assert!(took < 40 * MS + LATE, "{way}: {took:?}");
    }
}

#[tokio::test]
async fn a_round_trip_takes_hardly_more_than_both_delays_and_the_jitter() {
    let shape = Shape {
        jitter: 10 * MS,
        ..Shape::delay_ms(30)
    };
    let (wan, mut client, server) = connected(shape).await;
    let _echo = echo(server);
    let mut best = Duration::MAX;
    for number in 0..TRIES {
        best = best.min(round_trip(&mut client, number).await);
    }
    assert!(best >= 60 * MS && best < 80 * MS + LATE, "{best:?}");
    wan.set_shape(&id(), Shape::default()).expect("the link");
    for number in 0..TRIES {
        best = best.min(round_trip(&mut client, number).await);
    }
    assert!(best < LATE, "without a delay {best:?}");
}

#[tokio::test]
async fn the_target_sees_a_connection_after_a_round_trip() {
    let begin = Instant::now();
    let _ends = connected(Shape::delay_ms(40)).await;
    assert!(begin.elapsed() >= 80 * MS);
}

#[tokio::test]
async fn order_is_kept_under_jitter_and_when_the_delay_falls() {
    let shape = Shape {
        jitter: 20 * MS,
        ..Shape::delay_ms(20)
    };
    let (wan, mut client, mut server) = connected(shape).await;
    for number in 0..200 {
        client.write_u32(number).await.expect("written");
        if number == 100 {
            wan.set_shape(&id(), Shape::default()).expect("the link");
        }
        if number % 10 == 0 {
            tokio::time::sleep(MS).await;
        }
    }
    for number in 0..200 {
        assert_eq!(read_u32(&mut server).await, number);
    }
}

/// A thousand messages at once take about one delay, not a thousand. Compared with twenty round trips one
/// after the other on the same link, so that a slow machine is slow in both.
#[tokio::test]
async fn messages_are_pipelined() {
    let (_wan, mut client, server) = connected(Shape::delay_ms(25)).await;
    let _echo = echo(server);
    let begin = Instant::now();
    for number in 0..20 {
        round_trip(&mut client, number).await;
    }
    let sequential = begin.elapsed();

    let (mut read, mut write) = client.into_split();
    let begin = Instant::now();
    let writing = tokio::spawn(async move {
        for number in 0..1_000 {
            write.write_u32(number).await.expect("written");
        }
        write
    });
    for number in 0..1_000 {
        assert_eq!(read.read_u32().await.expect("a number"), number);
    }
    let pipelined = begin.elapsed();
    writing.await.expect("all written");
    assert!(pipelined >= 50 * MS, "{pipelined:?}");
    assert!(
        pipelined < sequential,
        "1000 at once {pipelined:?}, 20 in turn {sequential:?}"
    );
}

#[tokio::test]
async fn a_rate_limit_takes_its_time() {
    let shape = Shape {
        rate: NonZeroU64::new(100_000),
        ..Shape::default()
    };
    let (_wan, mut client, mut server) = connected(shape).await;
    let begin = Instant::now();
    client.write_all(&[7; 30_000]).await.expect("written");
    let mut all = vec![0; 30_000];
    server.read_exact(&mut all).await.expect("read");
    assert!(begin.elapsed() >= 290 * MS);
}

#[tokio::test]
async fn held_bytes_wait_for_healing_and_arrive_in_order() {
    let (wan, mut client, mut server) = connected(Shape::delay_ms(5)).await;
    wan.cut(&id(), Cut::Hold).expect("the link");
    for number in 0..10 {
        client.write_u32(number).await.expect("written");
    }
    server.write_u32(77).await.expect("written");
    assert!(timeout(NEVER, server.read_u32()).await.is_err());
    assert!(timeout(NEVER, client.read_u32()).await.is_err());
    wan.heal(&id()).expect("the link");
    for number in 0..10 {
        assert_eq!(read_u32(&mut server).await, number);
    }
    assert_eq!(read_u32(&mut client).await, 77);
}

#[tokio::test]
async fn one_way_cuts_let_the_other_way_pass() {
    let (wan, mut client, mut server) = connected(Shape::default()).await;
    wan.cut(&id(), Cut::HoldForward).expect("the link");
    server.write_u32(1).await.expect("written");
    assert_eq!(read_u32(&mut client).await, 1);
    client.write_u32(2).await.expect("written");
    assert!(timeout(NEVER, server.read_u32()).await.is_err());

    wan.cut(&id(), Cut::HoldBackward).expect("the link");
    assert_eq!(read_u32(&mut server).await, 2);
    server.write_u32(3).await.expect("written");
    assert!(timeout(NEVER, client.read_u32()).await.is_err());
    wan.heal_all();
    assert_eq!(read_u32(&mut client).await, 3);
}

#[tokio::test]
async fn a_connect_to_a_held_link_hangs_until_it_is_healed() {
    for cut in [Cut::Hold, Cut::HoldForward, Cut::HoldBackward] {
        let (listener, target) = listen().await;
        let wan = start(target, Shape::default()).await;
        wan.cut(&id(), cut).expect("the link");
        let mut client = connect(&wan).await;
        client.write_u32(5).await.expect("written");
        assert!(timeout(NEVER, listener.accept()).await.is_err(), "{cut:?}");
        wan.heal(&id()).expect("the link");
        let (mut server, _) = listener.accept().await.expect("a connection");
        assert_eq!(read_u32(&mut server).await, 5);
    }
}

#[tokio::test]
async fn a_reset_link_breaks_what_is_there_and_what_comes() {
    let (wan, mut client, mut server) = connected(Shape::delay_ms(5)).await;
    wan.cut(&id(), Cut::Reset).expect("the link");
    assert!(client.read_u32().await.is_err());
    assert!(server.read_u32().await.is_err());
    // The new connection may break while connecting or when it is used.
    let address = wan.address(&id()).expect("the link");
    if let Ok(mut again) = TcpStream::connect(address).await {
        assert!(again.read_u32().await.is_err());
    }
    wan.heal(&id()).expect("the link");
    let _client = connect(&wan).await;
}

#[tokio::test]
async fn an_end_travels_behind_the_last_byte_and_leaves_the_other_way_open() {
    let (wan, mut client, mut server) = connected(Shape::delay_ms(20)).await;
    let begin = Instant::now();
    client.write_u32(1).await.expect("written");
    client.shutdown().await.expect("half closed");
    assert_eq!(read_u32(&mut server).await, 1);
    assert_eq!(server.read(&mut [0]).await.expect("the end"), 0);
    assert!(begin.elapsed() >= 20 * MS);

    server.write_u32(2).await.expect("the other way is open");
    assert_eq!(read_u32(&mut client).await, 2);
    drop(server);
    assert_eq!(client.read(&mut [0]).await.expect("the end"), 0);
    eventually_open(&wan, 0).await;
}

#[tokio::test]
async fn a_reset_travels_behind_the_last_byte() {
    let (wan, mut client, mut server) = connected(Shape::delay_ms(20)).await;
    client.write_u32(1).await.expect("written");
    // Let the proxy read it: a reset drops what the receiving kernel holds unread.
    tokio::time::sleep(10 * MS).await;
    client.set_zero_linger().expect("no linger");
    drop(client);
    assert_eq!(read_u32(&mut server).await, 1);
    let end = server.read(&mut [0]).await;
    assert!(end.is_err(), "a reset is no orderly end: {end:?}");
    eventually_open(&wan, 0).await;
}

#[tokio::test]
async fn a_target_that_is_not_there_resets_and_may_come_back_elsewhere() {
    let (listener, target) = listen().await;
    drop(listener);
    let wan = start(target, Shape::default()).await;
    let address = wan.address(&id()).expect("the link");
    if let Ok(mut client) = TcpStream::connect(address).await {
        assert!(client.read_u32().await.is_err());
    }
    let (listener, target) = listen().await;
    wan.set_target(&id(), target).expect("the link");
    let mut client = connect(&wan).await;
    let (mut server, _) = listener.accept().await.expect("a connection");
    server.write_u32(9).await.expect("written");
    assert_eq!(read_u32(&mut client).await, 9);
}

/// A sender into a held link stops: what it could write is what the window and the kernel hold.
#[tokio::test]
async fn memory_is_bounded_by_back_pressure() {
    let (wan, mut client, mut server) = connected(Shape::default()).await;
    wan.cut(&id(), Cut::Hold).expect("the link");
    let block = vec![3; 1 << 20];
    let mut written = 0;
    while let Ok(count) = timeout(NEVER, client.write(&block)).await {
        written += count.expect("written");
        assert!(written < 64 * WINDOW_BYTES, "no back-pressure");
    }
    assert!(written >= WINDOW_BYTES);
    wan.heal(&id()).expect("the link");
    client.shutdown().await.expect("half closed");
    let mut all = Vec::new();
    server.read_to_end(&mut all).await.expect("read");
    assert_eq!(all.len(), written);
    let stats = wan.stats(&id()).expect("the link");
    assert_eq!((stats.accepted, stats.forward_bytes), (1, written as u64));
}

#[tokio::test]
async fn dropping_closes_ports_and_connections() {
    for wait in [true, false] {
        let (wan, mut client, mut server) = connected(Shape::default()).await;
        let address = wan.address(&id()).expect("the link");
        if wait {
            wan.close().await;
        } else {
            drop(wan);
        }
        assert!(client.read_u32().await.is_err());
        assert!(server.read_u32().await.is_err());
        // A drop does not wait for the port to close.
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(MS).await;
        }
    }
}

#[tokio::test]
async fn names_are_checked() {
    let (_listener, target) = listen().await;
    let link = || LinkSpec {
        id: id(),
        target,
        shape: Shape::default(),
    };
    let twice = Wan::start([link(), link()], 1).await;
    assert!(matches!(twice, Err(WanError::Twice(_))));
    let wan = Wan::start([link()], 1).await.expect("a link");
    let unknown = wan.heal(&LinkId::new("b", "a")).expect_err("no such link");
    assert_eq!(unknown.to_string(), "there is no link b->a");
}

/// Three regions: a region is cut off by its links' names, the rest goes on.
#[tokio::test]
async fn a_region_is_cut_off_and_comes_back() {
    let mut listeners = Vec::new();
    let mut places = Vec::new();
    for region in ["eu", "us", "ap"] {
        let (listener, address) = listen().await;
        listeners.push(listener);
        places.push(Place {
            node: region.to_owned(),
            region: region.to_owned(),
            address,
        });
    }
    let near = Geography::new(Duration::ZERO, 0)
        .with("eu", "us", 2 * MS)
        .with("us", "ap", 4 * MS)
        .with("eu", "ap", 6 * MS);
    let links = near.links(&places).expect("known regions");
    let wan = Wan::start(links, 1).await.expect("links");
    assert_eq!(wan.ids().count(), 6);
    let cut = wan.cut_where(Cut::Hold, |l| (l.from == "ap") != (l.to == "ap"));
    assert_eq!(cut, 4);

    let connect = async |from: &str, to: &str| {
        let address = wan.address(&LinkId::new(from, to)).expect("the link");
        TcpStream::connect(address).await.expect("connected")
    };
    let _passes = connect("eu", "us").await;
    listeners[1].accept().await.expect("a connection");
    let _held = connect("eu", "ap").await;
    assert!(timeout(NEVER, listeners[2].accept()).await.is_err());
    wan.heal_all();
    listeners[2].accept().await.expect("a connection");
}

async fn eventually_open(wan: &Wan, open: u64) {
    while wan.stats(&id()).expect("the link").open != open {
        tokio::time::sleep(MS).await;
    }
}
