//! What supervisors read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1::supervisor_service_server::SupervisorService;
use meridian_proto::livechat::v1::*;
use meridian_routing::command::Command;
use meridian_routing::explain::Rule;
use meridian_routing::ids::*;
use meridian_routing::limits;
use meridian_routing::model::Watch;
use meridian_routing::reason::Candidate as Weighed;
use meridian_routing::state::State;
use meridian_routing::why::Waits;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::pages::Listing;
use super::status::{ended, failed, invalid, not_found, past_failed, rejected};
use super::{actor, fresh, origin, request_id};
use crate::convert::{api, view};
use crate::driver::{Driver, Origin};
use crate::past::Moment;

/// Watchers of queues and agents are told at most this often.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Chats of which is told why an agent would not have them.
const REFUSALS_MAX: usize = 20;
/// Longest name of a supervisor, in bytes.
const WHO_BYTES_MAX: usize = limits::NAME_BYTES_MAX;
/// Agents whose standing towards a waiting chat is told.
const STANDING_MAX: usize = 100;
/// The same as of a former moment, where everybody is asked for: about 10 MB.
const EVERYBODY_MAX: usize = 100_000;

/// Serves supervisors.
pub struct Supervisors {
    driver: Arc<Driver>,
}

/// What a watch sends: a whole object, or word that it is gone.
trait Watched: Clone + PartialEq + Send + Sync + 'static {
    /// That the object of this id was removed.
    fn removed(id: &str) -> Self;
    /// Where the replica stood; no difference by itself.
    fn at(&mut self, log_index: u64);
}

impl Watched for AgentState {
    fn removed(id: &str) -> Self {
        Self {
            agent_id: id.to_owned(),
            removed: true,
            ..Default::default()
        }
    }
    fn at(&mut self, log_index: u64) {
        self.log_index = log_index;
    }
}

impl Watched for QueueState {
    fn removed(id: &str) -> Self {
        Self {
            queue_id: id.to_owned(),
            removed: true,
            ..Default::default()
        }
    }
    fn at(&mut self, log_index: u64) {
        self.log_index = log_index;
    }
}

/// What to tell of the objects there are `now` to whoever was told what is in `shown`.
fn news<T: Watched>(shown: &BTreeMap<String, T>, now: &BTreeMap<String, T>) -> Vec<T> {
    let changed = now.iter().filter(|(id, item)| shown.get(*id) != Some(item));
    let gone = shown.keys().filter(|id| !now.contains_key(*id));
    let gone = gone.map(|id| T::removed(id));
    changed.map(|(_, item)| item.clone()).chain(gone).collect()
}

impl Supervisors {
    /// Serves from this node's driver.
    pub fn new(driver: Arc<Driver>) -> Self {
        Self { driver }
    }

    async fn at(&self, consistency: i32) -> Result<(), Status> {
        if fresh(consistency)? {
            self.driver.fresh().await.map_err(|e| failed(&e))?;
        }
        Ok(())
    }

    /// Writes what a supervisor does to a chat; the chat afterwards.
    async fn act(
        &self,
        id: &str,
        who: &str,
        origin: Origin,
        chat: ChatId,
        command: Command,
    ) -> Result<Chat, Status> {
        let id = request_id(id)?;
        if !(1..=WHO_BYTES_MAX).contains(&who.len()) {
            let problem = format!("has {} bytes; give 1 to {WHO_BYTES_MAX}", who.len());
            return Err(invalid("supervisor_id", &problem));
        }
        let who = actor("supervisor", who);
        let written = self.driver.write(id, who, origin, command).await;
        written.map_err(|e| failed(&e))?;
        self.shown(&chat).await
    }

    /// A chat, open or closed, as the API shows it.
    async fn shown(&self, id: &ChatId) -> Result<Chat, Status> {
        let known = {
            let state = self.driver.state();
            state.chats().get(id).map(|c| view::chat(&state, c))
        };
        match known {
            Some(chat) => Ok(chat),
            None => {
                let past = self.past(id).await?;
                Ok(view::chat(&self.driver.state(), &past))
            }
        }
    }

    /// A chat, open or closed.
    async fn known(&self, id: &ChatId) -> Result<meridian_routing::state::Chat, Status> {
        let known = self.driver.state().chats().get(id).cloned();
        match known {
            Some(chat) => Ok(chat),
            None => self.past(id).await,
        }
    }

    async fn past(&self, id: &ChatId) -> Result<meridian_routing::state::Chat, Status> {
        let past = self.driver.history(id).await.map_err(|e| failed(&e))?;
        past.ok_or_else(|| not_found("chat_id", "chat", id.as_str()))
    }

    /// Sends each item that differs from what was sent before, and word of those that are gone, whenever
    /// something changes, at most every [`WATCH_EVERY`].
    fn watch<T, F>(&self, look: F) -> ReceiverStream<Result<T, Status>>
    where
        T: Watched,
        F: Fn(&State) -> BTreeMap<String, T> + Send + 'static,
    {
        let (send, receive) = mpsc::channel(16);
        let driver = self.driver.clone();
        let mut changes = driver.delivery().all();
        tokio::spawn(async move {
            let mut shown = BTreeMap::new();
            loop {
                changes.mark_unchanged();
                let (index, now) = {
                    let state = driver.state();
                    (state.meta().index, look(&state))
                };
                for mut item in news(&shown, &now) {
                    item.at(index);
                    if send.send(Ok(item)).await.is_err() {
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
                        let _ = send.send(Err(ended("the node stops; watch on another"))).await;
                        return;
                    }
                }
            }
        });
        ReceiverStream::new(receive)
    }
}

/// A chat's story, with how at most so many agents stand towards it in a state.
fn explain(
    state: &State,
    chat: &meridian_routing::state::Chat,
    standing_max: usize,
) -> ExplainChatResponse {
    let standing = state.standing(&chat.id);
    ExplainChatResponse {
        chat: Some(view::chat(state, chat)),
        events: chat.events.iter().map(view::event).collect(),
        candidates: standing
            .iter()
            .take(standing_max)
            .map(view::candidate)
            .collect(),
        log_index: state.meta().index,
        at_ms: state.meta().now,
        waits: state.why_waits(&chat.id, &standing).map(waits),
    }
}

/// Why a chat waits, for people and for programs.
fn waits(w: Waits) -> WaitReasons {
    let counts: Vec<String> = w
        .rules
        .iter()
        .map(|(rule, agents)| format!("{agents} by {}", view::rule(*rule)))
        .collect();
    let summary = if counts.is_empty() {
        "no agent serves its queue, or one in its reach".to_owned()
    } else {
        format!(
            "of the agents in reach it is kept from {}",
            counts.join(", ")
        )
    };
    let count = |(rule, agents): &(Rule, u32)| RuleCount {
        rule: view::rule(*rule).to_owned(),
        agents: *agents,
    };
    WaitReasons {
        summary,
        rules: w.rules.iter().map(count).collect(),
        next_step_ms: w.next_stage.unwrap_or(0),
        next_shift_ms: w.next_shift.unwrap_or(0),
    }
}

/// Refuses a filter that names what is not there; an empty one lets everything through.
fn known(
    field: &str,
    kind: &'static str,
    id: &str,
    there: impl FnOnce(&str) -> bool,
) -> Result<(), Status> {
    if id.is_empty() || there(id) {
        return Ok(());
    }
    Err(not_found(field, kind, id))
}

fn known_region(state: &State, id: &str) -> Result<(), Status> {
    known("region_id", "region", id, |id| {
        state.regions().contains_key(&id.into())
    })
}

fn known_queue(state: &State, id: &str) -> Result<(), Status> {
    known("queue_id", "queue", id, |id| {
        state.queues().contains_key(&id.into())
    })
}

#[tonic::async_trait]
impl SupervisorService for Supervisors {
    async fn list_agents(
        &self,
        request: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        let ask = request.into_inner();
        if Presence::try_from(ask.presence).is_err() {
            return Err(invalid(
                "presence",
                "is unknown; give one of the API's, or none",
            ));
        }
        let filter = [ask.region_id.as_str(), &ask.presence.to_string()];
        let listing = Listing::new("agents", &filter, ask.page_size, &ask.page_token)?;
        self.at(ask.consistency).await?;
        let state = self.driver.state();
        known_region(&state, &ask.region_id)?;
        let items = state
            .agents()
            .range(listing.from::<AgentId>())
            .map(|(_, a)| a)
            .filter(|a| ask.region_id.is_empty() || a.config.region.as_str() == ask.region_id)
            .filter(|a| ask.presence == 0 || i32::from(view::presence(a.presence)) == ask.presence);
        let (agents, next_page_token) = listing.page(items, |a| a.config.id.as_str());
        Ok(Response::new(ListAgentsResponse {
            agents: agents.into_iter().map(|a| view::agent(&state, a)).collect(),
            next_page_token,
            log_index: state.meta().index,
        }))
    }

    async fn list_queues(
        &self,
        request: Request<ListQueuesRequest>,
    ) -> Result<Response<ListQueuesResponse>, Status> {
        let ask = request.into_inner();
        let listing = Listing::new("queues", &[], ask.page_size, &ask.page_token)?;
        self.at(ask.consistency).await?;
        let now = self.driver.now();
        let state = self.driver.state();
        let items = state.queues().range(listing.from::<QueueId>());
        let (queues, next_page_token) = listing.page(items.map(|(_, q)| q), |q| q.id.as_str());
        Ok(Response::new(ListQueuesResponse {
            queues: queues
                .into_iter()
                .map(|q| view::queue(&state, q, now))
                .collect(),
            next_page_token,
            log_index: state.meta().index,
        }))
    }

    async fn list_chats(
        &self,
        request: Request<ListChatsRequest>,
    ) -> Result<Response<ListChatsResponse>, Status> {
        let ask = request.into_inner();
        if ChatPhase::try_from(ask.phase).is_err() {
            return Err(invalid(
                "phase",
                "is unknown; give one of the API's, or none",
            ));
        }
        let filter = [ask.queue_id.as_str(), &ask.agent_id, &ask.phase.to_string()];
        let listing = Listing::new("chats", &filter, ask.page_size, &ask.page_token)?;
        self.at(ask.consistency).await?;
        let state = self.driver.state();
        known_queue(&state, &ask.queue_id)?;
        known("agent_id", "agent", &ask.agent_id, |id| {
            state.agents().contains_key(&id.into())
        })?;
        let items = state
            .chats()
            .range(listing.from::<ChatId>())
            .map(|(_, c)| c)
            .filter(|c| ask.queue_id.is_empty() || c.queue.as_str() == ask.queue_id)
            .filter(|c| {
                ask.agent_id.is_empty() || c.holders().iter().any(|a| a.as_str() == ask.agent_id)
            })
            .filter(|c| ask.phase == 0 || i32::from(view::phase(&c.phase)) == ask.phase);
        let (chats, next_page_token) = listing.page(items, |c| c.id.as_str());
        Ok(Response::new(ListChatsResponse {
            chats: chats.into_iter().map(|c| view::chat(&state, c)).collect(),
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
        let id = ChatId::from(ask.chat_id);
        // First: what is shown is at least as new.
        let log_index = self.driver.state().meta().index;
        Ok(Response::new(GetChatResponse {
            chat: Some(self.shown(&id).await?),
            log_index,
        }))
    }

    async fn explain_chat(
        &self,
        request: Request<ExplainChatRequest>,
    ) -> Result<Response<ExplainChatResponse>, Status> {
        let ask = request.into_inner();
        self.at(ask.consistency).await?;
        let id = ChatId::from(ask.chat_id);
        let moment = match ask.then {
            Some(explain_chat_request::Then::AtMs(at)) => Moment::At(at),
            Some(explain_chat_request::Then::AtIndex(index)) => Moment::Index(index),
            None => {
                let chat = self.known(&id).await?;
                let state = self.driver.state();
                return Ok(Response::new(explain(&state, &chat, STANDING_MAX)));
            }
        };
        let chat = self.known(&id).await?;
        let explained = self.driver.then(moment, id.clone(), move |then, told| {
            let was = then.chats().get(&id);
            // Closed so long before that it had left the state.
            let over = chat.closed != 0 && chat.closed <= then.meta().now;
            let chat = was.or(over.then_some(&chat)).ok_or(chat.arrived)?;
            let mut explained = explain(then, chat, EVERYBODY_MAX);
            for event in &mut explained.events {
                event.complete = Some(event.log_index) == told && !event.candidates.is_empty();
            }
            Ok(explained)
        });
        let explained = explained.await.map_err(|e| past_failed(&e))?;
        explained.map(Response::new).map_err(|arrived: i64| {
            let field = match moment {
                Moment::At(_) => "at_ms",
                Moment::Index(_) => "at_index",
            };
            let problem = format!("is before the chat arrived, which was at {arrived}");
            invalid(field, &problem)
        })
    }

    async fn supervise_chat(
        &self,
        request: Request<SuperviseChatRequest>,
    ) -> Result<Response<SuperviseChatResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let how = match WatchMode::try_from(ask.mode) {
            Ok(WatchMode::Unspecified) => None,
            Ok(WatchMode::Monitor) => Some(Watch::Monitor),
            Ok(WatchMode::Whisper) => Some(Watch::Whisper),
            Ok(WatchMode::Barge) => Some(Watch::Barge),
            Err(_) => {
                let problem = "is unknown; give MONITOR, WHISPER, BARGE or none";
                return Err(invalid("mode", problem));
            }
        };
        let chat = ChatId::from(ask.chat_id);
        let command = Command::Supervise {
            chat: chat.clone(),
            how,
        };
        let chat = self
            .act(&ask.request_id, &ask.supervisor_id, origin, chat, command)
            .await?;
        Ok(Response::new(SuperviseChatResponse { chat: Some(chat) }))
    }

    async fn move_chat(
        &self,
        request: Request<MoveChatRequest>,
    ) -> Result<Response<MoveChatResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let chat = ChatId::from(ask.chat_id);
        let command = Command::MoveChat {
            chat: chat.clone(),
            to: api::destination(ask.to.as_ref()).map_err(|r| rejected(&r))?,
            note: ask.note,
        };
        let chat = self
            .act(&ask.request_id, &ask.supervisor_id, origin, chat, command)
            .await?;
        Ok(Response::new(MoveChatResponse { chat: Some(chat) }))
    }

    async fn close_tracked(
        &self,
        request: Request<CloseTrackedRequest>,
    ) -> Result<Response<CloseTrackedResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let chat = ChatId::from(ask.chat_id);
        let command = Command::CloseTracked {
            chat: chat.clone(),
            outcome: ask.outcome,
        };
        let chat = self
            .act(&ask.request_id, &ask.supervisor_id, origin, chat, command)
            .await?;
        Ok(Response::new(CloseTrackedResponse { chat: Some(chat) }))
    }

    async fn what_if(
        &self,
        request: Request<WhatIfRequest>,
    ) -> Result<Response<WhatIfResponse>, Status> {
        let ask = request.into_inner();
        let agent = AgentId::from(ask.agent_id);
        let copy = self.driver.state().clone();
        let capacity = copy.agents().get(&agent).map_or(0, |a| a.config.capacity);
        // The state is copied once more and played on, which may take a while where it is large.
        let told = crate::aside::aside(move || {
            let what = copy.what_if(&agent, ask.overtime, REFUSALS_MAX)?;
            let refusal = |(chat, c): &(ChatId, Weighed)| Refusal {
                chat_id: chat.to_string(),
                candidate: Some(view::candidate(c)),
            };
            Ok(WhatIfResponse {
                offered: what.offered.iter().map(|c| view::chat(&copy, c)).collect(),
                load: what.load,
                capacity,
                refusals: what.refusals.iter().map(refusal).collect(),
                log_index: copy.meta().index,
            })
        });
        let told = told.await.map_err(|e| Status::internal(e.to_string()))?;
        Ok(Response::new(told.map_err(|r| rejected(&r))?))
    }

    type WatchAgentsStream = ReceiverStream<Result<AgentState, Status>>;

    async fn watch_agents(
        &self,
        request: Request<WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        let region = request.into_inner().region_id;
        known_region(&self.driver.state(), &region)?;
        Ok(Response::new(self.watch(move |state| {
            let agents = state.agents().values();
            agents
                .filter(|a| region.is_empty() || a.config.region.as_str() == region)
                .map(|a| {
                    let mut now = view::agent(state, a);
                    now.log_index = 0;
                    (now.agent_id.clone(), now)
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
        known_queue(&self.driver.state(), &queue)?;
        let driver = self.driver.clone();
        Ok(Response::new(self.watch(move |state| {
            let queues = state.queues().values();
            queues
                .filter(|q| queue.is_empty() || q.id.as_str() == queue)
                .map(|q| {
                    let mut now = view::queue(state, q, driver.now());
                    now.log_index = 0;
                    (now.queue_id.clone(), now)
                })
                .collect()
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_tells_what_changed_and_what_is_gone_once() {
        let agents = |agents: &[(&str, u32)]| -> BTreeMap<String, AgentState> {
            let agent = |(id, load): &(&str, u32)| {
                let state = AgentState {
                    agent_id: (*id).to_owned(),
                    load: *load,
                    ..Default::default()
                };
                ((*id).to_owned(), state)
            };
            agents.iter().map(agent).collect()
        };
        let before = agents(&[("a", 1), ("b", 1), ("c", 1)]);
        let now = agents(&[("a", 1), ("b", 2), ("d", 0)]);
        let told = news(&before, &now);
        let told: Vec<_> = told
            .iter()
            .map(|a| (a.agent_id.as_str(), a.load, a.removed))
            .collect();
        assert_eq!(told, [("b", 2, false), ("d", 0, false), ("c", 0, true)]);
        assert!(news(&now, &now).is_empty());
    }
}
