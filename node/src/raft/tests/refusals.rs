//! Messages that are not for this node.

use meridian_proto::peer::v1 as pb;
use meridian_proto::peer::v1::peer_client::PeerClient;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::add;
use super::cluster::Cluster;
use crate::raft::peers::CLUSTER_HEADER;

fn from<T>(cluster: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let cluster = cluster.parse().unwrap();
    request.metadata_mut().insert(CLUSTER_HEADER, cluster);
    request
}

fn route(group: u32, to: u64) -> Option<pb::Route> {
    let from = 2;
    Some(pb::Route { group, from, to })
}

async fn ping(
    client: &mut PeerClient<Channel>,
    cluster: &'static str,
    route: Option<pb::Route>,
) -> Code {
    let answer = client.ping(from(cluster, pb::PingRequest { route })).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn what_is_meant_for_others_is_refused() {
    let cluster = Cluster::new(1).await;
    cluster.propose(&add("a", 1)).await;
    let before = cluster.group(1).status();
    let address = format!("http://{}", cluster.node(1).address);
    let mut client = PeerClient::connect(address).await.unwrap();

    assert_eq!(ping(&mut client, "test", route(1, 1)).await, Code::Ok);
    let other = ping(&mut client, "other", route(1, 1)).await;
    assert_eq!(other, Code::PermissionDenied, "another cluster");
    let bare = Request::new(pb::PingRequest { route: route(1, 1) });
    let bare = client.ping(bare).await.unwrap_err();
    assert_eq!(bare.code(), Code::PermissionDenied, "no cluster");
    let other = ping(&mut client, "test", route(2, 1)).await;
    assert_eq!(other, Code::NotFound, "another group");
    let other = ping(&mut client, "test", route(1, 3)).await;
    assert_eq!(other, Code::FailedPrecondition, "another node");
    let none = ping(&mut client, "test", None).await;
    assert_eq!(none, Code::InvalidArgument, "no route");

    // What would depose the leader, were it for this node.
    let newer = pb::AppendRequest {
        route: route(1, 3),
        vote: Some(meridian_proto::log::v1::Vote {
            term: before.term + 5,
            node_id: 2,
            committed: true,
        }),
        ..pb::AppendRequest::default()
    };
    let beat = client.heartbeat(from("test", newer.clone())).await;
    assert_eq!(beat.unwrap_err().code(), Code::FailedPrecondition);
    let beat = client.heartbeat(from("other", newer.clone())).await;
    assert_eq!(beat.unwrap_err().code(), Code::PermissionDenied);
    let stream = futures::stream::iter([newer.clone()]);
    let answers = client.append(from("test", stream)).await.unwrap();
    let refused = answers.into_inner().message().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    let start = pb::SnapshotStart {
        route: route(1, 1),
        vote: newer.vote,
        header: Some(meridian_proto::log::v1::SnapshotHeader {
            group: 2,
            ..Default::default()
        }),
        length: 0,
    };
    let part = pb::SnapshotRequest {
        part: Some(pb::snapshot_request::Part::Start(start)),
    };
    let parts = futures::stream::iter([part]);
    let refused = client.snapshot(from("test", parts)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("group 2"), "{refused}");

    let after = cluster.group(1).status();
    assert_eq!((after.term, after.leader), (before.term, Some(1)));
    cluster.end().await;
}
