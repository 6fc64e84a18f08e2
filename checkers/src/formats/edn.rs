//! Reading EDN, as far as histories need it.

use super::FormatError;

/// A value, and the line it starts on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edn {
    pub(super) line: u64,
    pub(super) value: Value,
}

/// An EDN value. Tags are read and dropped: `#jepsen.history.Op{..}` is a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Nil,
    /// A number, a symbol or a character, as written.
    Atom(String),
    /// Without its colon.
    Keyword(String),
    Text(String),
    /// A vector, a list or a set.
    Sequence(Vec<Edn>),
    Map(Vec<(Edn, Edn)>),
}

impl Edn {
    /// The value of a keyword in a map.
    pub(super) fn get(&self, key: &str) -> Option<&Edn> {
        let Value::Map(pairs) = &self.value else {
            return None;
        };
        pairs
            .iter()
            .find(|(k, _)| matches!(&k.value, Value::Keyword(name) if name == key))
            .map(|(_, v)| v)
    }

    /// The value as one token: how it is compared and shown.
    pub(super) fn token(&self) -> String {
        match &self.value {
            Value::Nil => "nil".into(),
            Value::Atom(text) => text.clone(),
            Value::Keyword(name) => format!(":{name}"),
            Value::Text(text) => format!("{text:?}"),
            Value::Sequence(items) => {
                let items: Vec<String> = items.iter().map(Edn::token).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(pairs) => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(k, v)| format!("{} {}", k.token(), v.token()))
                    .collect();
                format!("{{{}}}", pairs.join(", "))
            }
        }
    }
}

/// Nesting beyond this is refused rather than risking the stack.
const MAX_DEPTH: usize = 64;

/// Reads every value of a text.
pub(super) fn read_all(text: &str) -> Result<Vec<Edn>, FormatError> {
    let mut reader = Reader {
        rest: text,
        line: 1,
    };
    let mut values = Vec::new();
    while reader.skip()? {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    rest: &'a str,
    line: u64,
}

impl Reader<'_> {
    /// Skips white space, commas, comments and discarded values; whether
    /// anything is left.
    fn skip(&mut self) -> Result<bool, FormatError> {
        loop {
            match self.peek() {
                None => return Ok(false),
                Some(c) if c.is_whitespace() || c == ',' => self.bump(),
                Some(';') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                }
                Some('#') if self.rest.starts_with("#_") => {
                    self.bump();
                    self.bump();
                    if !self.skip()? {
                        return Err(self.error("the text ends after #_"));
                    }
                    self.value(1)?;
                }
                Some(_) => return Ok(true),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Edn, FormatError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if !self.skip()? {
            return Err(self.error("the text ends where a value should be"));
        }
        let line = self.line;
        let value = match self.peek().expect("something is left") {
            '[' => Value::Sequence(self.sequence(']', depth)?),
            '(' => Value::Sequence(self.sequence(')', depth)?),
            '{' => self.map(depth)?,
            '"' => Value::Text(self.string()?),
            '#' => {
                self.bump();
                if self.peek() == Some('{') {
                    Value::Sequence(self.sequence('}', depth)?)
                } else {
                    self.atom();
                    return self.value(depth + 1);
                }
            }
            ':' => {
                self.bump();
                Value::Keyword(self.atom())
            }
            c @ (']' | ')' | '}') => return Err(self.error(format!("{c:?} closes nothing"))),
            _ => match self.atom().as_str() {
                "" => return Err(self.error(format!("unexpected {:?}", self.peek()))),
                "nil" => Value::Nil,
                other => Value::Atom(other.to_owned()),
            },
        };
        Ok(Edn { line, value })
    }

    fn sequence(&mut self, close: char, depth: usize) -> Result<Vec<Edn>, FormatError> {
        let opened = self.line;
        self.bump();
        let mut items = Vec::new();
        loop {
            if !self.skip()? {
                return Err(FormatError::line(
                    opened,
                    format!("opened here, but the text ends before {close:?}"),
                ));
            }
            if self.peek() == Some(close) {
                self.bump();
                return Ok(items);
            }
            items.push(self.value(depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, FormatError> {
        let line = self.line;
        let items = self.sequence('}', depth)?;
        if items.len() % 2 == 1 {
            return Err(FormatError::line(line, "a map has a key without a value"));
        }
        let mut pairs = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }

    fn string(&mut self) -> Result<String, FormatError> {
        let opened = self.line;
        self.bump();
        let mut text = String::new();
        loop {
            let c = self.peek();
            self.bump();
            match c {
                None => return Err(FormatError::line(opened, "a string is not closed")),
                Some('"') => return Ok(text),
                Some('\\') => {
                    let escaped = self.peek();
                    self.bump();
                    text.push(match escaped {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some(c @ ('"' | '\\')) => c,
                        other => {
                            return Err(self.error(format!("unknown escape {other:?} in a string")));
                        }
                    });
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn atom(&mut self) -> String {
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || ",;()[]{}\"".contains(c))
            .unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        self.rest = rest;
        atom.to_owned()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) {
        let mut chars = self.rest.chars();
        if chars.next() == Some('\n') {
            self.line += 1;
        }
        self.rest = chars.as_str();
    }

    fn error(&self, message: impl Into<String>) -> FormatError {
        FormatError::line(self.line, message)
    }
}
