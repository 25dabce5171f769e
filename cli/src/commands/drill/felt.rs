//! What users felt: somebody at every node asks for something that only a leader with a majority can answer, again and
//! again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::{JoinHandle, JoinSet};
use tonic::transport::Channel;

use crate::output::{Clock, Field, Output, Tabular, Tone};
use crate::time::format_millis;

/// How often each node is asked, whether it has answered or not.
const EVERY: Duration = Duration::from_millis(50);
/// How long is waited for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Users of one node, who ask until dropped.
pub struct Users {
    waits: Arc<Mutex<Vec<Wait>>>,
    asks: JoinHandle<()>,
}

/// From the first time something was asked until anything was answered.
#[derive(Clone, Copy, Debug)]
struct Wait {
    began: Instant,
    /// Not yet: nothing.
    answered: Option<Instant>,
    refused: u32,
}

impl Users {
    /// Begin to ask.
    pub fn new(channel: Channel) -> Self {
        let waits: Arc<Mutex<Vec<Wait>>> = Arc::default();
        let told = waits.clone();
        let asks = tokio::spawn(async move {
            let supervisor = SupervisorServiceClient::new(channel);
            let mut under_way = JoinSet::new();
            let mut every = tokio::time::interval(EVERY);
            loop {
                tokio::select! {
                    _ = every.tick() => {
                        ask(&told);
                        under_way.spawn(is_answered(supervisor.clone()));
                    }
                    Some(well) = under_way.join_next() => answer(&told, matches!(well, Ok(true))),
                }
            }
        });
        Self { waits, asks }
    }

    /// What they felt since a moment.
    pub fn felt(&self, since: Instant) -> Felt {
        let (waits, now) = (self.waits.lock(), Instant::now());
        let during = waits
            .iter()
            .filter(|w| w.answered.is_none_or(|at| at >= since));
        let mut felt = Felt::default();
        for wait in during {
            let waited = wait.answered.unwrap_or(now) - wait.began;
            felt.answered += u32::from(wait.answered.is_some());
            felt.refused += wait.refused;
            felt.longest_ms = felt.longest_ms.max(waited.as_millis() as u64);
        }
        felt
    }
}

/// Somebody asks; those who wait already go on waiting.
fn ask(waits: &Mutex<Vec<Wait>>) {
    let mut waits = waits.lock();
    if waits.last().is_none_or(|wait| wait.answered.is_some()) {
        waits.push(Wait {
            began: Instant::now(),
            answered: None,
            refused: 0,
        });
    }
}

/// Somebody was answered, or refused.
fn answer(waits: &Mutex<Vec<Wait>>, well: bool) {
    if let Some(wait) = waits.lock().last_mut() {
        if !well {
            wait.refused += 1;
        } else if wait.answered.is_none() {
            wait.answered = Some(Instant::now());
        }
    }
}

async fn is_answered(mut supervisor: SupervisorServiceClient<Channel>) -> bool {
    let ask = api::ListQueuesRequest {
        consistency: api::Consistency::Linearizable.into(),
        page_size: 1,
        ..Default::default()
    };
    let asked = tokio::time::timeout(ANSWER_WITHIN, supervisor.list_queues(ask));
    matches!(asked.await, Ok(Ok(_)))
}

impl Drop for Users {
    fn drop(&mut self) {
        self.asks.abort();
    }
}

/// What the users of one node felt.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Felt {
    /// How often they were answered.
    pub answered: u32,
    /// How often they were refused, or heard nothing in time.
    pub refused: u32,
    /// The longest anybody waited until anybody was answered, in ms.
    pub longest_ms: u64,
}

/// What the users of one node felt in one step.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was done.
    pub step: String,
    /// How long that took, in ms.
    pub took_ms: u64,
    /// The node's endpoint.
    pub endpoint: String,
    /// Whether it was stopped itself, so that its users had to go elsewhere.
    pub stopped: bool,
    /// What they felt.
    #[serde(flatten)]
    pub felt: Felt,
}

impl Tabular for Row {
    const HEADER: &'static [&'static str] = &[
        "step",
        "took",
        "endpoint",
        "answered",
        "refused",
        "longest wait",
    ];

    fn id(&self) -> String {
        self.step.clone()
    }

    fn row(&self, _: &Clock) -> Vec<Field> {
        let longest = match self.stopped {
            true => Field("stopped".to_owned(), Tone::Warn),
            false => Field::from(format_millis(self.felt.longest_ms)),
        };
        vec![
            Field::from(&self.step),
            Field::from(format_millis(self.took_ms)),
            Field::from(&self.endpoint),
            Field::from(u64::from(self.felt.answered)),
            Field::from(u64::from(self.felt.refused)),
            longest,
        ]
    }
}

/// What came of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Each step, by node.
    pub steps: Vec<Row>,
    /// How long the cluster expects to be without a leader at most, and the longest wait before the drill, in ms.
    pub bound_ms: u64,
    /// Agents who were signed on before.
    pub agents: usize,
    /// Of those, agents whose session was lost and is back; nothing when the cluster cannot tell.
    pub agents_back: Option<usize>,
    /// Of those, agents who are not back.
    pub agents_missing: Option<usize>,
    /// Why the drill was not finished, if it was not.
    pub failed: Option<String>,
    /// What could not be undone.
    pub left: Vec<String>,
}

impl Report {
    /// For people.
    pub fn page(&self, output: &Output) -> String {
        let mut page = output.table(&self.steps);
        let count = |n: Option<usize>| n.map_or("?".to_owned(), |n| n.to_string());
        page.push_str(&format!(
            "\nagents signed on before: {}; lost their session and are back: {}; not back: {}\n",
            self.agents,
            count(self.agents_back),
            count(self.agents_missing),
        ));
        for left in &self.left {
            page.push_str(&format!("not undone: {left}\n"));
        }
        if self.left.is_empty() {
            page.push_str("everything is as it was\n");
        }
        page
    }

    /// What was not as it should be, if anything.
    pub fn verdict(&self) -> Option<String> {
        if let Some(left) = self.left.first() {
            return Some(format!("not undone: {left}"));
        }
        if let Some(failed) = &self.failed {
            return Some(format!("the drill was not finished: {failed}"));
        }
        let others = self.steps.iter().filter(|row| !row.stopped);
        let worst = others.max_by_key(|row| row.felt.longest_ms)?;
        (worst.felt.longest_ms > self.bound_ms).then(|| {
            format!(
                "users of {} waited {} while {}, longer than the {} that this cluster's timings allow for a failover",
                worst.endpoint,
                format_millis(worst.felt.longest_ms),
                worst.step,
                format_millis(self.bound_ms)
            )
        })
    }
}
