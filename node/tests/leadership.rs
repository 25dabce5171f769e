//! Where an operator pins leadership, on real nodes: it moves there, survives every node, and is let go.

#[allow(dead_code)] // each test uses its part
mod cluster;

use cluster::{Process, persist, start, until};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use tonic::{Code, Status};

async fn pin(nodes: &[Process], id: &str, region: Option<&str>) -> Result<Leadership, Status> {
    let ask = PinLeaderRequest {
        request_id: id.to_owned(),
        actor: "ann".to_owned(),
        region_id: region.unwrap_or_default().to_owned(),
        unpin: region.is_none(),
    };
    let ways: Vec<_> = nodes.iter().map(|n| n.channel.clone()).collect();
    let pinned = persist(&ways, 0, async |way| {
        AdminServiceClient::new(way).pin_leader(ask.clone()).await
    });
    Ok(pinned.await?.into_inner().leadership.expect("what is now"))
}

async fn leads(node: &Process) -> Option<u64> {
    let status = node.status().await?;
    Some(status.leader_id).filter(|id| *id != 0)
}

async fn pinned_to(node: &Process) -> Option<String> {
    let mut admin = AdminServiceClient::new(node.channel.clone());
    let told = admin.get_leadership(GetLeadershipRequest {}).await.ok()?;
    Some(told.into_inner().leadership?.pin?.region_id)
}

#[tokio::test]
async fn a_pin_moves_leadership_survives_every_node_and_is_let_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut nodes = start(dir.path()).await;
    let newest = meridian_routing::rules::NEWEST;
    until("the newest rules are in force", async || {
        nodes[0].status().await.is_some_and(|s| s.rules == newest)
    })
    .await;
    let refused = pin(&nodes, "mars", Some("mars")).await;
    let refused = refused.expect_err("nobody stands there");
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("r1, r2, r3"), "{refused:?}");

    // Somewhere else than where it is.
    let leader = leads(&nodes[0]).await.expect("a leader");
    let there = (leader % 3) as usize;
    let region = format!("r{}", there + 1);
    let now = pin(&nodes, "there", Some(&region)).await.expect("pinned");
    let by = now.pin.expect("a pin").by;
    assert_eq!(by, "operator:ann");
    until("it leads there", async || {
        leads(&nodes[0]).await == Some(nodes[there].id)
    })
    .await;

    // Without its node another leads; with it, it does again.
    nodes[there].kill();
    let other = (there + 1) % 3;
    until("another leads", async || {
        leads(&nodes[other])
            .await
            .is_some_and(|id| id != nodes[there].id)
    })
    .await;
    nodes[there].restart();
    until("it leads there again", async || {
        leads(&nodes[other]).await == Some(nodes[there].id)
    })
    .await;

    // It outlives all of them.
    nodes.iter_mut().for_each(Process::kill);
    nodes.iter_mut().for_each(Process::restart);
    until("it leads there after all", async || {
        leads(&nodes[other]).await == Some(nodes[there].id)
    })
    .await;
    assert_eq!(pinned_to(&nodes[other]).await, Some(region));
    pin(&nodes, "go", None).await.expect("let go");
    assert_eq!(pinned_to(&nodes[other]).await, None);
    nodes.iter_mut().for_each(Process::assert_alive);
}
