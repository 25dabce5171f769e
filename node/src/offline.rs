//! What is done to data directories and backups while no node runs on them.

use std::path::PathBuf;

use clap::{Args, Parser};
use meridian_proto::log::v1 as log;

use crate::backup::{self, index_of};
use crate::raft::Node;
use crate::raft::backup::{First, RestoreError};
use crate::storage::Storage;

/// Backups, and clusters made of them; no node may run on the directories named.
#[derive(Debug, Parser)]
#[command(name = "meridian-node", version)]
pub enum Offline {
    /// Reads a backup whole and says what it is of
    Verify {
        /// The file
        file: PathBuf,
    },
    /// Makes the first node of a new cluster from a backup. The cluster it came from is not touched, and nodes of the
    /// two refuse each other
    Restore {
        /// The backup
        #[arg(long)]
        from: PathBuf,
        /// The node to be made
        #[command(flatten)]
        first: Founder,
    },
    /// Makes the first node of a new cluster from what one node left, after a majority was lost for good. Everything in
    /// its log counts, whether it was ever decided or not; what only the lost nodes had is gone. The nodes of the old
    /// cluster must never run again; they and the new ones refuse each other
    Recover {
        /// Data directory of the node that is left; it stays as it is
        #[arg(long)]
        from: PathBuf,
        /// The node to be made
        #[command(flatten)]
        first: Founder,
        /// Say so that the majority is lost for good, and what it alone had may be lost with it
        #[arg(long)]
        accept_loss: bool,
    },
}

/// The first node of a new cluster.
#[derive(Debug, Args)]
pub struct Founder {
    /// Directory for everything it keeps; new or empty
    #[arg(long)]
    pub data: PathBuf,
    /// Its number, from 1
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub node_id: u64,
    /// The region it stands in
    #[arg(long)]
    pub region: String,
    /// Where peers reach it, as HOST:PORT
    #[arg(long)]
    pub peer_address: String,
    /// Name of the new cluster; without it, that of the old one
    #[arg(long)]
    pub cluster: Option<String>,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The loss was not accepted.
    #[error(
        "--accept-loss is missing: recovering forgets what only the lost nodes had, and is for a majority that never comes back; where it may, start those nodes instead"
    )]
    LossNotAccepted,
    /// The file or directory is at fault.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl Offline {
    /// The first words by which one of these is asked for.
    pub const NAMES: [&str; 3] = ["verify", "restore", "recover"];

    /// Does it; says what was done and what comes next. `founded` marks the new cluster.
    ///
    /// # Errors
    /// [`OfflineError`].
    pub fn run(self, storage: &dyn Storage, founded: String) -> Result<String, OfflineError> {
        match self {
            Self::Verify { file } => {
                let header = backup::verify(&file)?;
                Ok(format!("{} is whole: {}", file.display(), told(&header)))
            }
            Self::Restore { from, first } => {
                let header = backup::verify(&from)?;
                let founder = first.node(&header, founded);
                let header = backup::restore(storage, &from, &first.data, &founder)?;
                Ok(first.next(&header, &founder))
            }
            Self::Recover {
                from,
                first,
                accept_loss,
            } => {
                if !accept_loss {
                    return Err(OfflineError::LossNotAccepted);
                }
                let beside = first.data.with_extension("recovering");
                let left = backup::salvage(storage, &from, beside)?;
                let founder = first.node(left.header(), founded);
                let header = backup::restore(storage, left.path(), &first.data, &founder)?;
                Ok(first.next(&header, &founder))
            }
        }
    }
}

fn told(header: &log::SnapshotHeader) -> String {
    let of = header.backup.clone().unwrap_or_default();
    format!(
        "cluster '{}' up to log index {}, its state {:016x} at {} ms, written by node {}",
        of.cluster_id,
        index_of(header),
        of.state_hash,
        of.at_ms,
        of.node_id
    )
}

impl Founder {
    fn node(&self, header: &log::SnapshotHeader, founded: String) -> First {
        let of = header.backup.clone().unwrap_or_default();
        First {
            cluster_id: self.cluster.clone().unwrap_or(of.cluster_id),
            node_id: self.node_id,
            node: Node {
                address: self.peer_address.clone(),
                region: self.region.clone(),
                founded,
            },
        }
    }

    fn next(&self, header: &log::SnapshotHeader, first: &First) -> String {
        let (data, id) = (self.data.display(), self.node_id);
        let (cluster, region) = (&first.cluster_id, &self.region);
        format!(
            "{data} holds node {id} of the new cluster '{cluster}': {}\n\
             Next: meridian-node --node-id {id} --region {region} --cluster {cluster} --data {data} --peer-listen {} ...\n\
             then add the others: meridian cluster add-learner and promote, each on an empty directory",
            told(header),
            self.peer_address
        )
    }
}
