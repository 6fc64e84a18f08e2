//! Jepsen's `history.edn`: registers, cas-registers and list-append.

use super::FormatError;
use super::edn::{self, Edn, Value};
use super::kv_log::{field, keyword, process};
use super::pairing::{End, Pairing};
use crate::generic::{Action, History, Kind, Micro};

/// Reads a history: maps in a row, or one vector of them. A failed operation
/// did not happen. Values of independent keys are pairs `[key value]`.
pub(super) fn parse(text: &str) -> Result<History, FormatError> {
    let mut ops = edn::read_all(text)?;
    if let [
        Edn {
            value: Value::Sequence(_),
            ..
        },
    ] = &ops[..]
        && let Some(Edn {
            value: Value::Sequence(inner),
            ..
        }) = ops.pop()
    {
        ops = inner;
    }
    // The nemesis, and whoever else has no number, does nothing to the store.
    ops.retain(|op| match op.get("process") {
        Some(Edn {
            value: Value::Keyword(_),
            ..
        }) => false,
        Some(_) | None => true,
    });
    let independent = ops.iter().any(|op| {
        matches!(op.get("f"), Some(Edn { value: Value::Keyword(f), .. }) if f == "read")
            && matches!(op.get("value"), Some(Edn { value: Value::Sequence(v), .. }) if v.len() == 2)
    });
    let lines = distinct_lines(&ops);
    let mut kind = Kind::Register;
    let mut pairing = Pairing::default();
    for (i, op) in ops.iter().enumerate() {
        let process = process(field(op, "process")?)?;
        // Several operations may share a line; their position is their time.
        let at = if lines { op.line } else { i as u64 + 1 };
        let f = keyword(field(op, "f")?)?;
        match f {
            "cas" => kind = Kind::CasRegister,
            "txn" => kind = Kind::Lists,
            _ => {}
        }
        match keyword(field(op, "type")?)? {
            "invoke" => {
                let action = action(op, f, independent, false)?;
                pairing
                    .invoke(process, at, action)
                    .map_err(|e| relocate(e, op.line))?;
            }
            "ok" => {
                pairing.open(process, op.line)?;
                let action = action(op, f, independent, true)?;
                pairing.end(process, at, End::Ok(action))?;
            }
            "fail" => pairing.end(process, op.line, End::Failed)?,
            "info" => pairing.end(process, op.line, End::Unknown)?,
            other => {
                return Err(FormatError::line(
                    op.line,
                    format!(":{other} is no type; expected :invoke, :ok, :fail or :info"),
                ));
            }
        }
    }
    let ops = pairing.finish();
    let lists = ops
        .iter()
        .filter(|op| matches!(op.action, Action::Txn(_)))
        .count();
    if lists != 0 && lists != ops.len() {
        return Err(FormatError::line(
            1,
            "the history mixes :txn with register operations; expected one workload",
        ));
    }
    Ok(History { kind, ops })
}

fn distinct_lines(ops: &[Edn]) -> bool {
    ops.windows(2).all(|pair| pair[0].line < pair[1].line)
}

fn relocate(error: FormatError, line: u64) -> FormatError {
    match error {
        FormatError::Line { message, .. } => FormatError::Line { line, message },
        other => other,
    }
}

fn action(op: &Edn, f: &str, independent: bool, told: bool) -> Result<Action, FormatError> {
    let value = field(op, "value")?;
    if f == "txn" {
        return txn(value, told);
    }
    let (key, value) = if independent {
        match &value.value {
            Value::Sequence(pair) if pair.len() == 2 => (pair[0].token(), &pair[1]),
            _ => {
                return Err(FormatError::line(
                    value.line,
                    format!("{} should be a pair [key value]", value.token()),
                ));
            }
        }
    } else {
        (String::new(), value)
    };
    match f {
        "read" => Ok(Action::Read {
            key,
            value: scalar(value),
        }),
        "write" => Ok(Action::Write {
            key,
            value: scalar(value),
        }),
        "cas" => match &value.value {
            Value::Sequence(pair) if pair.len() == 2 => Ok(Action::Cas {
                key,
                from: scalar(&pair[0]),
                to: scalar(&pair[1]),
                swapped: true,
            }),
            _ => Err(FormatError::line(
                value.line,
                format!("{} is no pair; expected [old new]", value.token()),
            )),
        },
        _ => Err(FormatError::line(
            op.line,
            format!(":{f} is no operation; expected :read, :write, :cas or :txn"),
        )),
    }
}

fn scalar(edn: &Edn) -> Option<String> {
    match edn.value {
        Value::Nil => None,
        _ => Some(edn.token()),
    }
}

fn txn(value: &Edn, told: bool) -> Result<Action, FormatError> {
    let Value::Sequence(steps) = &value.value else {
        return Err(FormatError::line(
            value.line,
            format!(
                "{} is no transaction; expected [[:append k v] [:r k nil] ..]",
                value.token()
            ),
        ));
    };
    let micro = |step: &Edn| {
        let wrong = || {
            FormatError::line(
                step.line,
                format!(
                    "{} is no step; expected [:append k v] or [:r k list]",
                    step.token()
                ),
            )
        };
        let Value::Sequence(parts) = &step.value else {
            return Err(wrong());
        };
        let [f, key, value] = &parts[..] else {
            return Err(wrong());
        };
        match (keyword(f)?, &value.value) {
            ("append", _) => Ok(Micro::Append {
                key: key.token(),
                element: value.token(),
            }),
            ("r", Value::Sequence(list)) => Ok(Micro::Read {
                key: key.token(),
                list: list.iter().map(Edn::token).collect(),
            }),
            ("r", Value::Nil) => Ok(Micro::Read {
                key: key.token(),
                list: Vec::new(),
            }),
            ("r", _) if !told => Ok(Micro::Read {
                key: key.token(),
                list: Vec::new(),
            }),
            _ => Err(wrong()),
        }
    };
    Ok(Action::Txn(
        steps.iter().map(micro).collect::<Result<_, _>>()?,
    ))
}
