//! The distance between the regions. It has a thread of its own, so that a busy client thread adds none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use meridian_wan::{LinkId, LinkSpec, Wan};
use tokio::sync::oneshot;

use super::error::DemoError;

/// The links, forwarding until this is dropped.
pub struct Network {
    addresses: BTreeMap<LinkId, SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Ready = Result<BTreeMap<LinkId, SocketAddr>, String>;

impl Network {
    /// Opens the links and forwards from then on.
    ///
    /// # Errors
    /// [`DemoError::Network`].
    pub async fn start(links: Vec<LinkSpec>, seed: u64) -> Result<Self, DemoError> {
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("wan".to_owned())
            .spawn(move || forward(links, seed, ready, stopped))
            .map_err(DemoError::io("a thread for the network"))?;
        let addresses = started
            .await
            .unwrap_or_else(|_| Err("its thread ended".to_owned()))
            .map_err(DemoError::Network)?;
        Ok(Self {
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where to connect to go from one region to another.
    ///
    /// # Errors
    /// [`DemoError::Network`] when there is no such link.
    pub fn address(&self, from: &str, to: &str) -> Result<SocketAddr, DemoError> {
        let id = LinkId::new(from, to);
        let address = self.addresses.get(&id).copied();
        address.ok_or_else(|| DemoError::Network(format!("there is no link {id}")))
    }
}

fn forward(
    links: Vec<LinkSpec>,
    seed: u64,
    ready: oneshot::Sender<Ready>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever started this may be gone.
            let _ = ready.send(Err(error.to_string()));
            return;
        }
    };
    runtime.block_on(async {
        let opened = async {
            let wan = Wan::start(links, seed).await?;
            let addresses = wan
                .ids()
                .map(|id| Ok((id.clone(), wan.address(id)?)))
                .collect::<Result<_, meridian_wan::WanError>>()?;
            Ok::<_, meridian_wan::WanError>((wan, addresses))
        };
        match opened.await {
            Ok((wan, addresses)) => {
                if ready.send(Ok(addresses)).is_ok() {
                    // The other end is dropped with the network, which stops this as well.
                    let _ = stopped.await;
                }
                wan.close().await;
            }
            Err(error) => drop(ready.send(Err(error.to_string()))),
        }
    });
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell any more.
            let _ = thread.join();
        }
    }
}
