//! The smallest part of a history that still cannot be, verified by a search that
//! had no part in finding it.
//!
//! Operations are made weaker as long as what is left still fails: an answer that
//! is left out of a read leaves nothing, and an answer that is left out of a write
//! leaves a write that may happen at any time or never. To delete a write would be
//! wrong: its effect may be what made another answer right.

use super::anchored::{self, Decision};
use super::complete;
use super::keys::Keys;
use super::timeline::{Timeline, is_kv, may_write};
use crate::search::Found;
use squall_record::{Op, Outcome, Why};

/// Histories of more operations are not made smaller: what a violation names is
/// few enough, and trying would take longer than judging did.
const MOST_OPS: usize = 400;
/// Search steps for one attempt.
const STEPS: u64 = 2_000;
/// Search steps for the last word.
const LAST_STEPS: u64 = 10_000;
const LAST_BYTES: u64 = 64 << 20;

/// Answers that contradict each other, as indices into the history, whatever all
/// the other writes of it did; `suspects` are tried first. None if the history is
/// large, or if the complete search did not confirm it within its steps.
pub(crate) fn minimal(history: &[Op], suspects: &[u32]) -> Option<Vec<u32>> {
    if history.len() > MOST_OPS {
        return None;
    }
    let answered = |i: &u32| {
        let op = &history[*i as usize];
        is_kv(&op.call) && matches!(op.outcome, Outcome::Ok(_))
    };
    let all: Vec<u32> = (0..history.len() as u32).filter(answered).collect();
    let mut kept = if fails(history, suspects) {
        suspects.iter().copied().filter(answered).collect()
    } else if fails(history, &all) {
        all
    } else {
        return None;
    };
    // Whole clients first, then runs of operations that get ever shorter.
    let mut clients: Vec<u32> = kept.iter().map(|i| history[*i as usize].client).collect();
    clients.sort_unstable();
    clients.dedup();
    for client in clients {
        let others = |i: &u32| history[*i as usize].client != client;
        let fewer: Vec<u32> = kept.iter().copied().filter(others).collect();
        if fails(history, &fewer) {
            kept = fewer;
        }
    }
    let mut size = kept.len().div_ceil(2).max(1);
    loop {
        let before = kept.len();
        let mut at = 0;
        while at < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(at..(at + size).min(kept.len()));
            if fails(history, &fewer) {
                kept = fewer;
            } else {
                at += size;
            }
        }
        match (size, kept.len() < before) {
            (1, false) => break,
            (1, true) => {}
            _ => size = size.div_ceil(2),
        }
    }
    is_refuted(&weakened(history, &kept)).then_some(kept)
}

/// The history with only these answers.
fn weakened(history: &[Op], kept: &[u32]) -> Vec<Op> {
    let mut weak = Vec::new();
    for (i, op) in history.iter().enumerate() {
        if kept.contains(&(i as u32)) {
            weak.push(op.clone());
        } else if may_write(&op.call) && !matches!(op.outcome, Outcome::Refused(_)) {
            weak.push(Op {
                outcome: Outcome::Unknown(Why::RunEnded),
                ret: None,
                ..op.clone()
            });
        }
    }
    weak
}

fn fails(history: &[Op], kept: &[u32]) -> bool {
    let weak = weakened(history, kept);
    let Ok(timeline) = Timeline::new(&weak) else {
        return true;
    };
    timeline.check_order().is_err()
        || matches!(
            anchored::decide(&timeline, &Keys::new(&weak), &mut { STEPS }),
            Decision::Illegal(_)
        )
}

/// Whether the complete search, which knows nothing of what revisions imply, finds
/// no order either.
fn is_refuted(weak: &[Op]) -> bool {
    match Timeline::new(weak) {
        Err(_) => true,
        Ok(timeline) => matches!(
            complete::decide(&timeline, &mut { LAST_STEPS }, LAST_BYTES),
            Found::Illegal { .. }
        ),
    }
}
