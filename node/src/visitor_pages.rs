//! Visitors' pages that follow live chats by this node. That a page is there is replicated, so that its chat is given
//! up when nobody comes back within the lease; what is recorded follows what is, one write after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_routing::command::Command;
use meridian_routing::ids::ChatId;
use meridian_routing::model::Page as Recorded;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::driver::Driver;

/// Pause before a record that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How many pages follow each chat here.
#[derive(Default)]
pub struct VisitorPages {
    open: Mutex<HashMap<ChatId, watch::Sender<usize>>>,
}

/// One page; it is there until this is dropped.
pub struct Page {
    pages: Arc<VisitorPages>,
    chat: ChatId,
}

impl VisitorPages {
    /// A page follows a live chat. Returns at once; the record follows.
    pub fn follow(self: &Arc<Self>, driver: &Arc<Driver>, chat: ChatId) -> Page {
        let mut open = self.open.lock();
        match open.get(&chat) {
            Some(count) => count.send_modify(|n| *n += 1),
            None => {
                let (count, seen) = watch::channel(1);
                open.insert(chat.clone(), count);
                tokio::spawn(keep(self.clone(), driver.clone(), chat.clone(), seen));
            }
        }
        Page {
            pages: self.clone(),
            chat,
        }
    }

    /// Forgets a chat whose record needs no more keeping; not while pages follow it that may yet need one.
    fn forget(&self, chat: &ChatId, over: bool) -> bool {
        let mut open = self.open.lock();
        let idle = open.get(chat).is_none_or(|count| *count.borrow() == 0);
        let done = over || idle;
        if done {
            open.remove(chat);
        }
        done
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Gone already where the chat is over.
        if let Some(count) = self.pages.open.lock().get(&self.chat) {
            count.send_modify(|n| *n = n.saturating_sub(1));
        }
    }
}

/// What is recorded of a chat's page.
enum Known {
    /// The chat is over, or asynchronous by now: nobody asks.
    Over,
    /// By this node.
    Here,
    /// By another, which tells when it goes, or is found lost.
    Elsewhere,
    /// Not there.
    Away,
}

fn known(driver: &Driver, chat: &ChatId) -> Known {
    let state = driver.state();
    let Some(chat) = state.chats().get(chat) else {
        return Known::Over;
    };
    match chat.page {
        _ if chat.is_closed() || chat.lease_ms == 0 => Known::Over,
        Recorded::There(node) if node == driver.node_id() => Known::Here,
        Recorded::There(_) => Known::Elsewhere,
        Recorded::Unknown | Recorded::Gone(_) => Known::Away,
    }
}

/// Keeps the record in line with the pages until there is none, or the chat is over.
async fn keep(
    pages: Arc<VisitorPages>,
    driver: Arc<Driver>,
    chat: ChatId,
    mut count: watch::Receiver<usize>,
) {
    // Registered before the first look, so that no change falls between.
    let wake = driver.delivery().chat(chat.clone());
    let node = driver.node_id();
    loop {
        let there = *count.borrow_and_update() > 0;
        let now = known(&driver, &chat);
        let command = match now {
            // This node was taken for lost, or the page was elsewhere until now.
            Known::Away if there => Command::VisitorSeen {
                chat: chat.clone(),
                node,
            },
            Known::Here if !there => Command::VisitorGone {
                chat: chat.clone(),
                node,
            },
            Known::Over | Known::Here | Known::Elsewhere | Known::Away => {
                let over = matches!(now, Known::Over);
                if (over || !there) && pages.forget(&chat, over) {
                    return;
                }
                tokio::select! {
                    () = wake.notified() => {}
                    changed = count.changed() => if changed.is_err() { return },
                }
                continue;
            }
        };
        if let Err(e) = driver.write_own(command).await {
            tracing::debug!(%chat, error = %e, "a visitor's page was not recorded");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                // Another node finds this one lost, or this one tells of it when it is back.
                () = driver.stopped() => return,
            }
        }
    }
}
