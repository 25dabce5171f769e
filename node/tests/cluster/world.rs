//! A small world that never sleeps.

use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::*;

use super::desktop::Desktop;
use super::{Process, persist, until};

/// An agent of the world: speaks one language natively and serves queue `support`.
pub fn agent(id: &str, region: &str, language: &str, capacity: u32) -> Agent {
    Agent {
        id: id.into(),
        name: id.into(),
        region: region.into(),
        languages: vec![SpokenLanguage {
            language: language.into(),
            level: LanguageLevel::Native.into(),
        }],
        queues: vec!["support".into()],
        capacity,
        ..Default::default()
    }
}

/// Three regions `r1` to `r3`, always open, the agents and one queue, `support`.
pub fn always_open(queue: Queue, agents: Vec<Agent>) -> Configuration {
    let region = |n| Region {
        id: format!("r{n}"),
        zone: "Etc/UTC".into(),
        schedule: "always".into(),
        ..Default::default()
    };
    Configuration {
        workspace: Some(Workspace {
            name: "Test".into(),
            ..Default::default()
        }),
        schedules: vec![Schedule {
            id: "always".into(),
            zone: "Etc/UTC".into(),
            spans: vec![UtcSpan {
                from_ms: 0,
                to_ms: 1 << 47,
            }],
            ..Default::default()
        }],
        regions: (1..=3).map(region).collect(),
        queues: vec![Queue {
            id: "support".into(),
            ..queue
        }],
        agents,
    }
}

/// Puts a world and waits until every node takes agents.
pub async fn put(nodes: &[Process], world: Configuration) {
    let apply = ApplyRequest {
        request_id: "world".into(),
        put: Some(world),
        ..Default::default()
    };
    let ways: Vec<_> = nodes.iter().map(|n| n.channel.clone()).collect();
    let applied = persist(&ways, 0, async |way| {
        AdminServiceClient::new(way).apply(apply.clone()).await
    });
    applied.await.expect("the world is applied");
    for node in nodes {
        until("the node is ready", async || {
            Desktop::open(node, 0).await.is_ok()
        })
        .await;
    }
}

/// The world of one agent, `anna`.
pub async fn annas(nodes: &[Process]) {
    let world = always_open(Queue::default(), vec![agent("anna", "r1", "en", 2)]);
    put(nodes, world).await;
}

/// The node that leads.
pub async fn leader(nodes: &[Process]) -> usize {
    let leader = nodes[0].status().await.expect("a status").leader_id;
    nodes.iter().position(|n| n.id == leader).expect("a leader")
}

/// How agent `anna` stands.
pub async fn anna(node: &Process) -> AgentState {
    let ask = ListAgentsRequest {
        consistency: Consistency::Linearizable.into(),
        ..Default::default()
    };
    let listed = persist(std::slice::from_ref(&node.channel), 0, async |way| {
        SupervisorServiceClient::new(way)
            .list_agents(ask.clone())
            .await
    });
    let listed = listed.await.expect("a list").into_inner();
    listed.agents.into_iter().next().expect("anna")
}
