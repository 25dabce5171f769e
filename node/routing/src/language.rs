//! Languages as integers. What a tag means was resolved from locale data before it was proposed; here distances
//! are looked up and added, so every replica finds the same whatever data its program carries.

use std::collections::BTreeSet;

use crate::ids::*;
use crate::limits::LANGUAGES_MAX;
use crate::state::{Key, State};

/// A tag, resolved: how it is spoken, and what comes near when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The canonical tag.
    pub language: Language,
    /// Version of the locale data, such as `48.2.0`.
    pub data: String,
    /// Language and script with nothing left out, such as `zh-Hant`.
    pub key: String,
    /// The region with nothing left out, such as `TW`.
    pub region: String,
    /// Which regions it is like; 0 = nothing is said of it.
    pub group: u32,
    /// Whether it stands for its neighbours, and so is nearer than they are by one.
    pub paradigm: bool,
    /// Beginnings of keys that come near and how far each is; the first that fits counts.
    pub near: Vec<(String, u32)>,
    /// How much farther another region is, by its group.
    pub regions: Vec<(u32, u32)>,
    /// How much farther one of any other group is.
    pub elsewhere: u32,
}

impl Resolved {
    /// How far `spoken` is from what is wanted here; `None` = it is another language. 0 = the same language,
    /// script and region. By the rules of UTS #35, Enhanced Language Matching, times ten.
    pub fn distance(&self, spoken: &Resolved) -> Option<u32> {
        let fits = |(key, _): &&(String, u32)| spoken.key.starts_with(key.as_str());
        let (_, apart) = self.near.iter().find(fits)?;
        if self.region == spoken.region {
            return Some(*apart);
        }
        let group = self.regions.iter().find(|(g, _)| *g == spoken.group);
        let apart = apart + group.map_or(self.elsewhere, |(_, more)| *more);
        Some(apart.saturating_sub(u32::from(spoken.paradigm)))
    }
}

impl State {
    /// How far what is spoken is from what is wanted. A tag that is not resolved is near to itself and to what
    /// has parts left off at its end, and to nothing else.
    pub(crate) fn distance(&self, wanted: &Language, spoken: &Language) -> Option<u32> {
        if wanted == spoken {
            return Some(0);
        }
        let known = |tag| self.languages.get(tag);
        match known(wanted).zip(known(spoken)) {
            Some((wanted, spoken)) => wanted.distance(spoken),
            None => unresolved(wanted, spoken),
        }
    }

    /// Whether a tag is resolved with data at least as new.
    pub fn language_known(&self, language: &Language, data: &str) -> bool {
        let known = self.languages.get(language);
        known.is_some_and(|k| k.data.as_str() >= data)
    }

    /// Tags that agents speak and fallbacks name.
    pub fn languages_spoken(&self) -> BTreeSet<&Language> {
        let agents = self.agents.values().flat_map(|a| &a.config.languages);
        let fallbacks = self.workspace.fallbacks.iter();
        let fallbacks = fallbacks.flat_map(|(from, to)| std::iter::once(from).chain(to));
        agents.map(|l| &l.language).chain(fallbacks).collect()
    }

    /// Keeps what a tag means; tells whether that may change who fits whom among those present.
    pub(crate) fn learn(&mut self, resolved: &Resolved) -> bool {
        let tag = &resolved.language;
        if self.language_known(tag, &resolved.data) {
            return false;
        }
        if !self.languages.contains_key(tag) && self.languages.len() >= LANGUAGES_MAX {
            self.forget_languages();
            if self.languages.len() >= LANGUAGES_MAX {
                return false;
            }
        }
        self.languages.insert(tag.clone(), resolved.clone());
        self.work.dirty.push(Key::Language(tag.clone()));
        let wanted = |line: &crate::fit::Line| line.languages.iter().any(|(l, _)| l == tag);
        self.index.line_ids.keys().any(wanted)
            || self
                .index
                .benches
                .iter()
                .any(|b| b.key.languages.iter().any(|(l, _)| l == tag))
    }

    /// Forgets tags that nobody speaks and no chat asks for.
    fn forget_languages(&mut self) {
        let mut used: BTreeSet<Language> = self.languages_spoken().into_iter().cloned().collect();
        let open = self.chats.values().filter(|c| !c.is_closed());
        used.extend(open.flat_map(|c| &c.languages).map(|w| w.language.clone()));
        let gone: Vec<Language> = self.languages.keys().cloned().collect();
        for tag in gone.into_iter().filter(|tag| !used.contains(tag)) {
            self.languages.remove(&tag);
            self.work.dirty.push(Key::Language(tag));
        }
    }
}

fn unresolved(a: &Language, b: &Language) -> Option<u32> {
    let (short, long) = if a.as_str().len() < b.as_str().len() {
        (a.as_str(), b.as_str())
    } else {
        (b.as_str(), a.as_str())
    };
    let rest = long.strip_prefix(short)?;
    rest.starts_with('-').then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_not_a_prefix_of_another_word() {
        assert_eq!(unresolved(&"de".into(), &"den".into()), None);
        assert_eq!(unresolved(&"pt".into(), &"pt-BR".into()), Some(1));
        assert_eq!(unresolved(&"pt-PT".into(), &"pt-BR".into()), None);
    }
}
