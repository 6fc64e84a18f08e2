//! What the order forbids in which operations were applied.

use super::{Case, broken, given, line_of, revision_of, text, who};
use crate::rules::{Found, Judged};
use crate::watch::truth::Truth;
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget};
use squall_api::pb::v3electionpb::LeaderResponse;
use squall_api::pb::{Event, TxnRequest, event};
use squall_api::{ElectionRequest, ElectionResponse};
use squall_record::{Call, Fact, Op, Outcome, Ret, Witness, seconds};
use std::collections::{BTreeMap, BTreeSet};

/// A key and the revision of its creation.
type Head = (Bytes, i64);

/// Who was at the head of each line.
#[derive(Default)]
pub(super) struct Heads {
    /// From which revision on, line by line.
    since: BTreeMap<Bytes, Vec<(i64, Option<Head>)>>,
    /// Whoever was there at some time.
    ever: BTreeSet<Head>,
}

impl Heads {
    pub(super) fn of(truth: &Truth<'_>) -> Heads {
        let mut heads = Heads::default();
        let mut lines: BTreeMap<Bytes, BTreeMap<i64, Bytes>> = BTreeMap::new();
        let mut created: BTreeMap<Bytes, i64> = BTreeMap::new();
        for (revision, _, events) in truth.between(0, truth.through()) {
            for event in events {
                let kv = event.kv.as_ref().expect("it was made with one");
                let Some(name) = line_of(&kv.key) else {
                    continue;
                };
                let line = lines.entry(Bytes::copy_from_slice(name)).or_default();
                // Created again, or gone: either way the old place is left.
                if let Some(old) = created.remove(&kv.key) {
                    line.remove(&old);
                }
                if event.r#type() == event::EventType::Put {
                    line.insert(kv.create_revision, kv.key.clone());
                    created.insert(kv.key.clone(), kv.create_revision);
                }
                let head = line.first_key_value();
                let head = head.map(|(created, key)| (key.clone(), *created));
                let name = Bytes::copy_from_slice(name);
                let all = heads.since.entry(name).or_default();
                heads.ever.extend(head.clone());
                if all.last().is_none_or(|(_, last)| *last != head) {
                    all.push((revision, head));
                }
            }
        }
        heads
    }

    /// Who was at the head at a revision.
    fn at(&self, line: &[u8], revision: i64) -> Option<&Head> {
        let all = self.since.get(line)?;
        let upto = all.partition_point(|(from, _)| *from <= revision);
        all.get(upto.checked_sub(1)?)?.1.as_ref()
    }

    /// Whether this key, as it was created then, ever was at the head.
    fn ever(&self, key: &Bytes, created: i64) -> bool {
        self.ever.contains(&(key.clone(), created))
    }
}

fn at_head(head: Option<&Head>) -> Fact {
    match head {
        Some((key, created)) => Fact::new(
            "the line",
            format!("{} of revision {created} is first", text(key)),
        ),
        None => Fact::new("the line", "nobody is in it"),
    }
}

/// Whether a key was first in its line at a revision, and who was if it was not;
/// `None` if it is not known what was applied by then.
fn is_first(case: &Case<'_>, key: &Bytes, revision: i64) -> Option<Result<(), Fact>> {
    if revision > case.truth.through() {
        return None;
    }
    let head = line_of(key).and_then(|line| case.heads.at(line, revision));
    Some(match head {
        Some((first, _)) if first == key => Ok(()),
        head => Err(at_head(head)),
    })
}

/// Judges who had to be first in line: each claim is an operation, the key that was
/// to be first, and the revision at which.
fn first_in_line<'a>(
    case: &Case<'_>,
    claims: impl Iterator<Item = (&'a Op, &'a Bytes, i64)>,
    wrong: impl Fn(&Op, &Bytes, i64, Fact) -> Box<Witness>,
) -> Found {
    let mut judged = Judged::default();
    for (op, key, revision) in claims {
        match is_first(case, key, revision) {
            None => judged.unclear += 1,
            Some(Ok(())) => judged.sure += 1,
            Some(Err(head)) => return Err(wrong(op, key, revision, head)),
        }
    }
    Ok(judged)
}

/// A lock is given to whom is first in line then.
pub(super) fn lock_in_line(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "a lock is given to the first in line, in the order in which they came";
    let claims = case.history.iter().filter_map(|op| {
        let (key, revision) = given(op)?;
        Some((op, key, revision))
    });
    first_in_line(case, claims, |op, key, revision, head| {
        let sentence = format!(
            "{} was given the lock at revision {revision}, and {} was not first in line",
            who(op),
            text(key)
        );
        broken(GUARANTEE, "not-first", sentence, vec![op], vec![head])
    })
}

/// The lock in whose name a transaction writes.
fn fence(txn: &TxnRequest) -> Option<&Bytes> {
    let fence = txn.compare.iter().find(|compare| {
        compare.target() == CompareTarget::Create
            && compare.result() == CompareResult::NotEqual
            && line_of(&compare.key).is_some()
    });
    fence.map(|compare| &compare.key)
}

/// What is written in a lock's name is written while it is held.
pub(super) fn fenced(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "a write that is fenced by a lock's key takes effect only while that key \
                             is first in line";
    let claims = case.history.iter().filter_map(|op| {
        let (Call::Txn(txn), Outcome::Ok(Ret::Txn(answer))) = (&op.call, &op.outcome) else {
            return None;
        };
        let key = fence(txn).filter(|_| answer.succeeded)?;
        Some((op, key, revision_of(op)))
    });
    first_in_line(case, claims, |op, key, revision, head| {
        let sentence = format!(
            "{} wrote in the name of {}, which did not hold the lock at revision {revision}",
            who(op),
            text(key)
        );
        broken(GUARANTEE, "fence-passed", sentence, vec![op], vec![head])
    })
}

/// Who is told that it leads, or of whom it is told, was at the head of the line.
pub(super) fn one_leader(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "the leader is the candidate that came first of those who are there: one \
                             at each revision, and whoever is told that it won was one";
    let mut judged = Judged::default();
    let is_complete = is_complete(case);
    for op in case.history {
        match &op.outcome {
            Outcome::Ok(Ret::Election(ElectionResponse::Campaign(r))) => {
                let Some(leader) = &r.leader else { continue };
                let was_first = case.heads.ever(&leader.key, leader.rev);
                // It may have become first at a revision that is not known.
                if !was_first && !is_complete {
                    judged.unclear += 1;
                    continue;
                }
                judged.sure += 1;
                if !was_first {
                    let sentence = format!(
                        "{} was told that it won with {} of revision {}, which was never first",
                        who(op),
                        text(&leader.key),
                        leader.rev
                    );
                    return Err(broken(
                        GUARANTEE,
                        "never-first",
                        sentence,
                        vec![op],
                        Vec::new(),
                    ));
                }
            }
            Outcome::Ok(Ret::Election(ElectionResponse::Leader(r))) => {
                let revision = revision_of(op);
                if revision > case.truth.through() {
                    judged.unclear += 1;
                    continue;
                }
                judged.sure += 1;
                if let Some(head) = wrong_leader(case, r, revision) {
                    let sentence = format!("{} was told of another leader", who(op));
                    return Err(broken(
                        GUARANTEE,
                        "wrong-leader",
                        sentence,
                        vec![op],
                        vec![head],
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(judged)
}

/// Whether everything is known that was applied while the history went on.
fn is_complete(case: &Case<'_>) -> bool {
    let last = case.history.iter().map(revision_of).max();
    last.is_some_and(|last| last <= case.truth.through())
}

/// Who led at a revision, if it is not who is said to.
fn wrong_leader(case: &Case<'_>, said: &LeaderResponse, revision: i64) -> Option<Fact> {
    let kv = said.kv.as_ref()?;
    let head = line_of(&kv.key).and_then(|line| case.heads.at(line, revision));
    match head {
        Some((key, created)) if *key == kv.key && *created == kv.create_revision => None,
        head => Some(at_head(head)),
    }
}

/// What was proclaimed is there, and what was resigned is not.
pub(super) fn proclaimed(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "to proclaim and to resign touch the candidacy that is named, and no \
                             other of the same lease";
    let mut judged = Judged::default();
    for op in case.history {
        let (Call::Election(call), Outcome::Ok(_)) = (&op.call, &op.outcome) else {
            continue;
        };
        let (leader, value) = match call {
            ElectionRequest::Proclaim(r) => (&r.leader, Some(&r.value)),
            ElectionRequest::Resign(r) => (&r.leader, None),
            _ => continue,
        };
        let revision = revision_of(op);
        let Some(leader) = leader else { continue };
        if revision > case.truth.through() {
            judged.unclear += 1;
            continue;
        }
        let mine = case.truth.op_at(revision).is_some_and(|by| by.id == op.id);
        let event = case.truth.event(revision, &leader.key).flatten();
        judged.sure += 1;
        let is_right = match (value, event) {
            (Some(value), Some(event)) => {
                let kv = event.kv.as_ref().expect("it was made with one");
                mine && kv.value == *value && kv.create_revision == leader.rev
            }
            (Some(_), None) => false,
            (None, Some(event)) if mine => was_of(event, leader.rev),
            (None, _) => true,
        };
        if !is_right {
            let sentence = format!(
                "{} was acknowledged at revision {revision}, which did not change {} of revision {}",
                who(op),
                text(&leader.key),
                leader.rev
            );
            return Err(broken(
                GUARANTEE,
                "other-candidacy",
                sentence,
                vec![op],
                Vec::new(),
            ));
        }
    }
    Ok(judged)
}

fn was_of(event: &Event, created: i64) -> bool {
    let before = event.prev_kv.as_ref();
    before.is_some_and(|before| before.create_revision == created)
}

/// Observers are told of leaders, in order, and of nobody else.
pub(super) fn observed(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "an observer is told of each leader's values in their order, and only of \
                             who leads";
    let mut judged = Judged::default();
    for stream in case.streams {
        let mut last: Option<(i64, i64)> = None;
        for heard in &stream.heard {
            let Ret::Election(ElectionResponse::Observe(r)) = &heard.message else {
                continue;
            };
            let Some(kv) = &r.kv else { continue };
            let order = (kv.create_revision, kv.mod_revision);
            let told = format!(
                "client {} was told at {} of {} at revision {}",
                stream.client,
                seconds(heard.t),
                text(&kv.key),
                kv.mod_revision
            );
            let fail = |class, why: &str, facts| {
                let mut witness = broken(
                    GUARANTEE,
                    class,
                    format!("{told}{why}"),
                    Vec::<&Op>::new(),
                    facts,
                );
                witness.t = heard.t;
                witness.sentence = format!("{told}{why}");
                witness.node = Some(stream.member);
                Err(witness)
            };
            if last.is_some_and(|last| last >= order) {
                return fail(
                    "out-of-order",
                    ", and of what came later before",
                    Vec::new(),
                );
            }
            last = Some(order);
            let revision = r.header.as_ref().map_or(0, |header| header.revision);
            if revision > case.truth.through() {
                judged.unclear += 1;
                continue;
            }
            judged.sure += 1;
            if let Some(head) = wrong_leader(case, r, revision) {
                return fail("no-leader", ", which did not lead", vec![head]);
            }
            let event = case.truth.event(kv.mod_revision, &kv.key).flatten();
            let is_true = event.and_then(|event| event.kv.as_ref()) == Some(kv);
            if !is_true {
                return fail("untrue", ", which nobody wrote so", Vec::new());
            }
        }
    }
    Ok(judged)
}
