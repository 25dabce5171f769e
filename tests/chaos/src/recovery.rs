//! How long nobody is taken in after something is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian_people::stage::{Person, Stage};
use meridian_people::visitors;
use meridian_people::world::QUEUES;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::fault::Fault;

/// How often a survivor is asked.
const EVERY: Duration = Duration::from_millis(20);
/// How long is waited for one answer: no longer than a call that was sent into nothing may hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Longer, and it counts as not coming back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// How long it took, by what was lost.
#[derive(Debug, Default)]
pub struct Recoveries(BTreeMap<Fault, Vec<Duration>>);

/// The same in figures.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// How often it was measured.
    pub rounds: usize,
    /// The shortest.
    pub min_ms: u128,
    /// The one in the middle.
    pub median_ms: u128,
    /// The longest.
    pub max_ms: u128,
    /// How many took longer than the bound.
    pub over_bound: usize,
}

impl Recoveries {
    /// Adds one.
    pub fn add(&mut self, fault: Fault, took: Duration) {
        self.0.entry(fault).or_default().push(took);
    }

    /// In figures, against a bound.
    pub fn figures(&self, bound: Duration) -> BTreeMap<String, Figures> {
        let figures = self.0.iter().map(|(fault, took)| {
            let mut took = took.clone();
            took.sort();
            let at = |share: usize| took[(took.len() - 1) * share / 2].as_millis();
            let figures = Figures {
                rounds: took.len(),
                min_ms: at(0),
                median_ms: at(1),
                max_ms: at(2),
                over_bound: took.iter().filter(|took| **took > bound).count(),
            };
            (format!("{fault:?}"), figures)
        });
        figures.collect()
    }
}

/// Asks every survivor from its own region to take in one and the same chat, until one has; how long that took since a
/// moment.
///
/// # Errors
/// Nobody takes it in.
pub async fn measure(
    stage: &Stage,
    name: &str,
    survivors: &[(u64, usize)],
    since: Instant,
) -> anyhow::Result<Duration> {
    let asked = stage.ledger.asks();
    let ask = StartChatRequest {
        request_id: name.to_owned(),
        queue_id: QUEUES[0].to_owned(),
        languages: vec!["en".to_owned()],
        visitor_id: name.to_owned(),
        ..Default::default()
    };
    let mut under_way = JoinSet::new();
    let clients: Vec<_> = survivors
        .iter()
        .map(|&(node, region)| {
            let me = Person {
                number: 7_000_000,
                region,
            };
            VisitorServiceClient::new(stage.ways.channel(me, node))
        })
        .collect();
    let chat = loop {
        anyhow::ensure!(
            since.elapsed() < BACK_WITHIN,
            "5: nobody is taken in {BACK_WITHIN:?} after the loss ({name}, asked of {survivors:?})"
        );
        for client in &clients {
            let (mut client, ask) = (client.clone(), ask.clone());
            under_way.spawn(timeout(ANSWER_WITHIN, async move {
                client.start_chat(ask).await
            }));
        }
        let answered = async {
            while let Some(answer) = under_way.join_next().await {
                if let Ok(Ok(Ok(told))) = answer
                    && let Some(chat) = told.into_inner().chat
                {
                    return chat;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            chat = answered => break chat,
            () = sleep(EVERY) => {}
        }
    };
    let took = since.elapsed();
    let (id, who) = (chat.chat_id, format!("visitor:{name}"));
    stage
        .ledger
        .answers(&who, name, asked, true, Some(chat.log_index));
    stage.ledger.answers_with(&who, name, &id);
    stage
        .promises
        .lock()
        .chats
        .insert(name.to_owned(), id.clone());
    // Agents have enough to do. Whoever is not told so has left, or is served.
    if let Some(client) = clients.first() {
        visitors::leave(stage, &mut client.clone(), &id).await;
    }
    Ok(took)
}
