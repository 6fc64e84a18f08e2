//! What true time forbids.

use super::{Case, Hold, broken, ends, given, is_answer, line_of, text, who};
use crate::lease::Ended;
use crate::rules::{Found, Judged};
use bytes::Bytes;
use squall_api::pb::v3electionpb::LeaderKey;
use squall_api::{ElectionRequest, ElectionResponse, LeaseRequest, LockRequest};
use squall_record::{Call, Fact, Op, Outcome, Ret, seconds};
use std::collections::{BTreeMap, BTreeSet};

/// Every lock that was given, in order of time; the same lease's locks are one.
pub(super) fn holds<'a>(history: &'a [Op], ended: &BTreeMap<i64, u64>) -> Vec<Hold<'a>> {
    let mut unlocks: BTreeMap<&Bytes, u64> = BTreeMap::new();
    for op in history {
        if let Call::Lock(LockRequest::Unlock(r)) = &op.call {
            let first = unlocks.entry(&r.key).or_insert(op.invoke);
            *first = op.invoke.min(*first);
        }
    }
    let mut holds: BTreeMap<&Bytes, Hold<'a>> = BTreeMap::new();
    for op in history {
        let (Some((key, _)), Call::Lock(LockRequest::Lock(r))) = (given(op), &op.call) else {
            continue;
        };
        let from = op.ret.unwrap_or(op.invoke);
        let released = unlocks.get(key).copied().unwrap_or(u64::MAX);
        let lost = ended.get(&r.lease).copied().unwrap_or(u64::MAX);
        let hold = Hold {
            op,
            key,
            from,
            until: released.min(lost),
        };
        let first = holds.entry(key).or_insert(hold);
        first.from = first.from.min(from);
    }
    let mut holds: Vec<_> = holds.into_values().collect();
    holds.sort_by_key(|hold| (hold.from, hold.op.id));
    holds
}

/// No two hold a lock at once: each from when it was told that it does until it
/// asks to unlock, or its lease ends.
pub(super) fn exclusive(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "a lock is held by one client at a time, until it is unlocked or the \
                             lease of its holder ends";
    let mut last: BTreeMap<&[u8], &Hold<'_>> = BTreeMap::new();
    for hold in &case.holds {
        let Some(line) = line_of(hold.key) else {
            continue;
        };
        if let Some(before) = last.get(line)
            && before.until > hold.from
            && hold.until > hold.from
        {
            let sentence = format!(
                "{} was given the lock {}, which {} held",
                who(hold.op),
                text(line),
                who(before.op)
            );
            let facts = vec![held(before), held(hold)];
            return Err(broken(
                GUARANTEE,
                "two-holders",
                sentence,
                vec![before.op, hold.op],
                facts,
            ));
        }
        if last
            .get(line)
            .is_none_or(|before| before.until < hold.until)
        {
            last.insert(line, hold);
        }
    }
    Ok(Judged::all(case.holds.len() as u64))
}

fn held(hold: &Hold<'_>) -> Fact {
    let until = match hold.until {
        u64::MAX => "on".to_owned(),
        until => format!("until {}", seconds(until)),
    };
    Fact::new(
        text(hold.key),
        format!("held from {} {until}", seconds(hold.from)),
    )
}

/// Who was elected is in office until it resigns, or its lease ends; and is not
/// any more from then on.
pub(super) fn in_office(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "a leader may proclaim until it resigns or its lease ends, and nobody \
                             may who does not lead";
    type Office<'a> = (&'a Bytes, i64);
    fn office(leader: &LeaderKey) -> Office<'_> {
        (&leader.key, leader.rev)
    }
    let mut elected: BTreeMap<Office<'_>, u64> = BTreeMap::new();
    // When it was first asked for, and when it was first known to be done.
    let mut resigned: BTreeMap<Office<'_>, (u64, u64, &Op)> = BTreeMap::new();
    for op in case.history {
        match (&op.call, &op.outcome) {
            (_, Outcome::Ok(Ret::Election(ElectionResponse::Campaign(r)))) => {
                if let (Some(leader), Some(ret)) = (&r.leader, op.ret) {
                    let first = elected.entry(office(leader)).or_insert(ret);
                    *first = ret.min(*first);
                }
            }
            (Call::Election(ElectionRequest::Resign(r)), outcome) => {
                let Some(leader) = &r.leader else { continue };
                let done = match (outcome, op.ret) {
                    (Outcome::Ok(_), Some(ret)) => ret,
                    _ => u64::MAX,
                };
                let first = resigned
                    .entry(office(leader))
                    .or_insert((op.invoke, done, op));
                first.0 = op.invoke.min(first.0);
                if done < first.1 {
                    (first.1, first.2) = (done, op);
                }
            }
            _ => {}
        }
    }
    let mut judged = Judged::default();
    for op in case.history {
        let Call::Election(ElectionRequest::Proclaim(r)) = &op.call else {
            continue;
        };
        let (Some(leader), Some(ret)) = (&r.leader, op.ret) else {
            continue;
        };
        let ended = case.ended.get(&leader.lease).copied().unwrap_or(u64::MAX);
        let left = resigned.get(&office(leader));
        // A client may ask again in the moment in which it is answered.
        let (is_over, other) = match left {
            Some((_, done, resign)) if *done <= op.invoke => (true, Some(*resign)),
            _ => (ended < op.invoke, None),
        };
        let won = elected.get(&office(leader));
        let still = left.is_none_or(|(asked, ..)| *asked > ret) && ended > ret;
        let is_in_office = still && won.is_some_and(|won| *won <= op.invoke);
        let is_clear = u64::from(is_over || is_in_office);
        if matches!(op.outcome, Outcome::Ok(_)) {
            judged.sure += is_clear;
            judged.unclear += 1 - is_clear;
            if is_over {
                let sentence = format!(
                    "{} was acknowledged, whose {} was over before it was sent",
                    who(op),
                    text(&leader.key)
                );
                let ops = other.into_iter().chain([op]).collect();
                return Err(broken(
                    GUARANTEE,
                    "proclaimed-late",
                    sentence,
                    ops,
                    Vec::new(),
                ));
            }
        }
        if is_answer(op, "election: not leader") {
            judged.sure += is_clear;
            judged.unclear += 1 - is_clear;
            if is_in_office {
                let sentence = format!(
                    "{} was refused, though {} had won and neither resigned nor lost its lease",
                    who(op),
                    text(&leader.key)
                );
                return Err(broken(GUARANTEE, "deposed", sentence, vec![op], Vec::new()));
            }
        }
    }
    Ok(judged)
}

/// How often a client was given a lock while another one still believed to hold it,
/// whose lease had ended without its knowing: unsafe use, if what the lock protects
/// is not fenced, and no bug of the store.
pub fn both_believe(history: &[Op], ended: &[Ended]) -> u64 {
    let holds = holds(history, &ends(ended));
    // A client goes on believing until it unlocks, or begins anew.
    let mut begins: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    let mut unlocks: BTreeMap<(u32, &Bytes), BTreeSet<u64>> = BTreeMap::new();
    for op in history {
        match &op.call {
            Call::Lock(LockRequest::Unlock(r)) => {
                let of_client = unlocks.entry((op.client, &r.key)).or_default();
                of_client.insert(op.invoke);
            }
            Call::Lease(LeaseRequest::Grant(_)) => {
                begins.entry(op.client).or_default().insert(op.invoke);
            }
            _ => {}
        }
    }
    let believes_until = |hold: &Hold<'_>| {
        let client = hold.op.client;
        let after = |times: Option<&BTreeSet<u64>>| times?.range(hold.from + 1..).next().copied();
        let ends = [begins.get(&client), unlocks.get(&(client, hold.key))].map(after);
        ends.into_iter().flatten().min().unwrap_or(hold.from)
    };
    let mut count = 0;
    let mut last: BTreeMap<&[u8], u64> = BTreeMap::new();
    for hold in &holds {
        let Some(line) = line_of(hold.key) else {
            continue;
        };
        let until = last.entry(line).or_default();
        count += u64::from(hold.from < *until);
        *until = believes_until(hold).max(*until);
    }
    count
}
