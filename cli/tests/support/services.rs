//! The stand-in's services. What no test asks is UNIMPLEMENTED.

use std::pin::Pin;

use meridian_proto::livechat::v1::admin_service_server::{AdminService, AdminServiceServer};
use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_server::{AgentService, AgentServiceServer};
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::supervisor_service_server::{
    SupervisorService, SupervisorServiceServer,
};
use meridian_proto::livechat::v1::visitor_service_server::{VisitorService, VisitorServiceServer};
use meridian_proto::livechat::v1::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use super::Play;

type Answer<T> = Result<Response<T>, Status>;
type Flow<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// All services of one stand-in.
pub fn router(node: Play) -> Router {
    tonic::transport::Server::builder()
        .add_service(AdminServiceServer::new(node.clone()))
        .add_service(SupervisorServiceServer::new(node.clone()))
        .add_service(VisitorServiceServer::new(node.clone()))
        .add_service(AgentServiceServer::new(node))
}

fn absent<T>() -> Answer<T> {
    Err(Status::unimplemented("the stand-in does not play this"))
}

/// Node 1 of eu leads, and most writes come from us.
fn leadership() -> Leadership {
    let member = |node_id, region: &str, writes, write_us| LeadershipMember {
        node_id,
        region_id: region.to_owned(),
        voter: write_us != 0,
        writes,
        write_us: (write_us != 0).then_some(write_us),
    };
    Leadership {
        leader_id: 1,
        region_id: "eu".to_owned(),
        term: 3,
        led_ms: Some(200_000),
        follows_sun: true,
        pin: None,
        writes: 200,
        members: vec![
            member(1, "eu", 50, 140_500),
            member(2, "us", 149, 100_200),
            member(3, "ap", 1, 0),
        ],
    }
}

#[tonic::async_trait]
impl AdminService for Play {
    async fn close_now(&self, _: Request<CloseNowRequest>) -> Answer<CloseNowResponse> {
        absent()
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Answer<ApplyResponse> {
        self.hear()?;
        let mut script = self.script();
        script.applied.push(request.into_inner());
        match &script.refuse_apply {
            Some(status) => Err(status.clone()),
            None => Ok(Response::new(script.apply.clone())),
        }
    }

    async fn get_configuration(
        &self,
        _: Request<GetConfigurationRequest>,
    ) -> Answer<GetConfigurationResponse> {
        self.hear()?;
        let configuration = Some(self.script().configuration.clone());
        Ok(Response::new(GetConfigurationResponse {
            configuration,
            log_index: 1,
            ..Default::default()
        }))
    }

    async fn list_configuration_versions(
        &self,
        _: Request<ListConfigurationVersionsRequest>,
    ) -> Answer<ListConfigurationVersionsResponse> {
        absent()
    }

    async fn cluster_status(
        &self,
        _: Request<ClusterStatusRequest>,
    ) -> Answer<ClusterStatusResponse> {
        self.hear()?;
        let script = self.script();
        Ok(Response::new(ClusterStatusResponse {
            cluster_id: "test".to_owned(),
            node_id: script.node_id,
            leader_id: 1,
            term: 3,
            applied_index: 20,
            state_hash: script.state_hash,
            failover_ms_max: 2_000,
            version: "0.1.0".to_owned(),
            members: vec![Member {
                node_id: 1,
                voter: true,
                leader: true,
                ..Default::default()
            }],
            ..Default::default()
        }))
    }

    async fn initialize_cluster(
        &self,
        _: Request<InitializeClusterRequest>,
    ) -> Answer<InitializeClusterResponse> {
        self.hear()?;
        Ok(Response::new(InitializeClusterResponse {}))
    }

    async fn add_learner(&self, _: Request<AddLearnerRequest>) -> Answer<MembershipResponse> {
        absent()
    }

    async fn promote(&self, _: Request<PromoteRequest>) -> Answer<MembershipResponse> {
        absent()
    }

    async fn remove_member(&self, _: Request<RemoveMemberRequest>) -> Answer<MembershipResponse> {
        self.hear()?;
        Ok(Response::new(MembershipResponse {
            members: Vec::new(),
            log_index: 5,
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Answer<TransferLeaderResponse> {
        let leader_id = request.into_inner().node_id;
        Ok(Response::new(TransferLeaderResponse {
            leader_id,
            gap_ms: 12,
        }))
    }

    async fn get_leadership(
        &self,
        _: Request<GetLeadershipRequest>,
    ) -> Answer<GetLeadershipResponse> {
        let leadership = Some(leadership());
        Ok(Response::new(GetLeadershipResponse { leadership }))
    }

    async fn pin_leader(&self, request: Request<PinLeaderRequest>) -> Answer<PinLeaderResponse> {
        let ask = request.into_inner();
        let pin = LeaderPin {
            region_id: ask.region_id,
            by: format!("operator:{}", ask.actor),
            at_ms: 1_767_600_000_000,
        };
        let pin = (!ask.unpin).then_some(pin);
        let leadership = Some(Leadership {
            pin,
            ..leadership()
        });
        Ok(Response::new(PinLeaderResponse {
            leadership,
            log_index: 21,
        }))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Answer<SnapshotResponse> {
        Ok(Response::new(SnapshotResponse { log_index: 19 }))
    }

    type BackupStream = Flow<BackupResponse>;

    async fn backup(&self, _: Request<BackupRequest>) -> Answer<Self::BackupStream> {
        self.hear()?;
        let script = self.script();
        let part = |part| Ok(BackupResponse { part: Some(part) });
        let head = part(backup_response::Part::Head(script.backup.clone()));
        let parts = script.backup_data.chunks(256 << 10);
        let parts = parts.map(|data| part(backup_response::Part::Data(data.to_vec())));
        let end = script.backup_end.clone().map(Err);
        let sent: Vec<_> = std::iter::once(head).chain(parts).chain(end).collect();
        let sent = tokio_stream::iter(sent);
        Ok(Response::new(match script.backup_hangs {
            true => Box::pin(sent.chain(tokio_stream::pending())),
            false => Box::pin(sent),
        }))
    }

    async fn examine(&self, _: Request<ExamineRequest>) -> Answer<ExamineResponse> {
        absent()
    }
}

#[tonic::async_trait]
impl SupervisorService for Play {
    type WatchAgentsStream = Flow<AgentState>;
    type WatchQueuesStream = Flow<QueueState>;

    async fn supervise_chat(
        &self,
        _: Request<SuperviseChatRequest>,
    ) -> Answer<SuperviseChatResponse> {
        absent()
    }

    async fn move_chat(&self, _: Request<MoveChatRequest>) -> Answer<MoveChatResponse> {
        absent()
    }

    async fn close_tracked(&self, _: Request<CloseTrackedRequest>) -> Answer<CloseTrackedResponse> {
        absent()
    }

    async fn what_if(&self, _: Request<WhatIfRequest>) -> Answer<WhatIfResponse> {
        absent()
    }

    /// Pages of at most 100, whatever is asked for, so that a list of some hundred has several.
    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Answer<ListAgentsResponse> {
        self.hear()?;
        let request = request.into_inner();
        let from: usize = request.page_token.parse().unwrap_or(0);
        let all = &self.script().agents;
        let agents: Vec<_> = all.iter().skip(from).take(100).cloned().collect();
        let next = from + agents.len();
        let more = next < all.len();
        let next_page_token = if more {
            next.to_string()
        } else {
            String::new()
        };
        Ok(Response::new(ListAgentsResponse {
            agents,
            next_page_token,
            log_index: 1,
        }))
    }

    async fn list_queues(&self, _: Request<ListQueuesRequest>) -> Answer<ListQueuesResponse> {
        absent()
    }

    async fn list_chats(&self, _: Request<ListChatsRequest>) -> Answer<ListChatsResponse> {
        absent()
    }

    async fn get_chat(&self, request: Request<GetChatRequest>) -> Answer<GetChatResponse> {
        let id = request.into_inner().chat_id;
        Err(Status::not_found(format!(
            "chat '{id}' is unknown; closed ones are kept ten minutes"
        )))
    }

    async fn explain_chat(&self, _: Request<ExplainChatRequest>) -> Answer<ExplainChatResponse> {
        absent()
    }

    async fn watch_agents(
        &self,
        _: Request<WatchAgentsRequest>,
    ) -> Answer<Self::WatchAgentsStream> {
        self.hear()?;
        let agents = self.script().agents.clone().into_iter().map(Ok);
        let end = [Err(Status::failed_precondition(
            "this is the end of the script",
        ))];
        Ok(Response::new(Box::pin(tokio_stream::iter(
            agents.chain(end).collect::<Vec<_>>(),
        ))))
    }

    async fn watch_queues(
        &self,
        _: Request<WatchQueuesRequest>,
    ) -> Answer<Self::WatchQueuesStream> {
        absent()
    }
}

#[tonic::async_trait]
impl VisitorService for Play {
    type WatchChatStream = Flow<Chat>;

    async fn get_outlook(&self, _: Request<GetOutlookRequest>) -> Answer<GetOutlookResponse> {
        absent()
    }

    async fn leave_message(&self, _: Request<LeaveMessageRequest>) -> Answer<LeaveMessageResponse> {
        absent()
    }

    async fn start_chat(&self, request: Request<StartChatRequest>) -> Answer<StartChatResponse> {
        self.hear()?;
        let request = request.into_inner();
        let chat = Some(Chat {
            chat_id: "chat-1".to_owned(),
            queue_id: request.queue_id,
            phase: ChatPhase::Waiting as i32,
            languages: request.languages,
            position: 1,
            ..Default::default()
        });
        Ok(Response::new(StartChatResponse { chat }))
    }

    async fn watch_chat(&self, _: Request<WatchChatRequest>) -> Answer<Self::WatchChatStream> {
        self.hear()?;
        let script = self.script();
        let chats = script.watch.clone().into_iter().map(Ok);
        let end = script.watch_end.clone().into_iter().map(Err);
        Ok(Response::new(Box::pin(tokio_stream::iter(
            chats.chain(end).collect::<Vec<_>>(),
        ))))
    }

    async fn leave_chat(&self, _: Request<LeaveChatRequest>) -> Answer<LeaveChatResponse> {
        absent()
    }

    async fn rate_chat(&self, _: Request<RateChatRequest>) -> Answer<RateChatResponse> {
        absent()
    }
}

#[tonic::async_trait]
impl AgentService for Play {
    type WorkStream = Flow<ServerMessage>;

    /// Offers one chat once the agent is available, and plays its way to the end of the wrap-up.
    async fn work(&self, request: Request<Streaming<AgentMessage>>) -> Answer<Self::WorkStream> {
        self.hear()?;
        let mut inbox = request.into_inner();
        let (send, receive) = mpsc::channel(16);
        let node = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = inbox.next().await {
                let chat = |phase: ChatPhase| Chat {
                    chat_id: "chat-1".to_owned(),
                    queue_id: "sales".to_owned(),
                    phase: phase as i32,
                    ..Default::default()
                };
                let (did, event) = match message.action {
                    Some(Action::Hello(_)) => (
                        "hello",
                        Some(Event::Welcome(Welcome {
                            epoch: 7,
                            ..Default::default()
                        })),
                    ),
                    Some(Action::SetPresence(_)) => {
                        let chat = Some(chat(ChatPhase::Offered));
                        let offer = Offer {
                            chat,
                            assignment: 4,
                            ..Default::default()
                        };
                        ("available", Some(Event::Offer(offer)))
                    }
                    Some(Action::AcceptOffer(_)) => {
                        ("accept", Some(Event::Chat(chat(ChatPhase::Active))))
                    }
                    Some(Action::EndChat(_)) => ("end", Some(Event::Chat(chat(ChatPhase::WrapUp)))),
                    Some(Action::FinishWrapUp(_)) => {
                        ("finish", Some(Event::Chat(chat(ChatPhase::Closed))))
                    }
                    Some(Action::SignOff(_)) => ("sign off", None),
                    _ => ("something else", None),
                };
                node.script().agent_did.push(did.to_owned());
                let reply = ActionReply {
                    request_id: message.request_id,
                    ..Default::default()
                };
                for event in [Some(Event::Reply(reply)), event].into_iter().flatten() {
                    let _ = send.send(Ok(ServerMessage { event: Some(event) })).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receive))))
    }
}
