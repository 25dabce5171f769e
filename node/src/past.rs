//! What was: closed chats and former configurations.

use meridian_routing::ids::*;
use meridian_routing::state::{Chat, State};
use meridian_routing::version::Version;

use crate::convert::history;
use crate::driver::{DriveError, Driver};

impl Driver {
    /// A closed chat of the history of this replica.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn history(&self, id: &ChatId) -> Result<Option<Chat>, DriveError> {
        let found = self.recorded(history::chat_key(id)).await?;
        let chat = found.map(|bytes| history::decode_chat(&bytes));
        chat.transpose().map_err(DriveError::internal)
    }

    /// A version of the configuration with at most so many of its changes, and how many it has; `None` = there is no
    /// such version.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn version(
        &self,
        number: u64,
        changes_max: u32,
    ) -> Result<Option<(Version, u32)>, DriveError> {
        let Some(head) = self.recorded(history::version_key(number)).await? else {
            return Ok(None);
        };
        let (mut version, changes) =
            history::decode_version(&head).map_err(DriveError::internal)?;
        for place in 0..changes.min(changes_max) {
            let found = self.recorded(history::change_key(number, place)).await?;
            let change = found.map(|bytes| history::decode_change(&bytes));
            let missing = || DriveError::Internal(format!("version {number} lacks change {place}"));
            let change = change.ok_or_else(missing)?;
            version.changes.push(change.map_err(DriveError::internal)?);
        }
        Ok(Some((version, changes)))
    }

    /// The configuration as it was in a version; `None` = there is no such version.
    ///
    /// # Errors
    /// [`DriveError::Internal`] when the disk or the bytes are at fault.
    pub async fn configuration(&self, number: u64) -> Result<Option<State>, DriveError> {
        let mut then = self.state().configuration();
        // The state is ahead of the disk for a moment.
        let (mut progress, index) = (self.progress(), then.meta().index);
        let written = progress.wait_for(|p| p.index >= index).await;
        written.map_err(|_| DriveError::Stopping)?;
        if number > then.meta().version {
            return Ok(None);
        }
        while then.meta().version > number {
            let newest = then.meta().version;
            let Some((version, _)) = self.version(newest, u32::MAX).await? else {
                let lacks = format!("the history lacks version {newest}");
                return Err(DriveError::Internal(lacks));
            };
            then.undo(version);
        }
        Ok(Some(then))
    }

    async fn recorded(&self, key: Vec<u8>) -> Result<Option<Vec<u8>>, DriveError> {
        let found = self.group()?.history(key).await;
        found.map_err(DriveError::internal)
    }
}
