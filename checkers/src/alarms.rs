//! Alarms stop writes, so they have to be true.
//!
//! A write is refused as `corrupt cluster` only where members differ, and as
//! `database space exceeded` only where there may be as much data as the quota
//! allows: what was compacted or deleted since counts, because it may still be
//! stored, and an operation of unknown outcome as well.

use squall_api::pb::request_op::Request as RequestOp;
use squall_api::pb::{PutRequest, RequestOp as SubRequest};
use squall_record::{Call, Check, Fact, Op, Outcome, Verdict, Why, Witness, seconds};

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "no alarm is false: writes are refused for corruption only where members differ, and for want \
     of space only where the quota may be used up";

const CORRUPT: &str = "corrupt cluster";
const NO_SPACE: &str = "database space exceeded";

/// What a put may take besides its key and value; etcd's estimate, twice, for
/// the database around it.
const OVERHEAD: u64 = 512;

/// Judges every refusal. `differ` says whether members were found to differ.
pub fn check(history: &[Op], quota: u64, differ: bool) -> Check {
    let stored: u64 = history.iter().map(cost).sum();
    let mut judged = 0;
    let mut verdict = None;
    for op in history {
        let (Outcome::Refused(status) | Outcome::Unknown(Why::Status(status)), Some(ret)) =
            (&op.outcome, op.ret)
        else {
            judged += u64::from(cost(op) > 0);
            continue;
        };
        let (is_true, class, why) = match &status.message {
            message if message.contains(CORRUPT) => {
                let why = "no two members were found to differ".to_owned();
                (differ, "false-corruption", why)
            }
            message if message.contains(NO_SPACE) => {
                let why = format!("at most {stored} of {quota} bytes were ever written");
                (stored >= quota, "false-want-of-space", why)
            }
            _ => continue,
        };
        judged += 1;
        if !is_true && verdict.is_none() {
            verdict = Some(witness(op, ret, &status.message, class, &why));
        }
    }
    Check {
        name: "alarms".into(),
        verdict: match verdict {
            Some(witness) => Verdict::Fail(Box::new(witness)),
            None => Verdict::Pass { judged, unknown: 0 },
        },
    }
}

/// The bytes that an operation may have added.
fn cost(op: &Op) -> u64 {
    let put = |put: &PutRequest| OVERHEAD + (put.key.len() + put.value.len()) as u64;
    fn branch(ops: &[SubRequest], put: &impl Fn(&PutRequest) -> u64) -> u64 {
        let one = |op: &SubRequest| match &op.request {
            Some(RequestOp::RequestPut(p)) => put(p),
            Some(RequestOp::RequestDeleteRange(_)) => OVERHEAD,
            Some(RequestOp::RequestTxn(t)) => branch(&t.success, put) + branch(&t.failure, put),
            _ => 0,
        };
        ops.iter().map(one).sum()
    }
    match &op.call {
        Call::Put(p) => put(p),
        Call::Txn(t) => branch(&t.success, &put) + branch(&t.failure, &put),
        Call::DeleteRange(_) | Call::Lease(_) => OVERHEAD,
        _ => 0,
    }
}

fn witness(op: &Op, ret: u64, message: &str, class: &str, why: &str) -> Witness {
    Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "n{} refused c{}'s {} at {} because of `{message}`, but {why}",
            op.member,
            op.client,
            op.call.name(),
            seconds(ret),
        ),
        t: ret,
        node: Some(op.member),
        facts: vec![Fact::new(
            format!("c{} to n{}", op.client, op.member),
            format!(
                "{} from {} to {}",
                op.call.name(),
                seconds(op.invoke),
                seconds(ret)
            ),
        )],
        ops: vec![op.clone()],
        class: class.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::pb;
    use squall_record::{Code, Ret, Status};

    fn put(bytes: usize, outcome: Outcome) -> Op {
        Op {
            token: String::new(),
            id: 0,
            client: 1,
            process: 0,
            member: 1,
            invoke: 1,
            ret: Some(2),
            call: Call::Put(PutRequest {
                value: vec![b'.'; bytes].into(),
                ..PutRequest::default()
            }),
            outcome,
        }
    }

    fn refused(message: &str) -> Outcome {
        Outcome::Refused(Status::new(Code::DataLoss, message))
    }

    #[test]
    fn named_cases() {
        let done = || Outcome::Ok(Ret::Put(pb::PutResponse::default()));
        let corrupt = || refused("etcdserver: corrupt cluster");
        let full = || refused("etcdserver: mvcc: database space exceeded");
        let lost = || Outcome::Unknown(Why::Timeout);
        // What, the history, the quota, whether members differ, what is wrong.
        let cases = [
            ("all is well", vec![put(1, done())], 9_999, false, None),
            ("members differ", vec![put(1, corrupt())], 9_999, true, None),
            (
                "a code that leaves it open",
                vec![put(
                    1,
                    Outcome::Unknown(Why::Status(Status::new(Code::DataLoss, CORRUPT))),
                )],
                9_999,
                false,
                Some("false-corruption"),
            ),
            (
                "they do not",
                vec![put(1, corrupt())],
                9_999,
                false,
                Some("false-corruption"),
            ),
            (
                "it is full",
                vec![put(9_999, done()), put(1, full())],
                9_999,
                false,
                None,
            ),
            (
                "it may be full",
                vec![put(9_999, lost()), put(1, full())],
                9_999,
                false,
                None,
            ),
            (
                "it is not",
                vec![put(1, done()), put(1, full())],
                9_999,
                false,
                Some("false-want-of-space"),
            ),
            (
                "other refusals",
                vec![put(1, refused("etcdserver: no leader"))],
                0,
                false,
                None,
            ),
        ];
        for (what, history, quota, differ, class) in cases {
            let verdict = check(&history, quota, differ).verdict;
            let found = match &verdict {
                Verdict::Fail(witness) => Some(witness.class.as_str()),
                _ => None,
            };
            assert_eq!(found, class, "{what}: {verdict:?}");
        }
    }
}
