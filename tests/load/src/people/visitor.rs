//! A simulated visitor, over the same API as a real one.

use std::sync::Arc;

use jiff::Timestamp;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_traffic::arrivals::Arrival;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::StreamExt as _;

use super::Habits;
use super::notes::{Act, Came, Deed, Notes};
use super::ways::{CALL, Evening, Missed, PAUSE, Ways, call};
use crate::configure::skills;

/// One visitor and the chat.
pub struct Visitor<N> {
    /// Tells apart what this visitor asks.
    pub number: u64,
    /// Who, what about, how patient.
    pub arrival: Arrival,
    /// When to come.
    pub comes: Instant,
    /// How to reach the cluster.
    pub ways: Ways,
    /// When to stop.
    pub evening: Evening,
    /// What people do.
    pub habits: Arc<Habits>,
    /// Where to note what was told.
    pub notes: Arc<N>,
}

/// How a watched chat went on.
enum Turn {
    Closed(api::CloseReason),
    Broken,
    Stopped,
}

/// What the visitor has seen and decided.
struct Mind {
    came: Came,
    patience: Instant,
    answered: bool,
    leaving: bool,
    /// Whether the chat is put off now, and whether it ever was.
    put_off: (bool, bool),
}

impl<N: Notes> Visitor<N> {
    /// Comes, asks, waits as long as the patience lasts, talks, rates and goes.
    pub async fn play(mut self) {
        sleep_until(self.comes).await;
        let came = Came {
            at: self.comes,
            ms: Timestamp::now().as_millisecond(),
        };
        self.notes.came(&self.arrival, came);
        let Some(chat) = self.ask(came).await else {
            return;
        };
        let mut mind = Mind {
            came,
            patience: self.comes + self.habits.here(self.arrival.patience_ms.into()),
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
        // Whoever rates is chosen by number, so that the same do in every run.
        let rates = self.number * 61 % 100 < self.habits.rate.into();
        if closed == api::CloseReason::Answered && rates {
            self.rate(chat).await;
        }
    }

    /// Asks for help; the chat's id once it is taken in.
    async fn ask(&mut self, came: Came) -> Option<String> {
        let arrival = &self.arrival;
        let request = api::StartChatRequest {
            request_id: format!("{}-{}", self.habits.run, self.number),
            queue_id: arrival.queue.clone(),
            languages: arrival.languages.clone(),
            accept_language: String::new(),
            region_id: arrival.region.to_string(),
            visitor_id: arrival.visitor.clone(),
            skills: skills(&arrival.skills),
            priority: arrival.priority,
            weight: arrival.weight,
            topic: arrival.topic.clone(),
            ..Default::default()
        };
        let started = call(&self.ways, &mut self.evening, |way| {
            let request = request.clone();
            async move { VisitorServiceClient::new(way).start_chat(request).await }
        });
        match started.await.map(|s| s.into_inner().chat) {
            Ok(Some(chat)) => {
                self.notes.taken_in(&self.arrival, came, &chat);
                self.notes.done(
                    Deed {
                        act: Act::Start,
                        chat: chat.chat_id.clone(),
                        agent: String::new(),
                        region: self.arrival.region.to_string(),
                        index: chat.log_index,
                    },
                    came.at.elapsed(),
                );
                Some(chat.chat_id)
            }
            Ok(None) => {
                self.notes
                    .mishap("a chat was taken in without a name".to_owned());
                None
            }
            Err(Missed::Refused(status)) => {
                self.notes.refused(&self.arrival, came, &status);
                None
            }
            Err(Missed::Unknown) => {
                self.notes.unknown(&self.arrival, came);
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
                        self.notes.answer_seen(&self.arrival, mind.came, chat);
                    }
                    mind.put_off.0 = now.phase() == api::ChatPhase::Deferred;
                    mind.put_off.1 |= mind.put_off.0;
                    self.notes.seen(&now);
                    if now.phase() == api::ChatPhase::Closed {
                        self.notes.over(&self.arrival, mind.came, &now);
                        return Turn::Closed(now.closed());
                    }
                }
            }
        }
    }

    async fn leave(&mut self, chat: &str, mind: &mut Mind) {
        let meant = Instant::now();
        mind.leaving = true;
        let leave = api::LeaveChatRequest {
            request_id: format!("{}-leave-{}", self.habits.run, self.number),
            chat_id: chat.to_owned(),
        };
        let left = call(&self.ways, &mut self.evening, |way| {
            let leave = leave.clone();
            async move { VisitorServiceClient::new(way).leave_chat(leave).await }
        });
        match left.await {
            Ok(answer) => {
                let now = answer.into_inner().chat.unwrap_or_default();
                let deed = Deed {
                    act: Act::Leave,
                    chat: chat.to_owned(),
                    agent: String::new(),
                    region: self.arrival.region.to_string(),
                    index: now.log_index,
                };
                self.notes.done(deed, meant.elapsed());
                self.notes.seen(&now);
            }
            Err(Missed::Refused(status)) => self.notes.mishap(format!(
                "a visitor may not leave chat {chat}: {}",
                status.message()
            )),
            // The watch tells what came of it.
            Err(Missed::Unknown) => {}
        }
    }

    async fn rate(&mut self, chat: String) {
        let rate = api::RateChatRequest {
            request_id: format!("{}-rate-{}", self.habits.run, self.number),
            chat_id: chat.clone(),
            stars: 3 + (self.number % 3) as u32,
            comment: String::new(),
        };
        let meant = Instant::now();
        let rated = call(&self.ways, &mut self.evening, |way| {
            let rate = rate.clone();
            async move { VisitorServiceClient::new(way).rate_chat(rate).await }
        });
        match rated.await {
            Ok(_) => {
                let deed = Deed {
                    act: Act::Rate,
                    chat,
                    agent: String::new(),
                    region: self.arrival.region.to_string(),
                    index: 0,
                };
                self.notes.done(deed, meant.elapsed());
            }
            Err(Missed::Refused(status)) => self.notes.mishap(format!(
                "a visitor may not rate chat {chat}: {}",
                status.message()
            )),
            Err(Missed::Unknown) => {}
        }
    }
}
