//! The durable parts of the routing state, as keys and values of the state family.

use meridian_proto::log::v1 as log;
use meridian_routing::closure::Shut;
use meridian_routing::ids::*;
use meridian_routing::pin::Pin;
use meridian_routing::state::{Entity, Key, LastAgent, Meta, Request, Totals};
use prost::Message as _;

use super::{Corrupt, chat, command, model};

/// The bytes a part is kept under: a letter for its kind, then its id. Numbers are big-endian, so that the
/// order of bytes is the order of numbers.
pub fn key(key: &Key) -> Vec<u8> {
    let (kind, id) = match key {
        Key::Meta => (b'm', &b""[..]),
        Key::Workspace => (b'w', &b""[..]),
        Key::Region(id) => (b'r', id.as_str().as_bytes()),
        Key::Schedule(id) => (b's', id.as_str().as_bytes()),
        Key::Queue(id) => (b'q', id.as_str().as_bytes()),
        Key::Agent(id) => (b'a', id.as_str().as_bytes()),
        Key::Chat(id) => (b'c', id.as_str().as_bytes()),
        Key::Visitor(visitor) => (b'v', visitor.as_bytes()),
        Key::Language(tag) => (b'l', tag.as_str().as_bytes()),
        Key::Stats(id) => (b't', id.as_str().as_bytes()),
        Key::Closure(Shut::Queue(id)) => (b'x', id.as_str().as_bytes()),
        Key::Closure(Shut::Region(id)) => (b'y', id.as_str().as_bytes()),
        Key::Request(number) => return [&b"n"[..], &number.to_be_bytes()].concat(),
    };
    [&[kind], id].concat()
}

/// Writes one part.
pub fn encode(entity: &Entity) -> Vec<u8> {
    use log::entity::Entity as Out;
    let out = match entity {
        Entity::Meta(m) => Out::Meta(log::Meta {
            now: m.now,
            index: m.index,
            request_next: m.request_next,
            epoch_floor: m.epoch_floor,
            version: m.version,
            rules: m.rules,
            pin: m.pin.as_ref().map(|pin| log::Pin {
                region: pin.region.to_string(),
                by: pin.by.clone(),
                at: pin.at,
            }),
            accepted: m.totals.accepted,
            answered: m.totals.answered,
            abandoned: m.totals.abandoned,
            expired: m.totals.expired,
            deferrals: m.totals.deferrals,
            offers: m.totals.offers,
        }),
        Entity::Workspace(w) => Out::Workspace(model::workspace(w)),
        Entity::Region(r) => Out::Region(model::region(r)),
        Entity::Schedule(s) => Out::Schedule(model::schedule(s)),
        Entity::Queue(q) => Out::Queue(model::queue(q)),
        Entity::Agent(a) => Out::Agent(model::agent_state(a)),
        Entity::Chat(c) => Out::Chat(Box::new(chat::chat(c))),
        Entity::Stats(queue, stats) => Out::Stats(chat::stats(queue, stats)),
        Entity::Closure(what, c) => Out::Closure(chat::closure(what, c)),
        Entity::Language(r) => Out::Language(model::resolved(r)),
        Entity::Visitor(visitor, last) => Out::Visitor(log::LastAgent {
            visitor: visitor.clone(),
            agent: last.agent.to_string(),
            until: last.until,
        }),
        Entity::Request(number, r) => Out::Request(log::Request {
            number: *number,
            actor: r.actor.clone(),
            id: r.id.clone(),
            reply: Some(command::reply(&Ok(r.answer.clone()))),
            subject: r.subject.clone(),
            at: r.at,
            index: r.index,
        }),
    };
    log::Entity { entity: Some(out) }.encode_to_vec()
}

/// Reads one part.
///
/// # Errors
/// The bytes are not a part this version knows.
pub fn decode(bytes: &[u8]) -> Result<Entity, Corrupt> {
    use log::entity::Entity as In;
    let entity = log::Entity::decode(bytes).map_err(|e| Corrupt::Decode {
        what: "state",
        why: e.to_string(),
    })?;
    Ok(match entity.entity.ok_or(Corrupt::Missing("entity"))? {
        In::Meta(m) => {
            let totals = Totals {
                accepted: m.accepted,
                answered: m.answered,
                abandoned: m.abandoned,
                expired: m.expired,
                deferrals: m.deferrals,
                offers: m.offers,
            };
            Entity::Meta(Meta {
                now: m.now,
                index: m.index,
                request_next: m.request_next,
                epoch_floor: m.epoch_floor,
                version: m.version,
                rules: m.rules,
                pin: m.pin.map(|pin| Pin {
                    region: RegionId::from(pin.region),
                    by: pin.by,
                    at: pin.at,
                }),
                totals,
            })
        }
        In::Workspace(w) => Entity::Workspace(model::read_workspace(w)?),
        In::Region(r) => Entity::Region(model::read_region(r)),
        In::Schedule(s) => Entity::Schedule(model::read_schedule(s)?),
        In::Queue(q) => Entity::Queue(model::read_queue(q)?),
        In::Agent(a) => Entity::Agent(model::read_agent_state(a)?),
        In::Chat(c) => Entity::Chat(Box::new(chat::read_chat(*c)?)),
        In::Stats(s) => {
            let (queue, stats) = chat::read_stats(s);
            Entity::Stats(queue, stats)
        }
        In::Closure(c) => {
            let (what, closure) = chat::read_closure(c)?;
            Entity::Closure(what, closure)
        }
        In::Language(r) => Entity::Language(model::read_resolved(r)),
        In::Visitor(v) => Entity::Visitor(
            v.visitor,
            LastAgent {
                agent: AgentId::from(v.agent),
                until: v.until,
            },
        ),
        In::Request(r) => {
            let reply = r.reply.ok_or(Corrupt::Missing("request.reply"))?;
            let answer = command::read_reply(reply)?;
            Entity::Request(
                r.number,
                Request {
                    actor: r.actor,
                    id: r.id,
                    subject: r.subject,
                    at: r.at,
                    index: r.index,
                    answer: answer.map_err(|_| Corrupt::Missing("request.reply.answer"))?,
                },
            )
        }
    })
}
