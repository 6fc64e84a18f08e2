//! Judging all parts of a history, at once where there is more than one.

use super::explain::explain;
use super::kernel;
use super::minimize::minimize;
use super::partition::{Part, partition};
use super::{History, Operation};
use crate::linearizable::Budget;
use crate::search::Found;
use squall_record::{Reason, Verdict};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is known about a history after it was judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judgement {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The operations of the witness: positions in the history.
    pub(crate) core: Vec<usize>,
    /// Parts that were judged one by one.
    pub(crate) parts: u64,
    /// Search steps taken.
    pub(crate) steps: u64,
}

/// Judges a history. The answer does not depend on how many threads work.
pub(crate) fn decide(history: &History, budget: Budget, threads: NonZero<usize>) -> Judgement {
    let parts = partition(history.kind, &history.ops);
    let known = |op: &&Operation| op.ret.is_some();
    let judged = history.ops.len() as u64;
    let unknown = judged - history.ops.iter().filter(known).count() as u64;
    let mut judgement = Judgement {
        verdict: Verdict::Pass { judged, unknown },
        core: Vec::new(),
        parts: parts.len() as u64,
        steps: 0,
    };
    if judged == 0 {
        let why = Reason::TooLittle("the history holds no operation that can be judged".into());
        judgement.verdict = Verdict::Unknown(why);
        return judgement;
    }
    let (found, steps) = search_all(&parts, budget, threads);
    judgement.steps = steps;
    // Of several violations, the one that shows first.
    let first = found
        .iter()
        .enumerate()
        .filter_map(|(i, found)| match found {
            Found::Illegal { stuck, order } => Some((parts[i].ops[*stuck].ret, i, *stuck, order)),
            Found::Legal(_) | Found::Spent => None,
        })
        .min_by_key(|(ret, i, ..)| (*ret, *i));
    if let Some((_, i, stuck, order)) = first {
        let part = &parts[i];
        let core = minimize(part, stuck, order, budget);
        // Trying everything is hopeless for large cores; small ones, which
        // people are shown, are all tried.
        assert_ne!(
            kernel::has_no_linearization(part, &core.roles, 50_000),
            Some(false),
            "a history was called illegal, but has an order: {core:?} of {:?}",
            part.ops
        );
        judgement.core = core
            .ops
            .iter()
            .map(|op| position(history, part.ops[*op]))
            .collect();
        judgement.verdict = Verdict::Fail(Box::new(explain(part, &core)));
        return judgement;
    }
    for (part, found) in parts.iter().zip(&found) {
        if let Found::Legal(order) = found {
            assert!(
                kernel::is_linearization(part, &part.roles(), order),
                "a history was called legal, but this is no order: {order:?}"
            );
        }
    }
    let open: Vec<&Part<'_>> = parts
        .iter()
        .zip(&found)
        .filter(|(_, found)| matches!(found, Found::Spent))
        .map(|(part, _)| part)
        .collect();
    if let Some(part) = open.first() {
        let left = format!(
            "{} of {} parts, the first with {} operations",
            open.len(),
            parts.len(),
            part.ops.len()
        );
        judgement.verdict = Verdict::Unknown(Reason::Budget { steps, left });
    }
    judgement
}

/// Only whether a history is linearizable; `None` if the budget was spent.
pub(crate) fn only(history: &History, budget: Budget, threads: NonZero<usize>) -> Option<bool> {
    let parts = partition(history.kind, &history.ops);
    let (found, _) = search_all(&parts, budget, threads);
    if found.iter().any(|f| matches!(f, Found::Illegal { .. })) {
        return Some(false);
    }
    found
        .iter()
        .all(|f| matches!(f, Found::Legal(_)))
        .then_some(true)
}

fn position(history: &History, op: &Operation) -> usize {
    history
        .ops
        .iter()
        .position(|other| std::ptr::eq(other, op))
        .expect("parts borrow from their history")
}

/// Into so many shares the bytes are divided when there are many parts, however
/// many threads there are: else what is decided would depend on the machine.
const AT_ONCE: usize = 16;

/// Every part gets an equal share of the budget first; what is left over then
/// goes to those that were not decided, in order.
fn search_all(
    parts: &[Part<'_>],
    budget: Budget,
    threads: NonZero<usize>,
) -> (Vec<Found<usize>>, u64) {
    let share = budget.steps / parts.len().max(1) as u64;
    let bytes = budget.bytes / parts.len().clamp(1, AT_ONCE) as u64;
    let one = |part: &Part<'_>| {
        let mut steps = share;
        let found = part.search(&part.roles(), &mut steps, bytes);
        (found, share - steps)
    };
    let results: Vec<(Found<usize>, u64)> = if threads.get() == 1 || parts.len() < 2 {
        parts.iter().map(one).collect()
    } else {
        in_parallel(parts, threads, one)
    };
    let mut taken: u64 = results.iter().map(|(_, steps)| steps).sum();
    let mut found: Vec<Found<usize>> = results.into_iter().map(|(found, _)| found).collect();
    let illegal = found.iter().any(|f| matches!(f, Found::Illegal { .. }));
    for (part, found) in parts.iter().zip(&mut found) {
        if matches!(found, Found::Spent) && !illegal && taken < budget.steps && parts.len() > 1 {
            let mut steps = budget.steps - taken;
            *found = part.search(&part.roles(), &mut steps, budget.bytes);
            taken = budget.steps - steps;
        }
    }
    (found, taken)
}

fn in_parallel<'p, T: Send>(
    parts: &'p [Part<'p>],
    threads: NonZero<usize>,
    work: impl Fn(&'p Part<'p>) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((i, part)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            parts.get(i).map(|part| (i, part))
        } {
            done.push((i, work(part)));
        }
        done
    };
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.get().min(parts.len()).min(AT_ONCE))
            .map(|_| scope.spawn(worker))
            .collect();
        handles
            .into_iter()
            .flat_map(|h| h.join().expect("a search does not panic"))
            .collect()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, t)| t).collect()
}
