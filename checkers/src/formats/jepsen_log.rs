//! A Jepsen log of operations on one cas-register.

use super::FormatError;
use super::pairing::{End, Pairing};
use crate::generic::{Action, History, Kind};

/// Reads `INFO  jepsen.util - <process> <type> <f> <value>` lines; other lines
/// are somebody else's. A failed cas says that the register held something else.
pub(super) fn parse(text: &str) -> Result<History, FormatError> {
    let mut pairing = Pairing::default();
    let mut is_log = false;
    for (i, raw) in text.lines().enumerate() {
        let line = i as u64 + 1;
        let words: Vec<&str> = raw.split_whitespace().collect();
        let ["INFO", "jepsen.util", "-", process, kind, f, value @ ..] = &words[..] else {
            continue;
        };
        is_log = true;
        // The nemesis has a name, not a number.
        let Ok(process) = process.parse::<u64>() else {
            continue;
        };
        let value = value.join(" ");
        match *kind {
            ":invoke" => pairing.invoke(process, line, invoked(f, &value, line)?)?,
            ":ok" => {
                let action = answered(f, &value, line)?;
                same(pairing.open(process, line)?, &action, line)?;
                pairing.end(process, line, End::Ok(action))?;
            }
            ":fail" => {
                let end = match (*f, value.as_str()) {
                    (":cas", v) if v.starts_with('[') => match cas(v, line)? {
                        Action::Cas { key, from, to, .. } => End::Ok(Action::Cas {
                            key,
                            from,
                            to,
                            swapped: false,
                        }),
                        _ => End::Failed,
                    },
                    _ => End::Failed,
                };
                pairing.end(process, line, end)?;
            }
            ":info" => pairing.end(process, line, End::Unknown)?,
            other => {
                return Err(FormatError::line(
                    line,
                    format!("{other} is no type; expected :invoke, :ok, :fail or :info"),
                ));
            }
        }
    }
    if !is_log {
        return Err(FormatError::line(
            1,
            "neither this line nor any other is one of a Jepsen log; \
             expected INFO  jepsen.util - <process> <:invoke|:ok|:fail|:info> <:read|:write|:cas> <value>",
        ));
    }
    Ok(History {
        kind: Kind::CasRegister,
        ops: pairing.finish(),
    })
}

fn invoked(f: &str, value: &str, line: u64) -> Result<Action, FormatError> {
    match f {
        ":read" => Ok(Action::Read {
            key: String::new(),
            value: None,
        }),
        ":write" | ":cas" => answered(f, value, line),
        _ => Err(unknown_f(f, line)),
    }
}

fn answered(f: &str, value: &str, line: u64) -> Result<Action, FormatError> {
    let key = String::new();
    match f {
        ":read" => Ok(Action::Read {
            key,
            value: number(value, line)?,
        }),
        ":write" => Ok(Action::Write {
            key,
            value: number(value, line)?,
        }),
        ":cas" => cas(value, line),
        _ => Err(unknown_f(f, line)),
    }
}

fn unknown_f(f: &str, line: u64) -> FormatError {
    FormatError::line(
        line,
        format!("{f} is no operation; expected :read, :write or :cas"),
    )
}

fn number(value: &str, line: u64) -> Result<Option<String>, FormatError> {
    if value == "nil" {
        return Ok(None);
    }
    match value.parse::<i64>() {
        Ok(n) => Ok(Some(n.to_string())),
        Err(_) => Err(FormatError::line(
            line,
            format!("{value:?} is no value; expected nil or a number"),
        )),
    }
}

fn cas(value: &str, line: u64) -> Result<Action, FormatError> {
    let pair = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
    let parts: Vec<&str> = pair.unwrap_or_default().split_whitespace().collect();
    let [from, to] = parts[..] else {
        return Err(FormatError::line(
            line,
            format!("{value:?} is no pair; expected [old new]"),
        ));
    };
    Ok(Action::Cas {
        key: String::new(),
        from: number(from, line)?,
        to: number(to, line)?,
        swapped: true,
    })
}

fn same(invoked: &Action, answered: &Action, line: u64) -> Result<(), FormatError> {
    let fits = match (invoked, answered) {
        (Action::Read { .. }, Action::Read { .. }) => true,
        (a, b) => a == b,
    };
    if fits {
        return Ok(());
    }
    Err(FormatError::line(
        line,
        format!(
            "the answer is to {:?}, but {:?} was invoked",
            answered.text(false),
            invoked.text(false)
        ),
    ))
}
