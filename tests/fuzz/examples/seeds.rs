//! Writes the seeds of the binary targets anew, from the configuration that the command line's tests read:
//! `cargo run -p meridian-fuzz --example seeds`. Those of texts are written by hand.

use std::path::Path;

use meridian_cli::world::File;
use meridian_node::convert::{api, command, entity};
use meridian_proto::{log::v1 as log, peer::v1 as peer};
use meridian_routing::command::{Command, NewChat, Stamped};
use meridian_routing::model::WantedLanguage;
use meridian_routing::state::State;
use prost::Message as _;

const NOW: i64 = 1_784_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::write(here.join("corpus").join(target).join(name), bytes)
    };
    let mut state = State::default();
    let mut entries = Vec::new();
    for name in ["world", "policy"] {
        let text = std::fs::read_to_string(here.join("corpus/config").join(name))?;
        let mut configuration = File::read(name, &text)?.configuration;
        write("api", name, &configuration.encode_to_vec())?;
        // Resolved for a year they would be large.
        for schedule in &mut configuration.schedules {
            (schedule.week, schedule.breaks) = Default::default();
        }
        let changes = api::changes(&configuration, NOW).map_err(|e| e.to_string())?;
        entries.push(Command::Configure(changes));
    }
    entries.push(Command::OpenSession {
        agent: "ana".into(),
        node: 1,
        resume: 0,
        grace_ms: 5_000,
    });
    for queue in ["sales", "support"] {
        entries.push(Command::StartChat(NewChat {
            chat: queue.into(),
            queue: queue.into(),
            languages: vec![WantedLanguage {
                language: "pt-BR".into(),
                weight: 1_000,
            }],
            topic: "an invoice".to_owned(),
            ..NewChat::default()
        }));
    }
    entries.push(Command::LeaveChat {
        chat: "sales".into(),
    });
    for (index, given) in (1..).zip(entries) {
        let bytes = command::encode(NOW, "r", "v1", "", &given);
        write("command", given.name(), &bytes)?;
        let id = Some(log::LogId { term: 1, index });
        let entry = log::Entry {
            log_id: id,
            payload: Some(log::entry::Payload::Command(bytes)),
        };
        let vote = log::Vote {
            term: 1,
            node_id: 2,
            committed: true,
        };
        let append = peer::AppendRequest {
            route: None,
            vote: Some(vote),
            prev: id,
            entries: vec![entry],
            commit: id,
        };
        let message = [vec![0], append.encode_to_vec()].concat();
        if message.len() < 1_024 {
            write("raft", given.name(), &message)?;
        }
        let stamped = Stamped {
            index,
            at: NOW,
            request_id: "r".to_owned(),
            actor: "v1".to_owned(),
            command: given,
        };
        let outcome = state.apply(&stamped);
        let reply = command::encode_reply(&outcome.result);
        write("command", &format!("reply-{index}"), &reply)?;
    }
    for (n, key) in state.keys().iter().enumerate() {
        if let Some(part) = state.entity(key) {
            write("state", &format!("part-{n:02}"), &entity::encode(&part))?;
        }
    }
    Ok(())
}
