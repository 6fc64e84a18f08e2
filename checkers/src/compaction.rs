//! The window of history that can be read: from the compacted revision to the
//! newest one.
//!
//! etcd: a read at a revision below the compacted one fails with
//! `required revision has been compacted`, one above the newest with `required
//! revision is a future revision`, and every other one is answered. A
//! compaction counts from the moment at which it may have taken effect (its
//! call) to the moment at which it must have (its answer). What a successful
//! read shows is the linearizability check's matter; serializable reads may be
//! answered by a member that has not heard of a compaction, and are judged only
//! where they are refused.

use squall_api::pb::request_op::Request as RequestOp;
use squall_api::pb::{RangeRequest, RequestOp as SubRequest, TxnRequest};
use squall_record::{Call, Check, Fact, Op, Outcome, Verdict, Witness, seconds};

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "history can be read from the compacted revision to the newest one, and nowhere else: below, a \
     read is refused as compacted, and above, as of the future";

const COMPACTED: &str = "required revision has been compacted";
const FUTURE: &str = "required revision is a future revision";

/// What an operation was told about its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Compacted,
    Future,
}

/// An answered operation that names a revision.
struct Asked<'a> {
    op: &'a Op,
    ret: u64,
    told: Told,
    /// The revisions that it names; a transaction may name many.
    lowest: i64,
    highest: i64,
    /// Whether it must know everything that was answered before it was called.
    is_linearizable: bool,
}

/// Who showed how far history went, or was compacted, and when at the latest.
#[derive(Clone, Copy)]
struct Known<'a> {
    t: u64,
    revision: i64,
    op: &'a Op,
}

/// Judges all reads at a revision, and all compactions. `None` if there is
/// neither: nothing was asked.
pub fn check(history: &[Op]) -> Option<Check> {
    let asked: Vec<Asked<'_>> = history.iter().filter_map(asked).collect();
    if asked.is_empty() {
        return None;
    }
    let verdict = match violation(history, &asked) {
        Some(witness) => Verdict::Fail(Box::new(witness)),
        None => Verdict::Pass {
            judged: asked.len() as u64,
            unknown: 0,
        },
    };
    Some(Check {
        name: "compaction".into(),
        verdict,
    })
}

fn violation(history: &[Op], asked: &[Asked<'_>]) -> Option<Witness> {
    let newest = Steps::new(history.iter().filter_map(|op| {
        let Outcome::Ok(ret) = &op.outcome else {
            return None;
        };
        Some(Known {
            t: op.ret?,
            revision: ret.header()?.revision,
            op,
        })
    }));
    let done = Steps::new(compactions(history).filter_map(|(op, revision)| {
        let t = op.ret.filter(|_| matches!(op.outcome, Outcome::Ok(_)))?;
        Some(Known { t, revision, op })
    }));
    let begun = Steps::new(compactions(history).filter_map(|(op, revision)| {
        let t = op.invoke;
        (!matches!(op.outcome, Outcome::Refused(_))).then_some(Known { t, revision, op })
    }));
    asked.iter().find_map(|asked| {
        let Asked {
            op,
            ret,
            told,
            lowest,
            highest,
            is_linearizable,
        } = *asked;
        let compacts = matches!(op.call, Call::Compact(_));
        match told {
            // A compaction of what is compacted already is refused, too.
            Told::Done if is_linearizable => {
                let bound = lowest + i64::from(!compacts);
                let before = done.before(op.invoke)?;
                (before.revision >= bound).then(|| below(asked, &before))
            }
            Told::Done => None,
            Told::Compacted => {
                let bound = lowest + i64::from(!compacts);
                let cause = begun.before(ret);
                let is_due = cause.is_some_and(|cause| cause.revision >= bound);
                (!is_due).then(|| within(asked, cause.as_ref()))
            }
            Told::Future => {
                let before = newest.before(op.invoke)?;
                (is_linearizable && before.revision >= highest).then(|| past(asked, &before))
            }
        }
    })
}

/// The highest revision known by each moment.
struct Steps<'a>(Vec<Known<'a>>);

impl<'a> Steps<'a> {
    fn new(known: impl Iterator<Item = Known<'a>>) -> Steps<'a> {
        let mut steps: Vec<Known<'a>> = known.collect();
        steps.sort_by_key(|known| (known.t, known.op.id));
        let mut highest = i64::MIN;
        steps.retain(|known| {
            let rises = known.revision > highest;
            highest = highest.max(known.revision);
            rises
        });
        Steps(steps)
    }

    /// What was known before `t`.
    fn before(&self, t: u64) -> Option<Known<'a>> {
        let after = self.0.partition_point(|known| known.t < t);
        after.checked_sub(1).map(|last| self.0[last])
    }
}

fn compactions(history: &[Op]) -> impl Iterator<Item = (&Op, i64)> {
    history.iter().filter_map(|op| match &op.call {
        Call::Compact(compact) => Some((op, compact.revision)),
        _ => None,
    })
}

fn asked(op: &Op) -> Option<Asked<'_>> {
    let told = match &op.outcome {
        Outcome::Ok(_) => Told::Done,
        Outcome::Refused(status) if status.message.contains(COMPACTED) => Told::Compacted,
        Outcome::Refused(status) if status.message.contains(FUTURE) => Told::Future,
        Outcome::Refused(_) | Outcome::Unknown(_) => return None,
    };
    let mut revisions = Vec::new();
    let mut is_linearizable = true;
    match &op.call {
        Call::Compact(compact) => revisions.push(compact.revision),
        Call::Range(range) => {
            is_linearizable = !range.serializable;
            revisions.extend(named(range));
        }
        Call::Txn(txn) => named_in(txn, told, &op.outcome, &mut revisions),
        _ => return None,
    }
    Some(Asked {
        op,
        ret: op.ret?,
        told,
        lowest: *revisions.iter().min()?,
        highest: *revisions.iter().max()?,
        is_linearizable,
    })
}

fn named(range: &RangeRequest) -> Option<i64> {
    (range.revision > 0).then_some(range.revision)
}

/// The revisions that a transaction's ranges name: those of the branch that was
/// taken, or of both if it was refused and nobody can tell.
fn named_in(txn: &TxnRequest, told: Told, outcome: &Outcome, revisions: &mut Vec<i64>) {
    let taken = match (told, outcome) {
        (Told::Done, Outcome::Ok(squall_record::Ret::Txn(answer))) => Some(answer.succeeded),
        _ => None,
    };
    for (which, branch) in [(true, &txn.success), (false, &txn.failure)] {
        if taken.is_none_or(|taken| taken == which) {
            ranges(branch, taken.is_none(), revisions);
        }
    }
}

/// The revisions that the ranges of a branch name; `deep`, too, those of nested
/// transactions, of which a success says in its answers alone what was taken.
fn ranges(branch: &[SubRequest], deep: bool, revisions: &mut Vec<i64>) {
    for op in branch {
        match &op.request {
            Some(RequestOp::RequestRange(range)) => revisions.extend(named(range)),
            Some(RequestOp::RequestTxn(inner)) if deep => {
                ranges(&inner.success, deep, revisions);
                ranges(&inner.failure, deep, revisions);
            }
            _ => {}
        }
    }
}

fn below(asked: &Asked<'_>, before: &Known<'_>) -> Witness {
    let (name, revision) = (asked.op.call.name(), asked.lowest);
    let sentence = format!(
        "c{} had a {name} at revision {revision} answered at {}, although history was compacted up to {} at {}",
        asked.op.client,
        seconds(asked.ret),
        before.revision,
        seconds(before.t),
    );
    witness(asked, Some(before), sentence, "below-window")
}

fn within(asked: &Asked<'_>, cause: Option<&Known<'_>>) -> Witness {
    let far = match cause {
        Some(cause) => format!("only up to {}", cause.revision),
        None => "nothing".into(),
    };
    let sentence = format!(
        "c{} was told at {} that revision {} is compacted, and {far} was ever asked to be by then",
        asked.op.client,
        seconds(asked.ret),
        asked.lowest,
    );
    witness(asked, cause, sentence, "within-window")
}

fn past(asked: &Asked<'_>, before: &Known<'_>) -> Witness {
    let sentence = format!(
        "c{} was told at {} that revision {} is of the future, and c{} had been answered at revision {} at {}",
        asked.op.client,
        seconds(asked.ret),
        asked.highest,
        before.op.client,
        before.revision,
        seconds(before.t),
    );
    witness(asked, Some(before), sentence, "not-the-future")
}

fn witness(asked: &Asked<'_>, other: Option<&Known<'_>>, sentence: String, class: &str) -> Witness {
    let ops: Vec<&Op> = other
        .map(|known| known.op)
        .into_iter()
        .chain([asked.op])
        .collect();
    let fact = |op: &&Op| {
        let ret = op
            .ret
            .map_or_else(|| "never".to_owned(), |t| seconds(t).to_string());
        Fact::new(
            format!("c{} to n{}", op.client, op.member),
            format!("{} from {} to {ret}", op.call.name(), seconds(op.invoke)),
        )
    };
    Witness {
        guarantee: GUARANTEE.into(),
        sentence,
        t: asked.ret,
        node: Some(asked.op.member),
        facts: ops.iter().map(fact).collect(),
        ops: ops.into_iter().cloned().collect(),
        class: class.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::pb;
    use squall_record::{Code, Ret, Status};

    /// A call, when it was sent, and what it was told (with the revision of the
    /// answer) when.
    type Row = (Call, u64, u64, Result<i64, &'static str>);

    fn read(revision: i64) -> Call {
        Call::Range(RangeRequest {
            revision,
            ..RangeRequest::default()
        })
    }

    fn anywhere(revision: i64) -> Call {
        Call::Range(RangeRequest {
            revision,
            serializable: true,
            ..RangeRequest::default()
        })
    }

    fn within_txn(revision: i64) -> Call {
        let Call::Range(range) = read(revision) else {
            unreachable!()
        };
        Call::Txn(TxnRequest {
            success: vec![SubRequest {
                request: Some(RequestOp::RequestRange(range)),
            }],
            ..TxnRequest::default()
        })
    }

    fn compact(revision: i64) -> Call {
        Call::Compact(pb::CompactionRequest {
            revision,
            physical: false,
        })
    }

    fn answer(call: &Call, revision: i64) -> Ret {
        let header = Some(pb::ResponseHeader {
            revision,
            ..pb::ResponseHeader::default()
        });
        match call {
            Call::Compact(_) => Ret::Compact(pb::CompactionResponse { header }),
            Call::Txn(_) => Ret::Txn(pb::TxnResponse {
                header,
                succeeded: true,
                responses: Vec::new(),
            }),
            _ => Ret::Range(pb::RangeResponse {
                header,
                ..pb::RangeResponse::default()
            }),
        }
    }

    fn history(rows: Vec<Row>) -> Vec<Op> {
        let op = |(id, (call, invoke, ret, told)): (usize, Row)| Op {
            token: String::new(),
            id: id as u64,
            client: id as u32,
            process: 0,
            member: 1,
            invoke,
            ret: Some(ret),
            outcome: match told {
                Ok(revision) => Outcome::Ok(answer(&call, revision)),
                Err("lost") => Outcome::Unknown(squall_record::Why::Timeout),
                Err(why) => {
                    let message = format!("etcdserver: mvcc: {why}");
                    Outcome::Refused(Status::new(Code::OutOfRange, &message))
                }
            },
            call,
        };
        rows.into_iter().enumerate().map(op).collect()
    }

    #[test]
    fn named_cases() {
        let compacted = Err(COMPACTED);
        let future = Err(FUTURE);
        let lost = Err("lost");
        let cases: Vec<(&str, Vec<Row>, Option<&str>)> = vec![
            (
                "a read at the compacted revision",
                vec![(compact(5), 1, 2, Ok(9)), (read(5), 3, 4, Ok(9))],
                None,
            ),
            (
                "a read below is refused",
                vec![(compact(5), 1, 2, Ok(9)), (read(4), 3, 4, compacted)],
                None,
            ),
            (
                "a read below is answered",
                vec![(compact(5), 1, 2, Ok(9)), (read(4), 3, 4, Ok(9))],
                Some("below-window"),
            ),
            (
                "a read below, while it is compacted",
                vec![(compact(5), 1, 4, Ok(9)), (read(4), 3, 5, Ok(9))],
                None,
            ),
            (
                "a serializable read below, of who is behind",
                vec![(compact(5), 1, 2, Ok(9)), (anywhere(4), 3, 4, Ok(9))],
                None,
            ),
            (
                "a transaction reads below",
                vec![(compact(5), 1, 2, Ok(9)), (within_txn(4), 3, 4, Ok(9))],
                Some("below-window"),
            ),
            (
                "a transaction that reads below is refused",
                vec![(compact(5), 1, 2, Ok(9)), (within_txn(4), 3, 4, compacted)],
                None,
            ),
            (
                "the compacted revision itself is refused",
                vec![(compact(5), 1, 2, Ok(9)), (read(5), 3, 4, compacted)],
                Some("within-window"),
            ),
            (
                "refused, and nobody ever compacted",
                vec![(read(5), 3, 4, compacted)],
                Some("within-window"),
            ),
            (
                "refused, and a compaction's outcome is unknown",
                vec![(compact(6), 1, 2, lost), (read(5), 3, 4, compacted)],
                None,
            ),
            (
                "refused, and the compaction was, too",
                vec![(compact(6), 1, 2, future), (read(5), 3, 4, compacted)],
                Some("within-window"),
            ),
            (
                "refused before anybody asked",
                vec![(read(5), 3, 4, compacted), (compact(6), 5, 6, Ok(9))],
                Some("within-window"),
            ),
            (
                "compacted twice",
                vec![(compact(5), 1, 2, Ok(9)), (compact(5), 3, 4, Ok(9))],
                Some("below-window"),
            ),
            (
                "compacted twice, and refused",
                vec![(compact(5), 1, 2, Ok(9)), (compact(5), 3, 4, compacted)],
                None,
            ),
            (
                "compacted further",
                vec![(compact(5), 1, 2, Ok(9)), (compact(6), 3, 4, Ok(9))],
                None,
            ),
            (
                "a revision that is not there yet",
                vec![(read(8), 3, 4, future)],
                None,
            ),
            (
                "a revision that was answered",
                vec![(read(0), 1, 2, Ok(8)), (read(8), 3, 4, future)],
                Some("not-the-future"),
            ),
            (
                "a revision that is being made",
                vec![(read(0), 1, 4, Ok(8)), (read(8), 3, 4, future)],
                None,
            ),
            (
                "a member that is behind knows no better",
                vec![(read(0), 1, 2, Ok(8)), (anywhere(8), 3, 4, future)],
                None,
            ),
        ];
        for (what, rows, class) in cases {
            let verdict = check(&history(rows)).expect(what).verdict;
            let found = match &verdict {
                Verdict::Fail(witness) => Some(witness.class.as_str()),
                _ => None,
            };
            assert_eq!(found, class, "{what}: {verdict:?}");
        }
    }

    #[test]
    fn nothing_is_judged_where_nothing_was_asked() {
        assert!(check(&history(vec![(read(0), 1, 2, Ok(1))])).is_none());
    }
}
