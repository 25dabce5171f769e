//! Invariant 6: whoever acts holds the session, and accepts the offer, that they name.

use crate::command::{Command, Stamped};
use crate::ids::{AgentId, Epoch};
use crate::state::State;

/// Checks a command that was carried out, for the first time, against the state it left.
///
/// # Errors
/// The number and story of the broken invariant.
pub fn acts(stamped: &Stamped, state: &State) -> Result<(), String> {
    if let Some((agent, epoch)) = session(&stamped.command)
        && let Some(known) = state.agents.get(agent)
        && known.epoch != epoch
    {
        return Err(format!(
            "6: session {epoch} of agent '{agent}' acted, whose newest is {}",
            known.epoch
        ));
    }
    if let Command::AcceptOffer {
        chat, assignment, ..
    } = &stamped.command
        && let Some(known) = state.chats.get(chat)
        && known.assignment != *assignment
    {
        return Err(format!(
            "6: offer {assignment} of chat '{chat}' was accepted, whose newest is {}",
            known.assignment
        ));
    }
    Ok(())
}

/// The session that a command is of.
fn session(command: &Command) -> Option<(&AgentId, Epoch)> {
    match command {
        Command::LoseSession { agent, epoch }
        | Command::CloseSession { agent, epoch }
        | Command::SetPresence { agent, epoch, .. }
        | Command::AcceptOffer { agent, epoch, .. }
        | Command::DeclineOffer { agent, epoch, .. }
        | Command::EndChat { agent, epoch, .. }
        | Command::FinishWrapUp { agent, epoch, .. }
        | Command::TransferChat { agent, epoch, .. }
        | Command::AskFor { agent, epoch, .. }
        | Command::Escalate { agent, epoch, .. } => Some((agent, *epoch)),
        _ => None,
    }
}
