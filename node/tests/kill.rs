//! Three real node processes under load, any one of them killed with SIGKILL at a random moment, twenty times:
//! no acknowledged command is lost, no chat has two owners, and all replicas end with the same state.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use meridian_node::env::{Random as _, SeededRandom};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

const KILLS: u64 = 20;
const AGENTS: u64 = 12;
const CAPACITY: u32 = 3;
const VISITORS: u64 = 8;

struct Process {
    id: u64,
    arguments: Vec<String>,
    log: PathBuf,
    child: Child,
    channel: Channel,
}

impl Process {
    fn spawn(arguments: &[String], log: &Path) -> Child {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("log file");
        Command::new(env!("CARGO_BIN_EXE_meridian-node"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the node starts")
    }

    fn kill(&mut self) {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .expect("SIGKILL");
    }

    fn restart(&mut self) {
        self.child = Self::spawn(&self.arguments, &self.log);
    }

    async fn status(&self) -> Option<ClusterStatusResponse> {
        let mut admin = AdminServiceClient::new(self.channel.clone());
        let asked = timeout(
            Duration::from_secs(2),
            admin.cluster_status(ClusterStatusRequest {}),
        )
        .await;
        Some(asked.ok()?.ok()?.into_inner())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports(count: usize) -> Vec<SocketAddr> {
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .collect();
    held.iter()
        .map(|l| l.local_addr().expect("its address"))
        .collect()
}

async fn start(dir: &Path) -> Vec<Process> {
    let ports = free_ports(6);
    let mut nodes = Vec::new();
    for id in 1..=3_u64 {
        let at = id as usize - 1;
        let data = dir.join(id.to_string());
        let pairs = [
            ("--node-id", id.to_string()),
            ("--region", format!("r{id}")),
            ("--data", data.display().to_string()),
            ("--listen", ports[at].to_string()),
            ("--peer-listen", ports[at + 3].to_string()),
            // Small, so that restarts also meet snapshots and a purged log.
            ("--snapshot-every", "300".to_owned()),
        ];
        let arguments: Vec<String> = pairs
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect();
        let log = dir.join(format!("{id}.log"));
        let child = Process::spawn(&arguments, &log);
        let endpoint = Endpoint::from_shared(format!("http://{}", ports[at])).expect("an address");
        let channel = endpoint
            .connect_timeout(Duration::from_millis(500))
            .connect_lazy();
        nodes.push(Process {
            id,
            arguments,
            log,
            child,
            channel,
        });
    }
    let members: Vec<Member> = (0..3)
        .map(|at| Member {
            node_id: at as u64 + 1,
            region_id: format!("r{}", at + 1),
            peer_address: ports[at + 3].to_string(),
            ..Default::default()
        })
        .collect();
    until("the cluster forms", async || {
        let mut admin = AdminServiceClient::new(nodes[0].channel.clone());
        admin
            .initialize_cluster(InitializeClusterRequest {
                members: members.clone(),
            })
            .await
            .is_ok()
    })
    .await;
    nodes
}

async fn until(what: &str, ask: impl AsyncFn() -> bool) {
    let asked = async {
        while !ask().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), asked)
        .await
        .unwrap_or_else(|_| panic!("waited a minute in vain: {what}"));
}

fn world() -> Configuration {
    let day = Schedule {
        id: "always".into(),
        zone: "Etc/UTC".into(),
        spans: vec![UtcSpan {
            from_ms: 0,
            to_ms: 1 << 50,
        }],
        ..Default::default()
    };
    let agent = |n: u64| Agent {
        id: format!("a{n}"),
        name: format!("Agent {n}"),
        region: format!("r{}", n % 3 + 1),
        languages: vec![SpokenLanguage {
            language: if n.is_multiple_of(2) { "en" } else { "pt" }.into(),
            level: LanguageLevel::Native.into(),
        }],
        queues: vec!["support".into()],
        capacity: CAPACITY,
        ..Default::default()
    };
    Configuration {
        workspace: Some(Workspace {
            name: "Kill".into(),
            ..Default::default()
        }),
        schedules: vec![day],
        regions: (1..=3)
            .map(|n| Region {
                id: format!("r{n}"),
                zone: "Etc/UTC".into(),
                schedule: "always".into(),
            })
            .collect(),
        queues: vec![Queue {
            id: "support".into(),
            offer_timeout_ms: 2_000,
            ..Default::default()
        }],
        agents: (0..AGENTS).map(agent).collect(),
    }
}

/// Calls until some node answers, with the same request id throughout.
async fn persist<T>(
    nodes: &[Channel],
    first: usize,
    ask: impl AsyncFn(Channel) -> Result<T, tonic::Status>,
) -> Result<T, tonic::Status> {
    for way in nodes.iter().cycle().skip(first) {
        match timeout(Duration::from_secs(20), ask(way.clone())).await {
            Ok(Err(s))
                if matches!(
                    s.code(),
                    Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
                ) => {}
            Ok(answer) => return answer,
            Err(_) => {}
        }
        sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the ways never end")
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    chats: Mutex<Vec<String>>,
    ended: AtomicU64,
}

/// Starts chats one after the other; every third visitor leaves at once.
async fn visitor(
    number: u64,
    nodes: Vec<Channel>,
    stop: Arc<AtomicBool>,
    acked: Arc<Acknowledged>,
) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let language = if (number + n).is_multiple_of(2) {
            "en"
        } else {
            "pt"
        };
        let ask = StartChatRequest {
            request_id: format!("v{number}-{n}"),
            queue_id: "support".into(),
            languages: vec![language.into()],
            ..Default::default()
        };
        let from = ((number + n) % 3) as usize;
        let chat = persist(&nodes, from, async |way| {
            VisitorServiceClient::new(way).start_chat(ask.clone()).await
        })
        .await;
        let chat = chat
            .expect("a chat is taken in")
            .into_inner()
            .chat
            .expect("and named");
        if n % 3 == 2 {
            let leave = LeaveChatRequest {
                request_id: format!("l{number}-{n}"),
                chat_id: chat.chat_id.clone(),
            };
            persist(&nodes, from, async |way| {
                VisitorServiceClient::new(way)
                    .leave_chat(leave.clone())
                    .await
            })
            .await
            .expect("leaving an accepted chat");
        }
        acked.chats.lock().await.push(chat.chat_id);
        sleep(Duration::from_millis(30)).await;
    }
}

/// Takes every offer and ends every chat at once, over whichever node answers.
async fn agent(number: u64, nodes: Vec<Channel>, stop: Arc<AtomicBool>, acked: Arc<Acknowledged>) {
    let mut epoch = 0;
    for (turn, way) in nodes.iter().cycle().skip(number as usize % 3).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        work(number, turn, way, &mut epoch, &stop, &acked).await;
        sleep(Duration::from_millis(50)).await;
    }
}

async fn work(
    number: u64,
    turn: usize,
    way: &Channel,
    epoch: &mut u64,
    stop: &AtomicBool,
    acked: &Acknowledged,
) -> Option<()> {
    let (send, receive) = mpsc::channel(64);
    let mut sent = 0;
    let mut message = |action| {
        sent += 1;
        AgentMessage {
            request_id: format!("t{turn}-{sent}"),
            action: Some(action),
        }
    };
    let hello = Hello {
        agent_id: format!("a{number}"),
        resume_epoch: *epoch,
        grace_ms: 3_000,
    };
    send.send(message(Action::Hello(hello))).await.ok()?;
    let opened = timeout(
        Duration::from_secs(20),
        AgentServiceClient::new(way.clone()).work(ReceiverStream::new(receive)),
    )
    .await;
    let mut events = opened.ok()?.ok()?.into_inner();
    loop {
        let event = match timeout(Duration::from_millis(500), events.message()).await {
            Err(_) if stop.load(Ordering::Relaxed) => return None,
            Err(_) => continue,
            Ok(event) => event.ok()??.event?,
        };
        match event {
            Event::Welcome(welcome) => {
                *epoch = welcome.epoch;
                send.send(message(Action::SetPresence(SetPresence {
                    presence: Presence::Available.into(),
                    ..Default::default()
                })))
                .await
                .ok()?;
                for chat in welcome.chats {
                    send.send(message(Action::EndChat(EndChat {
                        chat_id: chat.chat_id,
                    })))
                    .await
                    .ok()?;
                }
            }
            Event::Offer(offer) => {
                let chat_id = offer.chat?.chat_id;
                send.send(message(Action::AcceptOffer(AcceptOffer {
                    chat_id,
                    assignment: offer.assignment,
                })))
                .await
                .ok()?;
            }
            Event::Chat(chat)
                if chat.phase == i32::from(ChatPhase::Active)
                    && chat.agent_id == format!("a{number}") =>
            {
                send.send(message(Action::EndChat(EndChat {
                    chat_id: chat.chat_id,
                })))
                .await
                .ok()?;
            }
            Event::Chat(chat) if chat.phase == i32::from(ChatPhase::Closed) => {
                let _ = acked.ended.fetch_add(1, Ordering::Relaxed);
            }
            Event::State(state) => assert!(
                state.load <= state.capacity,
                "agent a{number} carries {} of {}",
                state.load,
                state.capacity
            ),
            Event::Fenced(_) => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn twenty_kills_lose_nothing() {
    tokio::task::LocalSet::new()
        .run_until(kill_twenty_times())
        .await;
}

async fn kill_twenty_times() {
    let dir = tempfile::tempdir().expect("a directory");
    let seed = std::env::var("MERIDIAN_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let random = SeededRandom::new(seed);
    eprintln!("MERIDIAN_SEED={seed}");
    let mut nodes = start(dir.path()).await;
    let channels: Vec<Channel> = nodes.iter().map(|n| n.channel.clone()).collect();
    let apply = ApplyRequest {
        request_id: "world".into(),
        put: Some(world()),
        ..Default::default()
    };
    persist(&channels, 0, async |way| {
        AdminServiceClient::new(way).apply(apply.clone()).await
    })
    .await
    .expect("the world is applied");

    let (stop, acked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Acknowledged::default()),
    );
    let (mut visitors, mut agents) = (JoinSet::new(), JoinSet::new());
    for number in 0..AGENTS {
        agents.spawn_local(agent(number, channels.clone(), stop.clone(), acked.clone()));
    }
    for number in 0..VISITORS {
        visitors.spawn_local(visitor(
            number,
            channels.clone(),
            stop.clone(),
            acked.clone(),
        ));
    }

    for kill in 0..KILLS {
        sleep(Duration::from_millis(200 + random.next() % 800)).await;
        let victim = (random.next() % 3) as usize;
        let before = acked.chats.lock().await.len();
        nodes[victim].kill();
        // The two that are left go on alone.
        until(
            &format!("commits after kill {kill} of node {}", nodes[victim].id),
            async || acked.chats.lock().await.len() > before + 3,
        )
        .await;
        nodes[victim].restart();
        until(
            &format!("node {} is back after kill {kill}", nodes[victim].id),
            async || {
                nodes[victim]
                    .status()
                    .await
                    .is_some_and(|s| s.leader_id != 0)
            },
        )
        .await;
    }

    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = visitors.join_next().await {
        ended.expect("no visitor panics");
    }
    while let Some(ended) = agents.join_next().await {
        ended.expect("no agent carries more than the capacity");
    }

    let chats = acked.chats.lock().await.clone();
    eprintln!(
        "{} chats acknowledged, {} ended by agents",
        chats.len(),
        acked.ended.load(Ordering::Relaxed)
    );
    assert!(
        chats.len() as u64 > KILLS * 4 && acked.ended.load(Ordering::Relaxed) > 20,
        "there was load"
    );
    let distinct: std::collections::BTreeSet<_> = chats.iter().collect();
    assert_eq!(
        distinct.len(),
        chats.len(),
        "a retry never starts a second chat"
    );
    for node in &nodes {
        let mut supervisor = SupervisorServiceClient::new(node.channel.clone());
        for id in &chats {
            let ask = ExplainChatRequest {
                consistency: Consistency::Linearizable.into(),
                chat_id: id.clone(),
            };
            let told = persist(std::slice::from_ref(&node.channel), 0, async |_| {
                supervisor.clone().explain_chat(ask.clone()).await
            })
            .await;
            let told = told
                .unwrap_or_else(|e| panic!("node {} lost chat {id}: {e}", node.id))
                .into_inner();
            one_owner_at_a_time(id, &told.events);
        }
        let _ = &mut supervisor;
    }
    until("all replicas at one index with one state", async || {
        let mut seen = BTreeMap::new();
        for node in &nodes {
            if let Some(s) = node.status().await {
                seen.insert(node.id, (s.applied_index, s.state_hash));
            }
        }
        let first = seen.values().next().copied().unwrap_or_default();
        if seen.len() == 3 && seen.values().all(|s| s.0 == first.0) {
            assert!(
                seen.values().all(|s| *s == first),
                "replicas differ: {seen:?}"
            );
            return true;
        }
        false
    })
    .await;
}

fn one_owner_at_a_time(id: &str, events: &[ChatEvent]) {
    let mut owner: Option<&str> = None;
    for event in events {
        match event.what.as_str() {
            "accepted" => {
                assert!(
                    owner.is_none(),
                    "chat {id} accepted by {} while {owner:?} owned it",
                    event.agent_id
                );
                owner = Some(&event.agent_id);
            }
            "agent lost" | "transferred" | "ended" => owner = None,
            _ => {}
        }
    }
}
