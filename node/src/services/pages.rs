//! Lists in pages. A token is opaque to callers: a version, a mark of the call and its filter, and the last
//! object told, so that it cannot be used where it does not fit.

use std::collections::BTreeMap;
use std::ops::Bound;

use meridian_proto::livechat::v1::Configuration;
use meridian_routing::state::State;
use prost::Message;
use tonic::Status;

use super::status::invalid;
use crate::convert::api;

const VERSION: &str = "1";
/// Objects of a page that names no size.
const SIZE: usize = 100;
const SIZE_MAX: u32 = 1_000;
/// A page of configuration is not made longer than this, unless a single object is: clients refuse messages
/// past 4 MiB unless told otherwise.
const PAGE_BYTES: usize = 1 << 20;

/// One call with its filter: what a token is good for.
pub(super) struct Listing {
    mark: u64,
    size: usize,
    after: String,
}

impl Listing {
    /// Checks size and token of a call.
    pub(super) fn new(call: &str, filter: &[&str], size: u32, token: &str) -> Result<Self, Status> {
        if size > SIZE_MAX {
            let problem = format!("{size} is out of bounds; give 1 to {SIZE_MAX}, or 0 for {SIZE}");
            return Err(invalid("page_size", &problem));
        }
        let mark = mark(call, filter);
        let after = match token {
            "" => String::new(),
            token => token
                .strip_prefix(&head(mark))
                .filter(|last| !last.is_empty())
                .ok_or_else(|| {
                    let problem = "is not from an answer to this call with this filter; \
                         give the last answer's next_page_token, or none to begin anew";
                    invalid("page_token", problem)
                })?
                .to_owned(),
        };
        let size = if size == 0 { SIZE } else { size as usize };
        Ok(Self { mark, size, after })
    }

    /// Most objects of a page.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The last object of the page before; empty = from the start.
    pub(super) fn after(&self) -> &str {
        &self.after
    }

    /// Where to go on.
    pub(super) fn from<K: for<'a> From<&'a str>>(&self) -> (Bound<K>, Bound<K>) {
        let from = if self.after.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(K::from(&self.after))
        };
        (from, Bound::Unbounded)
    }

    /// Cuts a page of ordered items, and makes the token of the next.
    pub(super) fn page<T>(
        &self,
        items: impl Iterator<Item = T>,
        id: impl Fn(&T) -> &str,
    ) -> (Vec<T>, String) {
        let mut items: Vec<T> = items.take(self.size + 1).collect();
        if items.len() <= self.size {
            return (items, String::new());
        }
        items.truncate(self.size);
        let next = items.last().map(|last| self.token(id(last)));
        (items, next.unwrap_or_default())
    }

    fn token(&self, last: &str) -> String {
        format!("{}{last}", head(self.mark))
    }
}

fn head(mark: u64) -> String {
    format!("{VERSION}{mark:016x}")
}

/// FNV-1a over the words, each with its length.
fn mark(call: &str, filter: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in [call].iter().chain(filter) {
        let length = (word.len() as u64).to_be_bytes();
        for byte in length.iter().chain(word.as_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// Kinds in the order in which they are paged.
const KINDS: [&str; 5] = ["workspace", "region", "schedule", "queue", "agent"];

/// A page of the configuration, and the token of the next.
pub(super) fn configuration(
    state: &State,
    size: u32,
    token: &str,
) -> Result<(Configuration, String), Status> {
    let listing = Listing::new("configuration", &[], size, token)?;
    let (kind, id) = listing.after.split_once(' ').unwrap_or_default();
    let mut room = Room {
        kind: KINDS.iter().position(|k| *k == kind),
        id: id.to_owned(),
        objects: listing.size,
        bytes: PAGE_BYTES,
        last: String::new(),
        full: false,
    };
    let workspace = Some(state.workspace())
        .filter(|w| !w.name.is_empty() && room.kind.is_none())
        .map(api::show_workspace)
        .filter(|w| room.take(0, "", w));
    let page = Configuration {
        workspace,
        regions: room.fill(1, state.regions(), api::show_region, |r| &r.id),
        schedules: room.fill(2, state.schedules(), api::show_schedule, |s| &s.id),
        queues: room.fill(3, state.queues(), api::show_queue, |q| &q.id),
        agents: room.fill(4, state.agents(), |a| api::show_agent(&a.config), |a| &a.id),
    };
    let next = if room.full {
        listing.token(&room.last)
    } else {
        String::new()
    };
    Ok((page, next))
}

/// What a page still has room for.
struct Room {
    /// Kind and id of the last object of the page before; none for the first page.
    kind: Option<usize>,
    id: String,
    objects: usize,
    bytes: usize,
    last: String,
    full: bool,
}

impl Room {
    /// Whether one more object finds room; the first always does.
    fn take(&mut self, kind: usize, id: &str, object: &impl Message) -> bool {
        let bytes = object.encoded_len();
        if self.objects == 0 || (bytes > self.bytes && !self.last.is_empty()) {
            self.full = true;
            return false;
        }
        self.objects -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.last = format!("{} {id}", KINDS[kind]);
        true
    }

    fn fill<K, V, T>(
        &mut self,
        kind: usize,
        all: &BTreeMap<K, V>,
        show: fn(&V) -> T,
        id: fn(&T) -> &String,
    ) -> Vec<T>
    where
        K: Ord + for<'a> From<&'a str>,
        T: Message,
    {
        let from = match self.kind {
            Some(last) if last > kind => return Vec::new(),
            Some(last) if last == kind => Bound::Excluded(K::from(&self.id)),
            _ => Bound::Unbounded,
        };
        if self.full {
            return Vec::new();
        }
        let rest = all.range((from, Bound::Unbounded));
        rest.map(|(_, v)| show(v))
            .take_while(|object| self.take(kind, id(object), object))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use meridian_routing::model::*;
    use meridian_routing::state::Entity;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_call_and_filter_only() {
        let first = Listing::new("agents", &["eu", "2"], 2, "").expect("the first page");
        let (page, token) = first.page(["a", "b", "c"].into_iter(), |id| id);
        assert_eq!(page, ["a", "b"]);
        let next = Listing::new("agents", &["eu", "2"], 2, &token).expect("the next page");
        let (rest, end) = next.page(["c"].into_iter(), |id| id);
        assert_eq!(
            (next.after.as_str(), rest, end.as_str()),
            ("b", vec!["c"], "")
        );
        for (call, filter, token) in [
            ("agents", ["us", "2"], token.as_str()),
            ("agents", ["eu2", ""], &token),
            ("chats", ["eu", "2"], &token),
            ("agents", ["eu", "2"], "b"),
            ("agents", ["eu", "2"], &token[..17]),
        ] {
            let refused = Listing::new(call, &filter, 2, token)
                .err()
                .expect("refused");
            assert!(refused.message().starts_with("page_token: "), "{refused}");
        }
        let refused = Listing::new("agents", &[], 1_001, "")
            .err()
            .expect("refused");
        assert!(refused.message().starts_with("page_size: "), "{refused}");
    }

    fn state() -> State {
        let schedule = |id: &str, days: usize| {
            let source = meridian_proto::livechat::v1::Schedule {
                id: id.into(),
                holidays: (0..days).map(|d| format!("{d:010}")).collect(),
                ..Default::default()
            };
            Entity::Schedule(Schedule {
                id: id.into(),
                spans: Vec::new(),
                horizon: 1,
                zone_data: String::new(),
                source: source.encode_to_vec(),
                last_offer_ms: 0,
                handover_ms: 0,
                handover_to_line: false,
            })
        };
        let region = |id: &str| {
            Entity::Region(Region {
                id: id.into(),
                zone: "Etc/UTC".into(),
                schedule: "s1".into(),
                neighbours: Vec::new(),
            })
        };
        State::restore([
            Entity::Workspace(Workspace {
                name: "w".into(),
                ..Workspace::default()
            }),
            region("r1"),
            region("r2"),
            schedule("s1", 60_000),
            schedule("s2", 60_000),
            schedule("s3", 0),
        ])
    }

    #[test]
    fn every_object_is_on_one_page_and_large_ones_make_short_pages() {
        let state = state();
        let whole = api::configuration(&state);
        for size in [1, 2, 3, 1_000] {
            let (mut joined, mut token, mut pages) = (Configuration::default(), String::new(), 0);
            loop {
                let (page, next) = configuration(&state, size, &token).expect("a page");
                joined.workspace = joined.workspace.or(page.workspace);
                joined.regions.extend(page.regions);
                joined.schedules.extend(page.schedules);
                (token, pages) = (next, pages + 1);
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(joined, whole, "pages of {size}");
            assert_eq!(
                pages,
                [6, 3, 3, 2][(size.min(4) - 1) as usize],
                "pages of {size}"
            );
        }
    }
}
