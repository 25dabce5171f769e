//! What a person at `meridian agent work` types, a line each.

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use meridian_proto::livechat::v1 as api;
use meridian_proto::livechat::v1::agent_message::Action;

use super::chat_acts::Destination;
use crate::time::parse_duration;

/// A line.
#[derive(Debug, Parser)]
#[command(multicall = true, disable_version_flag = true)]
#[command(
    help_template = "{subcommands}\n\nA chat may be left out where there is only one to mean.\n"
)]
struct Line {
    #[command(subcommand)]
    word: Word,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Take an offered chat
    Accept { chat: Option<String> },
    /// Decline an offered chat
    Decline {
        chat: Option<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// End a chat, or one's part in another's
    End { chat: Option<String> },
    /// Finish the wrap-up of a chat
    Done { chat: Option<String> },
    /// Hand a chat on
    Transfer {
        chat: Option<String>,
        #[command(flatten)]
        to: Destination,
        /// For the next agent
        #[arg(long, default_value = "")]
        note: String,
        /// Have it back, should nobody there take it
        #[arg(long)]
        take_back: bool,
    },
    /// Ask for a second agent
    Ask {
        /// To take the chat over, to advise, or to join
        #[arg(value_enum)]
        purpose: Purpose,
        chat: Option<String>,
        #[command(flatten)]
        to: Destination,
        /// For whoever comes
        #[arg(long, default_value = "")]
        note: String,
        /// How long to wait for somebody
        #[arg(long, value_parser = parse_duration, default_value = "2m")]
        patience: Duration,
    },
    /// Go on with the visitor by e-mail, phone or the like
    Escalate {
        chat: Option<String>,
        /// By what
        #[arg(long, value_name = "CHANNEL")]
        by: String,
        /// What it is known by there
        #[arg(long)]
        reference: String,
        /// By when it must be closed
        #[arg(long, value_parser = parse_duration, default_value = "1d")]
        within: Duration,
        /// For whoever looks at it next
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Close what went on elsewhere
    Close {
        chat: String,
        /// What came of it
        #[arg(long, default_value = "")]
        outcome: String,
    },
    /// Take chats
    Available {
        /// Off shift too
        #[arg(long)]
        overtime: bool,
    },
    /// Take a break
    Break,
    /// Finish what there is and take nothing new
    Drain,
    /// Sign off
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Purpose {
    Handover,
    Consult,
    Join,
}

/// The chats that a line may mean.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// On offer, with the assignment of each.
    pub offered: Vec<(String, u64)>,
    /// Talked in.
    pub active: Vec<String>,
    /// In wrap-up.
    pub wrap_up: Vec<String>,
}

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Typed {
    Nothing,
    Do(Box<Action>),
    SignOff,
    /// Something to read: a mistake, or what there is to type.
    Say(String),
}

/// Understands a line.
pub(super) fn understand(line: &str, known: &Known) -> Typed {
    let Some(words) = shlex::split(line) else {
        return Typed::Say("a quote is not closed".to_owned());
    };
    if words.is_empty() {
        return Typed::Nothing;
    }
    let word = match Line::try_parse_from(words) {
        Ok(line) => line.word,
        Err(problem) => return Typed::Say(problem.to_string().trim_end().to_owned()),
    };
    match action(word, known) {
        Ok(Some(action)) => Typed::Do(Box::new(action)),
        Ok(None) => Typed::SignOff,
        Err(problem) => Typed::Say(problem),
    }
}

fn action(word: Word, known: &Known) -> Result<Option<Action>, String> {
    let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let presence = |presence: api::Presence, overtime| {
        let presence = presence.into();
        Action::SetPresence(api::SetPresence { presence, overtime })
    };
    let active = |chat| one(chat, &known.active, "talked in");
    Ok(Some(match word {
        Word::Accept { chat } => {
            let (chat_id, assignment) = offered(chat, known)?;
            Action::AcceptOffer(api::AcceptOffer {
                chat_id,
                assignment,
            })
        }
        Word::Decline { chat, reason } => {
            let (chat_id, assignment) = offered(chat, known)?;
            Action::DeclineOffer(api::DeclineOffer {
                chat_id,
                assignment,
                reason,
            })
        }
        Word::End { chat } => {
            let chat_id = active(chat)?;
            Action::EndChat(api::EndChat { chat_id })
        }
        Word::Done { chat } => {
            let chat_id = one(chat, &known.wrap_up, "in wrap-up")?;
            Action::FinishWrapUp(api::FinishWrapUp { chat_id })
        }
        Word::Transfer {
            chat,
            to,
            note,
            take_back,
        } => {
            use api::destination::To;
            use api::transfer_chat::To as Out;
            Action::TransferChat(api::TransferChat {
                chat_id: active(chat)?,
                to: to.message().to.map(|to| match to {
                    To::QueueId(id) => Out::QueueId(id),
                    To::AgentId(id) => Out::AgentId(id),
                    To::Skills(skills) => Out::Skills(skills),
                    To::Region(region) => Out::Region(region),
                }),
                note,
                take_back,
            })
        }
        Word::Ask {
            purpose,
            chat,
            to,
            note,
            patience,
        } => {
            let purpose = match purpose {
                Purpose::Handover => api::Purpose::Handover,
                Purpose::Consult => api::Purpose::Consult,
                Purpose::Join => api::Purpose::Join,
            };
            Action::AskFor(api::AskFor {
                chat_id: active(chat)?,
                purpose: purpose.into(),
                to: Some(to.message()),
                patience_ms: ms(patience),
                note,
            })
        }
        Word::Escalate {
            chat,
            by,
            reference,
            within,
            note,
        } => Action::Escalate(api::Escalate {
            chat_id: active(chat)?,
            channel: by,
            reference,
            due_in_ms: ms(within),
            note,
        }),
        Word::Close { chat, outcome } => Action::CloseTracked(api::CloseTracked {
            chat_id: chat,
            outcome,
        }),
        Word::Available { overtime } => presence(api::Presence::Available, overtime),
        Word::Break => presence(api::Presence::Break, false),
        Word::Drain => presence(api::Presence::Draining, false),
        Word::Off => return Ok(None),
    }))
}

fn offered(chat: Option<String>, known: &Known) -> Result<(String, u64), String> {
    let ids: Vec<String> = known.offered.iter().map(|(id, _)| id.clone()).collect();
    let id = one(chat, &ids, "on offer")?;
    let mut offers = known.offered.iter();
    let offer = offers.find(|(offered, _)| *offered == id);
    offer.cloned().ok_or(format!("chat {id} is not on offer"))
}

/// The chat named, or the only one there is.
fn one(chat: Option<String>, known: &[String], how: &str) -> Result<String, String> {
    match (chat, known) {
        (Some(chat), _) => Ok(chat),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(format!("no chat is {how}")),
        (None, several) => Err(format!("name one of those {how}: {}", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            offered: vec![("o1".to_owned(), 4)],
            active: vec!["a1".to_owned(), "a2".to_owned()],
            wrap_up: vec![],
        }
    }

    fn done(line: &str) -> Action {
        match understand(line, &known()) {
            Typed::Do(action) => *action,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn said(line: &str) -> String {
        match understand(line, &known()) {
            Typed::Say(text) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_chat_may_be_left_out_where_there_is_only_one() {
        let Action::AcceptOffer(accept) = done("accept") else {
            panic!("an accept");
        };
        assert_eq!((accept.chat_id.as_str(), accept.assignment), ("o1", 4));
        assert_eq!(said("end"), "name one of those talked in: a1, a2");
        assert_eq!(said("done"), "no chat is in wrap-up");
        assert_eq!(said("decline o2"), "chat o2 is not on offer");
        assert!(matches!(done("end a2"), Action::EndChat(e) if e.chat_id == "a2"));
        assert_eq!(understand("  ", &known()), Typed::Nothing);
        assert_eq!(understand("off", &known()), Typed::SignOff);
    }

    #[test]
    fn asking_escalating_and_handing_on_say_where_and_why() {
        let Action::AskFor(ask) = done("ask join a1 --skill law:7 --note 'a \"hard\" case'") else {
            panic!("an ask");
        };
        assert_eq!(ask.purpose(), api::Purpose::Join);
        assert_eq!(
            (ask.patience_ms, ask.note.as_str()),
            (120_000, "a \"hard\" case")
        );
        let Action::Escalate(escalate) =
            done("escalate a1 --by e-mail --reference T-7 --within 2h")
        else {
            panic!("an escalation");
        };
        assert_eq!(
            (escalate.channel.as_str(), escalate.due_in_ms),
            ("e-mail", 7_200_000)
        );
        let Action::TransferChat(transfer) = done("transfer a2 --region ap --take-back") else {
            panic!("a transfer");
        };
        assert!(transfer.take_back);
        let to = transfer.to;
        assert!(matches!(to, Some(api::transfer_chat::To::Region(r)) if r.region_id == "ap"));
        assert!(
            said("transfer a2").contains("--queue"),
            "{}",
            said("transfer a2")
        );
        assert_eq!(said("ask 'join"), "a quote is not closed");
        assert!(said("dance").contains("dance"));
        assert!(said("help").contains("escalate"));
    }
}
