//! What operators call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian_proto::livechat::v1::admin_service_server::AdminService;
use meridian_proto::livechat::v1::*;
use meridian_proto::peer::v1::handed;
use meridian_routing::command::{Command, Shut};
use meridian_routing::ids::{NodeId, QueueId, RegionId};
use meridian_routing::limits;
use meridian_routing::state::State;
use parking_lot::Mutex;
use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::backup;
use super::leadership;
use super::pages::{self, Listing};
use super::plan::{self, Plan};
use super::status::{Reason, conflict, failed, invalid, not_found, plain};
use super::{actor, fresh, origin, request_id};
use crate::aside::aside;
use crate::convert::{api, view};
use crate::driver::{DriveError, Driver};
use crate::examine::examine;
use crate::machine;
use crate::past::Moment;
use crate::raft::{MemberError, Node};

/// Largest configuration that is sent in one message; what the server may encode, less what surrounds it.
const WHOLE_BYTES_MAX: usize = super::ADMIN_BYTES_MAX - 1_024;
/// Longest name of an operator: what the audit keeps, less the `operator:` before it.
const ACTOR_BYTES_MAX: usize = limits::NAME_BYTES_MAX - "operator:".len();
/// Most objects told of one version of the configuration.
const VERSION_OBJECTS_MAX: u32 = 100;
/// How long a call waits for a snapshot.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(60);

/// Serves operators.
pub struct Admins {
    driver: Arc<Driver>,
    cluster_id: String,
    /// The former configuration asked for last.
    former: Mutex<Option<Arc<State>>>,
    /// Held by whoever has the replica examined: it takes a copy of everything.
    examining: Arc<tokio::sync::Mutex<()>>,
}

impl Admins {
    /// Serves from this node's driver.
    pub fn new(driver: Arc<Driver>, cluster_id: String) -> Self {
        Self {
            driver,
            cluster_id,
            former: Mutex::new(None),
            examining: Arc::default(),
        }
    }

    /// The configuration as it was in a version; the last one asked for is kept, for it is read in pages.
    async fn former(&self, version: u64) -> Result<Arc<State>, Status> {
        let known = self.former.lock().clone();
        if let Some(known) = known.filter(|known| known.meta().version == version) {
            return Ok(known);
        }
        let then = self.driver.configuration(version).await;
        let then = then.map_err(|e| failed(&e))?.ok_or_else(|| {
            not_found(
                "version",
                "version of the configuration",
                &version.to_string(),
            )
        })?;
        let then = Arc::new(then);
        *self.former.lock() = Some(then.clone());
        Ok(then)
    }

    /// Refuses a node that no member is, as far as this node knows after asking the leader.
    async fn known(&self, id: NodeId) -> Result<(), Status> {
        self.driver.fresh().await.map_err(|e| failed(&e))?;
        let group = self.driver.group().map_err(|e| failed(&e))?;
        if group.status().members.contains_key(&id) {
            return Ok(());
        }
        Err(not_found("node_id", "node", &id.to_string()))
    }

    async fn manage(
        &self,
        change: handed::Request,
    ) -> Result<Response<MembershipResponse>, Status> {
        self.driver.manage(change).await.map_err(|e| failed(&e))?;
        self.driver.fresh().await.map_err(|e| failed(&e))?;
        let status = self.driver.group().map_err(|e| failed(&e))?.status();
        Ok(Response::new(MembershipResponse {
            members: members(&status),
            log_index: status.applied,
        }))
    }
}

fn members(status: &crate::raft::Status) -> Vec<Member> {
    let member = |(id, m): (&u64, &crate::raft::Member)| Member {
        node_id: *id,
        region_id: m.node.region.clone(),
        peer_address: m.node.address.clone(),
        voter: m.voter,
        leader: status.leader == Some(*id),
        matched_index: m.matched.unwrap_or(0),
    };
    status.members.iter().map(member).collect()
}

/// A member's address as peers dial it.
fn node(field: &str, member: &Member) -> Result<Node, Status> {
    let host_port = member
        .peer_address
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0));
    if member.node_id == 0 {
        return Err(invalid(
            &format!("{field}.node_id"),
            "is 0; give a number from 1, never used before in this cluster",
        ));
    }
    if host_port.is_none() || member.peer_address.len() > 256 {
        return Err(invalid(
            &format!("{field}.peer_address"),
            "is no address; give host:port as other nodes reach it",
        ));
    }
    if member.region_id.is_empty() || member.region_id.len() > 64 {
        return Err(invalid(
            &format!("{field}.region_id"),
            "is no region; give 1 to 64 bytes",
        ));
    }
    Ok(Node {
        address: member.peer_address.clone(),
        region: member.region_id.clone(),
        founded: String::new(),
    })
}

/// Who asks, for the audit.
fn operator(name: &str) -> Result<String, Status> {
    if name.len() > ACTOR_BYTES_MAX {
        let problem = format!("has {} bytes; give at most {ACTOR_BYTES_MAX}", name.len());
        return Err(invalid("actor", &problem));
    }
    Ok(actor("operator", name))
}

#[tonic::async_trait]
impl AdminService for Admins {
    async fn apply(
        &self,
        request: Request<ApplyRequest>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let id = request_id(&ask.request_id)?;
        let who = operator(&ask.actor)?;
        self.driver.fresh().await.map_err(|e| failed(&e))?;
        let now = self.driver.now();
        let plan = {
            let state = self.driver.state();
            if let Some(done) = state.request(&who, &id).filter(|_| !ask.dry_run) {
                plan::check_repeat(&ask, now, done)?;
                return Ok(Response::new(ApplyResponse {
                    log_index: done.index,
                    already_applied: true,
                    version: state.meta().version,
                    ..Default::default()
                }));
            }
            Plan::of(&state, &ask, now)?
        };
        if plan.needed {
            plan.check_size()?;
        }
        if ask.dry_run || !plan.needed {
            return Ok(Response::new(ApplyResponse {
                changes: plan.told,
                version: self.driver.state().meta().version,
                ..Default::default()
            }));
        }
        let written = self
            .driver
            .write(
                id.clone(),
                who.clone(),
                origin,
                Command::Configure(plan.changes),
            )
            .await
            .map_err(|e| failed(&e))?;
        // The same request may have been under way twice; then only one of the two took effect.
        let first = self.driver.state().request(&who, &id).map(|r| r.index);
        if let Some(first) = first.filter(|first| *first != written.index) {
            return Ok(Response::new(ApplyResponse {
                log_index: first,
                already_applied: true,
                version: self.driver.state().meta().version,
                ..Default::default()
            }));
        }
        Ok(Response::new(ApplyResponse {
            changes: plan.told,
            log_index: written.index,
            version: self.driver.state().meta().version,
            ..Default::default()
        }))
    }

    async fn close_now(
        &self,
        request: Request<CloseNowRequest>,
    ) -> Result<Response<CloseNowResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let id = request_id(&ask.request_id)?;
        let who = operator(&ask.actor)?;
        let what = match ask.what {
            Some(close_now_request::What::QueueId(id)) => Shut::Queue(QueueId::from(id)),
            Some(close_now_request::What::RegionId(id)) => Shut::Region(RegionId::from(id)),
            None => return Err(invalid("what", "is missing; name a queue or a region")),
        };
        let until = match (ask.open, ask.until_ms) {
            (true, 0) => 0,
            (true, _) => {
                return Err(invalid(
                    "until_ms",
                    "cannot stand beside open; leave one out",
                ));
            }
            (false, 0) => limits::TIME_MAX,
            (false, until) => until,
        };
        let command = Command::Shut {
            what,
            until,
            why: ask.why,
        };
        let written = self
            .driver
            .write(id, who, origin, command)
            .await
            .map_err(|e| failed(&e))?;
        Ok(Response::new(CloseNowResponse {
            closed: view::closed(&self.driver.state()),
            log_index: written.index,
        }))
    }

    async fn get_configuration(
        &self,
        request: Request<GetConfigurationRequest>,
    ) -> Result<Response<GetConfigurationResponse>, Status> {
        let ask = request.into_inner();
        if fresh(ask.consistency)? {
            self.driver.fresh().await.map_err(|e| failed(&e))?;
        }
        let whole = ask.page_size == 0 && ask.page_token.is_empty();
        let show = |state: &State| {
            let (configuration, next) = if whole {
                (api::configuration(state), String::new())
            } else {
                pages::configuration(state, ask.page_size, &ask.page_token)?
            };
            Ok::<_, Status>((configuration, next, state.meta().clone()))
        };
        let newest = self.driver.state().meta().version;
        if ask.version.is_some_and(|version| version > newest) {
            // Another node may have told of it already.
            self.driver.fresh().await.map_err(|e| failed(&e))?;
        }
        let former = {
            let state = self.driver.state();
            ask.version
                .filter(|version| *version != state.meta().version)
        };
        let (configuration, next_page_token, meta) = match former {
            None => show(&self.driver.state())?,
            Some(version) => show(&*self.former(version).await?)?,
        };
        let bytes = configuration.encoded_len();
        if bytes > WHOLE_BYTES_MAX {
            return Err(invalid(
                "page_size",
                &format!(
                    "is not given, and the whole takes {bytes} bytes, past {WHOLE_BYTES_MAX}; ask for pages of 1 to 1000"
                ),
            ));
        }
        Ok(Response::new(GetConfigurationResponse {
            configuration: Some(configuration),
            log_index: meta.index,
            next_page_token,
            version: meta.version,
        }))
    }

    async fn list_configuration_versions(
        &self,
        request: Request<ListConfigurationVersionsRequest>,
    ) -> Result<Response<ListConfigurationVersionsResponse>, Status> {
        let ask = request.into_inner();
        let listing = Listing::new("versions", &[], ask.page_size, &ask.page_token)?;
        if fresh(ask.consistency)? {
            self.driver.fresh().await.map_err(|e| failed(&e))?;
        }
        let newest = self.driver.state().meta().version;
        let after = listing
            .after()
            .parse()
            .unwrap_or(newest + 1)
            .min(newest + 1);
        let mut versions = Vec::new();
        for number in (1..after).rev().take(listing.size() + 1) {
            let found = self.driver.version(number, VERSION_OBJECTS_MAX).await;
            if let Some((version, changed)) = found.map_err(|e| failed(&e))? {
                versions.push((number.to_string(), view::version(&version, changed)));
            }
        }
        let (versions, next_page_token) = listing.page(versions.into_iter(), |(n, _)| n);
        Ok(Response::new(ListConfigurationVersionsResponse {
            versions: versions.into_iter().map(|(_, version)| version).collect(),
            next_page_token,
        }))
    }

    async fn cluster_status(
        &self,
        _: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        let group = self.driver.group().map_err(|e| failed(&e))?;
        let status = group.status();
        let (applied_index, state_hash) = group.hash();
        let rules = self.driver.state().meta().rules;
        let foundings = self.driver.foundings().await.map_err(|e| failed(&e))?;
        Ok(Response::new(ClusterStatusResponse {
            cluster_id: self.cluster_id.clone(),
            group_id: 1,
            node_id: self.driver.node_id(),
            leader_id: status.leader.unwrap_or(0),
            term: status.term,
            last_log_index: status.last_log,
            committed_index: status.committed,
            applied_index,
            snapshot_index: status.snapshot,
            members: members(&status),
            state_hash,
            failover_ms_max: group.timing().failover_bound().as_millis() as u32,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            founded: status.founded().to_owned(),
            rules,
            rules_known: group.rules(),
            foundings: foundings.into_iter().map(view::founding).collect(),
        }))
    }

    async fn initialize_cluster(
        &self,
        request: Request<InitializeClusterRequest>,
    ) -> Result<Response<InitializeClusterResponse>, Status> {
        let ask = request.into_inner();
        if !(1..=9).contains(&ask.members.len()) {
            return Err(invalid(
                "members",
                &format!("{} members; give 1 to 9", ask.members.len()),
            ));
        }
        let mut voters = BTreeMap::new();
        for (i, member) in ask.members.iter().enumerate() {
            if voters
                .insert(member.node_id, node(&format!("members[{i}]"), member)?)
                .is_some()
            {
                return Err(invalid(&format!("members[{i}].node_id"), "is named twice"));
            }
        }
        if !voters.contains_key(&self.driver.node_id()) {
            return Err(invalid(
                "members",
                &format!("node {} itself is not among them", self.driver.node_id()),
            ));
        }
        let group = self.driver.group().map_err(|e| failed(&e))?;
        let formed: BTreeMap<_, _> = group
            .status()
            .members
            .into_iter()
            .map(|(id, mut m)| {
                m.node.founded.clear();
                (id, m.node)
            })
            .collect();
        if formed == voters {
            // Asked again after a lost answer.
            return Ok(Response::new(InitializeClusterResponse {}));
        }
        // By what is asked for, so that asking several nodes, or again, founds one cluster and not two.
        let place = |(id, node): (&NodeId, &Node)| {
            let place = format!("{} {}", node.address, node.region);
            (id.to_be_bytes().to_vec(), place.into_bytes())
        };
        let mut marks: Vec<_> = voters.iter().map(place).collect();
        marks.push((Vec::new(), self.cluster_id.clone().into_bytes()));
        let founded = format!("{:016x}", machine::hash_of(&marks));
        match group.initialize(voters, &founded).await {
            Ok(()) => Ok(Response::new(InitializeClusterResponse {})),
            Err(MemberError::Refused(_)) => Err(conflict(
                "this node belongs to a cluster already; use add-learner to extend it",
            )),
            Err(other) => Err(failed(&DriveError::Internal(other.to_string()))),
        }
    }

    async fn add_learner(
        &self,
        request: Request<AddLearnerRequest>,
    ) -> Result<Response<MembershipResponse>, Status> {
        let member = request.into_inner().member.unwrap_or_default();
        let node = node("member", &member)?;
        let known = self
            .driver
            .group()
            .map_err(|e| failed(&e))?
            .status()
            .members;
        if let Some((id, _)) = known
            .iter()
            .find(|(id, m)| **id != member.node_id && m.node.address == node.address)
        {
            return Err(invalid(
                "member.peer_address",
                &format!("is that of node {id}"),
            ));
        }
        self.manage(handed::Request::AddLearner(handed::Node {
            id: member.node_id,
            address: node.address,
            region: node.region,
        }))
        .await
    }

    async fn promote(
        &self,
        request: Request<PromoteRequest>,
    ) -> Result<Response<MembershipResponse>, Status> {
        let id = request.into_inner().node_id;
        self.known(id).await?;
        self.manage(handed::Request::Promote(id)).await
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<MembershipResponse>, Status> {
        let id = request.into_inner().node_id;
        if id == 0 {
            return Err(invalid("node_id", "is 0; give the number of a member"));
        }
        self.manage(handed::Request::Remove(id)).await
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let to = request.into_inner().node_id;
        self.known(to).await?;
        let pin = self.driver.state().meta().pin.clone();
        let status = self.driver.group().map_err(|e| failed(&e))?.status();
        leadership::allows(pin.as_ref(), &status, to)?;
        let began = Instant::now();
        self.driver
            .manage(handed::Request::TransferLeader(to))
            .await
            .map_err(|e| failed(&e))?;
        // The new leader's first commit ends the gap.
        self.driver.fresh().await.map_err(|e| failed(&e))?;
        let leader = self.driver.group().map_err(|e| failed(&e))?.status().leader;
        Ok(Response::new(TransferLeaderResponse {
            leader_id: leader.unwrap_or(0),
            gap_ms: began.elapsed().as_millis() as u32,
        }))
    }

    async fn get_leadership(
        &self,
        _: Request<GetLeadershipRequest>,
    ) -> Result<Response<GetLeadershipResponse>, Status> {
        let leadership = Some(leadership::show(&self.driver).await?);
        Ok(Response::new(GetLeadershipResponse { leadership }))
    }

    async fn pin_leader(
        &self,
        request: Request<PinLeaderRequest>,
    ) -> Result<Response<PinLeaderResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let id = request_id(&ask.request_id)?;
        let who = operator(&ask.actor)?;
        // Voters come and go by the log, too.
        self.driver.fresh().await.map_err(|e| failed(&e))?;
        let status = self.driver.group().map_err(|e| failed(&e))?.status();
        let command = leadership::pin(&ask, &status)?;
        let written = self.driver.write(id, who, origin, command).await;
        let log_index = written.map_err(|e| failed(&e))?.index;
        let leadership = Some(leadership::show(&self.driver).await?);
        Ok(Response::new(PinLeaderResponse {
            leadership,
            log_index,
        }))
    }

    async fn examine(
        &self,
        _: Request<ExamineRequest>,
    ) -> Result<Response<ExamineResponse>, Status> {
        let group = self.driver.group().map_err(|e| failed(&e))?;
        let now_ms = self.driver.clock();
        let members = group.status().members.into_keys().collect();
        let turn = self.examining.clone().lock_owned().await;
        let copy = self.driver.state().clone();
        let log_index = copy.meta().index;
        // Held until it is done, whether or not anybody still waits for it.
        let findings = aside(move || {
            let _turn = turn;
            examine(&copy, &members)
        });
        let findings = findings.await;
        Ok(Response::new(ExamineResponse {
            log_index,
            now_ms,
            findings: findings.map_err(|e| plain(Reason::Internal, e.to_string()))?,
        }))
    }

    type BackupStream = ReceiverStream<Result<BackupResponse, Status>>;

    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let moment = request.into_inner().then.map(|then| match then {
            backup_request::Then::AtMs(at) => Moment::At(at),
            backup_request::Then::AtIndex(index) => Moment::Index(index),
        });
        Ok(Response::new(backup::parts(self.driver.clone(), moment)))
    }

    async fn snapshot(
        &self,
        _: Request<SnapshotRequest>,
    ) -> Result<Response<SnapshotResponse>, Status> {
        let group = self.driver.group().map_err(|e| failed(&e))?;
        let wanted = group.status().applied;
        group
            .snapshot()
            .await
            .map_err(|e| failed(&DriveError::Internal(e.to_string())))?;
        let mut status = group.watch();
        let written =
            tokio::time::timeout(SNAPSHOT_WAIT, status.wait_for(|s| s.snapshot >= wanted)).await;
        match written {
            Ok(Ok(status)) => Ok(Response::new(SnapshotResponse {
                log_index: status.snapshot,
            })),
            Ok(Err(_)) => Err(failed(&DriveError::Stopping)),
            Err(_) => Err(plain(
                Reason::InProgress,
                "the snapshot takes longer than a minute; it goes on, and a repeat waits for it again",
            )),
        }
    }
}
