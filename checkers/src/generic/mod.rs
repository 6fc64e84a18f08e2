//! Histories of simple objects: registers, strings that grow, lists in
//! transactions. They may come from anybody's test.

pub(crate) mod decide;
mod explain;
pub(crate) mod kernel;
pub(crate) mod lists;
pub(crate) mod minimize;
mod names;
pub(crate) mod partition;
mod refute;
pub(crate) mod register;
pub(crate) mod text;

#[cfg(test)]
mod tests;

/// What the operations of a history act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Registers that are read and written; at first nil.
    Register,
    /// Registers with compare-and-set.
    CasRegister,
    /// Strings that are put and appended to; at first empty.
    Text,
    /// Lists that transactions read and append to; at first empty.
    Lists,
}

impl Kind {
    /// The model's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::CasRegister => "cas-register",
            Kind::Text => "kv with append",
            Kind::Lists => "list-append",
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    /// The process, as the history names it.
    pub(crate) process: u64,
    /// The line (or, where lines say nothing, the position) of its invocation.
    pub(crate) line: u64,
    /// That of its return; `None` if it never returned, or its outcome is
    /// unknown.
    pub(crate) ret: Option<u64>,
    /// What it did, with its answer.
    pub(crate) action: Action,
}

/// What an operation did. For an operation of unknown outcome the answers are
/// meaningless.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// Read a register: `None` is nil.
    Read { key: String, value: Option<String> },
    /// Wrote a register.
    Write { key: String, value: Option<String> },
    /// Compared and set a register; `swapped` says whether it was as expected.
    Cas {
        key: String,
        from: Option<String>,
        to: Option<String>,
        swapped: bool,
    },
    /// Read a string.
    Get { key: String, value: String },
    /// Replaced a string.
    Put { key: String, value: String },
    /// Appended to a string.
    Append { key: String, value: String },
    /// Read and appended to lists, atomically, in order.
    Txn(Vec<Micro>),
}

/// A step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Micro {
    /// Read a list.
    Read { key: String, list: Vec<String> },
    /// Appended to a list.
    Append { key: String, element: String },
}

impl Action {
    /// Whether it leaves every state as it is.
    pub(crate) fn is_pure(&self) -> bool {
        match self {
            Action::Read { .. } | Action::Get { .. } | Action::Cas { swapped: false, .. } => true,
            Action::Write { .. }
            | Action::Cas { swapped: true, .. }
            | Action::Put { .. }
            | Action::Append { .. } => false,
            Action::Txn(steps) => steps.iter().all(|s| matches!(s, Micro::Read { .. })),
        }
    }

    /// Calls with each key that it acts on.
    pub(crate) fn each_key<'a>(&'a self, mut f: impl FnMut(&'a str)) {
        match self {
            Action::Read { key, .. }
            | Action::Write { key, .. }
            | Action::Cas { key, .. }
            | Action::Get { key, .. }
            | Action::Put { key, .. }
            | Action::Append { key, .. } => f(key),
            Action::Txn(steps) => {
                for step in steps {
                    match step {
                        Micro::Read { key, .. } | Micro::Append { key, .. } => f(key),
                    }
                }
            }
        }
    }

    /// What it did and what it was told, in few words. `known` is false if its
    /// outcome is unknown.
    pub(crate) fn text(&self, known: bool) -> String {
        let on = |key: &str| {
            if key.is_empty() {
                String::new()
            } else {
                format!(" {key:?}")
            }
        };
        let nil = |v: &Option<String>| v.clone().unwrap_or_else(|| "nil".into());
        match self {
            Action::Read { key, value } => format!("read{} -> {}", on(key), nil(value)),
            Action::Write { key, value } => format!("write{} {}", on(key), nil(value)),
            Action::Cas {
                key,
                from,
                to,
                swapped,
            } => {
                let result = match (known, swapped) {
                    (false, _) => "",
                    (true, true) => " -> swapped",
                    (true, false) => " -> not swapped",
                };
                format!("cas{} {} to {}{result}", on(key), nil(from), nil(to))
            }
            Action::Get { key, value } => format!("get{} -> {value:?}", on(key)),
            Action::Put { key, value } => format!("put{} {value:?}", on(key)),
            Action::Append { key, value } => format!("append{} {value:?}", on(key)),
            Action::Txn(steps) => {
                let steps: Vec<String> = steps
                    .iter()
                    .map(|s| match s {
                        Micro::Append { key, element } => format!("append {key} {element}"),
                        Micro::Read { key, .. } if !known => format!("read {key}"),
                        Micro::Read { key, list } => format!("read {key} -> [{}]", list.join(" ")),
                    })
                    .collect();
                format!("txn ({})", steps.join(", "))
            }
        }
    }
}

/// A history of operations on objects of one kind, by invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// What they act on.
    pub(crate) kind: Kind,
    /// The operations. Those that certainly had no effect, and show nothing,
    /// are left out.
    pub(crate) ops: Vec<Operation>,
}
