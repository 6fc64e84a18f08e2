//! What is said of leases, and by whom.

use super::{Leases, granted_ttl, kept_ttl, witness};
use crate::rules::{Found, Judged};
use squall_api::{LeaseRequest, LeaseResponse};
use squall_record::{Call, Fact, Op, Outcome, Ret, Witness, seconds};

/// A lease is said to live, or to be gone, only if it is so at some time between
/// the call and its answer; and it is granted for at least the TTL that was
/// asked for, and the shortest one. So a keep-alive of a lease that is gone is
/// never acknowledged, whoever is asked.
pub(super) fn true_answers(leases: &Leases<'_>) -> Found {
    const GUARANTEE: &str = "a keep-alive is acknowledged, and a time to live told, only by a \
                             member that knows: the lease is there, or gone, as the answer says";
    let mut judged = Judged::default();
    for op in leases.history {
        if let (Call::Lease(LeaseRequest::Grant(asked)), Some(ttl)) = (&op.call, granted_ttl(op)) {
            judged.sure += 1;
            let due = asked.ttl.max(leases.terms.min_ttl);
            if ttl != due {
                let sentence = format!(
                    "op {} asked for a lease of {} s and got one of {ttl} s instead of {due} s",
                    op.id, asked.ttl
                );
                return Err(at(GUARANTEE, "ttl", sentence, op, Vec::new()));
            }
        }
        let Some((id, lives)) = says(op) else {
            continue;
        };
        let Some(lease) = leases.one(id) else {
            judged.unclear += u64::from(leases.is_repeated(id));
            continue;
        };
        judged.sure += 1;
        let grant = lease.grants[0];
        let ret = op.ret.unwrap_or(u64::MAX);
        match lease.ended {
            Some(end) if lives && end.t < op.invoke => {
                let sentence = format!(
                    "op {}, sent at {}, was told that lease {id} lives, which ended at {}",
                    op.id,
                    seconds(op.invoke),
                    seconds(end.t)
                );
                let text = format!("ended at {}, revision {}", seconds(end.t), end.revision);
                let facts = vec![Fact::new(format!("lease {id}"), text)];
                return Err(at(GUARANTEE, "alive-after-end", sentence, op, facts));
            }
            ended => {
                let granted = matches!(grant.outcome, Outcome::Ok(_))
                    && grant.ret.is_some_and(|ret| ret < op.invoke);
                if !lives && granted && ended.is_none_or(|end| end.t > ret) {
                    let sentence = format!(
                        "op {} was told at {} that lease {id} is gone, which was granted to op {} \
                         and had not ended",
                        op.id,
                        seconds(ret),
                        grant.id
                    );
                    let text = match ended {
                        Some(end) => format!("ended at {}", seconds(end.t)),
                        None => "did not end".into(),
                    };
                    let facts = vec![Fact::new(format!("lease {id}"), text)];
                    return Err(at(GUARANTEE, "gone-while-alive", sentence, op, facts));
                }
            }
        }
    }
    Ok(judged)
}

/// Which lease an answer is about, and whether it says that it lives.
fn says(op: &Op) -> Option<(i64, bool)> {
    match (&op.call, &op.outcome) {
        (Call::Lease(LeaseRequest::KeepAlive(r)), _) => Some((r.id, kept_ttl(op)? > 0)),
        (
            Call::Lease(LeaseRequest::TimeToLive(r)),
            Outcome::Ok(Ret::Lease(LeaseResponse::TimeToLive(answer))),
        ) => Some((r.id, answer.ttl >= 0)),
        _ => None,
    }
}

fn at(guarantee: &str, class: &str, sentence: String, op: &Op, facts: Vec<Fact>) -> Box<Witness> {
    let t = op.ret.unwrap_or(op.invoke);
    witness(guarantee, class, sentence, t, vec![op], facts)
}
