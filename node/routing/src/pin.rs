//! Where an operator wants the leader to stand. The core only keeps it, so that it survives whoever leads; the node that
//! leads acts on it. Not configuration: applying a file does not undo it.

use crate::effect::{Answer, Reject};
use crate::ids::{Millis, RegionId};
use crate::state::State;

/// That leadership is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// To nodes of this region. The core knows no nodes, so it need not be one of its own regions.
    pub region: RegionId,
    /// Who pinned it.
    pub by: String,
    /// When.
    pub at: Millis,
}

impl State {
    /// Pins leadership to a region, in place of where it was pinned, or to none.
    pub(crate) fn pin_leader(
        &mut self,
        region: Option<&RegionId>,
        by: &str,
    ) -> Result<Answer, Reject> {
        let at = self.meta.now;
        self.meta.pin = region.map(|region| Pin {
            region: region.clone(),
            by: by.to_owned(),
            at,
        });
        Ok(Answer::Done)
    }
}
