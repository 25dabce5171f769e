//! A simulated visitor, over the same API as a real one.

use std::sync::Arc;
use std::time::Duration;

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_traffic::arrivals::Arrival;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt as _;

use super::ledger::{Act, Asked, Deed, Ledger};
use super::plan::HUMAN;
use super::ways::{CALL, Evening, Missed, PAUSE, Ways, call};
use crate::time::now_ms;

/// One visitor and the chat.
pub struct Visitor {
    /// Tells apart what this visitor asks.
    pub number: usize,
    /// Who, what about, how patient.
    pub arrival: Arrival,
    /// When to come.
    pub comes: Instant,
    /// How to reach the cluster.
    pub ways: Ways,
    /// When to stop.
    pub evening: Evening,
    /// Where to note what was told.
    pub ledger: Arc<Ledger>,
}

/// How a watched chat went on.
enum Turn {
    Closed(api::CloseReason),
    Broken,
    Stopped,
}

/// What the visitor has seen and decided.
struct Mind {
    patience: Instant,
    answered: bool,
    leaving: bool,
    /// Whether the chat is put off now, and whether it ever was.
    put_off: (bool, bool),
}

impl Visitor {
    /// Comes, asks, waits as long as the patience lasts, talks, rates and goes.
    pub async fn play(mut self) {
        sleep_until(self.comes).await;
        let came_ms = now_ms();
        self.ledger.offered();
        let Some(chat) = self.ask(came_ms).await else {
            return;
        };
        let mut mind = Mind {
            patience: self.comes
                + Duration::from_millis(u64::from(self.arrival.patience_ms) / HUMAN),
            answered: false,
            leaving: false,
            put_off: (false, false),
        };
        let mut closed = api::CloseReason::Unspecified;
        for way in self.ways.0.clone().iter().cycle() {
            let ask = api::WatchChatRequest {
                chat_id: chat.clone(),
            };
            let mut client = VisitorServiceClient::new(way.clone());
            let opened = tokio::select! {
                opened = timeout(CALL, client.watch_chat(ask)) => opened,
                () = self.evening.stopped() => return,
            };
            if let Ok(Ok(watched)) = opened {
                match self.watch(&chat, watched.into_inner(), &mut mind).await {
                    Turn::Closed(how) => {
                        closed = how;
                        break;
                    }
                    Turn::Stopped => return,
                    Turn::Broken => {}
                }
            }
            sleep(PAUSE).await;
        }
        if closed == api::CloseReason::Answered {
            self.rate(chat).await;
        }
    }

    /// Asks for help; the chat's id once it is taken in.
    async fn ask(&mut self, came_ms: i64) -> Option<String> {
        let arrival = &self.arrival;
        let skill = |s: &meridian_traffic::organisation::SkillLevel| api::SkillLevel {
            skill: s.skill.clone(),
            level: s.level,
        };
        let request = api::StartChatRequest {
            request_id: format!("demo-{}", self.number),
            queue_id: arrival.queue.clone(),
            languages: arrival.languages.clone(),
            accept_language: String::new(),
            region_id: arrival.region.to_string(),
            visitor_id: arrival.visitor.clone(),
            skills: arrival.skills.iter().map(skill).collect(),
            priority: arrival.priority,
            weight: arrival.weight,
            topic: arrival.topic.clone(),
            ..Default::default()
        };
        let started = call(&self.ways, &mut self.evening, async |way| {
            VisitorServiceClient::new(way)
                .start_chat(request.clone())
                .await
        });
        match started.await.map(|s| s.into_inner().chat) {
            Ok(Some(chat)) => {
                self.ledger.accepted(&self.arrival, came_ms, &chat);
                Some(chat.chat_id)
            }
            Ok(None) => {
                self.ledger
                    .mishap("a chat was taken in without a name".to_owned());
                None
            }
            Err(Missed::Refused(status)) => {
                self.ledger.refused(status.message());
                None
            }
            Err(Missed::Unknown) => {
                self.ledger.unknown(Asked {
                    queue: self.arrival.queue.clone(),
                    languages: self.arrival.languages.clone(),
                });
                None
            }
        }
    }

    /// Follows the chat on one stream.
    async fn watch(
        &mut self,
        chat: &str,
        mut watched: tonic::Streaming<api::Chat>,
        mind: &mut Mind,
    ) -> Turn {
        loop {
            // Nobody sits and waits who was told to come back later; nobody stays past the evening.
            let (put_off, ever) = mind.put_off;
            let impatient = !(mind.answered || mind.leaving || ever);
            let lingers = !(mind.leaving || put_off);
            let home = self.evening.home;
            tokio::select! {
                () = self.evening.stopped() => return Turn::Stopped,
                () = sleep_until(mind.patience), if impatient => self.leave(chat, mind).await,
                () = sleep_until(home), if lingers => self.leave(chat, mind).await,
                seen = watched.next() => {
                    let Some(Ok(now)) = seen else { return Turn::Broken };
                    if now.answered_ms > 0 && !mind.answered {
                        mind.answered = true;
                        self.ledger.answer_seen(chat);
                    }
                    mind.put_off.0 = now.phase() == api::ChatPhase::Deferred;
                    mind.put_off.1 |= mind.put_off.0;
                    self.ledger.seen(&now);
                    if now.phase() == api::ChatPhase::Closed {
                        return Turn::Closed(now.closed());
                    }
                }
            }
        }
    }

    async fn leave(&mut self, chat: &str, mind: &mut Mind) {
        mind.leaving = true;
        let leave = api::LeaveChatRequest {
            request_id: format!("demo-leave-{}", self.number),
            chat_id: chat.to_owned(),
        };
        let left = call(&self.ways, &mut self.evening, async |way| {
            VisitorServiceClient::new(way)
                .leave_chat(leave.clone())
                .await
        });
        match left.await {
            Ok(answer) => {
                let now = answer.into_inner().chat.unwrap_or_default();
                self.ledger.done(Deed {
                    act: Act::Leave,
                    chat: chat.to_owned(),
                    agent: String::new(),
                    index: now.log_index,
                });
                self.ledger.seen(&now);
            }
            Err(Missed::Refused(status)) => self.ledger.mishap(format!(
                "a visitor may not leave chat {chat}: {}",
                status.message()
            )),
            // The watch tells what came of it.
            Err(Missed::Unknown) => {}
        }
    }

    async fn rate(&mut self, chat: String) {
        let rate = api::RateChatRequest {
            request_id: format!("demo-rate-{}", self.number),
            chat_id: chat.clone(),
            stars: 3 + (self.number % 3) as u32,
            comment: String::new(),
        };
        let rated = call(&self.ways, &mut self.evening, async |way| {
            VisitorServiceClient::new(way).rate_chat(rate.clone()).await
        });
        match rated.await {
            Ok(_) => self.ledger.done(Deed {
                act: Act::Rate,
                chat,
                agent: String::new(),
                index: 0,
            }),
            Err(Missed::Refused(status)) => self.ledger.mishap(format!(
                "a visitor may not rate chat {chat}: {}",
                status.message()
            )),
            Err(Missed::Unknown) => {}
        }
    }
}
