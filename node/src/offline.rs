//! What is done to data directories and backups while no node runs on them.

use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use meridian_places::{PlaceError, fetch, is_store};
use meridian_proto::log::v1 as log;
use meridian_routing::ids::Millis;
use meridian_routing::limits;
use tempfile::TempPath;

use crate::aside::aside;
use crate::backup::{self, Maker, Sound, index_of};
use crate::env::Environment;
use crate::raft::Node;
use crate::raft::backup::{First, RestoreError};
use crate::storage::Storage;

/// Longest name of an operator, as the audit of everything else keeps it.
const ACTOR_BYTES_MAX: usize = limits::NAME_BYTES_MAX - "operator:".len();

/// Backups, and clusters made of them; no node may run on the directories named.
#[derive(Debug, Parser)]
#[command(name = "meridian-node", version)]
pub enum Offline {
    /// Reads a backup whole and says what it is of
    Verify {
        /// The file, or s3://BUCKET/KEY as the environment lets us (see `meridian backup create --help`)
        file: PathBuf,
    },
    /// Makes the first node of a new cluster from a backup. The cluster it came from is not touched, and nodes of the
    /// two refuse each other
    Restore {
        /// The backup: a file, or s3://BUCKET/KEY as the environment lets us (see `meridian backup create --help`)
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
    /// Who makes it, for the audit: `meridian cluster status` tells it ever after
    #[arg(
        long,
        value_name = "NAME",
        env = "USER",
        default_value = "meridian-node"
    )]
    pub actor: String,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The loss was not accepted.
    #[error(
        "--accept-loss is missing: recovering forgets what only the lost nodes had, and is for a majority that never comes back; where it may, start those nodes instead"
    )]
    LossNotAccepted,
    /// A flag is wrong.
    #[error("--{flag}: {problem}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// What is wrong, and what to give.
        problem: &'static str,
    },
    /// The directory for it cannot be made.
    #[error("{}: {why}", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The store is at fault.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// What the store holds is at fault.
    #[error("{}: {why}", given.display())]
    Fetched {
        /// The backup as it was named.
        given: PathBuf,
        /// What is wrong with it.
        why: RestoreError,
    },
    /// A fault of the program.
    #[error("the work ended by itself: {0}")]
    Ended(tokio::task::JoinError),
    /// The file or directory is at fault.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

/// A backup to be read, on this machine in any case.
struct Source {
    /// As it was named.
    given: PathBuf,
    /// Where it was brought from a store.
    fetched: Option<PathBuf>,
}

impl Source {
    fn path(&self) -> &Path {
        self.fetched.as_deref().unwrap_or(&self.given)
    }

    /// Reads it whole.
    fn open(&self) -> Result<Sound, OfflineError> {
        Sound::open(self.path()).map_err(|e| self.named(e))
    }

    /// Says of which backup an error is: nobody knows the file it was brought into.
    fn named(&self, why: RestoreError) -> OfflineError {
        match self.fetched {
            Some(_) => OfflineError::Fetched {
                given: self.given.clone(),
                why,
            },
            None => why.into(),
        }
    }
}

impl Offline {
    /// The first words by which one of these is asked for.
    pub const NAMES: [&str; 3] = ["verify", "restore", "recover"];

    /// Does it; says what was done and what comes next. Where it is not awaited to its end, nothing is left of what was
    /// brought from a store.
    ///
    /// # Errors
    /// [`OfflineError`].
    pub async fn carry_out(self, env: Environment) -> Result<String, OfflineError> {
        let brought = self.bring().await?;
        let fetched = brought.as_deref().map(Path::to_owned);
        let now = env.clock.now();
        let work = aside(move || self.run(&*env.storage, env.id(), now, fetched));
        // `brought` goes after this, and the file with it.
        work.await.map_err(OfflineError::Ended)?
    }

    /// Brings what a store holds into a file on this machine, which goes when it is dropped.
    async fn bring(&self) -> Result<Option<TempPath>, OfflineError> {
        let (from, dir) = match self {
            Self::Verify { file } => (file, std::env::temp_dir()),
            Self::Restore { from, first } => {
                // Before all of it is brought in vain.
                first.check()?;
                backup::must_be_empty(&first.data)?;
                (from, first.near())
            }
            Self::Recover { .. } => return Ok(None),
        };
        match is_store(from) {
            true => Ok(Some(fetch(from, &dir).await?)),
            false => Ok(None),
        }
    }

    /// Does it with what was brought; blocks. `founded` marks the new cluster, made `now`.
    fn run(
        self,
        storage: &dyn Storage,
        founded: String,
        now: Millis,
        fetched: Option<PathBuf>,
    ) -> Result<String, OfflineError> {
        match self {
            Self::Verify { file } => {
                let source = Source {
                    given: file,
                    fetched,
                };
                let backup = source.open()?;
                Ok(format!(
                    "{} is whole: {}",
                    source.given.display(),
                    told(backup.header())
                ))
            }
            Self::Restore { from, first } => {
                let source = Source {
                    given: from,
                    fetched,
                };
                let backup = source.open()?;
                let maker = first.maker(&source.given, false, now);
                let founder = first.node(backup.header(), founded);
                backup
                    .restore(storage, &first.data, &founder, &maker)
                    .map_err(|e| source.named(e))?;
                Ok(first.next(backup.header(), &founder))
            }
            Self::Recover {
                from,
                first,
                accept_loss,
            } => {
                if !accept_loss {
                    return Err(OfflineError::LossNotAccepted);
                }
                first.check()?;
                backup::must_be_empty(&first.data)?;
                let beside = first.scratch()?;
                let left = backup::salvage(storage, &from, beside)?;
                let backup = Sound::open(left.path())?;
                let founder = first.node(backup.header(), founded);
                let maker = first.maker(&from, accept_loss, now);
                backup.restore(storage, &first.data, &founder, &maker)?;
                Ok(first.next(backup.header(), &founder))
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
    /// Checks what becomes part of the membership for good.
    fn check(&self) -> Result<(), OfflineError> {
        let refuse = |flag, problem| Err(OfflineError::Flag { flag, problem });
        let host_port = self.peer_address.rsplit_once(':');
        let host_port = host_port.filter(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if host_port.is_none() || self.peer_address.len() > 256 {
            return refuse(
                "peer-address",
                "is no address; give HOST:PORT as other nodes reach it",
            );
        }
        if !(1..=64).contains(&self.region.len()) {
            return refuse("region", "is no region; give 1 to 64 bytes");
        }
        let printable =
            |name: &str| !name.is_empty() && name.bytes().all(|b| (32..127).contains(&b));
        let actor = &self.actor;
        if !(1..=ACTOR_BYTES_MAX).contains(&actor.len()) || actor.contains(char::is_control) {
            return refuse("actor", "is no name; give 1 to 119 bytes");
        }
        match self.cluster.as_deref() {
            Some(name) if !printable(name) => refuse("cluster", "is no name; give printable ASCII"),
            _ => Ok(()),
        }
    }

    /// Where a backup is kept while a node is made of it: beside the new directory.
    fn scratch(&self) -> Result<PathBuf, OfflineError> {
        let made = std::fs::create_dir_all(&self.data).and_then(|()| self.data.canonicalize());
        let data = made.map_err(|why| OfflineError::Directory {
            dir: self.data.clone(),
            why,
        })?;
        let name = format!("meridian-recovering-{}", std::process::id());
        Ok(data.parent().unwrap_or(&data).join(name))
    }

    /// Where what a store holds is brought to: beside the new directory, as there must be room, where that is possible
    /// without making anything.
    fn near(&self) -> PathBuf {
        let data = std::path::absolute(&self.data).unwrap_or_default();
        match data.parent() {
            Some(parent) if parent.is_dir() => parent.to_owned(),
            _ => std::env::temp_dir(),
        }
    }

    fn maker(&self, from: &Path, loss_accepted: bool, at: Millis) -> Maker {
        Maker {
            actor: format!("operator:{}", self.actor),
            from: from.display().to_string(),
            loss_accepted,
            at,
        }
    }

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
             Next: meridian-node --node-id {id} --region {region} --cluster {cluster} --data {data} --peer-listen 0.0.0.0:{} ...\n\
             then add the others: meridian cluster add-learner and promote, each on an empty directory",
            told(header),
            self.peer_address
                .rsplit_once(':')
                .map_or("", |(_, port)| port)
        )
    }
}
