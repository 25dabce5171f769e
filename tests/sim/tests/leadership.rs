//! Leadership follows the sun, on real nodes over a simulated planet: to where writes begin, not to and fro, and to where
//! an operator pins it. Minutes pass in seconds, since the clock jumps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use meridian_people::ledger::Ledger;
use meridian_people::operator::{OPERATOR, form};
use meridian_people::stage::{Person, Ways as _};
use meridian_people::trace::Trace;
use meridian_people::world::{Day, configuration, region_name};
use meridian_proto::livechat::v1::admin_service_client::AdminServiceClient;
use meridian_proto::livechat::v1::visitor_service_client::VisitorServiceClient;
use meridian_proto::livechat::v1::*;
use meridian_sim::cluster::{DAWN_MS, Ground, Machine};
use meridian_sim::net::Net;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A region, and the number of the node that stands in it.
type Region = (usize, u64);
const AP: Region = (0, 3);
const EU: Region = (1, 1);
const US: Region = (2, 2);

struct Planet {
    net: Net,
    machines: Vec<Machine>,
    /// Where the next visitors come from, by turns.
    come_from: Arc<Mutex<Vec<Region>>>,
    /// How long visitors waited for an answer, since it was last asked for.
    waits: Arc<Mutex<Vec<Duration>>>,
    _dir: tempfile::TempDir,
}

impl Planet {
    /// A node in each region of a planet, and visitors who come twice a second and go again at once.
    async fn start() -> Self {
        let net = Net::new(1);
        for (a, b, ms) in [(EU, US, 40), (US, AP, 75), (EU, AP, 100)] {
            let way = Duration::from_millis(ms);
            net.distance(a.0, b.0, way, way.mul_f64(1.02));
        }
        let dir = tempfile::tempdir().expect("a directory");
        let dawn = Instant::now();
        let lasts = Duration::from_secs(24 * 3_600);
        let day = Day {
            dawn,
            dawn_ms: DAWN_MS,
            begins: dawn,
            lasts,
            ends: dawn + lasts,
        };
        let ground = Ground {
            net: net.clone(),
            day,
            dir: dir.path().to_owned(),
            slowest_sync_ms: 30,
            ledger: Arc::new(Ledger::new(Trace::new(false))),
        };
        let mut machines = Vec::new();
        for (region, id) in [EU, US, AP] {
            let mut machine = Machine::new(&ground, (id, region), id, Duration::from_millis(1));
            machine.start().await.expect("a node starts");
            machines.push(machine);
        }
        let members = machines.iter().map(Machine::member).collect();
        form(&net, members).await.expect("a cluster");
        let planet = Self {
            net: net.clone(),
            machines,
            come_from: Arc::new(Mutex::new(vec![EU])),
            waits: Arc::default(),
            _dir: dir,
        };
        planet
            .until("rules are in force", 30, async || {
                let status = planet
                    .admin(EU)
                    .cluster_status(ClusterStatusRequest {})
                    .await;
                status.is_ok_and(|s| s.into_inner().rules == meridian_routing::rules::NEWEST)
            })
            .await;
        let world = ApplyRequest {
            request_id: "world".to_owned(),
            put: Some(configuration(&day, false)),
            ..Default::default()
        };
        planet.admin(EU).apply(world).await.expect("a world");
        tokio::spawn(visitors(
            net,
            planet.come_from.clone(),
            planet.waits.clone(),
        ));
        planet
    }

    fn admin(&self, at: Region) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.net.channel(OPERATOR, at.1))
    }

    fn come_from(&self, regions: &[Region]) {
        *self.come_from.lock() = regions.to_vec();
    }

    fn leader(&self) -> Option<(u64, u64)> {
        self.machines
            .iter()
            .filter_map(|m| Some((m.leads()?, m.id)))
            .max()
    }

    /// Waits until a region leads; how many seconds that took.
    async fn leads(&self, region: Region, within: u64) -> u64 {
        let began = Instant::now();
        let what = format!("region {} leads", region_name(region.0));
        let leads = async || self.leader().is_some_and(|(_, id)| id == region.1);
        self.until(&what, within, leads).await;
        began.elapsed().as_secs()
    }

    /// Waits, looking now and then: these are seconds of a clock that jumps.
    async fn until(&self, what: &str, within: u64, ask: impl AsyncFn() -> bool) {
        let asked = async {
            while !ask().await {
                sleep(Duration::from_millis(200)).await;
            }
        };
        let asked = timeout(Duration::from_secs(within), asked).await;
        assert!(
            asked.is_ok(),
            "{within} s in vain: {what}; it is {:?}",
            self.leader()
        );
    }

    /// Lets so many seconds pass, in which leadership does not move.
    async fn rests(&self, seconds: u64) {
        let before = self.leader();
        sleep(Duration::from_secs(seconds)).await;
        assert_eq!(self.leader(), before);
    }

    fn slowest(&self) -> Duration {
        let waits = std::mem::take(&mut *self.waits.lock());
        waits.into_iter().max().unwrap_or_default()
    }

    async fn pin(&self, at: Region, region: Option<&str>) -> Result<Leadership, Status> {
        let ask = PinLeaderRequest {
            request_id: format!("{region:?} {:?}", Instant::now()),
            actor: "ann".to_owned(),
            region_id: region.unwrap_or_default().to_owned(),
            unpin: region.is_none(),
        };
        let pinned = self.admin(at).pin_leader(ask).await?.into_inner();
        Ok(pinned.leadership.expect("what there is now"))
    }

    async fn leadership(&self, at: Region) -> Leadership {
        let ask = GetLeadershipRequest {};
        let told = self.admin(at).get_leadership(ask).await;
        told.expect("it is told")
            .into_inner()
            .leadership
            .expect("it")
    }
}

/// Everybody who was let in is known when they leave again: nothing that was acknowledged is lost on the way.
async fn visitors(net: Net, come_from: Arc<Mutex<Vec<Region>>>, waits: Arc<Mutex<Vec<Duration>>>) {
    let person = |region: usize| Person {
        number: region as u64,
        region,
    };
    let ways = [EU, US, AP].map(|(region, node)| (node, net.channel(person(region), node)));
    let ways = BTreeMap::from(ways);
    for number in 0_usize.. {
        let from = come_from.lock().clone();
        let (_, node) = from[number % from.len()];
        let way = ways[&node].clone();
        let waits = waits.clone();
        tokio::spawn(async move {
            let mut client = VisitorServiceClient::new(way);
            let began = Instant::now();
            let ask = StartChatRequest {
                request_id: format!("come {number}"),
                queue_id: "q".to_owned(),
                languages: vec!["en".to_owned()],
                ..Default::default()
            };
            let started = client.start_chat(ask).await.expect("taken in");
            let took = began.elapsed();
            waits.lock().push(took);
            let chat = started.into_inner().chat.expect("a chat");
            let ask = LeaveChatRequest {
                request_id: format!("go {number}"),
                chat_id: chat.chat_id,
            };
            client.leave_chat(ask).await.expect("known");
        });
        sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn leadership_goes_where_writes_begin_and_does_not_go_to_and_fro() {
    let planet = Planet::start().await;
    planet.leads(EU, 240).await;
    planet.rests(120).await;
    planet.slowest();
    let told = planet.leadership(AP).await;
    assert!(told.follows_sun && told.pin.is_none(), "{told:?}");
    assert_eq!((told.leader_id, told.region_id.as_str()), (EU.1, "eu"));
    assert!(told.led_ms >= Some(120_000), "{told:?}");
    let writes = |told: &Leadership, of: Region| {
        let mut members = told.members.iter();
        members.find(|m| m.node_id == of.1).map_or(0, |m| m.writes)
    };
    assert!(writes(&told, EU) * 10 > told.writes * 9, "{told:?}");
    // A write in eu takes the way to us and back alone.
    let us = told.members.iter().find(|m| m.node_id == EU.1);
    let ms = us.and_then(|m| m.write_us).expect("known") / 1_000;
    assert!((80..95).contains(&ms), "{told:?}");

    // A burst from elsewhere is not the sun.
    planet.come_from(&[US]);
    sleep(Duration::from_secs(15)).await;
    planet.come_from(&[EU]);
    planet.rests(120).await;

    for region in [US, AP] {
        planet.slowest();
        planet.come_from(&[region]);
        let took = planet.leads(region, 300).await;
        planet.rests(5).await;
        let slowest = planet.slowest();
        // Three ways there and back without writes at most, and the way to the leader and to a majority.
        println!(
            "{} leads after {took} s, and nobody waited longer than {slowest:?}",
            region_name(region.0)
        );
        assert!(took >= 30, "{took} s");
        assert!(slowest < Duration::from_secs(1), "{slowest:?}");
        planet.rests(60).await;
    }

    // Half of them from each: us is nearer to a majority, and between us and eu there is nothing to choose.
    planet.come_from(&[AP, US]);
    planet.leads(US, 300).await;
    planet.come_from(&[EU, US]);
    planet.rests(240).await;
}

#[tokio::test(start_paused = true)]
async fn leadership_stays_where_it_is_pinned_and_comes_back_there() {
    let mut planet = Planet::start().await;
    planet.leads(EU, 240).await;
    for (region, says) in [("mars", "no node"), ("", "is empty")] {
        let refused = planet.pin(US, Some(region)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        let text = refused.message();
        assert!(text.contains("region_id") && text.contains(says), "{text}");
        assert!(text.contains("ap, eu, us"), "{text}");
    }
    let pinned = planet.pin(US, Some("ap")).await.expect("pinned");
    let pin = pinned.pin.expect("a pin");
    assert_eq!(
        (pin.region_id.as_str(), pin.by.as_str()),
        ("ap", "operator:ann")
    );
    planet.leads(AP, 30).await;
    // Writes come from eu all the time.
    planet.rests(150).await;
    let to_us = TransferLeaderRequest { node_id: US.1 };
    let refused = planet.admin(EU).transfer_leader(to_us).await;
    let refused = refused.expect_err("it would come back at once");
    assert!(refused.message().contains("pinned to 'ap'"), "{refused:?}");

    // Its only node is lost: somebody else leads meanwhile.
    let ap = planet
        .machines
        .iter()
        .position(|m| m.id == AP.1)
        .expect("it");
    planet.machines[ap].lose_power(0);
    planet
        .until("another leads", 30, async || {
            planet.leader().is_some_and(|(_, id)| id != AP.1)
        })
        .await;
    planet.rests(100).await;
    planet.machines[ap].start().await.expect("it comes back");
    planet.leads(AP, 60).await;
    assert_eq!(planet.leadership(US).await.pin, Some(pin));

    // Let go, it follows the sun again.
    planet.pin(EU, None).await.expect("let go");
    assert_eq!(planet.leadership(US).await.pin, None);
    planet.leads(EU, 240).await;
    planet.rests(60).await;
}
