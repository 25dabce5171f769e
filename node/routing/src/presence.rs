//! Sessions and presence. A session is a lease on an agent: (agent, node, epoch). A newer epoch fences
//! every older one, so a forgotten tab can take nothing.

use crate::chat::unknown;
use crate::effect::{Answer, Effect, Reject};
use crate::explain::What;
use crate::ids::*;
use crate::model::*;
use crate::mutants::{self, Mutant};
use crate::state::{AgentState, State};

impl State {
    fn agent(&self, id: &AgentId) -> Result<&AgentState, Reject> {
        self.agents
            .get(id)
            .ok_or_else(|| unknown("agent_id", "agent", id.as_str()))
    }

    /// Checks that `epoch` is the agent's live session.
    pub(crate) fn session(&self, id: &AgentId, epoch: Epoch) -> Result<(), Reject> {
        let agent = self.agent(id)?;
        let live = !matches!(agent.presence, Presence::Offline | Presence::Lost);
        if (agent.epoch == epoch || mutants::is(Mutant::SessionsUnfenced)) && live {
            return Ok(());
        }
        Err(Reject::Fenced {
            agent: id.clone(),
            given: epoch,
            current: agent.epoch,
        })
    }

    pub(crate) fn open_session(
        &mut self,
        id: &AgentId,
        node: NodeId,
        resume: Epoch,
        grace_ms: u32,
    ) -> Result<Answer, Reject> {
        let agent = self.agent(id)?;
        let resumed = resume != 0 && resume == agent.epoch;
        let presence = match agent.presence {
            Presence::Lost if resumed => agent.presence_before,
            // The same desktop came back before its loss was noticed.
            Presence::Available | Presence::Break | Presence::Draining if resumed => agent.presence,
            _ => Presence::Break,
        };
        let old = match mutants::is(Mutant::SessionsUnnumbered) && resumed {
            true => agent.epoch - 1,
            false => agent.epoch,
        };
        if !matches!(agent.presence, Presence::Offline | Presence::Lost) {
            self.work.effects.push(Effect::SessionFenced {
                agent: id.clone(),
                epoch: old,
            });
        }
        self.withdraw_offers(id, "the agent opened a new session");
        self.edit_agent(id, |a| {
            a.epoch = old + 1;
            a.node = node;
            a.presence = presence;
            a.grace_ms = grace_ms;
            a.grace_until = 0;
            a.ignored = 0;
            a.overtime &= resumed;
        });
        Ok(Answer::Session { epoch: old + 1 })
    }

    pub(crate) fn lose_session(&mut self, id: &AgentId, epoch: Epoch) -> Result<Answer, Reject> {
        self.session(id, epoch)?;
        self.lose(id);
        Ok(Answer::Done)
    }

    /// A session is gone: offers return to the line at once, chats when the grace ends.
    fn lose(&mut self, id: &AgentId) {
        let now = self.meta.now;
        self.edit_agent(id, |a| {
            // Whoever ignored offers and then vanished is not called ready on return.
            a.presence_before = if a.presence == Presence::NotResponding {
                Presence::Break
            } else {
                a.presence
            };
            a.presence = Presence::Lost;
            a.grace_until = now + Millis::from(a.grace_ms);
            a.node = 0;
        });
        self.withdraw_offers(id, "the agent's session was lost");
    }

    /// The grace ran out while nobody led and the agent could not come back: it begins again.
    pub(crate) fn renew_grace(&mut self, id: &AgentId) {
        let now = self.meta.now;
        self.edit_agent(id, |a| a.grace_until = now + Millis::from(a.grace_ms));
    }

    pub(crate) fn node_lost(&mut self, node: NodeId) -> Result<Answer, Reject> {
        let agents: Vec<AgentId> = self
            .sessions_of(node)
            .map(|a| a.config.id.clone())
            .collect();
        for agent in agents {
            self.lose(&agent);
        }
        self.pages_lost(node);
        Ok(Answer::Done)
    }

    pub(crate) fn close_session(&mut self, id: &AgentId, epoch: Epoch) -> Result<Answer, Reject> {
        self.session(id, epoch)?;
        self.sign_off(id, "the agent signed off");
        Ok(Answer::Done)
    }

    /// The agent is gone for good: every chat goes back to the line at its place.
    pub(crate) fn sign_off(&mut self, id: &AgentId, detail: &str) {
        self.stop_work(id);
        self.edit_agent(id, |a| {
            a.presence = Presence::Offline;
            a.presence_before = Presence::Offline;
            a.grace_until = 0;
            a.node = 0;
            a.ignored = 0;
            a.overtime = false;
        });
        self.withdraw_offers(id, detail);
        let held: Vec<ChatId> = self.held(id).map(|c| c.id.clone()).collect();
        for chat in held {
            // What was handed over meanwhile is no longer theirs.
            let Some(held) = self.chats.get(&chat).filter(|c| c.holders().contains(id)) else {
                continue;
            };
            match held.phase {
                Phase::WrapUp { .. } => self.wrapped_up(&chat),
                _ if held.assist.is_some() => self.part(&chat, detail),
                _ if let Some((assist, agent)) = self.companion(&chat) => {
                    self.take_over(&chat, &assist, &agent)
                }
                _ => {
                    self.part_all(&chat, detail);
                    let event = self.event(What::AgentLost, Some(id), detail);
                    self.wait_again(&chat, event, |_| {});
                    if mutants::is(Mutant::ChatLost) {
                        self.forget(&chat);
                    }
                }
            }
        }
    }

    pub(crate) fn set_presence(
        &mut self,
        id: &AgentId,
        epoch: Epoch,
        presence: Presence,
        overtime: bool,
    ) -> Result<Answer, Reject> {
        if !matches!(
            presence,
            Presence::Available | Presence::Break | Presence::Draining
        ) {
            return Err(Reject::Invalid {
                field: "presence".into(),
                problem: "cannot be chosen".into(),
                fix: "give available, break or draining".into(),
            });
        }
        self.session(id, epoch)?;
        if presence == Presence::Break {
            self.may_rest(id)?;
        }
        let now = self.meta.now;
        if presence == Presence::Available {
            self.begin_work(id);
        } else if presence == Presence::Break {
            self.stop_work(id);
        }
        self.edit_agent(id, |a| {
            if a.presence != Presence::Available {
                a.idle_since = now;
            }
            a.presence = presence;
            a.overtime = overtime && presence == Presence::Available;
            a.ignored = 0;
        });
        if presence != Presence::Available {
            self.withdraw_offers(id, "the agent stopped taking chats");
        }
        Ok(Answer::Done)
    }

    pub(crate) fn withdraw_offers(&mut self, id: &AgentId, detail: &str) {
        let offers: Vec<ChatId> = self
            .held(id)
            .filter(|c| matches!(c.phase, Phase::Offered { .. }))
            .map(|c| c.id.clone())
            .collect();
        for chat in offers {
            self.withdraw(&chat, id, What::OfferWithdrawn, detail, false);
        }
    }
}
