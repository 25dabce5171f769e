//! All links together, and the switches.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::link::{self, Control, Counters, Cut, LinkId, LinkSpec, LinkStats, Shape};

/// Why a link could not be made or switched.
#[derive(Debug, thiserror::Error)]
pub enum WanError {
    /// No port could be opened.
    #[error("link {id}: cannot listen on loopback: {source}")]
    Listen {
        /// Which link.
        id: LinkId,
        /// What the system said.
        source: io::Error,
    },
    /// Two links have the same name.
    #[error("link {0} stands twice")]
    Twice(LinkId),
    /// There is no such link.
    #[error("there is no link {0}")]
    Unknown(LinkId),
}

/// A set of links. Dropping it closes every port and connection.
#[derive(Debug)]
pub struct Wan {
    links: BTreeMap<LinkId, Link>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    address: SocketAddr,
    control: watch::Sender<Control>,
    counters: Arc<Counters>,
}

impl Wan {
    /// Opens a loopback port for each link and forwards from then on. The seed decides the jitter.
    ///
    /// # Errors
    /// [`WanError::Listen`], [`WanError::Twice`]; nothing stays open then.
    pub async fn start(
        links: impl IntoIterator<Item = LinkSpec>,
        seed: u64,
    ) -> Result<Self, WanError> {
        let mut wan = Self {
            links: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        for (number, LinkSpec { id, target, shape }) in (0u64..).zip(links) {
            if wan.links.contains_key(&id) {
                return Err(WanError::Twice(id));
            }
            let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listening = listening.and_then(|l| Ok((l.local_addr()?, l)));
            let (address, listener) = match listening {
                Ok(listening) => listening,
                Err(source) => return Err(WanError::Listen { id, source }),
            };
            let (control, receiver) = watch::channel(Control {
                target,
                shape,
                cut: None,
            });
            let counters = Arc::new(Counters::default());
            // An odd factor spreads the links over the seeds (the golden ratio in 64 bits).
            let seed = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            wan.tasks
                .spawn(link::run(listener, receiver, counters.clone(), seed));
            let link = Link {
                address,
                control,
                counters,
            };
            wan.links.insert(id, link);
        }
        Ok(wan)
    }

    fn link(&self, id: &LinkId) -> Result<&Link, WanError> {
        self.links
            .get(id)
            .ok_or_else(|| WanError::Unknown(id.clone()))
    }

    fn change(&self, id: &LinkId, change: impl FnOnce(&mut Control)) -> Result<(), WanError> {
        self.link(id)?.control.send_modify(change);
        Ok(())
    }

    /// The links, in order.
    pub fn ids(&self) -> impl Iterator<Item = &LinkId> {
        self.links.keys()
    }

    /// Where to connect to go through a link.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn address(&self, id: &LinkId) -> Result<SocketAddr, WanError> {
        Ok(self.link(id)?.address)
    }

    /// What went through a link so far.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn stats(&self, id: &LinkId) -> Result<LinkStats, WanError> {
        Ok(self.link(id)?.counters.read())
    }

    /// Forwards new connections elsewhere, as when a node came back on another port.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn set_target(&self, id: &LinkId, target: SocketAddr) -> Result<(), WanError> {
        self.change(id, |c| c.target = target)
    }

    /// Changes delay, jitter and rate for all bytes read from now on. Bytes under way keep their time, and
    /// none overtakes them.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn set_shape(&self, id: &LinkId, shape: Shape) -> Result<(), WanError> {
        self.change(id, |c| c.shape = shape)
    }

    /// As [`set_shape`](Self::set_shape) for the one-way delay alone.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn set_delay(&self, id: &LinkId, delay: Duration) -> Result<(), WanError> {
        self.change(id, |c| c.shape.delay = delay)
    }

    /// Cuts a link, or changes how it is cut.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn cut(&self, id: &LinkId, cut: Cut) -> Result<(), WanError> {
        self.change(id, |c| c.cut = Some(cut))
    }

    /// Undoes a cut. Held bytes and connections go on; what was reset stays so.
    ///
    /// # Errors
    /// [`WanError::Unknown`].
    pub fn heal(&self, id: &LinkId) -> Result<(), WanError> {
        self.change(id, |c| c.cut = None)
    }

    /// Cuts all links that are chosen, such as all from and to a region; says how many.
    pub fn cut_where(&self, cut: Cut, mut chosen: impl FnMut(&LinkId) -> bool) -> usize {
        let chosen = self.links.iter().filter(|(id, _)| chosen(id));
        chosen
            .map(|(_, link)| link.control.send_modify(|c| c.cut = Some(cut)))
            .count()
    }

    /// Undoes all cuts.
    pub fn heal_all(&self) {
        for link in self.links.values() {
            link.control.send_modify(|c| c.cut = None);
        }
    }

    /// Closes everything and waits until it is closed; dropping does not wait.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}
