//! Regions, the round trips between them, and the links of a cluster spread over them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::link::{LinkId, LinkSpec, Shape};

/// Why a geography has no links for some places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeographyError {
    /// No round trip is known for two regions.
    #[error("the round trip between {0} and {1} is not known; set it")]
    Unknown(String, String),
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The node's name; it becomes the ends of the links' names.
    pub node: String,
    /// Its region.
    pub region: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Round trips between regions. The default is eu-us 80 ms, us-ap 150 ms, eu-ap 220 ms, 1 ms inside a region
/// and 2 % jitter: round numbers of the order that public clouds have between such regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geography {
    /// By pair of regions, the lesser name first.
    round_trips: BTreeMap<(String, String), Duration>,
    local: Duration,
    jitter_percent: u32,
}

impl Default for Geography {
    fn default() -> Self {
        Self::new(Duration::from_millis(1), 2)
            .with("eu", "us", Duration::from_millis(80))
            .with("us", "ap", Duration::from_millis(150))
            .with("eu", "ap", Duration::from_millis(220))
    }
}

impl Geography {
    /// No regions yet: the round trip inside a region, and the jitter in percent of the one-way delay.
    pub fn new(local: Duration, jitter_percent: u32) -> Self {
        Self {
            round_trips: BTreeMap::new(),
            local,
            jitter_percent,
        }
    }

    /// Sets the round trip between two regions, in both directions.
    pub fn with(mut self, one: &str, other: &str, round_trip: Duration) -> Self {
        self.round_trips.insert(pair(one, other), round_trip);
        self
    }

    /// The round trip between two regions, or inside one.
    ///
    /// # Errors
    /// [`GeographyError::Unknown`].
    pub fn round_trip(&self, one: &str, other: &str) -> Result<Duration, GeographyError> {
        if let Some(round_trip) = self.round_trips.get(&pair(one, other)) {
            return Ok(*round_trip);
        }
        if one == other {
            return Ok(self.local);
        }
        Err(GeographyError::Unknown(one.to_owned(), other.to_owned()))
    }

    /// One link for each ordered pair of different nodes: n·(n-1) links.
    ///
    /// # Errors
    /// [`GeographyError::Unknown`].
    pub fn links(&self, places: &[Place]) -> Result<Vec<LinkSpec>, GeographyError> {
        let mut links = Vec::new();
        for from in places {
            for to in places.iter().filter(|to| to.node != from.node) {
                let delay = self.round_trip(&from.region, &to.region)? / 2;
                links.push(LinkSpec {
                    id: LinkId::new(&from.node, &to.node),
                    target: to.address,
                    shape: Shape {
                        delay,
                        jitter: delay * self.jitter_percent / 100,
                        rate: None,
                    },
                });
            }
        }
        Ok(links)
    }
}

fn pair(one: &str, other: &str) -> (String, String) {
    let (lesser, greater) = (one.min(other), one.max(other));
    (lesser.to_owned(), greater.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_symmetric_and_unknown_pairs_refused() {
        let geography = Geography::default();
        let ms = |one, other| geography.round_trip(one, other).map(|d| d.as_millis());
        assert_eq!(ms("eu", "us"), Ok(80));
        assert_eq!(ms("ap", "us"), Ok(150));
        assert_eq!(ms("us", "ap"), Ok(150));
        assert_eq!(ms("ap", "eu"), Ok(220));
        assert_eq!(ms("eu", "eu"), Ok(1));
        let unknown = GeographyError::Unknown("eu".to_owned(), "mars".to_owned());
        assert_eq!(ms("eu", "mars"), Err(unknown));
    }

    #[test]
    fn every_ordered_pair_has_a_link() {
        let place = |node: &str, region: &str, port| Place {
            node: node.to_owned(),
            region: region.to_owned(),
            address: ([127, 0, 0, 1], port).into(),
        };
        let places = [
            place("a", "eu", 1),
            place("b", "eu", 2),
            place("c", "ap", 3),
        ];
        let links = Geography::default().links(&places).expect("known regions");
        let names: Vec<String> = links.iter().map(|l| l.id.to_string()).collect();
        assert_eq!(names, ["a->b", "a->c", "b->a", "b->c", "c->a", "c->b"]);
        assert_eq!(links[1].target.port(), 3);
        assert_eq!(links[1].shape.delay, Duration::from_millis(110));
        assert_eq!(links[1].shape.jitter, Duration::from_micros(2_200));
        assert_eq!(links[0].shape.delay, Duration::from_micros(500));
    }
}
