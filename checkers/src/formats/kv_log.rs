//! Strings with append: one EDN map a line.

use super::FormatError;
use super::edn::{self, Edn, Value};
use super::pairing::{End, Pairing};
use crate::generic::{Action, History, Kind};

/// Reads `{:process N, :type .., :f .., :key "K", :value "S"}` lines.
pub(super) fn parse(text: &str) -> Result<History, FormatError> {
    let mut pairing = Pairing::default();
    for op in edn::read_all(text)? {
        let line = op.line;
        let process = process(field(&op, "process")?)?;
        let key = string(field(&op, "key")?)?;
        let value = match field(&op, "value")? {
            Edn {
                value: Value::Nil, ..
            } => String::new(),
            other => string(other)?,
        };
        let action = match keyword(field(&op, "f")?)? {
            "get" => Action::Get { key, value },
            "put" => Action::Put { key, value },
            "append" => Action::Append { key, value },
            f => {
                return Err(FormatError::line(
                    line,
                    format!(":{f} is no operation; expected :get, :put or :append"),
                ));
            }
        };
        match keyword(field(&op, "type")?)? {
            "invoke" => pairing.invoke(process, line, action)?,
            "ok" => {
                let invoked = pairing.open(process, line)?;
                let fits = match (invoked, &action) {
                    (Action::Get { key: a, .. }, Action::Get { key: b, .. }) => a == b,
                    (a, b) => a == b,
                };
                if !fits {
                    return Err(FormatError::line(
                        line,
                        format!(
                            "the answer is to {}, but {} was invoked",
                            action.text(false),
                            invoked.text(false)
                        ),
                    ));
                }
                pairing.end(process, line, End::Ok(action))?;
            }
            "fail" => pairing.end(process, line, End::Failed)?,
            "info" => pairing.end(process, line, End::Unknown)?,
            other => {
                return Err(FormatError::line(
                    line,
                    format!(":{other} is no type; expected :invoke, :ok, :fail or :info"),
                ));
            }
        }
    }
    Ok(History {
        kind: Kind::Text,
        ops: pairing.finish(),
    })
}

/// A field of an operation.
pub(super) fn field<'a>(op: &'a Edn, name: &str) -> Result<&'a Edn, FormatError> {
    op.get(name).ok_or_else(|| {
        FormatError::line(
            op.line,
            format!("an operation should be a map with :{name}"),
        )
    })
}

/// A process's number.
pub(super) fn process(edn: &Edn) -> Result<u64, FormatError> {
    match &edn.value {
        Value::Atom(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| {
        FormatError::line(
            edn.line,
            format!(":process is {}; expected a number", edn.token()),
        )
    })
}

/// A keyword's name.
pub(super) fn keyword(edn: &Edn) -> Result<&str, FormatError> {
    match &edn.value {
        Value::Keyword(name) => Ok(name),
        _ => Err(FormatError::line(
            edn.line,
            format!("{} is no keyword", edn.token()),
        )),
    }
}

fn string(edn: &Edn) -> Result<String, FormatError> {
    match &edn.value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(FormatError::line(
            edn.line,
            format!("{} is no string", edn.token()),
        )),
    }
}
