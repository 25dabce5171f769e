//! YAML as a tree in which every node knows its line, so that every complaint can name it.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Most nodes of one file; an organisation of ten thousand agents has about half a million.
const NODES_MAX: usize = 20_000_000;

/// A place in the file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`; nothing else, so that `no` stays the language of Norway.
    Flag(bool),
    /// A number, whole if it can be.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Fields in the order of the file.
    Map(Vec<(String, Node)>),
}

impl Value {
    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Flag(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a set of fields",
        }
    }
}

/// The text is no YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where, if known.
    pub at: Option<At>,
    /// What the parser says.
    pub message: String,
}

/// Reads a file's text; an empty one is an empty set of fields.
///
/// # Errors
/// When it is no YAML, or names a field twice.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: 4 * NODES_MAX,
            max_nodes: NODES_MAX,
        },
    };
    let root = serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let at = error.location().map(|l| At {
            line: l.line(),
            column: l.column(),
        });
        let mut message = error.without_snippet().to_string();
        if let Some(at) = at {
            // The place is named in front of the message already.
            let tail = format!(" at line {}, column {}", at.line, at.column);
            message = message.replace(&tail, "");
        }
        SyntaxError { at, message }
    })?;
    Ok(match root.value {
        Value::Null => Node {
            at: At { line: 1, column: 1 },
            value: Value::Map(Vec::new()),
        },
        _ => root,
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = spanned.referenced;
        Ok(Node {
            at: At {
                line: at.line(),
                column: at.column(),
            },
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    // No bound is near 2^53, so that a double tells every number the same.
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields: Vec<(String, Node)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let node: Node = map.next_value()?;
            if fields.iter().any(|(k, _)| *k == key) {
                return Err(A::Error::custom(format!("'{key}' is given twice")));
            }
            fields.push((key, node));
        }
        Ok(Value::Map(fields))
    }
}

/// The deepest node a field path such as `agents[3].languages[0]` leads to, and the part of the path that
/// led there. An index may also be an id, and a name may end in a unit, as in `offer_timeout_ms`.
pub fn locate<'a>(root: &'a Node, path: &str) -> Option<&'a Node> {
    let mut node = root;
    let mut found = false;
    for step in steps(path) {
        let next = match (&node.value, step) {
            (Value::Map(fields), Step::Name(name)) => {
                let bare = name.replace("_ms", "");
                let named = |wanted: &str| fields.iter().find(|(k, _)| k == wanted);
                named(name).or_else(|| named(&bare)).map(|(_, n)| n)
            }
            (Value::List(list), Step::Index(index)) => match index.parse::<usize>() {
                Ok(index) => list.get(index),
                Err(_) => list.iter().find(|n| id_of(n) == Some(index)),
            },
            _ => None,
        };
        match next {
            Some(next) => (node, found) = (next, true),
            None => break,
        }
    }
    found.then_some(node)
}

enum Step<'a> {
    Name(&'a str),
    Index(&'a str),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    // Ids may hold dots, so brackets bind before dots do.
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('.');
        if let Some(inner) = rest.strip_prefix('[') {
            let (index, tail) = inner.split_once(']')?;
            rest = tail;
            return Some(Step::Index(index));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        rest = tail;
        (!name.is_empty()).then_some(Step::Name(name))
    })
}

fn id_of(node: &Node) -> Option<&str> {
    let Value::Map(fields) = &node.value else {
        return None;
    };
    fields.iter().find_map(|(key, node)| match &node.value {
        Value::Text(id) if key == "id" => Some(id.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
agents:
  - id: ana
    languages:
      - {language: no, level: native}
      - {language: pt-BR, level: fluent}
  - id: b.c
    capacity: 3
queues:
  - {id: q, offer_timeout: 20s, open: 09:00}
";

    fn line(path: &str) -> Option<(u64, u64)> {
        let root = parse(FILE).unwrap();
        locate(&root, path).map(|n| (n.at.line, n.at.column))
    }

    #[test]
    fn paths_lead_to_lines() {
        assert_eq!(line("agents[0].id"), Some((2, 9)));
        assert_eq!(line("agents[0].languages[1].language"), Some((5, 20)));
        assert_eq!(line("agents[1].capacity"), Some((7, 15)));
        assert_eq!(line("agents[b.c].capacity"), Some((7, 15)));
        assert_eq!(line("queues[0].offer_timeout_ms"), Some((9, 28)));
        assert_eq!(line("agents[1].nowhere").map(|l| l.0), Some(6));
        assert_eq!(line("nowhere"), None);
    }

    #[test]
    fn plain_words_and_times_stay_text() {
        let root = parse(FILE).unwrap();
        let text = |path| match &locate(&root, path).unwrap().value {
            Value::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text("agents[0].languages[0].language"), "no");
        assert_eq!(text("queues[0].open"), "09:00");
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        let error = parse("agents: [\n").unwrap_err();
        assert!(error.at.is_some(), "{error:?}");
        let error = parse("agents: []\nagents: []\n").unwrap_err();
        assert_eq!(error.at.map(|a| a.line), Some(2), "{error:?}");
        assert!(matches!(parse("").unwrap().value, Value::Map(f) if f.is_empty()));
    }
}
