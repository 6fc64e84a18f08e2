//! A parsed TOML text in which every key and value knows where it stands, also
//! when it came from an override.

use super::diagnostic::Diagnostic;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What errors call an override.
pub(super) const OVERRIDE: &str = "--set";

/// A scenario's text and its overrides, as one tree.
pub(super) struct Document {
    sources: Vec<Source>,
    pub(super) root: Node,
}

struct Source {
    name: String,
    text: String,
}

/// Where something stands: which source, which bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    source: usize,
    span: Range<usize>,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(Option<i64>),
    Float(Option<f64>),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key, its place, and what it stands for.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

/// Something wrong, before its place is looked up in the text.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) place: Place,
    /// Without its subject, if `unnamed`.
    pub(super) message: String,
    /// The message lacks its subject: the key, which the value does not know.
    pub(super) unnamed: bool,
    pub(super) expected: String,
    pub(super) notes: Vec<String>,
}

impl Problem {
    pub(super) fn new(
        place: &Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Problem {
        Problem {
            place: place.clone(),
            message: message.into(),
            unnamed: false,
            expected: expected.into(),
            notes: Vec::new(),
        }
    }

    /// Something wrong with a value that goes by its key: `message` goes on
    /// from there.
    pub(super) fn of_value(
        place: &Place,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Problem {
        Problem {
            unnamed: true,
            ..Problem::new(place, message, expected)
        }
    }

    /// Gives the message its subject, if it lacks one.
    pub(super) fn named(mut self, key: &str) -> Problem {
        if std::mem::take(&mut self.unnamed) {
            self.message = format!("`{key}` {}", self.message);
        }
        self
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Problem {
        self.notes.push(note.into());
        self
    }
}

impl Document {
    /// Parses `text`; an error is one of TOML's own.
    pub(super) fn parse(name: &str, text: &str) -> Result<Document, Box<Diagnostic>> {
        let table = DeTable::parse(text).map_err(|e| Box::new(syntax_error(name, text, &e, 0)))?;
        let span = table.span();
        let root = node(0, 0, Spanned::new(span, DeValue::Table(table.into_inner())));
        Ok(Document {
            sources: vec![Source {
                name: name.into(),
                text: text.into(),
            }],
            root,
        })
    }

    /// Applies one override, `path.to.key=value`. The value is TOML; what is no
    /// TOML value is taken as a string, so that durations need no quotes.
    pub(super) fn set(&mut self, assignment: &str) -> Result<(), Box<Diagnostic>> {
        let source = self.sources.len();
        self.sources.push(Source {
            name: OVERRIDE.into(),
            text: assignment.into(),
        });
        let at = |span: Range<usize>| Place { source, span };
        let Some((path, text)) = assignment.split_once('=') else {
            let whole = at(0..assignment.len());
            let expected = "expected `path.to.key=value`";
            return Err(Box::new(self.locate(Problem::new(
                &whole,
                "an override needs a value",
                expected,
            ))));
        };
        let offset = path.len() + 1;
        let place = at(offset..assignment.len());
        let value = match DeValue::parse(text.trim()) {
            Ok(value) => {
                let indent = text.len() - text.trim_start().len();
                node(source, offset + indent, value)
            }
            Err(e) if text.trim().starts_with(['"', '\'', '[', '{']) => {
                return Err(Box::new(syntax_error(OVERRIDE, assignment, &e, offset)));
            }
            Err(_) => Node {
                place: place.clone(),
                value: Value::Text(text.trim().into()),
            },
        };
        let mut into = &mut self.root;
        let mut start = 0;
        for key in path.split('.') {
            let key_place = at(start..start + key.len());
            if key.trim().is_empty() {
                let expected = "expected `path.to.key=value`";
                let problem = Problem::new(&key_place, "there is no key here", expected);
                return Err(Box::new(self.locate(problem)));
            }
            start += key.len() + 1;
            into = match step(into, key.trim(), &key_place, &place) {
                Ok(next) => next,
                Err(problem) => return Err(Box::new(self.locate(problem))),
            };
        }
        *into = value;
        Ok(())
    }

    /// Gives a problem its line.
    pub(super) fn locate(&self, problem: Problem) -> Diagnostic {
        debug_assert!(!problem.unnamed, "nobody named: {}", problem.message);
        let Place { source, span } = problem.place;
        let Source { name, text } = &self.sources[source];
        let mut diagnostic = Diagnostic::new(name, text, span, problem.message, problem.expected);
        diagnostic.notes = problem.notes;
        diagnostic
    }

    /// Whether the text has something at a path.
    pub(super) fn has(&self, path: &[Step<'_>]) -> bool {
        self.follow(path).1 == path.len()
    }

    /// The node at a path, or the closest one above it that the text has.
    pub(super) fn nearest(&self, path: &[Step<'_>]) -> &Node {
        self.follow(path).0
    }

    /// As far along a path as the text goes, and how many steps that is.
    fn follow(&self, path: &[Step<'_>]) -> (&Node, usize) {
        let mut node = &self.root;
        for (taken, step) in path.iter().enumerate() {
            let next = match (step, &node.value) {
                (Step::Key(key), Value::Table(entries)) => {
                    let entry = entries.iter().find(|entry| entry.key == *key);
                    entry.map(|entry| &entry.node)
                }
                (Step::Index(i), Value::Array(nodes)) => nodes.get(*i),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return (node, taken),
            }
        }
        (node, path.len())
    }
}

/// One step of a path into a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// One step of an override's path: a key, made if it is missing, or the number
/// of an array's element.
fn step<'a>(
    node: &'a mut Node,
    key: &str,
    key_place: &Place,
    value_place: &Place,
) -> Result<&'a mut Node, Problem> {
    let kind = node.value.kind();
    match &mut node.value {
        Value::Table(entries) => {
            let at = match entries.iter().position(|entry| entry.key == key) {
                Some(at) => at,
                None => {
                    entries.push(Entry {
                        key: key.into(),
                        place: key_place.clone(),
                        node: Node {
                            place: value_place.clone(),
                            value: Value::Table(Vec::new()),
                        },
                    });
                    entries.len() - 1
                }
            };
            Ok(&mut entries[at].node)
        }
        Value::Array(nodes) => {
            let len = nodes.len();
            let found = key.parse::<usize>().ok().and_then(|i| nodes.get_mut(i));
            found.ok_or_else(|| {
                Problem::new(
                    key_place,
                    format!("there is no element `{key}` here"),
                    match len {
                        0 => "the list is empty".into(),
                        _ => format!("expected a number from 0 to {}", len - 1),
                    },
                )
            })
        }
        _ => Err(Problem::new(
            key_place,
            format!("there is no key `{key}` here"),
            format!("what stands before it is {kind}, not a table"),
        )),
    }
}

impl Value {
    /// What it is, with its article.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime => "a date",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }
}

impl Place {
    /// Part of a string value: `within` counts from its first character. The
    /// whole value if it is written with escapes, so that bytes do not match.
    pub(super) fn part(&self, text: &str, within: Range<usize>) -> Place {
        let mut place = self.clone();
        let quotes = match self.span.len().checked_sub(text.len()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return place,
        };
        place.span.end = place.span.start + quotes + within.end;
        place.span.start += quotes + within.start;
        place
    }
}

fn syntax_error(name: &str, text: &str, error: &toml::de::Error, offset: usize) -> Diagnostic {
    let span = error.span().unwrap_or_default();
    let span = span.start + offset..span.end + offset;
    // TOML's messages may have a second line: what was expected.
    let mut lines = error.message().lines();
    let message = lines.next().unwrap_or("this is not TOML").to_string();
    let expected = lines.collect::<Vec<_>>().join("; ");
    Diagnostic::new(name, text, span, message, expected)
}

fn node(source: usize, offset: usize, spanned: Spanned<DeValue<'_>>) -> Node {
    let span = spanned.span();
    let at = |span: Range<usize>| Place {
        source,
        span: span.start + offset..span.end + offset,
    };
    let value = match spanned.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(i) => Value::Integer(i64::from_str_radix(i.as_str(), i.radix()).ok()),
        DeValue::Float(f) => Value::Float(f.as_str().parse().ok()),
        DeValue::Boolean(b) => Value::Boolean(b),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => {
            Value::Array(items.into_iter().map(|v| node(source, offset, v)).collect())
        }
        DeValue::Table(table) => Value::Table(
            table
                .into_iter()
                .map(|(key, value)| Entry {
                    place: at(key.span()),
                    key: key.into_inner().into_owned(),
                    node: node(source, offset, value),
                })
                .collect(),
        ),
    };
    Node {
        place: at(span),
        value,
    }
}
