//! Named points in the code: how often they were passed, and who waits for it.

use super::shared::Shared;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A checksum let a damaged frame pass.
pub(crate) const DAMAGE_UNNOTICED: &str = "net.damage_unnoticed";

/// The marks of a run.
#[derive(Default)]
pub(crate) struct Marks {
    /// How often each was passed, by node from 1 on; by where its name lies in
    /// memory, because that is all that has to be compared. Names may lie there
    /// twice, and the order means nothing: whoever asks is told by name.
    passed: BTreeMap<(usize, usize), Passed>,
    waits: Vec<Wait>,
}

#[derive(Default)]
struct Passed {
    name: &'static str,
    by: Vec<u64>,
}

/// Somebody waits for a mark to be passed.
struct Wait {
    name: String,
    /// By this node, or by any.
    node: Option<u64>,
    /// So many times more.
    left: u64,
    /// The node that passed it the last time.
    by: Option<u64>,
    /// The task that waits.
    task: Option<u32>,
}

impl Marks {
    /// Notes a mark. Returns whom to wake; `None` if nobody waited for it.
    pub(crate) fn pass(&mut self, node: u64, name: &'static str) -> Option<Vec<u32>> {
        let passed = self.passed.entry((name.as_ptr().addr(), name.len()));
        let passed = passed.or_default();
        passed.name = name;
        if passed.by.len() <= node as usize {
            passed.by.resize(node as usize + 1, 0);
        }
        passed.by[node as usize] += 1;
        let mut reached = None;
        for wait in &mut self.waits {
            let counts = wait.by.is_none()
                && wait.name == name
                && wait.node.is_none_or(|awaited| awaited == node);
            if !counts {
                continue;
            }
            wait.left -= 1;
            if wait.left == 0 {
                wait.by = Some(node);
                let tasks: &mut Vec<_> = reached.get_or_insert_default();
                tasks.extend(wait.task.take());
            }
        }
        reached
    }

    pub(crate) fn passed(&self, node: u64, name: &str) -> u64 {
        let known = self.passed.values().filter(|passed| passed.name == name);
        known
            .filter_map(|passed| passed.by.get(node as usize))
            .sum()
    }

    /// How often each was passed, by whatever node.
    pub(crate) fn totals(&self) -> BTreeMap<String, u64> {
        let mut totals: BTreeMap<String, u64> = BTreeMap::new();
        for Passed { name, by } in self.passed.values() {
            *totals.entry((*name).to_owned()).or_default() += by.iter().sum::<u64>();
        }
        totals
    }
}

/// Waits for a mark; yields the node that passed it. See
/// [`World::at_mark`](super::World::at_mark).
#[must_use = "a future does nothing unless it is awaited"]
pub struct AtMark {
    shared: Arc<Shared>,
    wait: usize,
}

impl AtMark {
    pub(crate) fn new(shared: Arc<Shared>, name: &str, node: Option<u64>, nth: u64) -> AtMark {
        assert!(
            nth > 0,
            "marks are counted from 1: {name}#{nth} never comes"
        );
        let wait = {
            let mut inner = shared.lock();
            let waits = &mut inner.marks.waits;
            waits.push(Wait {
                name: name.to_owned(),
                node,
                left: nth,
                by: None,
                task: None,
            });
            waits.len() - 1
        };
        AtMark { shared, wait }
    }
}

impl Future for AtMark {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u64> {
        let mut inner = self.shared.lock();
        let task = inner.current_task;
        let wait = &mut inner.marks.waits[self.wait];
        match wait.by {
            Some(node) => Poll::Ready(node),
            None => {
                wait.task = Some(task);
                Poll::Pending
            }
        }
    }
}
