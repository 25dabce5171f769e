//! The operator: forms the cluster, tells it of the world, and replaces machines that are lost.

use std::time::Duration;

use anyhow::bail;
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::*;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::stage::{Person, Stage, Ways, answered};
use crate::world::{Day, configuration};

/// Who it is.
pub const OPERATOR: Person = Person {
    number: 9_000_000,
    region: 0,
};

/// Makes nodes one cluster.
///
/// # Errors
/// Nobody does it.
pub async fn form(ways: &dyn Ways, members: Vec<Member>) -> anyhow::Result<()> {
    let first = members.first().map_or(1, |member| member.node_id);
    let mut admin = AdminServiceClient::new(ways.channel(OPERATOR, first));
    let ask = InitializeClusterRequest { members };
    for _ in 0..100 {
        match admin.initialize_cluster(ask.clone()).await {
            Ok(_) => return Ok(()),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
    bail!("the cluster cannot be formed")
}

/// Tells the cluster of the world, once a name.
///
/// # Errors
/// It is refused, or nobody takes it.
pub async fn apply(stage: &Stage, name: &str, day: &Day, handover: bool) -> anyhow::Result<()> {
    let ask = ApplyRequest {
        request_id: name.to_owned(),
        put: Some(configuration(day, handover)),
        ..Default::default()
    };
    let mut last = String::new();
    for attempt in 0..100 {
        let node = {
            let nodes = stage.nodes.lock();
            nodes[attempt % nodes.len()]
        };
        let mut admin = AdminServiceClient::new(stage.ways.channel(OPERATOR, node));
        match answered(admin.apply(ask.clone())).await {
            Ok(_) => return Ok(()),
            Err(status) if is_final(&status) => {
                bail!("the world is refused: {}", status.message())
            }
            Err(status) => last = status.to_string(),
        }
        sleep(Duration::from_millis(300)).await;
    }
    bail!("the world cannot be applied: {last}")
}

/// Adds a node, gives it a vote and takes another out, however often that takes.
///
/// # Errors
/// What is refused for good.
pub async fn replace(stage: Stage, (old, new): (u64, Member), seed: u64) -> Result<(), String> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let region = random.random_range(0..3);
    let me = Person { region, ..OPERATOR };
    let id = new.node_id;
    let mut step = 0;
    while step < 3 {
        let node = stage.some_node(&mut random);
        let mut admin = AdminServiceClient::new(stage.ways.channel(me, node));
        let asked = async {
            match step {
                0 => {
                    admin
                        .add_learner(AddLearnerRequest {
                            member: Some(new.clone()),
                        })
                        .await
                }
                1 => admin.promote(PromoteRequest { node_id: id }).await,
                _ => {
                    admin
                        .remove_member(RemoveMemberRequest { node_id: old })
                        .await
                }
            }
        };
        match answered(asked).await {
            Ok(_) => {
                stage
                    .trace
                    .tell(format!("node {id} for {old}: step {step} is done"));
                step += 1;
            }
            Err(status) if is_final(&status) => {
                return Err(format!("node {id} for {old}, step {step}: {status}"));
            }
            Err(_) => {
                let pause = random.random_range(200..1_000);
                sleep(Duration::from_millis(pause)).await;
            }
        }
    }
    Ok(())
}

/// Trying again would not help.
fn is_final(status: &Status) -> bool {
    status.code() == Code::InvalidArgument
}
