//! Who leads, and where leadership should stand.

use meridian_proto::livechat::v1 as api;
use serde::Serialize;

use super::cluster::role;
use crate::output::{Clock, Field, Output, Tabular, printable};
use crate::time::{format_millis, relative, rfc3339};

/// Who leads and why.
#[derive(Clone, Debug, Serialize)]
pub struct Leadership {
    leader_id: Option<u64>,
    region_id: Option<String>,
    term: u64,
    led_ms: Option<u64>,
    follows_sun: bool,
    pin: Option<Pin>,
    /// Writes that count, of every member.
    writes: u64,
    members: Vec<Candidate>,
}

#[derive(Clone, Debug, Serialize)]
struct Pin {
    region_id: String,
    by: String,
    at: Option<String>,
    #[serde(skip)]
    at_ms: i64,
}

/// A member, as one that may lead.
#[derive(Clone, Debug, Serialize)]
struct Candidate {
    node_id: u64,
    region_id: String,
    voter: bool,
    leader: bool,
    /// Of the writes; `None` while there are none.
    writes_percent: Option<u64>,
    /// What a write would take on average if it led.
    write_ms: Option<u64>,
}

impl From<api::Leadership> for Leadership {
    fn from(l: api::Leadership) -> Self {
        let (leader_id, writes) = (l.leader_id, l.writes);
        let candidate = |m: api::LeadershipMember| Candidate {
            node_id: m.node_id,
            region_id: m.region_id,
            voter: m.voter,
            leader: m.node_id == leader_id,
            writes_percent: m.writes.saturating_mul(100).checked_div(writes),
            write_ms: m.write_us.map(|us| us.div_ceil(1_000)),
        };
        let pin = |pin: api::LeaderPin| Pin {
            region_id: pin.region_id,
            by: pin.by,
            at: rfc3339(pin.at_ms),
            at_ms: pin.at_ms,
        };
        Self {
            leader_id: (leader_id != 0).then_some(leader_id),
            region_id: super::given(l.region_id),
            term: l.term,
            led_ms: l.led_ms,
            follows_sun: l.follows_sun,
            pin: l.pin.map(pin),
            writes,
            members: l.members.into_iter().map(candidate).collect(),
        }
    }
}

impl Tabular for Candidate {
    const HEADER: &'static [&'static str] = &["node", "region", "role", "writes", "write time"];

    fn id(&self) -> String {
        self.node_id.to_string()
    }

    fn row(&self, _: &Clock) -> Vec<Field> {
        let role = role(self.leader, self.voter);
        let percent = self.writes_percent.map(|percent| format!("{percent}%"));
        let time = self.write_ms.map(|ms| format!("{ms}ms"));
        vec![
            Field::from(self.node_id),
            Field::from(&self.region_id),
            role,
            Field::from(percent.unwrap_or("-".to_owned())),
            Field::from(time.unwrap_or("-".to_owned())),
        ]
    }
}

impl Leadership {
    /// The leader's number, if one is known.
    pub fn leader_id(&self) -> Option<u64> {
        self.leader_id
    }

    /// For people.
    pub fn page(&self, output: &Output) -> String {
        if output.quiet {
            return self.leader_id.map_or("-".to_owned(), |id| id.to_string());
        }
        let mut text = self.words(Clock::system().now_ms).join("\n");
        if !self.members.is_empty() {
            text.push_str(&format!("\n\n{}\n", output.table(&self.members)));
        }
        text
    }

    fn words(&self, now_ms: i64) -> Vec<String> {
        let region = printable(self.region_id.as_deref().unwrap_or("-"));
        let mut words = vec![match (self.leader_id, self.led_ms) {
            (None, _) => "no leader is known".to_owned(),
            (Some(id), None) => format!("node {id} in {region} leads"),
            (Some(id), Some(ms)) => {
                // Whole seconds, but for the first.
                let led = format_millis(if ms < 1_000 { ms } else { ms - ms % 1_000 });
                format!("node {id} in {region} has led for {led}")
            }
        }];
        match &self.pin {
            Some(pin) => {
                words.push(format!(
                    "leadership is pinned to {} by {}, {}",
                    printable(&pin.region_id),
                    printable(&pin.by),
                    relative(pin.at_ms, now_ms)
                ));
                if self.region_id.as_ref() != Some(&pin.region_id) {
                    words.push("it moves there once a voter there has caught up".to_owned());
                }
            }
            None if self.follows_sun => words.push(
                "leadership follows the sun: it moves to where writes take clearly less for a while"
                    .to_owned(),
            ),
            // Whoever leads says so, or is of an older version.
            None if self.led_ms.is_some() => {
                words.push("this leader does not follow the sun (--leadership stay)".to_owned());
            }
            None => {}
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(led_ms: Option<u64>, follows_sun: bool, pin: Option<&str>) -> Vec<String> {
        let pin = pin.map(|region| api::LeaderPin {
            region_id: region.to_owned(),
            by: "operator:ann".to_owned(),
            at_ms: 10_000,
        });
        let shown = Leadership::from(api::Leadership {
            leader_id: 2,
            region_id: "us".to_owned(),
            led_ms,
            follows_sun,
            pin,
            ..Default::default()
        });
        shown.words(70_000)
    }

    #[test]
    fn it_is_told_who_leads_and_whether_that_moves() {
        let sun = told(Some(200_400), true, None);
        assert_eq!(sun[0], "node 2 in us has led for 3m20s");
        assert!(sun[1].starts_with("leadership follows the sun"), "{sun:?}");
        assert!(told(Some(1), false, None)[1].contains("--leadership stay"));
        assert_eq!(told(None, false, None), ["node 2 in us leads"]);
        let here = told(None, true, Some("us"));
        assert_eq!(
            here[1],
            "leadership is pinned to us by operator:ann, 1m ago"
        );
        assert_eq!(here.len(), 2);
        assert!(told(None, true, Some("eu"))[2].starts_with("it moves there"));
        assert_eq!(
            Leadership::from(api::Leadership::default()).words(0),
            ["no leader is known"]
        );
    }
}
