//! Where the sun is: spans of working time and the order of regions at an instant.

use std::collections::BTreeMap;

use crate::ids::*;
use crate::limits::DAY_MS;
use crate::model::*;
use crate::state::State;

/// The place of each region in sun order, 0 the best.
pub type SunOrder = BTreeMap<RegionId, usize>;

/// Spans with no more than this between them belong to one working day: a lunch break does not end it.
const SAME_DAY_MS: Millis = 6 * 3_600_000;

impl Schedule {
    /// The span that holds `at`.
    pub fn span_at(&self, at: Millis) -> Option<Span> {
        let next = self.spans.partition_point(|s| s.end <= at);
        self.spans.get(next).copied().filter(|s| s.start <= at)
    }
    /// Whether `at` is working time.
    pub fn contains(&self, at: Millis) -> bool {
        self.span_at(at).is_some()
    }
    /// The first start after `at`, as far as the spans are known.
    pub fn next_start(&self, at: Millis) -> Option<Millis> {
        let next = self.spans.partition_point(|s| s.start <= at);
        self.spans.get(next).map(|s| s.start)
    }
    /// When the working day of a span ends: breaks within the day do not count, and round the clock is a day.
    pub fn day_end(&self, span: Span) -> Millis {
        let mut end = span.end;
        let from = self.spans.partition_point(|s| s.start <= span.start);
        for next in &self.spans[from..] {
            let day_over = next.start - end > SAME_DAY_MS || next.end - span.start > DAY_MS.into();
            if day_over {
                break;
            }
            end = next.end;
        }
        end
    }
    /// Whether `at` is so near the end of the working day that nothing new is offered.
    pub fn last_moments(&self, at: Millis) -> bool {
        let last = Millis::from(self.last_offer_ms);
        last > 0
            && self
                .span_at(at)
                .is_some_and(|span| at >= self.day_end(span) - last)
    }
    /// The first time after `at` at which who follows the schedule begins or ends to take chats.
    pub(crate) fn next_change(&self, at: Millis) -> Option<Millis> {
        let edge = self.next_edge(at)?;
        let last = self.span_at(at).filter(|_| self.last_offer_ms > 0);
        let last = last.map(|span| self.day_end(span) - Millis::from(self.last_offer_ms));
        Some(
            last.filter(|last| *last > at)
                .map_or(edge, |last| last.min(edge)),
        )
    }
    /// The first start or end after `at`.
    pub fn next_edge(&self, at: Millis) -> Option<Millis> {
        let end = self.span_at(at).map(|s| s.end);
        end.or_else(|| self.next_start(at))
    }
}

impl State {
    /// Regions in sun order: those at work first, the one with most of its working day left leading; then
    /// the others, the one that begins soonest leading; ties by id.
    pub fn sun_order(&self) -> SunOrder {
        let now = self.meta.now;
        let mut order: Vec<_> = self
            .regions
            .values()
            .map(|region| {
                let open = |_: &&Schedule| !self.region_shut(&region.id);
                let schedule = self.schedules.get(&region.schedule).filter(open);
                let at_work = schedule.and_then(|s| Some(s.day_end(s.span_at(now)?)));
                let key = match at_work {
                    Some(end) => (0, now - end),
                    None => (
                        1,
                        schedule
                            .and_then(|s| s.next_start(now))
                            .unwrap_or(Millis::MAX),
                    ),
                };
                (key, region.id.clone())
            })
            .collect();
        order.sort();
        order
            .into_iter()
            .enumerate()
            .map(|(place, (_, id))| (id, place))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(spans: &[(i64, i64)]) -> Schedule {
        let spans = spans
            .iter()
            .map(|(start, end)| Span {
                start: *start,
                end: *end,
            })
            .collect();
        Schedule {
            id: "s".into(),
            spans,
            horizon: 100,
            zone_data: String::new(),
            source: vec![],
            last_offer_ms: 0,
            handover_ms: 0,
            handover_to_line: false,
        }
    }

    #[test]
    fn edges_are_half_open() {
        let s = schedule(&[(10, 20), (30, 40)]);
        assert!(!s.contains(9) && s.contains(10) && s.contains(19) && !s.contains(20));
        assert_eq!(
            (
                s.next_edge(0),
                s.next_edge(10),
                s.next_edge(20),
                s.next_edge(40)
            ),
            (Some(10), Some(20), Some(30), None)
        );
        assert_eq!(s.next_start(10), Some(30));
    }

    #[test]
    fn a_lunch_break_does_not_end_the_day() {
        const H: i64 = 3_600_000;
        let s = schedule(&[(8 * H, 12 * H), (13 * H, 17 * H), (32 * H, 36 * H)]);
        assert_eq!(s.day_end(s.spans[0]), 17 * H);
        assert_eq!(s.day_end(s.spans[1]), 17 * H);
        let round = schedule(&[(0, 20 * H), (20 * H, 24 * H), (24 * H, 48 * H)]);
        assert_eq!(round.day_end(round.spans[0]), 24 * H, "a day at most");
    }

    #[test]
    fn the_region_with_most_of_its_day_left_leads() {
        let mut state = State::default();
        for (id, spans) in [
            ("ap", &[(0, 50)][..]),
            ("eu", &[(40, 90)]),
            ("us", &[(70, 120)]),
            ("xx", &[(60, 70)]),
        ] {
            let mut s = schedule(spans);
            s.id = id.into();
            state.regions.insert(
                id.into(),
                Region {
                    id: id.into(),
                    zone: String::new(),
                    schedule: id.into(),
                    neighbours: vec![],
                },
            );
            state.schedules.insert(id.into(), s);
        }
        let order = |state: &State| {
            let mut order: Vec<_> = state
                .sun_order()
                .into_iter()
                .map(|(id, at)| (at, String::from(id)))
                .collect();
            order.sort();
            order
                .into_iter()
                .map(|(_, id)| id)
                .collect::<Vec<_>>()
                .join(" ")
        };
        state.meta.now = 45;
        assert_eq!(order(&state), "eu ap xx us");
        state.meta.now = 80;
        assert_eq!(order(&state), "us eu ap xx");
    }
}
