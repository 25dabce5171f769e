//! What language tags mean, added to commands before they are proposed: the routing core reads no locale data.

use std::collections::BTreeSet;

use meridian_language::CLDR_VERSION;
use meridian_routing::command::{Command, ConfigChange};
use meridian_routing::ids::Language;
use meridian_routing::language::Resolved;
use meridian_routing::state::State;

/// Most tags explained in one command; the rest are learnt when schedules are looked after.
pub const LEARNED_MAX: usize = 256;

/// What a canonical tag means by the data in this program; `None` for one it does not know.
pub fn resolve(tag: &Language) -> Option<Resolved> {
    let wanted = meridian_language::wanted(tag.as_str()).ok()?;
    let near = wanted
        .near
        .into_iter()
        .map(|(key, apart)| (key, apart.into()));
    let regions = wanted.regions.into_iter();
    Some(Resolved {
        language: tag.clone(),
        data: CLDR_VERSION.to_owned(),
        key: wanted.variety.key,
        region: wanted.variety.region,
        group: wanted.variety.group.into(),
        paradigm: wanted.variety.paradigm,
        near: near.collect(),
        regions: regions
            .map(|(group, apart)| (group.into(), apart.into()))
            .collect(),
        elsewhere: wanted.elsewhere.into(),
    })
}

/// Tags that agents speak or fallbacks name and that the state does not know by data as new as this program's.
pub fn missing(state: &State) -> Vec<Resolved> {
    let spoken = state.languages_spoken().into_iter();
    let missing = spoken.filter(|tag| !state.language_known(tag, CLDR_VERSION));
    missing.filter_map(resolve).collect()
}

/// The command with the meaning of every tag it names that the state does not know yet.
pub fn explained(state: &State, mut command: Command) -> Command {
    let unknown = |tag: &&Language| !state.language_known(tag, CLDR_VERSION);
    match &mut command {
        Command::StartChat(new) => {
            let tags = new.languages.iter().map(|w| &w.language);
            new.resolved = tags.filter(unknown).filter_map(resolve).collect();
        }
        Command::Configure(changes) => {
            let mut tags = BTreeSet::new();
            for change in changes.iter() {
                match change {
                    ConfigChange::PutAgent(a) => {
                        tags.extend(a.languages.iter().map(|l| &l.language));
                    }
                    ConfigChange::PutWorkspace(w) => {
                        for (from, to) in &w.fallbacks {
                            tags.extend(to.iter().chain([from]));
                        }
                    }
                    _ => {}
                }
            }
            let learnt = tags.into_iter().filter(unknown).filter_map(resolve);
            let learnt: Vec<_> = learnt.take(LEARNED_MAX).collect();
            changes.extend(learnt.into_iter().map(ConfigChange::LearnLanguage));
        }
        _ => {}
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_routing::command::{NewChat, Stamped};
    use meridian_routing::model::{WantedLanguage, Workspace};

    fn wanting(tag: &str) -> Command {
        Command::StartChat(NewChat {
            chat: "c".into(),
            queue: "q".into(),
            languages: vec![WantedLanguage {
                language: tag.into(),
                weight: 1_000,
            }],
            weight: 1,
            ..NewChat::default()
        })
    }

    #[test]
    fn what_the_state_knows_is_not_told_again_and_a_retry_stays_the_same_request() {
        let mut state = State::default();
        let workspace = ConfigChange::PutWorkspace(Workspace {
            name: "w".into(),
            fallbacks: vec![("ca".into(), vec!["es".into()])],
            ..Workspace::default()
        });
        let plain = Command::Configure(vec![workspace]);
        let told = explained(&state, plain.clone());
        let Command::Configure(changes) = &told else {
            panic!("still a change of configuration");
        };
        assert_eq!(changes.len(), 3, "ca and es are explained");
        assert_eq!(told.subject(), plain.subject());
        let outcome = state.apply(&Stamped {
            index: 1,
            at: 1,
            request_id: String::new(),
            actor: String::new(),
            command: told,
        });
        assert!(outcome.result.is_ok(), "{:?}", outcome.result);
        assert_eq!(explained(&state, plain.clone()), plain);
        assert_eq!(missing(&state), []);
        let resolved = |command| match command {
            Command::StartChat(new) => new.resolved.len(),
            _ => 0,
        };
        assert_eq!(resolved(explained(&state, wanting("es"))), 0);
        assert_eq!(resolved(explained(&state, wanting("nb"))), 1);
    }
}
