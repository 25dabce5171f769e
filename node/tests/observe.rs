//! A real node as its operators see it: what Prometheus scrapes, health, reflection, and the administration calls.

use std::time::Duration;

use meridian_node::env::Environment;
use meridian_node::node::Node;
use meridian_node::settings::Settings;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(30);

struct Alone {
    node: Node,
    channel: Channel,
    _dir: tempfile::TempDir,
}

impl Alone {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let settings = Settings {
            node_id: 1,
            region: "eu".into(),
            cluster: "test".into(),
            data: dir.path().join("data"),
            listen: "127.0.0.1:0".parse().expect("an address"),
            peer_listen: "127.0.0.1:0".parse().expect("an address"),
            metrics_listen: Some("127.0.0.1:0".parse().expect("an address")),
            ..<Settings as clap::Parser>::parse_from(["meridian-node", "--node-id=1", "--data=."])
        };
        let node = Node::start(&settings, Environment::real())
            .await
            .expect("a node");
        let channel = Channel::from_shared(format!("http://{}", node.listen))
            .expect("an address")
            .connect_lazy();
        Self {
            node,
            channel,
            _dir: dir,
        }
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    fn supervisor(&self) -> SupervisorServiceClient<Channel> {
        SupervisorServiceClient::new(self.channel.clone())
    }

    /// Forms a cluster of one and waits until agents are let in.
    async fn form(&self) {
        let member = Member {
            node_id: 1,
            region_id: "eu".into(),
            peer_address: self.node.peer_listen.to_string(),
            ..Default::default()
        };
        let ask = InitializeClusterRequest {
            members: vec![member],
        };
        self.admin()
            .initialize_cluster(ask)
            .await
            .expect("a cluster");
        let mut ready = self.node.driver().readiness();
        let joined = timeout(PATIENCE, ready.wait_for(|ready| *ready)).await;
        joined.expect("in time").expect("a driver");
    }

    async fn page(&self, path: &str) -> String {
        let at = self.node.metrics_listen.expect("an address");
        let mut stream = tokio::net::TcpStream::connect(at).await.expect("HTTP");
        let ask = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("asked");
        let mut page = String::new();
        stream.read_to_string(&mut page).await.expect("a page");
        page
    }
}

fn world() -> Configuration {
    Configuration {
        workspace: Some(Workspace {
            name: "test".into(),
            ..Default::default()
        }),
        schedules: vec![Schedule {
            id: "always".into(),
            zone: "Etc/UTC".into(),
            week: vec![WeeklyShift {
                days: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
                    .map(str::to_owned)
                    .into(),
                from: "00:00".into(),
                to: "24:00".into(),
            }],
            ..Default::default()
        }],
        regions: vec![Region {
            id: "eu".into(),
            zone: "Europe/Berlin".into(),
            schedule: "always".into(),
            ..Default::default()
        }],
        queues: vec![Queue {
            id: "q".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn apply(request_id: &str, put: Configuration) -> ApplyRequest {
    ApplyRequest {
        request_id: request_id.into(),
        actor: "test".into(),
        put: Some(put),
        ..Default::default()
    }
}

fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|i| i.reason.clone())
        .unwrap_or_default()
}

fn field(status: &Status) -> String {
    let details = status.get_error_details();
    let request = details.bad_request().expect("a field");
    request.field_violations[0].field.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_measured_under_the_names_dashboards_use() {
    let alone = Alone::start().await;
    assert!(alone.page("/readyz").await.starts_with("HTTP/1.1 503"));
    alone.form().await;
    alone
        .admin()
        .apply(apply("a", world()))
        .await
        .expect("applied");
    let chat = StartChatRequest {
        request_id: "c".into(),
        queue_id: "q".into(),
        languages: vec!["en".into()],
        ..Default::default()
    };
    let mut visitor = VisitorServiceClient::new(alone.channel.clone());
    let given_up = StartChatRequest {
        request_id: "d".into(),
        ..chat.clone()
    };
    let given_up = visitor.start_chat(given_up).await.expect("a chat");
    let leave = LeaveChatRequest {
        request_id: "e".into(),
        chat_id: given_up.into_inner().chat.expect("it").chat_id,
    };
    visitor.leave_chat(leave).await.expect("the visitor leaves");
    let chat = visitor.start_chat(chat).await.expect("a chat").into_inner();
    let watch = WatchChatRequest {
        chat_id: chat.chat.expect("it").chat_id,
    };
    let mut stream = visitor.watch_chat(watch).await.expect("open").into_inner();
    stream
        .message()
        .await
        .expect("a message")
        .expect("the chat");

    assert!(alone.page("/readyz").await.starts_with("HTTP/1.1 200"));
    let page = alone.page("/metrics").await;
    for line in [
        r#"meridian_chats{phase="waiting",queue="q"} 1"#,
        r#"meridian_chats{phase="tracked",queue="q"} 0"#,
        r#"meridian_recent_abandoned{queue="q"} 1"#,
        r#"meridian_service_level_percent{queue="q"} 0"#,
        r#"meridian_watched{kind="chat"} 1"#,
        r#"meridian_raft_is_leader{group="1"} 1"#,
        r#"meridian_raft_leader_changes_total{group="1"} 1"#,
        r#"meridian_rpc_duration_seconds_count{code="OK",method="livechat.v1.AdminService/Apply"} 1"#,
        r#"meridian_rpc_duration_seconds_count{code="OK",method="livechat.v1.VisitorService/StartChat"} 2"#,
        "meridian_sessions 0",
        "meridian_chats_accepted_total 2",
    ] {
        assert!(page.lines().any(|l| l == line), "no '{line}' in\n{page}");
    }
    // How many entries there are is Raft's business.
    assert!(
        page.contains("\nmeridian_apply_duration_seconds_count "),
        "{page}"
    );

    drop(stream);
    let unwatched = async {
        while alone.node.driver().delivery().watched().0 > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, unwatched)
        .await
        .expect("the stream is let go");
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_readiness_service_by_service() {
    let alone = Alone::start().await;
    let mut health = HealthClient::new(alone.channel.clone());
    let mut check = async |service: &str| {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await;
        answer.map(|a| a.into_inner().status())
    };
    let admin = check("livechat.v1.AdminService").await.expect("health");
    assert_eq!(admin, ServingStatus::Serving, "a cluster can be formed");
    for service in ["", "livechat.v1.AgentService", "livechat.v1.VisitorService"] {
        let status = check(service).await.expect("health");
        assert_eq!(status, ServingStatus::NotServing, "'{service}'");
    }
    assert_eq!(
        check("livechat.v1.Nobody")
            .await
            .expect_err("unknown")
            .code(),
        Code::NotFound
    );
    let ask = HealthCheckRequest {
        service: "livechat.v1.SupervisorService".into(),
    };
    let mut watch = HealthClient::new(alone.channel.clone())
        .watch(ask)
        .await
        .expect("a watch")
        .into_inner();
    let mut next = async || {
        let told = timeout(PATIENCE, watch.message()).await.expect("in time");
        told.expect("a message").expect("a status").status()
    };
    assert_eq!(next().await, ServingStatus::NotServing);
    alone.form().await;
    assert_eq!(next().await, ServingStatus::Serving);
    // Raft has ended, or the node was cut off.
    alone.node.driver().cut_off();
    assert_eq!(next().await, ServingStatus::NotServing);
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_tells_the_public_api_and_nothing_else() {
    let alone = Alone::start().await;
    let services = ["grpc.reflection.v1", "grpc.reflection.v1alpha"];
    let told = (
        reflected::v1(alone.channel.clone()).await,
        reflected::v1alpha(alone.channel.clone()).await,
    );
    for (told, own) in [told.0, told.1].into_iter().zip(services) {
        let own = format!("{own}.ServerReflection");
        assert_eq!(
            told,
            [
                own.as_str(),
                "grpc.health.v1.Health",
                "livechat.v1.AdminService",
                "livechat.v1.AgentService",
                "livechat.v1.SupervisorService",
                "livechat.v1.VisitorService",
            ]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
        );
    }
    alone.node.stop().await;
}

/// Asks for the list of services, in each version.
mod reflected {
    use super::*;

    macro_rules! version {
        ($version:ident) => {
            pub async fn $version(channel: Channel) -> Vec<String> {
                use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
                use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
                use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
                use tonic_reflection::pb::$version::ServerReflectionRequest;
                let ask = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(MessageRequest::ListServices(String::new())),
                };
                let asked = ServerReflectionClient::new(channel)
                    .server_reflection_info(tokio_stream::once(ask))
                    .await;
                let answer = asked.expect("reflection").into_inner().message().await;
                let answer = answer.expect("an answer").expect("one");
                let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response
                else {
                    panic!("{answer:?}");
                };
                let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
                names.sort();
                names
            }
        };
    }
    version!(v1);
    version!(v1alpha);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_apply_tells_where_it_took_effect() {
    let alone = Alone::start().await;
    alone.form().await;
    let mut admin = alone.admin();
    let first = admin.apply(apply("one", world())).await.expect("applied");
    let first = first.into_inner();
    assert!(!first.already_applied && first.log_index > 0 && !first.changes.is_empty());
    let mut changed = world();
    changed.queues[0].offer_timeout_ms = 30_000;
    let second = admin.apply(apply("two", changed.clone())).await;
    let second = second.expect("applied").into_inner();
    assert_eq!(second.changes[0].fields, ["offer_timeout: 20s -> 30s"]);
    // The first again, its answer lost: it must not undo the second.
    let again = admin.apply(apply("one", world())).await.expect("answered");
    let again = again.into_inner();
    assert!(again.already_applied && again.changes.is_empty());
    assert_eq!(again.log_index, first.log_index);
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let ask = GetConfigurationRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = admin
            .get_configuration(ask)
            .await
            .expect("a page")
            .into_inner();
        pages.push(page.configuration.expect("objects"));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.len(), 2);
    assert_eq!(pages[1].queues[0].offer_timeout_ms, 30_000);
    let whole = admin
        .get_configuration(GetConfigurationRequest::default())
        .await
        .expect("the whole")
        .into_inner();
    let whole = whole.configuration.expect("objects");
    assert_eq!(whole.regions, pages[0].regions);
    assert_eq!(whole.schedules, pages[1].schedules);

    let refused = admin.apply(apply("one", Configuration::default())).await;
    assert_eq!(reason(&refused.expect_err("another request")), "CONFLICT");
    let prune = ApplyRequest {
        request_id: "three".into(),
        prune: true,
        ..Default::default()
    };
    let refused = admin.apply(prune).await.expect_err("no put");
    assert_eq!(field(&refused), "prune");
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_by_its_field() {
    let alone = Alone::start().await;
    alone.form().await;
    let (mut admin, mut supervisor) = (alone.admin(), alone.supervisor());
    admin.apply(apply("a", world())).await.expect("applied");

    let unknown = [
        admin.promote(PromoteRequest { node_id: 9 }).await.map(drop),
        admin
            .transfer_leader(TransferLeaderRequest { node_id: 9 })
            .await
            .map(drop),
        supervisor
            .list_agents(ListAgentsRequest {
                region_id: "mars".into(),
                ..Default::default()
            })
            .await
            .map(drop),
        supervisor
            .list_chats(ListChatsRequest {
                queue_id: "x".into(),
                ..Default::default()
            })
            .await
            .map(drop),
        supervisor
            .list_chats(ListChatsRequest {
                agent_id: "x".into(),
                ..Default::default()
            })
            .await
            .map(drop),
    ];
    let fields: Vec<_> = unknown
        .into_iter()
        .map(|refused| {
            let refused = refused.expect_err("unknown");
            assert_eq!(
                (refused.code(), reason(&refused)),
                (Code::NotFound, "UNKNOWN".into())
            );
            field(&refused)
        })
        .collect();
    assert_eq!(
        fields,
        ["node_id", "node_id", "region_id", "queue_id", "agent_id"]
    );

    let wrong = [
        supervisor
            .list_agents(ListAgentsRequest {
                presence: 99,
                ..Default::default()
            })
            .await
            .map(drop),
        supervisor
            .list_chats(ListChatsRequest {
                phase: 99,
                ..Default::default()
            })
            .await
            .map(drop),
        supervisor
            .list_queues(ListQueuesRequest {
                consistency: 99,
                ..Default::default()
            })
            .await
            .map(drop),
        supervisor
            .list_queues(ListQueuesRequest {
                page_token: "q".into(),
                ..Default::default()
            })
            .await
            .map(drop),
    ];
    let fields: Vec<_> = wrong
        .into_iter()
        .map(|refused| {
            let refused = refused.expect_err("wrong");
            assert_eq!(refused.code(), Code::InvalidArgument);
            field(&refused)
        })
        .collect();
    assert_eq!(fields, ["presence", "phase", "consistency", "page_token"]);

    // Out already, so a repeat succeeds.
    let gone = admin
        .remove_member(RemoveMemberRequest { node_id: 9 })
        .await;
    assert_eq!(gone.expect("nothing to do").into_inner().members.len(), 1);
    let last = admin
        .remove_member(RemoveMemberRequest { node_id: 1 })
        .await;
    assert_eq!(reason(&last.expect_err("the last voter")), "CONFLICT");
    alone.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_removed() {
    let alone = Alone::start().await;
    alone.form().await;
    let mut admin = alone.admin();
    admin.apply(apply("a", world())).await.expect("applied");
    let mut watch = alone
        .supervisor()
        .watch_queues(WatchQueuesRequest::default())
        .await
        .expect("a watch")
        .into_inner();
    let mut next = async || {
        let told = timeout(PATIENCE, watch.message()).await.expect("in time");
        told.expect("a message").expect("a queue")
    };
    let first = next().await;
    assert!(first.queue_id == "q" && !first.removed && first.log_index > 0);
    let remove = ApplyRequest {
        request_id: "b".into(),
        remove_queues: vec!["q".into()],
        ..Default::default()
    };
    let removed = admin.apply(remove).await.expect("removed").into_inner();
    let gone = next().await;
    assert!(gone.queue_id == "q" && gone.removed, "{gone:?}");
    assert!(gone.log_index >= removed.log_index);
    alone.node.stop().await;
}
