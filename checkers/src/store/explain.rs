//! Putting a violation into words, with the few operations that prove it.

use super::agree::{Difference, name};
use super::timeline::{is_serializable, may_write};
use super::violation::Violation;
use crate::describe::{call, who};
use crate::linearizable::GUARANTEE;
use squall_record::{Call, Fact, Op, Outcome, Witness, seconds};

/// The witness for a violation of `history`.
pub(crate) fn explain(history: &[Op], violation: &Violation) -> Witness {
    let case = Case { history };
    match violation {
        Violation::NoRevision { op } => case.plain(
            *op,
            "wrong-response",
            "its answer carries no revision, so it was taken from no state of the store",
        ),
        Violation::WrongKind { op } => case.plain(
            *op,
            "wrong-response",
            "it was given the answer to another call",
        ),
        Violation::Unplaced { op } => case.plain(
            *op,
            "no-order",
            "every order that allows that answer leaves another one without a place",
        ),
        Violation::Phantom { op, kv } => case.phantom(*op, kv),
        Violation::Reused {
            first,
            second,
            revision,
        } => case.reused(*first, *second, *revision),
        Violation::Backwards { early, late } => case.backwards(*early, *late),
        Violation::Skipped {
            revision,
            shown_by,
            candidates,
            needed,
        } => case.skipped(*revision, *shown_by, *candidates, *needed),
        Violation::Wrong {
            op,
            difference,
            tried,
        } => case.wrong(*op, difference, *tried),
        Violation::NotRefused { op, refusal, tried } => {
            let mut witness = case.plain(*op, "wrong-response", refusal.text());
            witness.facts.extend(tried_fact(*tried));
            witness
        }
    }
}

/// Adds the smallest failing part of a history to its witness.
pub(crate) fn add_core(history: &[Op], core: &[u32], witness: &mut Witness) {
    let mut ops: Vec<&Op> = core.iter().map(|i| &history[*i as usize]).collect();
    ops.sort_by_key(|op| (op.invoke, op.id));
    let ids: Vec<String> = ops.iter().map(|op| op.id.to_string()).collect();
    let text = match &ids[..] {
        [only] => format!("the answer to op {only} alone allows"),
        ids => format!("the answers to ops {} alone allow", ids.join(", ")),
    };
    witness.facts.push(Fact::new(
        "proof",
        format!("{text} no order, whatever the other writes did and whenever"),
    ));
    // What the sentence names stays, for context.
    for op in ops {
        if witness.ops.iter().all(|named| named.id != op.id) {
            witness.ops.push(op.clone());
        }
    }
    witness.ops.sort_by_key(|op| (op.invoke, op.id));
}

/// Says that a violation was found by one search only.
pub(crate) fn add_unconfirmed(witness: &mut Witness) {
    let text = "not confirmed: the history is too large for the complete search, and no two \
                answers contradict each other by themselves";
    witness.facts.push(Fact::new("proof", text));
}

struct Case<'a> {
    history: &'a [Op],
}

impl Case<'_> {
    fn op(&self, index: u32) -> &Op {
        &self.history[index as usize]
    }

    fn witness(&self, class: &str, sentence: String, t: u64, mut ops: Vec<u32>) -> Witness {
        ops.sort_unstable_by_key(|i| (self.op(*i).invoke, *i));
        ops.dedup();
        Witness {
            guarantee: GUARANTEE.into(),
            sentence,
            t,
            node: None,
            facts: Vec::new(),
            ops: ops.iter().map(|i| self.op(*i).clone()).collect(),
            class: class.into(),
        }
    }

    fn plain(&self, index: u32, class: &str, what: &str) -> Witness {
        let op = self.op(index);
        let sentence = format!(
            "wrong response: {} answered {} {} at {}, but {what}",
            member(op),
            who(op),
            call(&op.call),
            seconds(returned(op)),
        );
        let mut witness = self.witness(class, sentence, returned(op), vec![index]);
        witness.node = Some(op.member);
        witness.facts.push(self.told(index));
        witness
    }

    fn reused(&self, first: u32, second: u32, revision: i64) -> Witness {
        let (a, b) = if returned(self.op(first)) <= returned(self.op(second)) {
            (first, second)
        } else {
            (second, first)
        };
        let (x, y) = (self.op(a), self.op(b));
        let sentence = format!(
            "revision {revision} was used twice: for {} {}, acknowledged at {}, and for {} {}, acknowledged at {}",
            who(x),
            call(&x.call),
            seconds(returned(x)),
            who(y),
            call(&y.call),
            seconds(returned(y)),
        );
        let mut witness = self.witness("revision-reused", sentence, returned(y), vec![a, b]);
        witness.facts = vec![
            self.told(a),
            self.told(b),
            Fact::new(
                "contradiction",
                "every write that has an effect takes a revision of its own",
            ),
        ];
        witness
    }

    fn backwards(&self, early: u32, late: u32) -> Witness {
        let late_op = self.op(late);
        let late_revision = revision(late_op);
        let shows_the_future = revision(self.op(early)) == late_revision;
        if shows_the_future || is_serializable(&self.op(early).call) {
            let op = self.op(early);
            let sentence = format!(
                "read from the future: {} read revision {} and was answered at {}, before {} {} of revision {late_revision} was sent at {}",
                who(op),
                revision(op),
                seconds(returned(op)),
                who(late_op),
                call(&late_op.call),
                seconds(late_op.invoke),
            );
            let mut witness =
                self.witness("phantom-value", sentence, returned(op), vec![early, late]);
            witness.facts = vec![self.told(early), self.told(late)];
            return witness;
        }
        // Of everything that was acknowledged in time, a write that the late
        // operation should have seen says most.
        let keys = keys_of(&late_op.call);
        let seen = (0..self.history.len() as u32)
            .filter(|i| {
                let op = self.op(*i);
                matches!(op.outcome, Outcome::Ok(_))
                    && !is_serializable(&op.call)
                    && op.ret.is_some_and(|ret| ret < late_op.invoke)
                    && revision(op) > late_revision
                    && writes_into(op, &keys)
            })
            .min_by_key(|i| (revision(self.op(*i)), *i));
        let early = seen.unwrap_or(early);
        let early_op = self.op(early);
        let reads = !super::timeline::says_it_wrote_op(late_op);
        let (class, what) = if reads {
            ("stale-read", "stale read")
        } else {
            ("revision-backwards", "revision went back")
        };
        let on = match &keys[..] {
            [(key, end)] if end.is_empty() => format!(" on {}", name(key)),
            _ => String::new(),
        };
        let was = if super::timeline::says_it_wrote_op(early_op) {
            "acknowledged"
        } else {
            "shown"
        };
        let sentence = format!(
            "{what}{on}: {} {} revision {late_revision} at {} after revision {} was {was} at {}",
            who(late_op),
            if reads { "read" } else { "was given" },
            seconds(late_op.invoke),
            revision(early_op),
            seconds(returned(early_op)),
        );
        let mut witness = self.witness(class, sentence, returned(late_op), vec![early, late]);
        witness.node = Some(late_op.member);
        witness.facts = vec![
            self.told(early),
            self.told(late),
            Fact::new(
                "real time",
                format!(
                    "{} was answered at {}, before {} was sent at {}",
                    id(early_op),
                    seconds(returned(early_op)),
                    id(late_op),
                    seconds(late_op.invoke)
                ),
            ),
            Fact::new(
                "contradiction",
                format!(
                    "{} comes after {} in time, but before it by revision",
                    id(late_op),
                    id(early_op)
                ),
            ),
        ];
        witness
    }

    fn skipped(&self, revision: i64, shown_by: u32, candidates: u64, needed: u64) -> Witness {
        let op = self.op(shown_by);
        let sentence = format!(
            "revision {revision} was taken by nobody: {} {} shows revision {}, and no operation that could have taken {revision} exists",
            who(op),
            call(&op.call),
            self::revision(op),
        );
        let mut ops = vec![shown_by];
        ops.extend(self.writer_at(revision - 1));
        let mut witness = self.witness("revision-skipped", sentence, returned(op), ops);
        witness.facts = vec![
            self.told(shown_by),
            Fact::new(
                format!("revision {revision}"),
                "no acknowledged write says that it took it",
            ),
            Fact::new(
                "operations of unknown outcome",
                format!(
                    "{candidates} that may write were sent by {}; {needed} would be needed to fill every unclaimed revision so far",
                    seconds(returned(op))
                ),
            ),
        ];
        witness
    }

    fn phantom(&self, index: u32, kv: &squall_api::pb::KeyValue) -> Witness {
        let op = self.op(index);
        let at = seconds(returned(op));
        let sentence = format!(
            "phantom value on {}: {} was shown {} of revision {} at {at}, which nobody can have written",
            name(&kv.key),
            who(op),
            name(&kv.value),
            kv.mod_revision,
        );
        let mut witness = self.witness("phantom-value", sentence, returned(op), vec![index]);
        witness.node = Some(op.member);
        let unclaimed = |revision: i64| {
            Fact::new(
                format!("revision {revision}"),
                format!(
                    "no acknowledged write took it, and no operation of unknown outcome that was sent in time writes {} so",
                    name(&kv.key)
                ),
            )
        };
        witness.facts.push(self.told(index));
        for revision in [kv.create_revision, kv.mod_revision] {
            if self.writer_at(revision).is_none() {
                witness.facts.push(unclaimed(revision));
            }
        }
        witness.facts.dedup();
        witness
    }

    fn wrong(&self, index: u32, difference: &Difference, tried: u64) -> Witness {
        let op = self.op(index);
        let expected = difference.expected_kv.as_deref();
        let got = difference.got_kv.as_deref();
        let mut ops = vec![index];
        let expected_writer = expected.and_then(|kv| self.writer_at(kv.mod_revision));
        let got_writer = got.and_then(|kv| self.writer_at(kv.mod_revision));
        ops.extend(expected_writer);
        ops.extend(got_writer);
        let class = match (expected, got) {
            (Some(e), Some(g)) if g.mod_revision > e.mod_revision => "phantom-value",
            (Some(e), Some(g)) if g.mod_revision < e.mod_revision => "lost-write",
            (Some(e), Some(g)) if g.value != e.value => "phantom-value",
            (Some(_), None) => "lost-write",
            (None, Some(g)) if self.key_written_at(g) => "resurrected-key",
            (None, Some(_)) => "phantom-value",
            _ => "wrong-response",
        };
        let at = revision(op);
        let key = difference.key.as_deref().map(name).unwrap_or_default();
        let shown = |kv: &squall_api::pb::KeyValue| {
            format!("{} of revision {}", name(&kv.value), kv.mod_revision)
        };
        let sentence = match (class, expected, got) {
            ("lost-write", Some(e), got) => {
                let got = got.map_or_else(|| "nothing".to_owned(), shown);
                let acknowledged = expected_writer.map(|w| self.op(w)).map_or_else(
                    || "was written".to_owned(),
                    |w| format!("was acknowledged to {} at {}", who(w), seconds(returned(w))),
                );
                format!(
                    "lost write on {key}: {} was shown {got} at revision {at} ({}), although {} {acknowledged}",
                    who(op),
                    seconds(returned(op)),
                    shown(e),
                )
            }
            ("phantom-value", expected, Some(g)) => format!(
                "phantom value on {key}: {} was shown {} at {}, which nobody wrote; it should be {}",
                who(op),
                shown(g),
                seconds(returned(op)),
                expected.map_or_else(|| "absent".to_owned(), shown),
            ),
            ("resurrected-key", _, Some(g)) => format!(
                "resurrected key {key}: {} was shown {} at revision {at} ({}), after it had been deleted",
                who(op),
                shown(g),
                seconds(returned(op)),
            ),
            _ => format!(
                "wrong response: {} {} was answered at {} with {} {}, but at revision {at} it is {}",
                who(op),
                call(&op.call),
                seconds(returned(op)),
                difference.field,
                difference.got,
                difference.expected,
            ),
        };
        let mut witness = self.witness(class, sentence, returned(op), ops);
        witness.node = Some(op.member);
        for writer in [got_writer, expected_writer].into_iter().flatten() {
            if writer != index {
                witness.facts.push(self.told(writer));
            }
        }
        witness.facts.push(self.told(index));
        witness.facts.push(Fact::new(
            id(op),
            format!(
                "{}: expected {}, got {}",
                difference.field, difference.expected, difference.got
            ),
        ));
        witness.facts.extend(last_good_state(op, difference));
        witness.facts.extend(tried_fact(tried));
        witness
    }

    /// What an operation was told.
    fn told(&self, index: u32) -> Fact {
        let op = self.op(index);
        Fact::new(
            id(op),
            format!(
                "{} {}, sent at {}, answered at {} with revision {}",
                who(op),
                call(&op.call),
                seconds(op.invoke),
                seconds(returned(op)),
                revision(op),
            ),
        )
    }

    /// The acknowledged write that took a revision.
    fn writer_at(&self, at: i64) -> Option<u32> {
        (0..self.history.len() as u32).find(|i| {
            let op = self.op(*i);
            revision(op) == at && super::timeline::says_it_wrote_op(op)
        })
    }

    /// Whether a version's key and value were written by an acknowledged write
    /// at its revision.
    fn key_written_at(&self, kv: &squall_api::pb::KeyValue) -> bool {
        self.writer_at(kv.mod_revision)
            .is_some_and(|i| writes_into(self.op(i), &[(kv.key.clone(), bytes::Bytes::new())]))
    }
}

/// The key in question, in the last state that answers everything before.
fn last_good_state(op: &Op, difference: &Difference) -> Option<Fact> {
    let key = name(difference.key.as_deref()?);
    let at = revision(op) - i64::from(super::timeline::says_it_wrote_op(op));
    let text = match difference.expected_kv.as_deref() {
        Some(kv) => format!(
            "{key} = {}, created at revision {}, written {} since, last at {}",
            name(&kv.value),
            kv.create_revision,
            times(kv.version),
            kv.mod_revision,
        ),
        None if difference.got_kv.is_some() => format!("{key} is absent"),
        None => return None,
    };
    Some(Fact::new(format!("last good state, revision {at}"), text))
}

fn times(n: i64) -> String {
    match n {
        1 => "once".into(),
        n => format!("{n} times"),
    }
}

fn tried_fact(tried: u64) -> Option<Fact> {
    (tried > 0).then(|| {
        Fact::new(
            "operations of unknown outcome",
            format!("{tried} unclaimed revisions come before; no choice of who took them helps"),
        )
    })
}

fn member(op: &Op) -> String {
    format!("n{}", op.member)
}

fn id(op: &Op) -> String {
    format!("op {}", op.id)
}

fn returned(op: &Op) -> u64 {
    op.ret.unwrap_or(op.invoke)
}

fn revision(op: &Op) -> i64 {
    match &op.outcome {
        Outcome::Ok(ret) => ret.header().map_or(0, |h| h.revision),
        Outcome::Refused(_) | Outcome::Unknown(_) => 0,
    }
}

type Interval = (bytes::Bytes, bytes::Bytes);

/// The intervals that a call reads or writes at its top level.
fn keys_of(call: &Call) -> Vec<Interval> {
    use squall_api::pb::request_op::Request;
    let sub = |op: &squall_api::pb::RequestOp| match &op.request {
        Some(Request::RequestRange(r)) => Some((r.key.clone(), r.range_end.clone())),
        Some(Request::RequestPut(r)) => Some((r.key.clone(), bytes::Bytes::new())),
        Some(Request::RequestDeleteRange(r)) => Some((r.key.clone(), r.range_end.clone())),
        Some(Request::RequestTxn(_)) | None => None,
    };
    match call {
        Call::Range(r) => vec![(r.key.clone(), r.range_end.clone())],
        Call::Put(r) => vec![(r.key.clone(), bytes::Bytes::new())],
        Call::DeleteRange(r) => vec![(r.key.clone(), r.range_end.clone())],
        Call::Txn(t) => t.success.iter().chain(&t.failure).filter_map(sub).collect(),
        _ => Vec::new(),
    }
}

/// Whether an acknowledged write touched one of the intervals.
fn writes_into(op: &Op, keys: &[Interval]) -> bool {
    if !may_write(&op.call) || !super::timeline::says_it_wrote_op(op) {
        return false;
    }
    let overlaps = |a: &Interval, b: &Interval| {
        super::model::within(&a.0, &a.1, &b.0) || super::model::within(&b.0, &b.1, &a.0)
    };
    keys_of(&op.call)
        .iter()
        .any(|a| keys.iter().any(|b| overlaps(a, b)))
}
