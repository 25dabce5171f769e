//! An agent at work.

use std::collections::VecDeque;
use std::time::Duration;

use meridian_proto::livechat::v1::agent_message::Action;
use meridian_proto::livechat::v1::agent_service_client::AgentServiceClient;
use meridian_proto::livechat::v1::server_message::Event;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Process, persist};

/// The desktop of agent `anna`.
pub struct Desktop {
    send: mpsc::Sender<AgentMessage>,
    events: Streaming<ServerMessage>,
    pub epoch: u64,
    sent: u64,
    pub chats: Vec<Chat>,
    /// Told, and not asked for yet.
    kept: VecDeque<Event>,
}

impl Desktop {
    pub async fn open(node: &Process, resume: u64) -> Result<Self, Status> {
        let (send, receive) = mpsc::channel(64);
        let hello = Hello {
            agent_id: "anna".into(),
            resume_epoch: resume,
            grace_ms: 20_000,
        };
        let first = AgentMessage {
            request_id: format!("hello-{resume}"),
            action: Some(Action::Hello(hello)),
        };
        send.send(first).await.expect("room for one");
        let mut agents = AgentServiceClient::new(node.channel.clone());
        let mut desktop = Self {
            send,
            events: agents
                .work(ReceiverStream::new(receive))
                .await?
                .into_inner(),
            epoch: 0,
            sent: 0,
            chats: Vec::new(),
            kept: VecDeque::new(),
        };
        let welcome = desktop
            .next(|event| match event {
                Event::Welcome(welcome) => Some(welcome.clone()),
                _ => None,
            })
            .await?;
        (desktop.epoch, desktop.chats) = (welcome.epoch, welcome.chats);
        Ok(desktop)
    }

    /// Opens at whichever node will have it.
    pub async fn open_at(nodes: &[Process], resume: u64) -> Self {
        for node in nodes.iter().cycle().take(1_000) {
            if let Ok(Ok(open)) = timeout(Duration::from_secs(5), Self::open(node, resume)).await {
                return open;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no node takes the agent");
    }

    pub async fn act(&mut self, action: Action) {
        self.sent += 1;
        let message = AgentMessage {
            request_id: self.sent.to_string(),
            action: Some(action),
        };
        self.send.send(message).await.expect("an open stream");
    }

    /// The first event of a kind that was not asked for yet; the others are kept.
    pub async fn next<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> Result<T, Status> {
        for (at, event) in self.kept.iter().enumerate() {
            if let Some(found) = pick(event) {
                self.kept.remove(at);
                return Ok(found);
            }
        }
        let found = async {
            loop {
                let message = self.events.message().await?;
                let message = message.ok_or_else(|| Status::cancelled("the stream ended"))?;
                let Some(event) = message.event else { continue };
                if let Some(found) = pick(&event) {
                    return Ok(found);
                }
                self.kept.push_back(event);
            }
        };
        timeout(Duration::from_secs(30), found)
            .await
            .expect("something is told within half a minute")
    }

    pub async fn reply(&mut self) -> ActionReply {
        let reply = self.next(|event| match event {
            Event::Reply(reply) => Some(reply.clone()),
            _ => None,
        });
        reply.await.expect("a reply")
    }

    /// Goes to work.
    pub async fn be_available(&mut self) {
        self.act(Action::SetPresence(SetPresence {
            presence: Presence::Available.into(),
            ..Default::default()
        }))
        .await;
        assert_eq!(self.reply().await.code, 0);
    }

    /// Takes the chat that is offered next.
    pub async fn accept_next(&mut self) -> String {
        let offer = self.next(|event| match event {
            Event::Offer(offer) => Some(offer.clone()),
            _ => None,
        });
        let offer = offer.await.expect("an offer");
        let chat_id = offer.chat.expect("of a chat").chat_id;
        self.act(Action::AcceptOffer(AcceptOffer {
            chat_id: chat_id.clone(),
            assignment: offer.assignment,
        }))
        .await;
        assert_eq!(self.reply().await.code, 0);
        chat_id
    }

    /// Signs on, and takes the chat a visitor starts.
    pub async fn take_a_chat(&mut self, node: &Process) -> String {
        self.be_available().await;
        let ask = StartChatRequest {
            request_id: "chat".into(),
            queue_id: "support".into(),
            languages: vec!["en".into()],
            ..Default::default()
        };
        let started = persist(std::slice::from_ref(&node.channel), 0, async |way| {
            VisitorServiceClient::new(way).start_chat(ask.clone()).await
        });
        started.await.expect("a chat is taken in");
        self.accept_next().await
    }
}
