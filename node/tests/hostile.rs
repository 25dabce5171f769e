//! Clients that ask for too much, or never finish asking: they are told so, the node holds no more than it should, and
//! everybody else is served as before.

#[allow(dead_code)] // each test uses its part
mod cluster;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use cluster::world::annas;
use cluster::{Process, start, start_with};
use futures::future::join_all;
use h2::client::SendRequest;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use prost::Message as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::codegen::Bytes;
use tonic::codegen::http::Request;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

/// Long enough for anything on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// What a node may grow by, in KiB, whatever one client does: what unfinished messages may hold, the buffers of their
/// connections, and what an allocator keeps for later.
const GROWTH_KIB_MAX: u64 = 192 << 10;
/// And what it may hold for each call that is open, in KiB.
const CALL_KIB_MAX: u64 = 32;

/// Connections from an address of their own.
async fn from(last: u8, node: &Process, connections: usize) -> Vec<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.listen)).expect("an address");
    let endpoint = endpoint.local_address(Some(IpAddr::from([127, 0, 0, last])));
    let connected = join_all((0..connections).map(|_| endpoint.connect())).await;
    connected.into_iter().map(|c| c.expect("let in")).collect()
}

async fn tcp_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::from(([127, 0, 0, last], 0));
    socket.bind(own).expect("an address of this machine");
    socket.connect(to).await.expect("connected")
}

async fn start_chat(way: &Channel, request_id: String) -> Result<Chat, Status> {
    let ask = StartChatRequest {
        request_id,
        queue_id: "support".into(),
        languages: vec!["en".into()],
        ..Default::default()
    };
    let started = VisitorServiceClient::new(way.clone())
        .start_chat(ask)
        .await?;
    Ok(started.into_inner().chat.expect("a chat"))
}

/// Asks for what is refused only once it has been decided by a majority.
async fn leave_nothing(way: &Channel, request_id: String) -> Status {
    let ask = LeaveChatRequest {
        request_id,
        chat_id: "nothing".into(),
    };
    let left = VisitorServiceClient::new(way.clone()).leave_chat(ask).await;
    left.expect_err("there is no such chat")
}

fn is_overloaded(status: &Status) -> bool {
    let info = status.get_details_error_info();
    let named = info.is_some_and(|info| info.reason == "OVERLOADED");
    status.code() == Code::ResourceExhausted && named && status.get_details_retry_info().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_writes_waits_in_its_own_line() {
    const FLOOD: usize = 14_000;
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    let before = nodes[0].memory_kib();
    // More than may be in hand and wait, over so many connections that HTTP/2 itself does not call it too much.
    let flood = from(2, &nodes[0], 14).await;
    let (stop, stopped) = watch::channel(false);
    let flooding = (0..FLOOD).map(|n| {
        let (way, stopped) = (flood[n % flood.len()].clone(), stopped.clone());
        tokio::spawn(async move {
            let mut told = Vec::new();
            while !*stopped.borrow() && told.len() < 1_000 {
                let request = format!("flood-{n}-{}", told.len());
                let answer = leave_nothing(&way, request).await;
                let refused = is_overloaded(&answer);
                told.push(answer);
                if refused {
                    // So that this machine, which plays everybody, has time for the others.
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
            told
        })
    });
    let flooding: Vec<_> = flooding.collect();
    // Others come while it is at its height.
    cluster::until("the lines are full", async || {
        is_overloaded(&leave_nothing(&flood[0], "is it full".into()).await)
    })
    .await;
    let others = from(3, &nodes[0], 1).await;
    let mut longest = Duration::ZERO;
    for n in 0..20 {
        let asked = Instant::now();
        let started = start_chat(&others[0], format!("other-{n}")).await;
        started.expect("taken in as if nothing were");
        longest = longest.max(asked.elapsed());
    }
    stop.send_replace(true);
    let told = timeout(SOON, join_all(flooding)).await.expect("it ends");
    let told: Vec<Status> = told
        .into_iter()
        .flat_map(|t| t.expect("no panic"))
        .collect();
    let refused = told.iter().filter(|status| is_overloaded(status)).count();
    let decided = told.iter().filter(|s| s.code() == Code::NotFound).count();
    let else_ = told
        .iter()
        .find(|s| !is_overloaded(s) && s.code() != Code::NotFound);
    assert_eq!(refused + decided, told.len(), "{else_:?} came of it");
    assert!(refused > 0 && decided > 0, "{refused} and {decided}");
    let grown = nodes[0].memory_kib().saturating_sub(before);
    println!(
        "flood: {decided} decided, {refused} refused, {grown} KiB more, others waited for {longest:?} at most"
    );
    let max = GROWTH_KIB_MAX + FLOOD as u64 * CALL_KIB_MAX;
    assert!(grown < max, "{grown} KiB");
}

async fn watch_chat(way: &Channel, chat_id: &str) -> Result<Streaming<Chat>, Status> {
    let watch = WatchChatRequest {
        chat_id: chat_id.to_owned(),
    };
    let mut client = VisitorServiceClient::new(way.clone());
    Ok(client.watch_chat(watch).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_streams_and_slow_readers_cost_little() {
    const STREAMS: u64 = 4_000;
    const CHANGES: usize = 6;
    let dir = tempfile::tempdir().expect("a directory");
    // Room for the streams, and not for as many again.
    let nodes = start_with(dir.path(), &["--calls-max", "9000"]).await;
    annas(&nodes).await;
    let others = from(3, &nodes[0], 1).await;
    let mut ahead = Vec::new();
    for n in 0..CHANGES {
        let chat = start_chat(&others[0], format!("ahead-{n}")).await;
        ahead.push(chat.expect("taken in").chat_id);
    }
    let ways = from(2, &nodes[0], 4).await;
    let chat = start_chat(&ways[0], "watched".into())
        .await
        .expect("a chat");
    let before = nodes[0].memory_kib();
    let mut idle = Vec::new();
    for n in 0..STREAMS {
        let way = &ways[n as usize % ways.len()];
        idle.push(watch_chat(way, &chat.chat_id).await.expect("a stream"));
    }
    let grown = nodes[0].memory_kib().saturating_sub(before);
    println!("{STREAMS} idle streams: {grown} KiB more");
    assert!(grown < STREAMS * CALL_KIB_MAX, "{grown} KiB");

    // Nobody reads them, while its place changes; somebody else does.
    let mut reads = watch_chat(&others[0], &chat.chat_id)
        .await
        .expect("a stream");
    for chat_id in ahead {
        let told = reads.message().await.expect("the stream stands");
        let place = told.expect("where it stands").position;
        let leave = LeaveChatRequest {
            request_id: "leave".into(),
            chat_id,
        };
        let mut client = VisitorServiceClient::new(others[0].clone());
        client.leave_chat(leave).await.expect("left");
        assert!(place > 1, "others are ahead");
    }
    let grown = nodes[0].memory_kib().saturating_sub(before);
    println!("nobody reads, {CHANGES} changes later: {grown} KiB more");
    let max = GROWTH_KIB_MAX + STREAMS * CALL_KIB_MAX;
    assert!(grown < max, "{grown} KiB");
    drop(idle);
    cluster::until("the streams are given up", async || {
        let again = (0..1_000).map(|n| watch_chat(&ways[n % ways.len()], &chat.chat_id));
        join_all(again).await.iter().all(Result::is_ok)
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    let ask = StartChatRequest {
        request_id: "large".into(),
        queue_id: "support".into(),
        topic: "x".repeat(8 << 20),
        ..Default::default()
    };
    let mut client = VisitorServiceClient::new(nodes[0].channel.clone());
    let refused = client.start_chat(ask).await.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    assert!(refused.message().contains("the limit is"), "{refused}");
    let mut supervisor = SupervisorServiceClient::new(nodes[0].channel.clone());
    let listed = supervisor.list_chats(ListChatsRequest::default()).await;
    assert!(listed.expect("served").into_inner().chats.is_empty());
}

/// A client of HTTP/2 alone, which may do what no client of gRPC would.
async fn raw(last: u8, to: SocketAddr) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(tcp_from(last, to).await)
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(connection);
    client
}

/// Sends a message with a topic of so many bytes, but for the last `lacks` of it, and does not end; the answer's gRPC code.
async fn half(client: SendRequest<Bytes>, topic: usize, lacks: usize) -> i32 {
    let ask = StartChatRequest {
        topic: "x".repeat(topic),
        ..Default::default()
    };
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(ask.encoded_len() as u32).to_be_bytes());
    bytes.extend_from_slice(&ask.encode_to_vec());
    bytes.truncate(bytes.len() - lacks);
    let request = Request::post("http://node/livechat.v1.VisitorService/StartChat")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let mut client = client.ready().await.expect("room for a stream");
    let (response, mut stream) = client.send_request(request, false).expect("asked");
    stream.send_data(bytes.into(), false).expect("sent");
    let answer = timeout(SOON, response).await.expect("an answer in time");
    let answer = answer.expect("an answer");
    let code = answer.headers().get("grpc-status");
    let code = code.expect("refused before it is complete").to_str();
    code.expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_finished_is_given_up_and_holds_little() {
    let dir = tempfile::tempdir().expect("a directory");
    let nodes = start(dir.path()).await;
    annas(&nodes).await;
    let to = nodes[0].listen;

    // Connected, and not a word.
    let mut silent = tcp_from(2, to).await;
    let closed = tokio::spawn(async move {
        // The node's own first words, then the end, or that it was broken off.
        let mut said = Vec::new();
        let end = timeout(SOON, silent.read_to_end(&mut said)).await;
        drop(end.expect("closed in time"));
    });

    let before = nodes[0].memory_kib();
    let one = raw(2, to).await;
    let mut halves = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let client = raw(2, to).await;
        // 20 times 100 halves of 100 KiB: 200 MB if they were kept.
        halves.extend((0..100).map(|_| tokio::spawn(half(client.clone(), 110_000, 10_000))));
        clients.push(client);
    }
    // One that stops in the middle, and one that is whole and never ends.
    let slow = tokio::join!(half(one.clone(), 100, 50), half(one, 100, 0));
    let late = Code::DeadlineExceeded as i32;
    assert_eq!(slow, (late, late));
    let told = join_all(halves).await;
    let told: Vec<i32> = told.into_iter().map(|t| t.expect("no panic")).collect();
    let refused = told
        .iter()
        .filter(|code| **code == Code::ResourceExhausted as i32);
    let refused = refused.count();
    let slow = told
        .iter()
        .filter(|code| **code == Code::DeadlineExceeded as i32);
    assert_eq!(refused + slow.count(), told.len(), "{told:?}");
    assert!(refused > 0, "more than the node holds at a time");
    let grown = nodes[0].memory_kib().saturating_sub(before);
    println!(
        "halves: {refused} of {} refused, {grown} KiB more",
        told.len()
    );
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    closed.await.expect("closed in time");
    let others = from(3, &nodes[0], 1).await;
    start_chat(&others[0], "other".into())
        .await
        .expect("served");
}

#[tokio::test]
async fn one_address_gets_half_of_the_connections_and_of_the_calls() {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = ["--connections-max", "40", "--calls-max", "20"];
    let nodes = start_with(dir.path(), &limits).await;
    annas(&nodes).await;
    let to = nodes[0].listen;

    let mut open = 0;
    let mut kept = Vec::new();
    for _ in 0..30 {
        let mut connection = tcp_from(2, to).await;
        // Whoever is let in hears the node's first words; to the others it says nothing.
        let mut byte = [0];
        let heard = timeout(SOON, connection.read(&mut byte)).await;
        open += heard.expect("words or an end").unwrap_or(0);
        kept.push(connection);
    }
    assert_eq!(open, 20, "half of forty");

    let ways = from(3, &nodes[0], 1).await;
    let chat = start_chat(&ways[0], "first".into()).await.expect("a chat");
    let mut streams = Vec::new();
    let refused = loop {
        match watch_chat(&ways[0], &chat.chat_id).await {
            Ok(stream) => streams.push(stream),
            Err(refused) => break refused,
        }
        assert!(streams.len() < 50, "no end to it");
    };
    assert_eq!(streams.len(), 10, "half of twenty");
    assert!(is_overloaded(&refused), "{refused}");
    assert!(refused.message().contains("from your address"), "{refused}");
    let others = from(4, &nodes[0], 1).await;
    start_chat(&others[0], "other".into())
        .await
        .expect("served");
    drop(streams);
    cluster::until("what has ended makes room", async || {
        start_chat(&ways[0], "again".into()).await.is_ok()
    })
    .await;
}
