//! What a running member says of its progress never goes back.
//!
//! A serializable read may be old, but an answer names the revision and the term
//! at which it was made, and a member's own only rise while its process lives. A
//! restart may put them back to what was durable.

use squall_record::{Check, Event, Fact, Kind, Op, Outcome, Verdict, Witness, seconds};
use std::collections::BTreeMap;

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "while a member's process lives, the revision and the term that it answers with never go \
     back";

/// One answer of a member, whose process did not change between call and answer.
struct Answer<'a> {
    op: &'a Op,
    ret: u64,
    revision: i64,
    term: u64,
}

/// Judges every member's answers. `events` say when its process started.
pub fn check(history: &[Op], events: &[Event]) -> Check {
    let mut starts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for event in events {
        if let (Kind::Started { .. }, Some(node)) = (&event.kind, event.node) {
            starts.entry(node).or_default().push(event.t);
        }
    }
    let mut members: BTreeMap<u64, Vec<Answer<'_>>> = BTreeMap::new();
    for answer in history.iter().filter_map(answer) {
        members.entry(answer.op.member).or_default().push(answer);
    }
    let mut judged = 0;
    let mut unknown = 0;
    for (member, answers) in members {
        let starts = starts.get(&member).map_or(&[][..], Vec::as_slice);
        // Which of its lives answered, if only one can have.
        let life = |answer: &Answer<'_>| {
            let first = starts.partition_point(|t| *t <= answer.op.invoke);
            let last = starts.partition_point(|t| *t <= answer.ret);
            (first == last).then_some(first)
        };
        let mut lives: BTreeMap<usize, Vec<Answer<'_>>> = BTreeMap::new();
        for answer in answers {
            match life(&answer) {
                Some(life) => lives.entry(life).or_default().push(answer),
                None => unknown += 1,
            }
        }
        for answers in lives.into_values() {
            judged += answers.len() as u64;
            if let Some(witness) = goes_back(&answers) {
                return done(Verdict::Fail(Box::new(witness)));
            }
        }
    }
    done(Verdict::Pass { judged, unknown })
}

fn done(verdict: Verdict) -> Check {
    Check {
        name: "monotonic".into(),
        verdict,
    }
}

fn answer(op: &Op) -> Option<Answer<'_>> {
    let (Outcome::Ok(ret), Some(at)) = (&op.outcome, op.ret) else {
        return None;
    };
    let header = ret.header()?;
    Some(Answer {
        op,
        ret: at,
        revision: header.revision,
        term: header.raft_term,
    })
}

/// The first answer whose call came after another answer had, and which says
/// less than that one.
fn goes_back(answers: &[Answer<'_>]) -> Option<Witness> {
    let mut by_call: Vec<&Answer<'_>> = answers.iter().collect();
    by_call.sort_by_key(|a| (a.op.invoke, a.op.id));
    let mut by_answer = by_call.clone();
    by_answer.sort_by_key(|a| (a.ret, a.op.id));
    let mut known = by_answer.into_iter().peekable();
    let (mut newest, mut latest): (Option<&Answer<'_>>, Option<&Answer<'_>>) = (None, None);
    for later in by_call {
        while let Some(earlier) = known.next_if(|earlier| earlier.ret < later.op.invoke) {
            if newest.is_none_or(|newest| newest.revision < earlier.revision) {
                newest = Some(earlier);
            }
            if latest.is_none_or(|latest| latest.term < earlier.term) {
                latest = Some(earlier);
            }
        }
        if let Some(newest) = newest.filter(|newest| newest.revision > later.revision) {
            return Some(witness(newest, later, "revision", |a| a.revision as u64));
        }
        if let Some(latest) = latest.filter(|latest| latest.term > later.term) {
            return Some(witness(latest, later, "term", |a| a.term));
        }
    }
    None
}

fn witness(
    earlier: &Answer<'_>,
    later: &Answer<'_>,
    what: &str,
    of: impl Fn(&Answer<'_>) -> u64,
) -> Witness {
    let member = later.op.member;
    let fact = |a: &Answer<'_>| {
        let (call, ret) = (seconds(a.op.invoke), seconds(a.ret));
        Fact::new(
            format!("n{member} to c{}", a.op.client),
            format!(
                "{} from {call} to {ret}: {what} {}",
                a.op.call.name(),
                of(a)
            ),
        )
    };
    Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "n{member} answered at {what} {}, and to a later call at {what} {}, in the same life of its \
             process",
            of(earlier),
            of(later)
        ),
        t: later.ret,
        node: Some(member),
        ops: vec![earlier.op.clone(), later.op.clone()],
        facts: vec![fact(earlier), fact(later)],
        class: format!("{what}-went-back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::pb;
    use squall_record::{Call, Ret};

    /// One answered read: (member, invoke, ret, revision, term).
    type Row = (u64, u64, u64, i64, u64);

    /// What, when processes started, the answers, whether the guarantee holds.
    type Case = (&'static str, &'static [(u64, u64)], &'static [Row], bool);

    fn history(rows: &[Row]) -> Vec<Op> {
        let op = |(id, &(member, invoke, ret, revision, raft_term)): (usize, &Row)| Op {
            token: String::new(),
            id: id as u64,
            client: 0,
            process: 0,
            member,
            invoke,
            ret: Some(ret),
            call: Call::Range(pb::RangeRequest::default()),
            outcome: Outcome::Ok(Ret::Range(pb::RangeResponse {
                header: Some(pb::ResponseHeader {
                    revision,
                    raft_term,
                    ..pb::ResponseHeader::default()
                }),
                ..pb::RangeResponse::default()
            })),
        };
        rows.iter().enumerate().map(op).collect()
    }

    fn starts(of: &[(u64, u64)]) -> Vec<Event> {
        let event = |(seq, &(node, t)): (usize, &(u64, u64))| Event {
            seq: seq as u64,
            t,
            node: Some(node),
            cause: None,
            kind: Kind::Started { incarnation: 0 },
        };
        of.iter().enumerate().map(event).collect()
    }

    #[test]
    fn named_cases() {
        let once: &'static [(u64, u64)] = &[(1, 0), (2, 0)];
        let twice: &'static [(u64, u64)] = &[(1, 0), (2, 0), (1, 50)];
        let cases: [Case; 9] = [
            ("it rises", once, &[(1, 1, 2, 5, 1), (1, 3, 4, 6, 2)], true),
            ("it stays", once, &[(1, 1, 2, 5, 1), (1, 3, 4, 5, 1)], true),
            (
                "a revision goes back",
                once,
                &[(1, 1, 2, 5, 1), (1, 3, 4, 4, 1)],
                false,
            ),
            (
                "a term goes back",
                once,
                &[(1, 1, 2, 5, 3), (1, 3, 4, 6, 2)],
                false,
            ),
            (
                "two calls overlap",
                once,
                &[(1, 1, 3, 5, 1), (1, 3, 4, 4, 1)],
                true,
            ),
            (
                "another member is behind",
                once,
                &[(1, 1, 2, 5, 1), (2, 3, 4, 4, 1)],
                true,
            ),
            (
                "a restart forgets",
                twice,
                &[(1, 1, 2, 5, 1), (1, 60, 61, 4, 1)],
                true,
            ),
            (
                "either life may have answered",
                twice,
                &[(1, 1, 2, 5, 1), (1, 40, 60, 4, 1)],
                true,
            ),
            (
                "the second life goes back, too",
                twice,
                &[(1, 60, 61, 5, 1), (1, 62, 63, 4, 1)],
                false,
            ),
        ];
        for (what, started, rows, holds) in cases {
            let check = check(&history(rows), &starts(started));
            let passed = matches!(check.verdict, Verdict::Pass { .. });
            assert_eq!(passed, holds, "{what}: {:?}", check.verdict);
        }
    }

    #[test]
    fn the_sentence_names_both_answers() {
        let history = history(&[(1, 1, 2, 5, 1), (1, 3, 4, 4, 1)]);
        let Verdict::Fail(witness) = check(&history, &starts(&[(1, 0)])).verdict else {
            panic!("it goes back");
        };
        assert_eq!(
            witness.sentence,
            "n1 answered at revision 5, and to a later call at revision 4, in the same life of its process"
        );
        assert_eq!(witness.ops.len(), 2);
    }
}
