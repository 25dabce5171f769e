//! Visitors who are not there: a live chat lives as long as its visitor's page does, an asynchronous one until somebody
//! comes back to the visitor; and chats that go on by e-mail or phone are tracked until they are closed there.

use crate::effect::{Answer, Reject};
use crate::explain::What;
use crate::ids::*;
use crate::limits::*;
use crate::model::*;
use crate::state::State;

impl State {
    /// The visitor's page follows the chat by a node.
    pub(crate) fn visitor_seen(&mut self, id: &ChatId, node: NodeId) -> Result<Answer, Reject> {
        self.not_assist(id)?;
        if !self.chat(id)?.is_closed() && self.chats[id].page != Page::There(node) {
            self.edit_chat(id, |c| c.page = Page::There(node));
        }
        Ok(self.answer(id))
    }

    /// The page follows the chat by that node no more.
    pub(crate) fn visitor_gone(&mut self, id: &ChatId, node: NodeId) -> Result<Answer, Reject> {
        self.not_assist(id)?;
        if self.chat(id)?.page == Page::There(node) {
            self.page_lost(id);
        }
        Ok(self.answer(id))
    }

    /// Every page that a lost node followed for is gone until it follows by another.
    pub(crate) fn pages_lost(&mut self, node: NodeId) {
        let chats = self.index.pages.get(&node).cloned();
        for chat in chats.into_iter().flatten() {
            self.page_lost(&chat);
        }
    }

    /// Starts the lease anew: the page is not there, or nobody led who could have seen it.
    pub(crate) fn page_lost(&mut self, id: &ChatId) {
        let page = match self.chats[id].lease_ms {
            0 => Page::Unknown,
            lease => Page::Gone(self.meta.now + Millis::from(lease)),
        };
        self.edit_chat(id, |c| c.page = page);
    }

    /// The visitor did not come back within the lease: a chat nobody answered is abandoned, another ends.
    pub(crate) fn lease_ended(&mut self, id: &ChatId) {
        let event = self.event(What::VisitorGone, None, "");
        self.edit_chat(id, |c| {
            c.page = Page::Unknown;
            c.tell(event);
        });
        // An open chat can always be left.
        let left = self.leave(id, "the visitor is gone");
        debug_assert!(left.is_ok(), "{left:?}");
    }

    /// The visitor goes, and wants to be come back to: from here on the chat is asynchronous.
    pub(crate) fn leave_message(
        &mut self,
        id: &ChatId,
        text: &str,
        contact: &str,
        at: Millis,
    ) -> Result<Answer, Reject> {
        self.not_assist(id)?;
        let (now, chat) = (self.meta.now, self.chat(id)?);
        let waits = matches!(
            chat.phase,
            Phase::Waiting | Phase::Offered { .. } | Phase::Deferred { .. }
        );
        if !waits {
            return Err(Reject::Conflict(format!(
                "chat '{id}' is with an agent or over; tell them, or start another"
            )));
        }
        if at != 0 && !(now..=now + CALLBACK_MS_MAX).contains(&at) {
            return Err(Reject::Invalid {
                field: "call_back_at_ms".into(),
                problem: "is in the past or too far ahead".into(),
                fix: format!(
                    "give {now} to {}, or 0 for as soon as possible",
                    now + CALLBACK_MS_MAX
                ),
            });
        }
        let detail = match at {
            0 => format!("to be answered by {contact}"),
            at => format!("to be called back by {contact} at {at}"),
        };
        let event = self.event(What::MessageLeft, None, &detail);
        if at != 0 {
            self.withdraw_all(id, What::OfferWithdrawn, PutOff::Asked.words(), false);
        }
        self.edit_chat(id, |c| {
            c.lease_ms = 0;
            c.page = Page::Unknown;
            c.message = text.to_owned();
            c.contact = contact.to_owned();
            if at != 0 {
                c.phase = Phase::Deferred {
                    due: at,
                    why: PutOff::Asked,
                };
                c.call_back = at;
            }
            c.tell(event);
        });
        Ok(self.answer(id))
    }

    /// The owner goes on with the visitor by e-mail or phone: the chat is tracked until it is closed, and comes back to
    /// the line when that is not done in time.
    pub(crate) fn escalate(
        &mut self,
        agent: &AgentId,
        epoch: Epoch,
        id: &ChatId,
        track: &Tracking,
    ) -> Result<Answer, Reject> {
        self.active_with(agent, epoch, id)?;
        self.not_assist(id)?;
        self.part_all(id, "the chat goes on elsewhere");
        let due = self.meta.now + Millis::from(track.due_ms);
        let detail = format!("by {}, reference '{}'", track.channel, track.reference);
        let event = self.event(What::Escalated, Some(agent), &detail);
        self.edit_chat(id, |c| {
            c.phase = Phase::Tracked {
                channel: track.channel.clone(),
                reference: track.reference.clone(),
                due,
            };
            c.lease_ms = 0;
            c.page = Page::Unknown;
            if !track.note.is_empty() {
                c.note = track.note.clone();
            }
            c.tell(event);
        });
        self.let_go(Some(agent));
        Ok(self.answer(id))
    }

    /// What was tracked is done.
    pub(crate) fn close_tracked(
        &mut self,
        id: &ChatId,
        outcome: &str,
        who: &str,
    ) -> Result<Answer, Reject> {
        self.not_assist(id)?;
        let Phase::Tracked { .. } = self.chat(id)?.phase else {
            return Err(Reject::Conflict(format!(
                "chat '{id}' is not tracked elsewhere; look at the chat again"
            )));
        };
        let event = self.event(What::Ended, None, &format!("by {who}: {outcome}"));
        self.edit_chat(id, |c| c.tell(event));
        self.meta.totals.answered += 1;
        self.close(id, Closed::Answered);
        Ok(self.answer(id))
    }

    /// What was tracked was not closed in time: somebody must look at it.
    pub(crate) fn overdue(&mut self, id: &ChatId) {
        let event = self.event(What::Overdue, None, "not closed in time where it went on");
        self.wait_again(id, event, |c| c.refusals.clear());
        self.line_up(id, self.open_place(&self.chats[id].queue));
    }
}
