//! What is asked about agents: what would happen if one signed on, and how evenly chats were given out.

use clap::Args;
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use serde::Serialize;

use super::{Context, pages};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::Failure;
use crate::time::format_millis;
use crate::view::Chat;

/// What if an agent signed on.
#[derive(Debug, Args)]
pub struct WhatIf {
    /// The agent
    agent_id: String,
    /// As if they would take chats off shift too
    #[arg(long)]
    overtime: bool,
}

/// How evenly chats were given out.
#[derive(Debug, Args)]
pub struct Fairness {
    /// Only agents of this region
    #[arg(long, value_name = "ID")]
    region: Option<String>,
    #[command(flatten)]
    read: Read,
}

#[derive(Serialize)]
struct WouldHave {
    offered: Vec<Chat>,
    load: u32,
    capacity: u32,
    refusals: Vec<NotThis>,
    log_index: u64,
}

#[derive(Serialize)]
struct NotThis {
    chat_id: String,
    rule: String,
    reason: String,
}

/// Asks what would happen.
pub(super) async fn what_if(context: &Context, ask: WhatIf) -> Result<(), Failure> {
    let agent = ask.agent_id.clone();
    let request = api::WhatIfRequest {
        agent_id: ask.agent_id,
        overtime: ask.overtime,
    };
    let call = context.cluster.call(request, async |channel, request| {
        let client = SupervisorServiceClient::new(channel);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        client.what_if(request).await
    });
    let told = call.await?.value;
    let refusal = |r: api::Refusal| {
        let candidate = r.candidate.unwrap_or_default();
        NotThis {
            chat_id: r.chat_id,
            rule: candidate.rule,
            reason: candidate.reason,
        }
    };
    let would = WouldHave {
        offered: told.offered.into_iter().map(Chat::from).collect(),
        load: told.load,
        capacity: told.capacity,
        refusals: told.refusals.into_iter().map(refusal).collect(),
        log_index: told.log_index,
    };
    context.output.document(&would, || would.tell(&agent))
}

impl WouldHave {
    fn tell(&self, agent: &str) -> String {
        let (load, capacity) = (self.load, self.capacity);
        let mut text = match self.offered.len() {
            0 => format!("agent {agent} would be offered nothing now\n"),
            n => format!("agent {agent} would be offered {n} now, and carry {load}/{capacity}\n"),
        };
        for chat in &self.offered {
            text += &format!("  {}\n", chat.brief());
        }
        for not in &self.refusals {
            text += &format!(
                "  not chat {}: {} ({})\n",
                not.chat_id, not.reason, not.rule
            );
        }
        text
    }
}

/// One agent's part.
#[derive(Serialize)]
struct Part {
    agent_id: String,
    offers: u64,
    accepted: u64,
    declined: u64,
    ignored: u64,
    handled: u64,
    /// From acceptance to the end of wrap-up; absent = none was handled.
    handle_mean_ms: Option<u64>,
    /// Of all that were accepted.
    percent: f64,
}

/// Who did how much, and how evenly.
#[derive(Serialize)]
struct Distribution {
    agents: Vec<Part>,
    /// 0 = all alike, towards 1 = one has all.
    gini: f64,
}

/// Gini coefficient of what each has: for values x in rising order, `Σ (2i − n − 1) xᵢ / (n Σ xᵢ)`, i from 1.
fn gini(mut values: Vec<u64>) -> f64 {
    values.sort_unstable();
    let (n, sum) = (values.len() as f64, values.iter().sum::<u64>() as f64);
    if sum == 0.0 {
        return 0.0;
    }
    let ranked = values.iter().enumerate();
    let weighed: f64 = ranked
        .map(|(i, x)| (2.0 * (i as f64 + 1.0) - n - 1.0) * *x as f64)
        .sum();
    weighed / (n * sum)
}

/// Shows how evenly chats were given out.
pub(super) async fn fairness(context: &Context, ask: Fairness) -> Result<(), Failure> {
    let agents = pages::all(async |page_token| {
        let request = api::ListAgentsRequest {
            consistency: ask.read.consistency(),
            page_size: pages::PAGE_SIZE,
            page_token,
            region_id: ask.region.clone().unwrap_or_default(),
            presence: 0,
        };
        let call = context.cluster.call(request, async |channel, request| {
            let client = SupervisorServiceClient::new(channel);
            let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
            client.list_agents(request).await
        });
        let page = call.await?.value;
        Ok((page.agents, page.next_page_token))
    });
    let told = distribution(agents.await?);
    context.output.document(&told, || told.table())
}

fn distribution(agents: Vec<api::AgentState>) -> Distribution {
    let accepted = |a: &api::AgentState| a.tally.unwrap_or_default().accepted;
    let all: u64 = agents.iter().map(accepted).sum();
    let gini = gini(agents.iter().map(accepted).collect());
    let part = |a: api::AgentState| {
        let t = a.tally.unwrap_or_default();
        Part {
            agent_id: a.agent_id,
            offers: t.offers,
            accepted: t.accepted,
            declined: t.declined,
            ignored: t.ignored,
            handled: t.handled,
            handle_mean_ms: t.handle_ms.checked_div(t.handled),
            percent: if all == 0 {
                0.0
            } else {
                t.accepted as f64 * 100.0 / all as f64
            },
        }
    };
    Distribution {
        agents: agents.into_iter().map(part).collect(),
        gini,
    }
}

impl Distribution {
    fn table(&self) -> String {
        let mut text = format!(
            "{:<20} {:>7} {:>9} {:>9} {:>8} {:>8} {:>9} {:>7}\n",
            "AGENT", "OFFERS", "ACCEPTED", "DECLINED", "IGNORED", "HANDLED", "MEAN", "PART"
        );
        for a in &self.agents {
            let mean = a
                .handle_mean_ms
                .map_or("-".to_owned(), |ms| format_millis(ms / 1000 * 1000));
            text += &format!(
                "{:<20} {:>7} {:>9} {:>9} {:>8} {:>8} {mean:>9} {:>6.1}%\n",
                a.agent_id, a.offers, a.accepted, a.declined, a.ignored, a.handled, a.percent
            );
        }
        text + &format!(
            "spread (Gini) {:.2}: 0 = all alike, 1 = one has all\n",
            self.gini
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_nothing_among_equals_and_grows_with_one_who_has_most() {
        assert_eq!(gini(vec![5, 5, 5]), 0.0);
        assert_eq!(gini(vec![0, 0]), 0.0);
        assert_eq!(gini(vec![]), 0.0);
        assert_eq!(gini(vec![0, 0, 0, 8]), 0.75);
        assert!(gini(vec![1, 2, 3]) < gini(vec![1, 1, 4]));
    }

    #[test]
    fn each_has_a_part_of_what_was_accepted() {
        let agent = |id: &str, accepted| api::AgentState {
            agent_id: id.to_owned(),
            tally: Some(api::AgentTally {
                accepted,
                offers: accepted + 1,
                handled: accepted,
                handle_ms: accepted * 61_500,
                ..Default::default()
            }),
            ..Default::default()
        };
        let told = distribution(vec![agent("ana", 3), agent("ben", 1)]);
        assert_eq!(
            (told.agents[0].percent, told.agents[1].percent),
            (75.0, 25.0)
        );
        assert_eq!(told.agents[0].handle_mean_ms, Some(61_500));
        assert_eq!(
            told.table(),
            "AGENT                 OFFERS  ACCEPTED  DECLINED  IGNORED  HANDLED      MEAN    PART\n\
             ana                        4         3         0        0        3      1m1s   75.0%\n\
             ben                        2         1         0        0        1      1m1s   25.0%\n\
             spread (Gini) 0.25: 0 = all alike, 1 = one has all\n"
        );
    }
}
