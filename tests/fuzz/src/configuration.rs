//! What an organisation is made of: the file that people write, and the message that nodes take.

use meridian_cli::failure::Failure;
use meridian_cli::output::yaml;
use meridian_cli::world::{File, World, calendar};
use meridian_node::convert::api as convert;
use meridian_proto::livechat::v1 as proto;
use meridian_routing::command::{Command, ConfigChange, Stamped};
use meridian_routing::effect::Reject;
use meridian_routing::invariants;
use meridian_routing::state::State;
use prost::Message as _;

use crate::names;

/// A moment in 2026.
const NOW: i64 = 1_784_000_000_000;

/// The file that `meridian apply` reads. What is read is shown, by `meridian config show`, as a file that reads the same.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = match File::read("world.yaml", text) {
        Ok(file) => file,
        Err(Failure::Invalid { violations, .. }) => {
            assert!(!violations.is_empty(), "refused, and nothing is wrong");
            for violation in &violations {
                assert!(
                    violation.line.is_some() || !violation.field.is_empty(),
                    "no place is named: {violation}"
                );
                assert!(!violation.description.is_empty(), "{violation}");
            }
            return;
        }
        Err(other) => panic!("{other:?}"),
    };
    let _ = file.refuse_dangling(None);
    let shown = yaml(&World::from(file.configuration.clone())).expect("it can be written");
    match File::read("shown.yaml", &shown) {
        Ok(again) => assert_eq!(again.configuration, file.configuration, "shown as\n{shown}"),
        Err(error) => panic!("what is shown is not read: {error:?}\n{shown}"),
    }
    for schedule in &file.configuration.schedules {
        calendar::read(schedule).expect("what is written well is read");
    }
    taken(&file.configuration);
}

/// The message that nodes take, from any caller.
pub fn api(data: &[u8]) {
    if let Ok(configuration) = proto::Configuration::decode(data) {
        taken(&configuration);
    }
}

/// A node refuses it and names the field, or takes it; what it then shows can be put again and changes nothing.
fn taken(configuration: &proto::Configuration) {
    let changes = match convert::changes(configuration, NOW) {
        Ok(changes) => changes,
        Err(Reject::Invalid { field, problem, .. }) => return names(&field, &problem),
        Err(other) => panic!("{other}"),
    };
    let command = Command::Configure(changes);
    if let Err(reject) = command.check() {
        return refused(&reject);
    }
    let mut state = State::default();
    let outcome = state.apply(&Stamped {
        index: 1,
        at: NOW,
        request_id: String::new(),
        actor: "operator".to_owned(),
        command,
    });
    invariants::check(&state).unwrap_or_else(|broken| panic!("invariant {broken}"));
    if let Err(reject) = outcome.result {
        return refused(&reject);
    }
    let shown = convert::configuration(&state);
    let again = convert::changes(&shown, NOW).expect("what is shown can be put");
    for change in again {
        match change {
            ConfigChange::PutWorkspace(w) => assert_eq!(&w, state.workspace()),
            ConfigChange::PutRegion(r) => assert_eq!(Some(&r), state.regions().get(&r.id)),
            ConfigChange::PutQueue(q) => assert_eq!(Some(&q), state.queues().get(&q.id)),
            ConfigChange::PutAgent(a) => {
                assert_eq!(Some(&a), state.agents().get(&a.id).map(|s| &s.config));
            }
            ConfigChange::PutSchedule(s) => {
                assert_eq!(Some(&s), state.schedules().get(&s.id));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn refused(reject: &Reject) {
    if let Reject::Invalid { field, .. } | Reject::Unknown { field, .. } = reject {
        names(field, reject);
    }
}
