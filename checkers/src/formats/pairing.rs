//! Pairing invocations with their returns, by process.

use super::FormatError;
use crate::generic::{Action, Operation};
use std::collections::BTreeMap;

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// With this answer.
    Ok(Action),
    /// It had no effect, and shows nothing.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// Collects operations line by line.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    ops: Vec<Option<Operation>>,
    open: BTreeMap<u64, usize>,
}

impl Pairing {
    /// A process sends an operation. `action` is what it may do if nobody ever
    /// learns its outcome.
    pub(super) fn invoke(
        &mut self,
        process: u64,
        line: u64,
        action: Action,
    ) -> Result<(), FormatError> {
        if let Some(at) = self.open.insert(process, self.ops.len()) {
            let since = self.ops[at].as_ref().map_or(0, |op| op.line);
            return Err(FormatError::line(
                line,
                format!(
                    "process {process} invokes an operation, but the one of line {since} has not returned"
                ),
            ));
        }
        self.ops.push(Some(Operation {
            process,
            line,
            ret: None,
            action,
        }));
        Ok(())
    }

    /// What a process has open.
    pub(super) fn open(&self, process: u64, line: u64) -> Result<&Action, FormatError> {
        self.open
            .get(&process)
            .and_then(|at| self.ops[*at].as_ref())
            .map(|op| &op.action)
            .ok_or_else(|| {
                FormatError::line(
                    line,
                    format!("process {process} returns, but has nothing open"),
                )
            })
    }

    /// A process's operation ends.
    pub(super) fn end(&mut self, process: u64, line: u64, end: End) -> Result<(), FormatError> {
        self.open(process, line)?;
        let at = self.open.remove(&process).expect("it is open");
        match end {
            End::Ok(action) => {
                let op = self.ops[at].as_mut().expect("an open operation is there");
                op.action = action;
                op.ret = Some(line);
            }
            End::Failed => self.ops[at] = None,
            End::Unknown => {}
        }
        Ok(())
    }

    /// Every operation, by invocation; what is still open has an unknown outcome.
    pub(super) fn finish(self) -> Vec<Operation> {
        self.ops.into_iter().flatten().collect()
    }
}
