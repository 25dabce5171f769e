//! openraft's own tests of a store, on the real one over either engine.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::Counter;
use crate::raft::log_store::LogStore;
use crate::raft::state_machine::StateMachine;
use crate::raft::types::Config;
use crate::storage::{Db, Memory, Rocks, Storage};

struct Builder<S>(S);

impl<S: Storage> StoreBuilder<Config, LogStore, StateMachine, TempDir> for Builder<S> {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Config>> {
        let dir = TempDir::new().unwrap();
        let db = Db::open(&self.0, dir.path()).unwrap();
        let snapshots = dir.path().join("snapshots");
        let machine =
            StateMachine::open(db.clone(), 1, snapshots, Box::new(Counter::default())).unwrap();
        Ok((dir, LogStore::new(db, 1), machine))
    }
}

#[tokio::test]
async fn the_store_passes_openrafts_suite() {
    Suite::test_all(Builder(Rocks)).await.unwrap();
}

#[tokio::test]
async fn the_store_in_memory_passes_openrafts_suite() {
    Suite::test_all(Builder(Memory::new())).await.unwrap();
}
