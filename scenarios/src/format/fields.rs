//! Reading a table field by field: unknown keys are refused with the known
//! ones, and every value says what it would have to look like.

use super::document::{Entry, Node, Problem, Value};

/// A type that can be read from one TOML value.
pub(super) trait Read: Sized {
    /// Reads it, or says what is wrong with it.
    fn read(node: &Node) -> Result<Self, Problem>;
}

/// A table that is being read.
pub(super) struct Fields<'a> {
    node: &'a Node,
    entries: &'a [Entry],
    /// What errors call the table: `` `cluster.link` ``.
    name: String,
    known: &'static [&'static str],
}

impl<'a> Fields<'a> {
    /// Begins to read a table with the `known` keys.
    pub(super) fn open(
        node: &'a Node,
        name: impl Into<String>,
        known: &'static [&'static str],
    ) -> Result<Fields<'a>, Problem> {
        let name = name.into();
        let Value::Table(entries) = &node.value else {
            return Err(Problem::new(
                &node.place,
                format!("{name} is {}", node.value.kind()),
                format!("expected a table with the keys {}", known.join(", ")),
            ));
        };
        if let Some(entry) = entries.iter().find(|e| !known.contains(&e.key.as_str())) {
            return Err(unknown(
                "key",
                &entry.key,
                &format!("in {name}"),
                known,
                &entry.place,
            ));
        }
        Ok(Fields {
            node,
            entries,
            name,
            known,
        })
    }

    /// The entry of a key, if the text has it.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(self.known.contains(&key), "{key} is read but not known");
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A value that may be left out.
    pub(super) fn optional<T: Read>(&self, key: &str) -> Result<Option<T>, Problem> {
        let read = |entry: &Entry| T::read(&entry.node).map_err(|p| p.named(key));
        self.entry(key).map(read).transpose()
    }

    /// A value that is `default` where it is left out.
    pub(super) fn or<T: Read>(&self, key: &str, default: T) -> Result<T, Problem> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A value that has to be there.
    pub(super) fn required<T: Read>(&self, key: &str) -> Result<T, Problem> {
        match self.optional(key)? {
            Some(value) => Ok(value),
            None => Err(self.missing(key)),
        }
    }

    /// That a key is missing.
    pub(super) fn missing(&self, key: &str) -> Problem {
        Problem::new(
            &self.node.place,
            format!("{} has no `{key}`", self.name),
            format!("expected a key `{key}`"),
        )
    }

    /// The keys that the text has, in its order.
    pub(super) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The keys that it may have.
    pub(super) fn known(&self) -> &'static [&'static str] {
        self.known
    }

    /// The table itself.
    pub(super) fn node(&self) -> &'a Node {
        self.node
    }
}

/// A word that is none of the `known` ones: names them, and the closest.
pub(super) fn unknown(
    what: &str,
    word: &str,
    where_: &str,
    known: &[&str],
    place: &super::document::Place,
) -> Problem {
    let message = if where_.is_empty() {
        format!("unknown {what} `{word}`")
    } else {
        format!("unknown {what} `{word}` {where_}")
    };
    let list = known.join(", ");
    match closest(word, known) {
        Some(close) => Problem::new(place, message, format!("did you mean `{close}`?"))
            .note(format!("known: {list}")),
        None => Problem::new(place, message, format!("expected one of {list}")),
    }
}

/// The known word that a typist may have meant.
fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.replace('-', "_");
    let distance = |k: &str| strsim::damerau_levenshtein(k, &word);
    let closest = known.iter().min_by_key(|k| distance(k))?;
    (distance(closest) <= 1 + closest.len() / 5).then_some(closest)
}

/// That a value is of the wrong kind.
pub(super) fn wrong_kind(node: &Node, expected: &str) -> Problem {
    let found = format!("is {}", node.value.kind());
    Problem::of_value(&node.place, found, format!("expected {expected}"))
}

impl Read for String {
    fn read(node: &Node) -> Result<String, Problem> {
        match &node.value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(wrong_kind(node, "a string")),
        }
    }
}

impl Read for bool {
    fn read(node: &Node) -> Result<bool, Problem> {
        match &node.value {
            Value::Boolean(b) => Ok(*b),
            _ => Err(wrong_kind(node, "true or false")),
        }
    }
}

impl Read for i64 {
    fn read(node: &Node) -> Result<i64, Problem> {
        match &node.value {
            Value::Integer(Some(i)) => Ok(*i),
            Value::Integer(None) => Err(Problem::of_value(
                &node.place,
                "is too large",
                "expected less than 2^63",
            )),
            _ => Err(wrong_kind(node, "an integer")),
        }
    }
}

impl Read for u64 {
    fn read(node: &Node) -> Result<u64, Problem> {
        u64::try_from(i64::read(node)?)
            .map_err(|_| Problem::of_value(&node.place, "is negative", "expected 0 or more"))
    }
}

impl Read for u32 {
    fn read(node: &Node) -> Result<u32, Problem> {
        u32::try_from(u64::read(node)?).map_err(|_| {
            let expected = format!("expected at most {}", u32::MAX);
            Problem::of_value(&node.place, "is too large", expected)
        })
    }
}

impl Read for f64 {
    fn read(node: &Node) -> Result<f64, Problem> {
        match &node.value {
            Value::Integer(Some(i)) => Ok(*i as f64),
            Value::Float(Some(f)) if f.is_finite() => Ok(*f),
            Value::Integer(None) | Value::Float(_) => Err(Problem::of_value(
                &node.place,
                "is no finite number",
                "expected a number",
            )),
            _ => Err(wrong_kind(node, "a number")),
        }
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node) -> Result<Vec<T>, Problem> {
        match &node.value {
            Value::Array(nodes) => nodes.iter().map(T::read).collect(),
            _ => Err(wrong_kind(node, "an array")),
        }
    }
}
