//! What supervisors read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1::supervisor_service_server::SupervisorService;
use meridian_proto::livechat::v1::*;
use meridian_routing::ids::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::page;
use super::status::{failed, not_found};
use crate::convert::view;
use crate::driver::Driver;

/// Watchers of queues and agents are told at most this often.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Agents whose standing towards a waiting chat is told.
const STANDING_MAX: usize = 100;

/// Serves supervisors.
pub struct Supervisors {
    driver: Arc<Driver>,
}

fn after<K: for<'a> From<&'a str>>(token: &str) -> (Bound<K>, Bound<K>) {
    let from = if token.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Excluded(K::from(token))
    };
    (from, Bound::Unbounded)
}

impl Supervisors {
    /// Serves from this node's driver.
    pub fn new(driver: Arc<Driver>) -> Self {
        Self { driver }
    }

    async fn at(&self, consistency: i32) -> Result<(), Status> {
        if Consistency::try_from(consistency) == Ok(Consistency::Linearizable) {
            self.driver.fresh().await.map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    async fn past(&self, id: &ChatId) -> Result<meridian_routing::state::Chat, Status> {
        let past = self.driver.history(id).await.map_err(|e| failed(&e))?;
        past.ok_or_else(|| not_found("chat_id", "chat", &id.0))
    }

    /// Sends each item that differs from what was sent before, whenever something changes, at most every
    /// [`WATCH_EVERY`].
    fn watch<T, F>(&self, look: F) -> ReceiverStream<Result<T, Status>>
    where
        T: Clone + PartialEq + Send + Sync + 'static,
        F: Fn(&Driver) -> BTreeMap<String, T> + Send + 'static,
    {
        let (send, receive) = mpsc::channel(16);
        let driver = self.driver.clone();
        let mut changes = driver.delivery().all();
        tokio::spawn(async move {
            let mut shown = BTreeMap::new();
            loop {
                changes.mark_unchanged();
                let now = look(&driver);
                for (id, item) in &now {
                    if shown.get(id) != Some(item) && send.send(Ok(item.clone())).await.is_err() {
                        return;
                    }
                }
                shown = now;
                let next = async {
                    tokio::time::sleep(WATCH_EVERY).await;
                    changes.changed().await
                };
                tokio::select! {
                    changed = next => if changed.is_err() { return },
                    () = send.closed() => return,
                    () = driver.stopped() => {
                        let _ = send.send(Err(Status::unavailable("the node stops; watch on another"))).await;
                        return;
                    }
                }
            }
        });
        ReceiverStream::new(receive)
    }
}

#[tonic::async_trait]
impl SupervisorService for Supervisors {
    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let ask = request.into_inner();
        self.at(ask.consistency).await?;
        let state = self.driver.state();
        let wanted = |a: &AgentState| {
            (ask.region_id.is_empty() || a.region_id == ask.region_id)
                && (ask.presence == 0 || a.presence == ask.presence)
        };
        let items = state
            .agents()
            .range::<AgentId, _>(after::<AgentId>(&ask.page_token))
            .map(|(_, a)| view::agent(&state, a))
            .filter(wanted);
        let (agents, next_page_token) = page(ask.page_size, items, |a| a.agent_id.clone())?;
        Ok(Response::new(ListAgentsResponse {
            agents,
            next_page_token,
            log_index: state.meta().index,
        }))
    }

    async fn list_queues(
        &self,
        request: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        let ask = request.into_inner();
        self.at(ask.consistency).await?;
        let state = self.driver.state();
        let items = state
            .queues()
            .range::<QueueId, _>(after::<QueueId>(&ask.page_token))
            .map(|(_, q)| view::queue(&state, q));
        let (queues, next_page_token) = page(ask.page_size, items, |q| q.queue_id.clone())?;
        Ok(Response::new(ListQueuesResponse {
            queues,
            next_page_token,
            log_index: state.meta().index,
        }))
    }

    async fn list_chats(
        &self,
        request: Request<ListChatsRequest>,
    ) -> Result<Response<ListChatsResponse>, Status> {
        let ask = request.into_inner();
        self.at(ask.consistency).await?;
        let state = self.driver.state();
        let items = state
            .chats()
            .range::<ChatId, _>(after::<ChatId>(&ask.page_token))
            .map(|(_, c)| c)
            .filter(|c| ask.queue_id.is_empty() || c.queue.0 == ask.queue_id)
            .filter(|c| ask.agent_id.is_empty() || c.holder().is_some_and(|a| a.0 == ask.agent_id))
            .filter(|c| ask.phase == 0 || i32::from(view::phase(&c.phase)) == ask.phase)
            .map(|c| view::chat(&state, c));
        let (chats, next_page_token) = page(ask.page_size, items, |c| c.chat_id.clone())?;
        Ok(Response::new(ListChatsResponse {
            chats,
            next_page_token,
            log_index: state.meta().index,
        }))
    }

    async fn get_chat(
        &self,
        request: Request<GetChatRequest>,
    ) -> Result<Response<GetChatResponse>, Status> {
        let ask = request.into_inner();
        self.at(ask.consistency).await?;
        let id = ChatId(ask.chat_id);
        let known = {
            let state = self.driver.state();
            state.chats().get(&id).map(|c| view::chat(&state, c))
        };
        let chat = match known {
            Some(chat) => chat,
            None => {
                let past = self.past(&id).await?;
                view::chat(&self.driver.state(), &past)
            }
        };
        Ok(Response::new(GetChatResponse {
            chat: Some(chat),
            log_index: self.driver.state().meta().index,
        }))
    }

    async fn explain_chat(
        &self,
        request: Request<ExplainChatRequest>,
    ) -> Result<Response<ExplainChatResponse>, Status> {
        let ask = request.into_inner();
        self.at(ask.consistency).await?;
        let id = ChatId(ask.chat_id);
        let known = self.driver.state().chats().get(&id).cloned();
        let chat = match known {
            Some(chat) => chat,
            None => self.past(&id).await?,
        };
        let state = self.driver.state();
        Ok(Response::new(ExplainChatResponse {
            chat: Some(view::chat(&state, &chat)),
            events: chat.events.iter().map(view::event).collect(),
            candidates: state
                .standing(&id, STANDING_MAX)
                .iter()
                .map(view::candidate)
                .collect(),
            log_index: state.meta().index,
        }))
    }

    type WatchAgentsStream = ReceiverStream<Result<AgentState, Status>>;

    async fn watch_agents(
        &self,
        request: Request<WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        let region = request.into_inner().region_id;
        if !region.is_empty()
            && !self
                .driver
                .state()
                .regions()
                .contains_key(&RegionId(region.clone()))
        {
            return Err(not_found("region_id", "region", &region));
        }
        Ok(Response::new(self.watch(move |driver| {
            let state = driver.state();
            let agents = state
                .agents()
                .values()
                .filter(|a| region.is_empty() || a.config.region.0 == region);
            agents
                .map(|a| {
                    (
                        a.config.id.0.clone(),
                        AgentState {
                            log_index: 0,
                            ..view::agent(&state, a)
                        },
                    )
                })
                .collect()
        })))
    }

    type WatchQueuesStream = ReceiverStream<Result<QueueState, Status>>;

    async fn watch_queues(
        &self,
        request: Request<WatchQueuesRequest>,
    ) -> Result<Response<Self::WatchQueuesStream>, Status> {
        let queue = request.into_inner().queue_id;
        if !queue.is_empty()
            && !self
                .driver
                .state()
                .queues()
                .contains_key(&QueueId(queue.clone()))
        {
            return Err(not_found("queue_id", "queue", &queue));
        }
        Ok(Response::new(self.watch(move |driver| {
            let state = driver.state();
            let queues = state
                .queues()
                .values()
                .filter(|q| queue.is_empty() || q.id.0 == queue);
            queues
                .map(|q| (q.id.0.clone(), view::queue(&state, q)))
                .collect()
        })))
    }
}
