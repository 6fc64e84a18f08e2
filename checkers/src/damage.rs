//! Ways to damage a correct history, for testing whoever judges it. A checker
//! that calls a broken history right is worse than none, and one that calls a
//! right one broken is not much better.

#![expect(
    clippy::ptr_arg,
    reason = "all damages have one type, and some remove operations"
)]

#[cfg(test)]
mod services;
#[cfg(test)]
mod town;

use bytes::Bytes;
use squall_api::pb::{self, KeyValue};
use squall_record::{Call, Code, Op, Outcome, Ret, Status, Why};

/// A way to damage a history.
#[derive(Debug, Clone, Copy)]
pub struct Damage {
    /// What it does.
    pub name: &'static str,
    /// Whether a guarantee is broken by it.
    pub breaks: bool,
    /// Does it, as late in the history as it can; false if the history offers no
    /// place for it.
    pub apply: fn(&mut Vec<Op>) -> bool,
}

const fn breaks(name: &'static str, apply: fn(&mut Vec<Op>) -> bool) -> Damage {
    Damage {
        name,
        breaks: true,
        apply,
    }
}

const fn keeps(name: &'static str, apply: fn(&mut Vec<Op>) -> bool) -> Damage {
    Damage {
        name,
        breaks: false,
        apply,
    }
}

/// Every damage.
pub const ALL: [Damage; 31] = [
    breaks("a stale read", stale_read),
    breaks("a revision that is off by one", |h| stale_revision(h, 1)),
    breaks("a revision that is off by sixty", |h| stale_revision(h, 60)),
    breaks("a lost write whose revision is used again", lost_write),
    breaks("a write that claims a later revision", lying_revision),
    breaks("two writes that claim one revision", reused_revision),
    breaks("the answers of two reads swapped", swapped_answers),
    breaks("an answer before its cause", answer_before_cause),
    breaks("a deleted key that comes back", resurrected_key),
    breaks("an acknowledged write that is missing", dropped_write),
    breaks("a refused write that is read", refused_write),
    breaks("a read of another value", |h| {
        in_read(h, |kv| kv.value = "phantom".into())
    }),
    breaks("a version too many", |h| in_read(h, |kv| kv.version += 1)),
    breaks("another create_revision", |h| {
        in_read(h, |kv| kv.create_revision -= 1)
    }),
    breaks("another mod_revision", |h| {
        in_read(h, |kv| kv.mod_revision -= 1)
    }),
    breaks("a lease that nobody gave", |h| {
        in_read(h, |kv| kv.lease = 7)
    }),
    breaks("a key that is missing from a range", |h| {
        in_range(h, |r| r.kvs.pop().is_some())
    }),
    breaks("a key that nobody wrote", |h| in_range(h, phantom_key)),
    breaks("a wrong count", |h| {
        in_range(h, |r| {
            r.count += 1;
            true
        })
    }),
    breaks("a wrong more", |h| {
        in_range(h, |r| {
            r.more = !r.more;
            true
        })
    }),
    breaks("a missing prev_kv", missing_prev_kv),
    breaks("a wrong number of deleted keys", wrong_deleted),
    breaks("a transaction that took the other branch", other_branch),
    breaks("an answer without a revision", no_revision),
    keeps("a read of unknown outcome", |h| {
        forget(h, |op| matches!(op.call, Call::Range(_)))
    }),
    keeps("a missing read", dropped_read),
    keeps("a write of unknown outcome", |h| {
        forget(h, |op| matches!(op.call, Call::Put(_)))
    }),
    keeps("an unknown write that never happened", unapplied_write),
    keeps("a wider interval", wider_interval),
    keeps("a stale read that was serializable", stale_serializable),
    keeps("another order of lines", |h| {
        h.reverse();
        true
    }),
];

/// The damages of the benchmark.
pub const BENCHMARKED: [Damage; 3] = [ALL[0], ALL[3], ALL[4]];

/// The header's revision; 0 if there is none.
fn revision(op: &Op) -> i64 {
    match &op.outcome {
        Outcome::Ok(ret) => ret.header().map_or(0, |h| h.revision),
        Outcome::Refused(_) | Outcome::Unknown(_) => 0,
    }
}

fn set_revision(op: &mut Op, revision: i64) {
    if let Outcome::Ok(ret) = &mut op.outcome
        && let Some(header) = header_mut(ret)
    {
        header.revision = revision;
    }
}

fn header_mut(ret: &mut Ret) -> Option<&mut pb::ResponseHeader> {
    match ret {
        Ret::Range(r) => r.header.as_mut(),
        Ret::Put(r) => r.header.as_mut(),
        Ret::DeleteRange(r) => r.header.as_mut(),
        Ret::Txn(r) => r.header.as_mut(),
        _ => None,
    }
}

/// A linearizable read of one key, with nothing special about it.
fn plain_read(op: &Op) -> Option<(&pb::RangeRequest, &pb::RangeResponse)> {
    match (&op.call, &op.outcome) {
        (Call::Range(r), Outcome::Ok(Ret::Range(got)))
            if r.range_end.is_empty()
                && !r.serializable
                && !r.keys_only
                && !r.count_only
                && r.limit == 0
                && r.revision == 0 =>
        {
            Some((r, got))
        }
        _ => None,
    }
}

fn acked_put(op: &Op) -> Option<&pb::PutRequest> {
    match (&op.call, &op.outcome) {
        (Call::Put(r), Outcome::Ok(_)) => Some(r),
        _ => None,
    }
}

/// The latest operation for which `f` gives something.
fn last<T>(history: &[Op], f: impl Fn(usize, &Op) -> Option<T>) -> Option<T> {
    (0..history.len()).rev().find_map(|i| f(i, &history[i]))
}

/// The highest revision that anybody was told before `t`.
fn told_before(history: &[Op], t: u64) -> i64 {
    let in_time = |op: &&Op| op.ret.is_some_and(|ret| ret < t);
    history
        .iter()
        .filter(in_time)
        .map(revision)
        .max()
        .unwrap_or(0)
}

/// A late read, and an earlier one of the same key that is older than what was
/// known before the late one was sent.
fn stale_pair(history: &[Op]) -> Option<(usize, usize)> {
    last(history, |late, op| {
        let (r, got) = plain_read(op)?;
        got.kvs.first()?;
        let told = told_before(history, op.invoke);
        let early = history[..late].iter().position(|other| {
            plain_read(other).is_some_and(|(q, old)| {
                q.key == r.key && old.kvs != got.kvs && revision(other) < told
            })
        })?;
        Some((late, early))
    })
}

fn stale_read(history: &mut Vec<Op>) -> bool {
    let Some((late, early)) = stale_pair(history) else {
        return false;
    };
    history[late].outcome = history[early].outcome.clone();
    true
}

fn stale_serializable(history: &mut Vec<Op>) -> bool {
    let Some((late, early)) = stale_pair(history) else {
        return false;
    };
    history[late].outcome = history[early].outcome.clone();
    if let Call::Range(r) = &mut history[late].call {
        r.serializable = true;
    }
    true
}

fn stale_revision(history: &mut Vec<Op>, by: i64) -> bool {
    let found = last(history, |i, op| {
        plain_read(op)?;
        let told = told_before(history, op.invoke);
        (revision(op) - by < told && revision(op) > by).then_some(i)
    });
    let Some(i) = found else {
        return false;
    };
    let lower = revision(&history[i]) - by;
    set_revision(&mut history[i], lower);
    true
}

/// Acknowledges a write that left no trace: everything after it happens one
/// revision earlier.
fn lost_write(history: &mut Vec<Op>) -> bool {
    let found = last(history, |i, op| {
        let put = acked_put(op)?;
        let lost = revision(op);
        let later_use = |other: &Op| {
            revision(other) > lost && touches(&other.call, &put.key) || other.id == op.id
        };
        let uses = history.iter().filter(|other| later_use(other)).count();
        let used_again = history
            .iter()
            .any(|o| revision(o) == lost + 1 && acked_put(o).is_some());
        (uses == 1 && used_again && !has_prev(op)).then_some((i, lost))
    });
    let Some((i, lost)) = found else {
        return false;
    };
    for (j, op) in history.iter_mut().enumerate() {
        if j != i
            && let Outcome::Ok(ret) = &mut op.outcome
        {
            shift(ret, lost);
        }
    }
    true
}

fn has_prev(op: &Op) -> bool {
    matches!(&op.outcome, Outcome::Ok(Ret::Put(r)) if r.prev_kv.is_some())
}

/// Whether a call can see a key, in any way.
fn touches(call: &Call, key: &[u8]) -> bool {
    let mut seen = crate::store::mvcc::Seen::default();
    seen.call(call);
    seen.intervals
        .iter()
        .any(|(start, end)| crate::store::model::within(start, end, key))
}

/// Lowers every revision above `lost` by one.
fn shift(ret: &mut Ret, lost: i64) {
    fn kv(kv: &mut KeyValue, lost: i64) {
        kv.mod_revision -= i64::from(kv.mod_revision > lost);
        kv.create_revision -= i64::from(kv.create_revision > lost);
    }
    fn header(h: &mut Option<pb::ResponseHeader>, lost: i64) {
        if let Some(h) = h {
            h.revision -= i64::from(h.revision > lost);
        }
    }
    fn range(r: &mut pb::RangeResponse, lost: i64) {
        header(&mut r.header, lost);
        r.kvs.iter_mut().for_each(|k| kv(k, lost));
    }
    fn put(r: &mut pb::PutResponse, lost: i64) {
        header(&mut r.header, lost);
        r.prev_kv.iter_mut().for_each(|k| kv(k, lost));
    }
    fn delete(r: &mut pb::DeleteRangeResponse, lost: i64) {
        header(&mut r.header, lost);
        r.prev_kvs.iter_mut().for_each(|k| kv(k, lost));
    }
    fn txn(r: &mut pb::TxnResponse, lost: i64) {
        use pb::response_op::Response;
        header(&mut r.header, lost);
        for op in &mut r.responses {
            match &mut op.response {
                Some(Response::ResponseRange(r)) => range(r, lost),
                Some(Response::ResponsePut(r)) => put(r, lost),
                Some(Response::ResponseDeleteRange(r)) => delete(r, lost),
                Some(Response::ResponseTxn(r)) => txn(r, lost),
                None => {}
            }
        }
    }
    match ret {
        Ret::Range(r) => range(r, lost),
        Ret::Put(r) => put(r, lost),
        Ret::DeleteRange(r) => delete(r, lost),
        Ret::Txn(r) => txn(r, lost),
        _ => {}
    }
}

fn lying_revision(history: &mut Vec<Op>) -> bool {
    let top = history.iter().map(revision).max().unwrap_or(0);
    let found = last(history, |i, op| {
        acked_put(op)?;
        (revision(op) + 60 <= top).then_some(i)
    });
    let Some(i) = found else {
        return false;
    };
    let claimed = revision(&history[i]) + 60;
    set_revision(&mut history[i], claimed);
    true
}

fn reused_revision(history: &mut Vec<Op>) -> bool {
    let mut puts = (0..history.len())
        .rev()
        .filter(|i| acked_put(&history[*i]).is_some());
    let (Some(a), Some(b)) = (puts.next(), puts.next()) else {
        return false;
    };
    let revision = revision(&history[b]);
    set_revision(&mut history[a], revision);
    true
}

fn swapped_answers(history: &mut Vec<Op>) -> bool {
    let found = last(history, |i, op| {
        let (_, got) = plain_read(op)?;
        let kv = got.kvs.first()?;
        let other = history[..i].iter().rposition(|other| {
            plain_read(other).is_some_and(|(_, g)| g.kvs.first().is_some_and(|k| k.key != kv.key))
        })?;
        Some((i, other))
    });
    let Some((i, j)) = found else {
        return false;
    };
    let outcome = history[i].outcome.clone();
    history[i].outcome = std::mem::replace(&mut history[j].outcome, outcome);
    true
}

fn answer_before_cause(history: &mut Vec<Op>) -> bool {
    let found = last(history, |i, op| {
        let (_, got) = plain_read(op)?;
        let kv = got.kvs.first()?;
        let cause = history[..i]
            .iter()
            .find(|o| acked_put(o).is_some() && revision(o) == kv.mod_revision)?;
        (cause.invoke > 2).then_some((i, cause.invoke))
    });
    let Some((i, cause)) = found else {
        return false;
    };
    history[i].invoke = cause - 2;
    history[i].ret = Some(cause - 1);
    true
}

fn resurrected_key(history: &mut Vec<Op>) -> bool {
    let found = last(history, |i, op| {
        let (r, got) = plain_read(op)?;
        if !got.kvs.is_empty() {
            return None;
        }
        let old = history[..i].iter().rev().find_map(|other| {
            plain_read(other).and_then(|(q, g)| {
                let kv = g.kvs.first()?;
                (q.key == r.key && revision(other) < revision(op)).then(|| kv.clone())
            })
        })?;
        Some((i, old))
    });
    let Some((i, old)) = found else {
        return false;
    };
    if let Outcome::Ok(Ret::Range(got)) = &mut history[i].outcome {
        got.kvs = vec![old];
        got.count = 1;
    }
    true
}

/// An acknowledged put whose value somebody read.
fn read_put(history: &[Op]) -> Option<usize> {
    last(history, |i, op| {
        let put = acked_put(op)?;
        let read = |other: &Op| {
            plain_read(other).is_some_and(|(r, got)| {
                r.key == put.key && got.kvs.iter().any(|kv| kv.mod_revision == revision(op))
            })
        };
        history.iter().any(read).then_some(i)
    })
}

fn dropped_write(history: &mut Vec<Op>) -> bool {
    let Some(i) = read_put(history) else {
        return false;
    };
    history.remove(i);
    true
}

fn refused_write(history: &mut Vec<Op>) -> bool {
    let Some(i) = read_put(history) else {
        return false;
    };
    let status = Status::new(
        Code::ResourceExhausted,
        "etcdserver: mvcc: database space exceeded",
    );
    history[i].outcome = Outcome::Refused(status);
    true
}

fn in_read(history: &mut [Op], change: impl Fn(&mut KeyValue)) -> bool {
    let found = last(history, |i, op| {
        let (_, got) = plain_read(op)?;
        (!got.kvs.is_empty()).then_some(i)
    });
    if let Some(i) = found
        && let Outcome::Ok(Ret::Range(got)) = &mut history[i].outcome
    {
        change(&mut got.kvs[0]);
        return true;
    }
    false
}

/// Changes a read of several keys.
fn in_range(history: &mut [Op], change: impl Fn(&mut pb::RangeResponse) -> bool) -> bool {
    for op in history.iter_mut().rev() {
        if let (Call::Range(r), Outcome::Ok(Ret::Range(got))) = (&op.call, &mut op.outcome)
            && !r.range_end.is_empty()
            && !got.kvs.is_empty()
            && !r.count_only
        {
            return change(got);
        }
    }
    false
}

fn phantom_key(r: &mut pb::RangeResponse) -> bool {
    let mut kv = r.kvs[0].clone();
    kv.key = Bytes::from([&kv.key[..], b"~"].concat());
    r.kvs.insert(1, kv);
    r.count += 1;
    true
}

fn missing_prev_kv(history: &mut Vec<Op>) -> bool {
    for op in history.iter_mut().rev() {
        if let Outcome::Ok(Ret::Put(r)) = &mut op.outcome
            && r.prev_kv.take().is_some()
        {
            return true;
        }
    }
    false
}

fn wrong_deleted(history: &mut Vec<Op>) -> bool {
    for op in history.iter_mut().rev() {
        if let Outcome::Ok(Ret::DeleteRange(r)) = &mut op.outcome
            && r.deleted > 0
        {
            r.deleted += 1;
            return true;
        }
    }
    false
}

fn other_branch(history: &mut Vec<Op>) -> bool {
    for op in history.iter_mut().rev() {
        if let (Call::Txn(call), Outcome::Ok(Ret::Txn(r))) = (&op.call, &mut op.outcome)
            && !call.compare.is_empty()
        {
            r.succeeded = !r.succeeded;
            return true;
        }
    }
    false
}

fn no_revision(history: &mut Vec<Op>) -> bool {
    for op in history.iter_mut().rev() {
        if let Outcome::Ok(Ret::Put(r)) = &mut op.outcome {
            r.header = None;
            return true;
        }
    }
    false
}

fn forget(history: &mut [Op], which: impl Fn(&Op) -> bool) -> bool {
    for op in history.iter_mut().rev() {
        if matches!(op.outcome, Outcome::Ok(_)) && which(op) {
            op.outcome = Outcome::Unknown(Why::Timeout);
            return true;
        }
    }
    false
}

fn dropped_read(history: &mut Vec<Op>) -> bool {
    let Some(i) = last(history, |i, op| plain_read(op).map(|_| i)) else {
        return false;
    };
    history.remove(i);
    true
}

fn unapplied_write(history: &mut Vec<Op>) -> bool {
    let Some(op) = history.first() else {
        return false;
    };
    let mut op = op.clone();
    op.id = 1 + history.iter().map(|op| op.id).max().unwrap_or(0);
    op.call = Call::Put(pb::PutRequest {
        key: "never".into(),
        value: "never".into(),
        ..pb::PutRequest::default()
    });
    op.outcome = Outcome::Unknown(Why::Reset);
    history.insert(1, op);
    true
}

fn wider_interval(history: &mut Vec<Op>) -> bool {
    for op in history.iter_mut().rev().take(5) {
        op.invoke -= op.invoke.min(1_000_000);
        op.ret = op.ret.map(|ret| ret + 1_000_000);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{self, Shape};
    use crate::linearizable::{Budget, check};
    use squall_record::Verdict;

    #[test]
    fn what_breaks_a_guarantee_is_caught_and_what_does_not_is_not() {
        for damage in ALL {
            let mut done = 0;
            for seed in 0..12 {
                let made = generate::history(&Shape {
                    seed,
                    ops: 600,
                    cold_keys: 60,
                    txn_per_mille: 150,
                    ..Shape::default()
                });
                let mut history = made.history.clone();
                if !(damage.apply)(&mut history) {
                    continue;
                }
                done += 1;
                for applied in [None, Some(&made.applied[..])] {
                    let report = check(&history, applied, Budget::default());
                    match report.verdict {
                        Verdict::Pass { .. } => assert!(!damage.breaks, "{}: {seed}", damage.name),
                        Verdict::Fail(witness) => {
                            assert!(damage.breaks, "{}: {seed}: {witness:#?}", damage.name);
                            assert!((1..=12).contains(&witness.ops.len()), "{witness:#?}");
                            assert!(!witness.sentence.is_empty() && !witness.facts.is_empty());
                        }
                        Verdict::Unknown(why) => panic!("{}: {seed}: {why}", damage.name),
                    }
                }
            }
            assert!(done > 5, "{} was possible only {done} times", damage.name);
        }
    }

    /// Whether a damage breaks something is decided by trying every order, not by
    /// whoever wrote it down.
    #[test]
    fn damages_of_tiny_histories_are_judged_as_by_brute_force() {
        // Sixty revisions are more than a tiny history has.
        let large = [
            "a revision that is off by sixty",
            "a write that claims a later revision",
        ];
        for damage in ALL {
            let (mut done, mut broken) = (0, 0);
            for seed in 0..500 {
                let mut history = generate::history(&Shape {
                    seed,
                    ops: 5 + (seed % 4) as usize,
                    clients: 2 + (seed / 4 % 2) as u32,
                    hot_keys: 1 + (seed / 8 % 2) as u32,
                    cold_keys: 0,
                    unknown_per_mille: [0, 150][(seed / 16 % 2) as usize],
                    txn_per_mille: 200,
                    ..Shape::default()
                })
                .history;
                if !(damage.apply)(&mut history) {
                    continue;
                }
                done += 1;
                let right = crate::store::tests::brute_force(&history);
                broken += u32::from(!right);
                let report = check(&history, None, Budget::default());
                let passed = matches!(report.verdict, Verdict::Pass { .. });
                assert_eq!(passed, right, "{}, seed {seed}: {report:#?}", damage.name);
            }
            if large.contains(&damage.name) {
                continue;
            }
            assert!(done >= 3, "{}: possible {done} times", damage.name);
            assert_eq!(
                broken > 0,
                damage.breaks,
                "{}: {broken} of {done}",
                damage.name
            );
        }
    }
}
