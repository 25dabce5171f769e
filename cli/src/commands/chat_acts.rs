//! What visitors and supervisors do with chats beside starting and leaving them.

use clap::{Args, ValueEnum};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::supervisor_service_client::SupervisorServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;

use super::chats::{self, Start};
use super::{Context, request_id};
use crate::failure::Failure;
use crate::output::Clock;
use crate::time::{parse_millis, rfc3339};
use crate::view::{Outlook, millis_of};

/// A message to leave.
#[derive(Debug, Args)]
pub struct Message {
    /// The chat; it must not be with an agent
    chat_id: String,
    /// What is to be answered
    #[arg(long, default_value = "")]
    text: String,
    /// How to come back, such as an address or a number
    #[arg(long)]
    contact: String,
    /// When to call back, such as 2026-12-01T09:00:00Z; as soon as possible where it is left out
    #[arg(long, value_name = "TIME", value_parser = millis_of)]
    call_back_at: Option<i64>,
}

/// How a supervisor takes part.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// Read along, unnoticed by the visitor
    Monitor,
    /// Also speak to the agents, unnoticed by the visitor
    Whisper,
    /// Take part for all to see
    Barge,
    /// No more
    Off,
}

/// A supervisor takes part.
#[derive(Debug, Args)]
pub struct Supervise {
    /// The chat
    chat_id: String,
    /// How
    #[arg(value_enum)]
    mode: Mode,
    /// Who takes part
    #[arg(long = "as", value_name = "NAME")]
    who: String,
}

/// A chat sent elsewhere.
#[derive(Debug, Args)]
pub struct Move {
    /// The chat
    chat_id: String,
    #[command(flatten)]
    to: Destination,
    /// Who sends it
    #[arg(long = "as", value_name = "NAME")]
    who: String,
    /// For the next agent
    #[arg(long, default_value = "")]
    note: String,
}

/// Where a chat is to go.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Destination {
    /// To the line of this queue
    #[arg(long, value_name = "ID")]
    queue: Option<String>,
    /// To this agent first
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// To whoever has this skill too, as NAME:LEVEL; repeat it for more
    #[arg(long = "skill", value_name = "SKILL", value_parser = chats::parse_skill)]
    skills: Vec<api::SkillLevel>,
    /// To the agents of this region, for a minute alone
    #[arg(long, value_name = "ID")]
    region: Option<String>,
}

impl Destination {
    /// As the API says it.
    pub(super) fn message(self) -> api::Destination {
        use api::destination::To;
        let to = if let Some(queue) = self.queue {
            To::QueueId(queue)
        } else if let Some(agent) = self.agent {
            To::AgentId(agent)
        } else if let Some(region_id) = self.region {
            To::Region(api::ToRegion {
                region_id,
                hold_ms: 0,
            })
        } else {
            To::Skills(api::SkillSet {
                skills: self.skills,
            })
        };
        api::Destination { to: Some(to) }
    }
}

/// What went on elsewhere is done.
#[derive(Debug, Args)]
pub struct CloseTracked {
    /// The chat
    chat_id: String,
    /// Who closes it
    #[arg(long = "as", value_name = "NAME")]
    who: String,
    /// What came of it
    #[arg(long, default_value = "")]
    outcome: String,
}

/// How a chat would fare.
#[derive(Debug, Args)]
pub struct Ask {
    #[command(flatten)]
    chat: Start,
    /// IANA zone of the visitor, for the next opening
    #[arg(long, value_name = "ZONE", default_value = "")]
    zone: String,
}

/// Asks how a chat would fare.
pub(super) async fn outlook(context: &Context, ask: Ask) -> Result<(), Failure> {
    let request = api::GetOutlookRequest {
        chat: Some(ask.chat.request()),
        zone: ask.zone,
    };
    let call = context.cluster.call(request, async |channel, request| {
        VisitorServiceClient::new(channel)
            .get_outlook(request)
            .await
    });
    let outlook = Outlook::from(call.await?.value);
    context
        .output
        .document(&outlook, || outlook.sentence(&Clock::system()))
}

/// Leaves a message.
pub(super) async fn message(context: &Context, message: Message) -> Result<(), Failure> {
    let request = api::LeaveMessageRequest {
        request_id: request_id(),
        chat_id: message.chat_id,
        text: message.text,
        contact: message.contact,
        call_back_at_ms: message.call_back_at.unwrap_or(0),
    };
    let call = context.cluster.call(request, async |channel, request| {
        VisitorServiceClient::new(channel)
            .leave_message(request)
            .await
    });
    chats::print(context, call.await?.value.chat)
}

/// Takes part in a chat.
pub(super) async fn supervise(context: &Context, ask: Supervise) -> Result<(), Failure> {
    let mode = match ask.mode {
        Mode::Monitor => api::WatchMode::Monitor,
        Mode::Whisper => api::WatchMode::Whisper,
        Mode::Barge => api::WatchMode::Barge,
        Mode::Off => api::WatchMode::Unspecified,
    };
    let request = api::SuperviseChatRequest {
        request_id: request_id(),
        supervisor_id: ask.who,
        chat_id: ask.chat_id,
        mode: mode.into(),
    };
    let call = context.cluster.call(request, async |channel, request| {
        let mut client = SupervisorServiceClient::new(channel);
        client.supervise_chat(request).await
    });
    chats::print(context, call.await?.value.chat)
}

/// Sends a chat elsewhere.
pub(super) async fn move_chat(context: &Context, ask: Move) -> Result<(), Failure> {
    let request = api::MoveChatRequest {
        request_id: request_id(),
        supervisor_id: ask.who,
        chat_id: ask.chat_id,
        to: Some(ask.to.message()),
        note: ask.note,
    };
    let call = context.cluster.call(request, async |channel, request| {
        SupervisorServiceClient::new(channel)
            .move_chat(request)
            .await
    });
    chats::print(context, call.await?.value.chat)
}

/// Closes what went on elsewhere.
pub(super) async fn close_tracked(context: &Context, ask: CloseTracked) -> Result<(), Failure> {
    let request = api::CloseTrackedRequest {
        request_id: request_id(),
        supervisor_id: ask.who,
        chat_id: ask.chat_id,
        outcome: ask.outcome,
    };
    let call = context.cluster.call(request, async |channel, request| {
        let mut client = SupervisorServiceClient::new(channel);
        client.close_tracked(request).await
    });
    chats::print(context, call.await?.value.chat)
}

/// What is closed at once, whatever its hours say.
#[derive(Debug, clap::Subcommand)]
pub enum ClosuresCommand {
    /// Close a queue or a region at once
    Close(Close),
    /// Open it again
    Open(Open),
}

/// Closes at once.
#[derive(Debug, Args)]
pub struct Close {
    #[command(flatten)]
    what: Closed,
    /// For how long, such as 2h; until it is opened again where it is left out
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_millis)]
    lasts: Option<u64>,
    /// Why, for people
    #[arg(long, default_value = "")]
    why: String,
    /// Who asks, for the audit
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "meridian-cli"
    )]
    actor: String,
}

/// Opens again.
#[derive(Debug, Args)]
pub struct Open {
    #[command(flatten)]
    what: Closed,
    /// Who asks, for the audit
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "meridian-cli"
    )]
    actor: String,
}

/// What is closed.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Closed {
    /// This queue
    #[arg(long, value_name = "ID")]
    queue: Option<String>,
    /// This region
    #[arg(long, value_name = "ID")]
    region: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When the cluster cannot be asked or refuses.
pub async fn closures(context: &Context, command: ClosuresCommand) -> Result<(), Failure> {
    let (what, open, lasts, why, actor) = match command {
        ClosuresCommand::Close(c) => (c.what, false, c.lasts, c.why, c.actor),
        ClosuresCommand::Open(o) => (o.what, true, None, String::new(), o.actor),
    };
    let now = Clock::system().now_ms;
    let until = lasts.map(|ms| now + i64::try_from(ms).unwrap_or(i64::MAX / 2));
    use api::close_now_request::What;
    let what = match (what.queue, what.region) {
        (Some(queue), _) => What::QueueId(queue),
        (None, region) => What::RegionId(region.unwrap_or_default()),
    };
    let request = api::CloseNowRequest {
        request_id: request_id(),
        actor,
        what: Some(what),
        until_ms: until.unwrap_or(0),
        open,
        why,
    };
    let call = context.cluster.call(request, async |channel, request| {
        use api::admin_service_client::AdminServiceClient;
        AdminServiceClient::new(channel).close_now(request).await
    });
    let closed = call.await?.value.closed;
    let rows: Vec<_> = closed.into_iter().map(closed_row).collect();
    context.output.document(&rows, || {
        let line = |row: &serde_json::Value| {
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let until = match text("until").as_str() {
                "" => "until opened again".to_owned(),
                until => format!("until {until}"),
            };
            format!(
                "{} {} is closed {until}  {}\n",
                text("kind"),
                text("id"),
                text("why")
            )
        };
        match rows.is_empty() {
            true => "nothing is closed at once\n".to_owned(),
            false => rows.iter().map(line).collect(),
        }
    })
}

fn closed_row(c: api::Closed) -> serde_json::Value {
    use api::closed::What;
    let (kind, id) = match c.what {
        Some(What::QueueId(id)) => ("queue", id),
        Some(What::RegionId(id)) => ("region", id),
        None => ("", String::new()),
    };
    // The end of the year 9999 stands for "until opened again".
    let until = rfc3339(c.until_ms).filter(|t| !t.starts_with("9999"));
    serde_json::json!({ "kind": kind, "id": id, "until": until, "why": c.why, "by": c.by })
}
