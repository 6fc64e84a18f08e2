//! Whether there was load and trouble enough for a run to prove something.

use crate::format::{Expect, Scenario};
use bytes::Bytes;
use squall_api::pb;
use squall_api::pb::request_op::Request as RequestOp;
use squall_record::{Call, Op, Outcome, Ret, Stats};
use std::collections::BTreeSet;

/// Counts what only the history shows.
pub(super) fn count(history: &[Op], stats: &mut Stats) {
    let mut keys = BTreeSet::new();
    for op in history {
        if matches!(&op.outcome, Outcome::Ok(Ret::Txn(_))) {
            stats.txns_ok += 1;
        }
        match &op.call {
            Call::Put(put) => {
                keys.insert(&put.key);
            }
            Call::Txn(txn) => named_in(txn, &mut keys),
            Call::Range(range) if range.range_end.is_empty() => {
                keys.insert(&range.key);
            }
            // A range over several keys names none of them.
            _ => {}
        }
    }
    stats.keys = keys.len() as u64;
}

/// The keys that a transaction puts or compares.
fn named_in<'a>(txn: &'a pb::TxnRequest, keys: &mut BTreeSet<&'a Bytes>) {
    keys.extend(
        txn.compare
            .iter()
            .filter(|c| c.range_end.is_empty())
            .map(|c| &c.key),
    );
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(RequestOp::RequestPut(put)) => {
                keys.insert(&put.key);
            }
            Some(RequestOp::RequestTxn(nested)) => named_in(nested, keys),
            Some(RequestOp::RequestRange(_) | RequestOp::RequestDeleteRange(_)) | None => {}
        }
    }
}

/// Why a run without a failure proves nothing, if it does not.
pub(super) fn proves_nothing(scenario: &Scenario, stats: &Stats) -> Vec<String> {
    let mut reasons = Vec::new();
    if stats.faults_fired < stats.faults_planned {
        let Stats {
            faults_fired,
            faults_planned,
            ..
        } = stats;
        reasons.push(format!(
            "only {faults_fired} of {faults_planned} faults fired"
        ));
    }
    for expect in &scenario.expects {
        let Expect::Load {
            ok,
            keys,
            transactions,
        } = expect
        else {
            continue;
        };
        if stats.ops_ok < *ok {
            reasons.push(format!(
                "only {} operations returned ok, of {ok} expected",
                stats.ops_ok
            ));
        }
        if stats.keys > *keys {
            reasons.push(format!(
                "{} keys were used, expected at most {keys}",
                stats.keys
            ));
        }
        let share = stats.txns_ok as f64 / stats.ops_ok.max(1) as f64;
        if share < transactions.get() {
            reasons.push(format!(
                "only {:.1}% of the operations were transactions, expected {:.1}%",
                100.0 * share,
                100.0 * transactions.get()
            ));
        }
    }
    reasons
}
