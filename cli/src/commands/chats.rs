//! `meridian chats`.

use clap::{Args, Subcommand, ValueEnum};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::explain_chat_request::Then;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use tonic::transport::Channel;

use super::{Context, chat_acts, live, pages, request_id};
use crate::args::Read;
use crate::client::MESSAGE_BYTES_MAX;
use crate::failure::{Failure, ServerError};
use crate::output::{Clock, Format};
use crate::view::{Chat, Explanation, millis_of};

/// Chats: find, explain, watch, and try them by hand.
#[derive(Debug, Subcommand)]
pub enum ChatsCommand {
    /// List chats by id
    List(List),
    /// Show one chat
    Show(One),
    /// Tell what happened to a chat, and why; now, or as of a former moment
    Explain(Explain),
    /// Show every change of a chat until it is closed
    Watch {
        /// The chat
        chat_id: String,
    },
    /// Start a chat as a visitor
    Start(Start),
    /// Tell how a chat would fare now, without starting one
    Outlook(chat_acts::Ask),
    /// Leave a message as a visitor, or ask to be called back
    Message(chat_acts::Message),
    /// Take part in a chat as a supervisor, in another way, or no more
    Supervise(chat_acts::Supervise),
    /// Send a chat elsewhere as a supervisor, whoever has it
    Move(chat_acts::Move),
    /// Close a chat that went on by e-mail or phone
    CloseTracked(chat_acts::CloseTracked),
    /// Leave a chat as its visitor
    Leave {
        /// The chat
        chat_id: String,
    },
    /// Rate a closed chat as its visitor
    Rate {
        /// The chat
        chat_id: String,
        /// From 1 (bad) to 5 (good)
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5))]
        stars: u32,
        /// In the visitor's words
        #[arg(long, default_value = "")]
        comment: String,
    },
}

/// Which chats to list.
#[derive(Debug, Args)]
pub struct List {
    /// Only chats of this queue
    #[arg(long, value_name = "ID")]
    queue: Option<String>,
    /// Only chats offered to or owned by this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Only chats in this phase
    #[arg(long, value_enum)]
    phase: Option<Phase>,
    #[command(flatten)]
    read: Read,
}

/// One chat.
#[derive(Debug, Args)]
pub struct One {
    /// The chat
    chat_id: String,
    #[command(flatten)]
    read: Read,
}

/// A chat to explain.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    one: One,
    /// As of this time, with everybody who was weighed, such as 2026-11-25T14:30Z
    #[arg(long, value_name = "TIME", value_parser = millis_of, conflicts_with = "at_index")]
    at: Option<i64>,
    /// As of right after this log index, as the story tells them
    #[arg(long, value_name = "INDEX")]
    at_index: Option<u64>,
}

/// A chat to start.
#[derive(Debug, Args)]
pub struct Start {
    /// Queue to ask
    #[arg(long, value_name = "ID")]
    queue: String,
    /// A language of the visitor such as pt-BR, best first, or with a weight such as 'es;q=0.8'; repeat or separate by commas
    #[arg(
        long = "language",
        value_name = "TAG",
        required = true,
        value_delimiter = ','
    )]
    languages: Vec<String>,
    /// Region of the visitor
    #[arg(long, value_name = "ID", default_value = "")]
    region: String,
    /// Who the visitor is, the same at every visit
    #[arg(long, value_name = "ID", default_value = "")]
    visitor: String,
    /// A skill wanted, as NAME:LEVEL with a level of 1 to 10; repeat it for more
    #[arg(long = "skill", value_name = "SKILL", value_parser = parse_skill)]
    skills: Vec<api::SkillLevel>,
    /// From 0 (lowest) to 9 (urgent)
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=9))]
    priority: u32,
    /// Capacity units it takes of an agent; 0 as the workspace's loads say
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    weight: u32,
    /// The visitor is very important; what that is worth, the queue says
    #[arg(long)]
    vip: bool,
    /// Channel it comes by, such as sms; chat where it is left out
    #[arg(long, value_name = "ID", default_value = "")]
    channel: String,
    /// Kind, such as sales
    #[arg(long, value_name = "ID", default_value = "")]
    kind: String,
    /// Agent it belongs to; offered to them first
    #[arg(long, value_name = "ID", default_value = "")]
    owner: String,
    /// Give it up when nobody watches it for so long, 5s to 10m; left out, the visitor may come back days later
    #[arg(long, value_name = "DURATION", value_parser = lease, default_value = "0s")]
    lease: u32,
    /// First message
    #[arg(long, default_value = "")]
    topic: String,
    /// Repeat an earlier start: the same id gets the same answer
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Go on to watch it
    #[arg(long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Phase {
    Waiting,
    Offered,
    Active,
    WrapUp,
    Deferred,
    Tracked,
    Closed,
}

impl Phase {
    fn value(self) -> i32 {
        let phase = match self {
            Phase::Waiting => api::ChatPhase::Waiting,
            Phase::Offered => api::ChatPhase::Offered,
            Phase::Active => api::ChatPhase::Active,
            Phase::WrapUp => api::ChatPhase::WrapUp,
            Phase::Tracked => api::ChatPhase::Tracked,
            Phase::Deferred => api::ChatPhase::Deferred,
            Phase::Closed => api::ChatPhase::Closed,
        };
        phase as i32
    }
}

pub(super) fn parse_skill(text: &str) -> Result<api::SkillLevel, String> {
    let parts = text.rsplit_once(':').filter(|(skill, _)| !skill.is_empty());
    let level = parts.and_then(|(skill, level)| Some((skill, level.parse::<u32>().ok()?)));
    match level {
        Some((skill, level @ 1..=10)) => Ok(api::SkillLevel {
            skill: skill.to_owned(),
            level,
        }),
        _ => Err("write it like billing:7, with a level of 1 to 10".to_owned()),
    }
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn run(context: &Context, command: ChatsCommand) -> Result<(), Failure> {
    match command {
        ChatsCommand::List(list) => show_list(context, list).await,
        ChatsCommand::Show(one) => show(context, one).await,
        ChatsCommand::Explain(ask) => explain(context, ask).await,
        ChatsCommand::Watch { chat_id } => watch(context, chat_id).await,
        ChatsCommand::Start(start_args) => start(context, start_args).await,
        ChatsCommand::Leave { chat_id } => leave(context, chat_id).await,
        ChatsCommand::Outlook(ask) => chat_acts::outlook(context, ask).await,
        ChatsCommand::Message(message) => chat_acts::message(context, message).await,
        ChatsCommand::Supervise(ask) => chat_acts::supervise(context, ask).await,
        ChatsCommand::Move(ask) => chat_acts::move_chat(context, ask).await,
        ChatsCommand::CloseTracked(ask) => chat_acts::close_tracked(context, ask).await,
        ChatsCommand::Rate {
            chat_id,
            stars,
            comment,
        } => rate(context, chat_id, stars, comment).await,
    }
}

fn supervisor(channel: Channel) -> SupervisorServiceClient<Channel> {
    SupervisorServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

async fn show_list(context: &Context, list: List) -> Result<(), Failure> {
    let rows = pages::all(async |page_token| {
        let request = api::ListChatsRequest {
            consistency: list.read.consistency(),
            page_size: pages::PAGE_SIZE,
            page_token,
            phase: list.phase.map_or(0, Phase::value),
            queue_id: list.queue.clone().unwrap_or_default(),
            agent_id: list.agent.clone().unwrap_or_default(),
        };
        let call = context.cluster.call(request, async |channel, request| {
            supervisor(channel).list_chats(request).await
        });
        let page = call.await?.value;
        Ok((page.chats, page.next_page_token))
    });
    let rows: Vec<_> = rows.await?.into_iter().map(Chat::from).collect();
    context.output.list(&rows)
}

pub(super) fn print(context: &Context, chat: Option<api::Chat>) -> Result<(), Failure> {
    let chat = chat.unwrap_or_default();
    if context.output.quiet && context.output.format == Format::Table {
        return context.output.text(&chat.chat_id);
    }
    let view = Chat::from(chat);
    context
        .output
        .document(&view, || view.sheet(&Clock::system(), context.output.paint))
}

async fn show(context: &Context, one: One) -> Result<(), Failure> {
    let consistency = one.read.consistency();
    let request = api::GetChatRequest {
        consistency,
        chat_id: one.chat_id,
    };
    let call = context.cluster.call(request, async |channel, request| {
        supervisor(channel).get_chat(request).await
    });
    print(context, call.await?.value.chat)
}

async fn explain(context: &Context, ask: Explain) -> Result<(), Failure> {
    let at = ask.at.map(Then::AtMs);
    let request = api::ExplainChatRequest {
        consistency: ask.one.read.consistency(),
        chat_id: ask.one.chat_id,
        then: at.or(ask.at_index.map(Then::AtIndex)),
    };
    let former = request.then.is_some();
    let call = context.cluster.call(request, async |channel, request| {
        supervisor(channel).explain_chat(request).await
    });
    let story = Explanation::new(call.await?.value, former);
    context.output.document(&story, || {
        story.story(&Clock::system(), context.output.paint)
    })
}

async fn watch(context: &Context, chat_id: String) -> Result<(), Failure> {
    live::until_interrupted(watch_on(context, chat_id)).await
}

async fn watch_on(context: &Context, chat_id: String) -> Result<(), Failure> {
    let request = api::WatchChatRequest { chat_id };
    let open = async || {
        let call = context
            .cluster
            .open(request.clone(), async |channel, request| {
                VisitorServiceClient::new(channel).watch_chat(request).await
            });
        call.await
    };
    let mut last: Option<api::Chat> = None;
    let mut answer = open().await?;
    loop {
        let (mut stream, endpoint) = (answer.value, answer.endpoint);
        let why = loop {
            let chat = match stream.message().await {
                Ok(None) => break "the node closed it".to_owned(),
                Err(status) if live::may_reopen(&status) => break status.message().to_owned(),
                Err(status) => {
                    return Err(Failure::Server(Box::new(ServerError::new(
                        &status, &endpoint,
                    ))));
                }
                Ok(Some(chat)) => chat,
            };
            // A stream opened again begins with what is known already, or with what is older at a replica
            // that lags.
            let old = |last: &api::Chat| chat.log_index < last.log_index || chat == *last;
            if last.as_ref().is_some_and(old) {
                continue;
            }
            last = Some(chat.clone());
            let view = Chat::from(chat);
            context
                .output
                .event(&view, || view.line(&Clock::system()))?;
            if view.is_closed() {
                return Ok(());
            }
        };
        answer = live::reopen(context, (&endpoint, &why), &open).await?;
    }
}

impl Start {
    /// As the API wants it.
    pub(super) fn request(&self) -> api::StartChatRequest {
        // A weight makes it a weighted list, as browsers send it.
        let weighted = self.languages.iter().any(|l| l.contains(';'));
        let (languages, accept_language) = if weighted {
            (Vec::new(), self.languages.join(", "))
        } else {
            (self.languages.clone(), String::new())
        };
        api::StartChatRequest {
            request_id: self.request_id.clone().unwrap_or_else(request_id),
            queue_id: self.queue.clone(),
            languages,
            accept_language,
            region_id: self.region.clone(),
            visitor_id: self.visitor.clone(),
            skills: self.skills.clone(),
            priority: self.priority,
            weight: self.weight,
            topic: self.topic.clone(),
            vip: self.vip,
            channel: self.channel.clone(),
            kind: self.kind.clone(),
            owner_agent_id: self.owner.clone(),
            lease_ms: self.lease,
        }
    }
}

async fn start(context: &Context, start: Start) -> Result<(), Failure> {
    let request = start.request();
    let call = context.cluster.call(request, async |channel, request| {
        VisitorServiceClient::new(channel).start_chat(request).await
    });
    let chat = call.await?.value.chat.unwrap_or_default();
    let chat_id = chat.chat_id.clone();
    if start.watch {
        return watch(context, chat_id).await;
    }
    print(context, Some(chat))?;
    hint(context, &chat_id);
    Ok(())
}

/// A duration in ms that fits.
fn lease(text: &str) -> Result<u32, String> {
    let millis = crate::time::parse_millis(text).map_err(|e| e.to_string())?;
    u32::try_from(millis).map_err(|_| format!("{text} is too long; give 5s to 10m"))
}

fn hint(context: &Context, chat_id: &str) {
    context.output.note(&format!(
        "watch it: meridian chats watch {chat_id}\nand why: meridian chats explain {chat_id}"
    ));
}

async fn leave(context: &Context, chat_id: String) -> Result<(), Failure> {
    let request = api::LeaveChatRequest {
        request_id: request_id(),
        chat_id,
    };
    let call = context.cluster.call(request, async |channel, request| {
        VisitorServiceClient::new(channel).leave_chat(request).await
    });
    let chat = call.await?.value.chat.unwrap_or_default();
    let chat_id = chat.chat_id.clone();
    print(context, Some(chat))?;
    hint(context, &chat_id);
    Ok(())
}

async fn rate(
    context: &Context,
    chat_id: String,
    stars: u32,
    comment: String,
) -> Result<(), Failure> {
    let request = api::RateChatRequest {
        request_id: request_id(),
        chat_id: chat_id.clone(),
        stars,
        comment,
    };
    let call = context.cluster.call(request, async |channel, request| {
        VisitorServiceClient::new(channel).rate_chat(request).await
    });
    call.await?;
    let rated = serde_json::json!({ "chat_id": chat_id, "stars": stars });
    context.output.document(&rated, || chat_id.clone())?;
    hint(context, &chat_id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skills_are_read() {
        assert_eq!(parse_skill("billing:7").unwrap().level, 7);
        for bad in ["billing", ":7", "billing:0", "billing:11", "billing:x"] {
            assert_eq!(
                parse_skill(bad).unwrap_err(),
                "write it like billing:7, with a level of 1 to 10"
            );
        }
    }
}
