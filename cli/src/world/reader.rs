//! Reads typed fields from the tree and collects every complaint instead of stopping at the first.

use std::collections::BTreeMap;

use super::tree::{At, Node, Value};
use crate::time::{format_millis, parse_millis};

/// A complaint about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub at: Option<At>,
    /// Its path, such as `agents[3].capacity`.
    pub field: String,
    /// What is wrong and what to give instead.
    pub description: String,
}

/// A field of an object, which may be left out.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Path from the root.
    pub path: String,
    /// The value; `None` when left out.
    pub node: Option<&'a Node>,
    /// Where it stands, or where the object that lacks it does.
    pub at: At,
}

/// An object's fields.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    path: String,
    at: At,
    fields: &'a [(String, Node)],
}

impl<'a> Object<'a> {
    /// The field of that name.
    pub fn field(&self, name: &str) -> Field<'a> {
        let node = self.fields.iter().find(|(k, _)| k == name).map(|(_, n)| n);
        let node = node.filter(|n| !matches!(n.value, Value::Null));
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        Field {
            path,
            node,
            at: node.map_or(self.at, |n| n.at),
        }
    }
}

/// Words already seen, to name the line of the first when one comes again.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<String, u64>);

/// Reads and collects.
#[derive(Debug, Default)]
pub struct Reader {
    /// What was wrong so far, in the order of the file's objects.
    pub problems: Vec<Problem>,
}

impl Reader {
    /// Notes a complaint about a field.
    pub fn complain(&mut self, field: &Field<'_>, description: impl Into<String>) {
        let (at, field) = (Some(field.at), field.path.clone());
        self.problems.push(Problem {
            at,
            field,
            description: description.into(),
        });
    }

    fn wrong_kind(&mut self, field: &Field<'_>, node: &Node, wanted: &str) {
        let quote = matches!(node.value, Value::Number(_) | Value::Flag(_)) && wanted == "text";
        let hint = if quote { "; put it in quotes" } else { "" };
        self.complain(
            field,
            format!("is {}; give {wanted}{hint}", node.value.kind()),
        );
    }

    /// The object's fields; names outside `known` are refused.
    pub fn object<'a>(&mut self, field: &Field<'a>, known: &[&str]) -> Option<Object<'a>> {
        let node = field.node?;
        let Value::Map(fields) = &node.value else {
            self.wrong_kind(field, node, "a set of fields");
            return None;
        };
        let object = Object {
            path: field.path.clone(),
            at: node.at,
            fields,
        };
        for (name, _) in fields
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
        {
            let unknown = object.field(name);
            self.complain(
                &unknown,
                format!("is not a field; the fields are {}", known.join(", ")),
            );
        }
        Some(object)
    }

    /// The elements; none when left out.
    pub fn list<'a>(&mut self, field: &Field<'a>, min: usize, max: usize) -> Vec<Field<'a>> {
        let list: &'a [Node] = match field.node {
            None => &[],
            Some(Node {
                value: Value::List(list),
                ..
            }) => list,
            Some(node) => {
                self.wrong_kind(field, node, "a list");
                return Vec::new();
            }
        };
        if list.len() < min || list.len() > max {
            self.complain(
                field,
                format!("has {} entries; give {min} to {max}", list.len()),
            );
        }
        let element = |(i, node): (usize, &'a Node)| Field {
            path: format!("{}[{i}]", field.path),
            node: Some(node),
            at: node.at,
        };
        list.iter().enumerate().map(element).collect()
    }

    /// Text if given.
    pub fn text_if_given(&mut self, field: &Field<'_>) -> Option<String> {
        match field.node {
            None => None,
            Some(Node {
                value: Value::Text(text),
                ..
            }) => Some(text.clone()),
            Some(node) => {
                self.wrong_kind(field, node, "text");
                None
            }
        }
    }

    /// Text that must be given; `what` says what to give.
    pub fn text(&mut self, field: &Field<'_>, what: &str) -> Option<String> {
        if field.node.is_none() {
            self.complain(field, format!("is missing; give {what}"));
        }
        self.text_if_given(field)
    }

    /// Text of 1 to `max` bytes.
    pub fn name(&mut self, field: &Field<'_>, max: usize) -> String {
        let what = format!("1 to {max} bytes of text");
        let text = self.text(field, &what).unwrap_or_default();
        if field
            .node
            .is_some_and(|n| matches!(n.value, Value::Text(_)))
            && !(1..=max).contains(&text.len())
        {
            self.complain(field, format!("has {} bytes; give {what}", text.len()));
        }
        text
    }

    /// An id that must be given.
    pub fn id(&mut self, field: &Field<'_>) -> Option<String> {
        let id = self.text(field, "an id")?;
        self.check_id(field, &id).then_some(id)
    }

    /// An id if given.
    pub fn id_if_given(&mut self, field: &Field<'_>) -> Option<String> {
        let id = self.text_if_given(field)?;
        self.check_id(field, &id).then_some(id)
    }

    fn check_id(&mut self, field: &Field<'_>, id: &str) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = (1..=64).contains(&id.len())
            && id.bytes().all(|b| plain(b) || b"-_.".contains(&b))
            && id.bytes().next().is_some_and(plain);
        if !good {
            let rule = "1 to 64 of a-z, 0-9, '-', '_' and '.', begun by a letter or digit";
            self.complain(field, format!("'{id}' is not an id; give {rule}"));
        }
        good
    }

    /// A whole number; a number left out is `default`, or refused where there is none.
    pub fn whole(&mut self, field: &Field<'_>, min: u32, max: u32, default: Option<u32>) -> u32 {
        let Some(node) = field.node else {
            return default.unwrap_or_else(|| {
                self.complain(field, format!("is missing; give {min} to {max}"));
                0
            });
        };
        let Value::Number(number) = node.value else {
            self.wrong_kind(field, node, &format!("{min} to {max}"));
            return 0;
        };
        if number.fract() != 0.0 {
            self.complain(
                field,
                format!("{number} is not a whole number; give {min} to {max}"),
            );
        } else if !(f64::from(min)..=f64::from(max)).contains(&number) {
            self.complain(
                field,
                format!("{number} is out of bounds; give {min} to {max}"),
            );
        } else {
            // Checked above: whole, and within the bounds of u32.
            return number as u32;
        }
        0
    }

    /// A duration in milliseconds; 0 when left out.
    pub fn millis(&mut self, field: &Field<'_>, min: u32, max: u32) -> u32 {
        let text = match field.node.map(|n| &n.value) {
            None => return 0,
            Some(Value::Text(text)) => text.clone(),
            // `0` needs no unit; any other number is refused by the parser with a hint.
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => {
                if let Some(node) = field.node {
                    self.wrong_kind(field, node, "a duration such as 20s");
                }
                return 0;
            }
        };
        let (low, high) = (format_millis(min.into()), format_millis(max.into()));
        match parse_millis(&text) {
            Err(error) => self.complain(field, error.to_string()),
            Ok(millis) => match u32::try_from(millis) {
                Ok(millis) if (min..=max).contains(&millis) => return millis,
                _ => self.complain(
                    field,
                    format!("{text} is out of bounds; give {low} to {high}"),
                ),
            },
        }
        0
    }

    /// True or false; false when left out.
    pub fn flag(&mut self, field: &Field<'_>) -> bool {
        match field.node {
            None => false,
            Some(Node {
                value: Value::Flag(flag),
                ..
            }) => *flag,
            Some(node) => {
                self.wrong_kind(field, node, "true or false");
                false
            }
        }
    }

    /// Refuses a word that came before; `word` is what is compared.
    pub fn once(&mut self, seen: &mut Seen, field: &Field<'_>, word: &str) {
        match seen.0.get(word) {
            Some(line) => {
                self.complain(
                    field,
                    format!("'{word}' is given twice; the first is on line {line}"),
                );
            }
            None => {
                seen.0.insert(word.to_owned(), field.at.line);
            }
        }
    }

    /// A language tag of the BCP-47 shape that must be given; the server makes it canonical.
    pub fn language(&mut self, field: &Field<'_>) -> Option<String> {
        let tag = self.text(field, "a language tag such as pt-BR")?;
        let part =
            |p: &str| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric());
        let first = tag.split('-').next().unwrap_or_default();
        let good = (2..=35).contains(&tag.len())
            && tag.split('-').all(part)
            && (2..=8).contains(&first.len())
            && first.bytes().all(|b| b.is_ascii_alphabetic());
        if !good {
            self.complain(
                field,
                format!("'{tag}' is not a language tag; write it like pt-BR"),
            );
        }
        good.then_some(tag)
    }
}
