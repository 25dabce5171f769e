//! What a visitor's page calls.

use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1::visitor_service_server::VisitorService;
use meridian_proto::livechat::v1::*;
use meridian_routing::command::{Command, ConfigChange, NewChat};
use meridian_routing::effect::Answer;
use meridian_routing::ids::*;
use meridian_routing::limits::CHAT_LANGUAGES_MAX;
use meridian_routing::wait::Chance as Found;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::status::{ended, failed, invalid, not_found, rejected};
use super::{actor, origin, request_id};
use crate::convert::{api, view};
use crate::driver::Driver;
use crate::visitor_pages::VisitorPages;
use crate::{calendar, language};

/// How often a waiting visitor is told their place when nothing else changes.
const PLACE_EVERY: Duration = Duration::from_secs(2);

/// Serves visitors.
pub struct Visitors {
    driver: Arc<Driver>,
    pages: Arc<VisitorPages>,
}

impl Visitors {
    /// Serves from this node's driver.
    pub fn new(driver: Arc<Driver>) -> Self {
        let pages = Arc::default();
        Self { driver, pages }
    }

    /// What a visitor asks for, as the core wants it.
    fn new_chat(&self, ask: StartChatRequest) -> Result<NewChat, Status> {
        // Before each is made canonical.
        if ask.languages.len() > CHAT_LANGUAGES_MAX {
            let problem = format!(
                "{} given; give 1 to {CHAT_LANGUAGES_MAX}",
                ask.languages.len()
            );
            return Err(invalid("languages", &problem));
        }
        Ok(NewChat {
            chat: ChatId::from(self.driver.new_id()),
            queue: QueueId::from(ask.queue_id),
            languages: api::wanted(&ask.languages, &ask.accept_language)
                .map_err(|r| rejected(&r))?,
            resolved: Vec::new(),
            region: (!ask.region_id.is_empty()).then_some(RegionId::from(ask.region_id)),
            visitor: ask.visitor_id,
            skills: api::skills(&ask.skills),
            priority: ask.priority,
            weight: ask.weight,
            topic: ask.topic,
            vip: ask.vip,
            channel: ask.channel,
            kind: ask.kind,
            owner: (!ask.owner_agent_id.is_empty()).then_some(AgentId::from(ask.owner_agent_id)),
            lease_ms: ask.lease_ms,
        })
    }

    async fn chat(&self, id: &ChatId) -> Result<Chat, Status> {
        let known = {
            let state = self.driver.state();
            state.chats().get(id).map(|c| view::chat(&state, c))
        };
        if let Some(chat) = known {
            return Ok(chat);
        }
        let past = self.driver.history(id).await.map_err(|e| failed(&e))?;
        let past = past.ok_or_else(|| not_found("chat_id", "chat", id.as_str()))?;
        Ok(view::chat(&self.driver.state(), &past))
    }
}

#[tonic::async_trait]
impl VisitorService for Visitors {
    async fn get_outlook(
        &self,
        request: Request<GetOutlookRequest>,
    ) -> Result<Response<GetOutlookResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let zone = match ask.zone.as_str() {
            "" => jiff::tz::TimeZone::UTC,
            name => calendar::zone(name).map_err(|_| {
                let problem =
                    format!("'{name}' is not an IANA time zone; use a name such as Europe/Lisbon");
                invalid("zone", &problem)
            })?,
        };
        let asked = ask.chat.unwrap_or_default();
        let new = self.new_chat(asked)?;
        let command = Command::StartChat(new);
        command.check().map_err(|r| rejected(&r))?;
        let Command::StartChat(new) = language::explained(&self.driver.state(), command) else {
            return Err(Status::internal("a question changed under way"));
        };
        // What a tag means is learnt when it is first named.
        if !new.resolved.is_empty() {
            let meanings = new.resolved.iter().cloned();
            let learn = meanings.map(ConfigChange::LearnLanguage).collect();
            let learn = self.driver.write_for(origin, Command::Configure(learn));
            learn.await.map_err(|e| failed(&e))?;
        }
        let state = self.driver.state();
        let outlook = state.outlook(&new).map_err(|r| rejected(&r))?;
        let local = outlook.opens.and_then(|at| {
            let at = jiff::Timestamp::from_millisecond(at).ok()?;
            Some(
                at.to_zoned_datetime(zone)
                    .strftime("%Y-%m-%dT%H:%M:%S%:z")
                    .to_string(),
            )
        });
        let chance = match outlook.chance {
            Found::Open => Chance::Open,
            Found::Busy => Chance::Busy,
            Found::Unstaffed => Chance::Unstaffed,
            Found::Full => Chance::Full,
            Found::Closed => Chance::Closed,
        };
        Ok(Response::new(GetOutlookResponse {
            chance: chance.into(),
            position: outlook.place,
            expected_wait: outlook.wait.map(view::wait),
            opens_ms: outlook.opens.unwrap_or(0),
            opens_local: local.unwrap_or_default(),
            log_index: state.meta().index,
        }))
    }

    async fn leave_message(
        &self,
        request: Request<LeaveMessageRequest>,
    ) -> Result<Response<LeaveMessageResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let id = request_id(&ask.request_id)?;
        let chat = ChatId::from(ask.chat_id);
        let command = Command::LeaveMessage {
            chat: chat.clone(),
            text: ask.text,
            contact: ask.contact,
            at: ask.call_back_at_ms,
        };
        self.driver
            .write(id, actor("chat", chat.as_str()), origin, command)
            .await
            .map_err(|e| failed(&e))?;
        Ok(Response::new(LeaveMessageResponse {
            chat: Some(self.chat(&chat).await?),
        }))
    }

    async fn start_chat(
        &self,
        request: Request<StartChatRequest>,
    ) -> Result<Response<StartChatResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let id = request_id(&ask.request_id)?;
        let new = self.new_chat(ask)?;
        let written = self
            .driver
            .write(
                id,
                actor("visitor", &new.visitor),
                origin,
                Command::StartChat(new),
            )
            .await
            .map_err(|e| failed(&e))?;
        let Answer::Chat { chat, .. } = written.answer else {
            return Err(Status::internal("a chat was started but not named"));
        };
        Ok(Response::new(StartChatResponse {
            chat: Some(self.chat(&chat).await?),
        }))
    }

    type WatchChatStream = ReceiverStream<Result<Chat, Status>>;

    async fn watch_chat(
        &self,
        request: Request<WatchChatRequest>,
    ) -> Result<Response<Self::WatchChatStream>, Status> {
        let id = ChatId::from(request.into_inner().chat_id);
        // Registered before the first look, so that no change falls between.
        let wake = self.driver.delivery().chat(id.clone());
        if !self.driver.state().chats().contains_key(&id) {
            // This replica may lag behind the one that took the chat.
            self.driver.fresh().await.map_err(|e| failed(&e))?;
        }
        let first = self.chat(&id).await?;
        // The page of a live chat counts as there while its stream stands.
        let live = first.lease_ms > 0 && first.phase != i32::from(ChatPhase::Closed);
        let page = live.then(|| self.pages.follow(&self.driver, id.clone()));
        let (send, receive) = tokio::sync::mpsc::channel(4);
        let driver = self.driver.clone();
        tokio::spawn(async move {
            let _page = page;
            let mut last = first.clone();
            if send.send(Ok(first)).await.is_err() {
                return;
            }
            while last.phase != i32::from(ChatPhase::Closed) {
                let waits = last.phase == i32::from(ChatPhase::Waiting);
                tokio::select! {
                    () = wake.notified() => {}
                    () = tokio::time::sleep(PLACE_EVERY), if waits => {}
                    () = send.closed() => return,
                    () = driver.stopped() => {
                        let _ = send.send(Err(ended("the node stops; watch the chat on another"))).await;
                        return;
                    }
                }
                let now = {
                    let state = driver.state();
                    state.chats().get(&id).map(|c| view::chat(&state, c))
                };
                let Some(now) = now else {
                    // It closed and left memory while this stream slept.
                    let past = driver.history(&id).await;
                    let told = match past {
                        Ok(Some(past)) => Ok(view::chat(&driver.state(), &past)),
                        Ok(None) => Err(not_found("chat_id", "chat", id.as_str())),
                        Err(e) => Err(failed(&e)),
                    };
                    let _ = send.send(told).await;
                    return;
                };
                if now != last {
                    last = now.clone();
                    if send.send(Ok(now)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }

    async fn leave_chat(
        &self,
        request: Request<LeaveChatRequest>,
    ) -> Result<Response<LeaveChatResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let chat = ChatId::from(ask.chat_id);
        let id = request_id(&ask.request_id)?;
        self.driver
            .write(
                id,
                actor("chat", chat.as_str()),
                origin,
                Command::LeaveChat { chat: chat.clone() },
            )
            .await
            .map_err(|e| failed(&e))?;
        Ok(Response::new(LeaveChatResponse {
            chat: Some(self.chat(&chat).await?),
        }))
    }

    async fn rate_chat(
        &self,
        request: Request<RateChatRequest>,
    ) -> Result<Response<RateChatResponse>, Status> {
        let origin = origin(&request);
        let ask = request.into_inner();
        let id = request_id(&ask.request_id)?;
        let who = actor("chat", &ask.chat_id);
        let command = Command::RateChat {
            chat: ChatId::from(ask.chat_id),
            stars: ask.stars,
            comment: ask.comment,
        };
        self.driver
            .write(id, who, origin, command)
            .await
            .map_err(|e| failed(&e))?;
        Ok(Response::new(RateChatResponse {}))
    }
}
