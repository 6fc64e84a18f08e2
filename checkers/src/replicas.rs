//! Replicas agree: at the end of a run in everything, and all through it at
//! every applied index.

use bytes::Bytes;
use squall_api::ApplyView;
use squall_api::pb::KeyValue;
use squall_record::{Check, Fact, Reason, Verdict, Witness, seconds};
use std::collections::BTreeMap;

const GUARANTEE: &str = "all members hold the same contents once they have converged";
const CHAIN_GUARANTEE: &str =
    "members that applied the log up to the same index are in the same state";

/// A member's whole contents, read from it after the cluster converged.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// Whose they are.
    pub member: u64,
    /// The store's revision.
    pub revision: i64,
    /// Index of the last entry applied.
    pub applied_index: u64,
    /// The member's own hash over its contents (etcd's `HashKV`); learners do not
    /// tell it.
    pub hash_kv: Option<u32>,
    /// Every key that exists, in any order.
    pub kvs: Vec<KeyValue>,
}

impl Replica {
    pub(crate) fn by_key(&self) -> BTreeMap<&Bytes, &KeyValue> {
        self.kvs.iter().map(|kv| (&kv.key, kv)).collect()
    }
}

/// Compares the members at the end of a run: contents first, since they say
/// most, then revision, applied index and hash.
pub fn check(finals: &[Replica]) -> Check {
    let verdict = match finals {
        [] | [_] => Verdict::Unknown(Reason::TooLittle(format!(
            "{} of at least 2 replicas to compare",
            finals.len()
        ))),
        [first, others @ ..] => match others.iter().find_map(|other| difference(first, other)) {
            Some(witness) => Verdict::Fail(Box::new(witness)),
            None => Verdict::Pass {
                judged: finals.len() as u64,
                unknown: 0,
            },
        },
    };
    Check {
        name: "replicas".into(),
        verdict,
    }
}

fn difference(a: &Replica, b: &Replica) -> Option<Witness> {
    let (left, right) = (a.by_key(), b.by_key());
    let different = left
        .keys()
        .chain(right.keys())
        .filter(|key| left.get(*key) != right.get(*key))
        .min();
    let (class, what, here, there) = if let Some(key) = different {
        (
            "contents-differ",
            format!("key {}", key.escape_ascii()),
            holds(left.get(key).copied()),
            holds(right.get(key).copied()),
        )
    } else if a.revision != b.revision {
        (
            "revisions-differ",
            "revision".into(),
            a.revision.to_string(),
            b.revision.to_string(),
        )
    } else if a.applied_index != b.applied_index {
        (
            "applied-indexes-differ",
            "applied index".into(),
            a.applied_index.to_string(),
            b.applied_index.to_string(),
        )
    } else if let (Some(here), Some(there)) = (a.hash_kv, b.hash_kv)
        && here != there
    {
        (
            "hashes-differ",
            "hash of equal contents".into(),
            format!("{here:08x}"),
            format!("{there:08x}"),
        )
    } else {
        return None;
    };
    let summary = |r: &Replica| {
        Fact::new(
            format!("n{}", r.member),
            format!(
                "revision {}, applied index {}, hash {}, {} keys",
                r.revision,
                r.applied_index,
                r.hash_kv
                    .map_or("untold".into(), |hash| format!("{hash:08x}")),
                r.kvs.len()
            ),
        )
    };
    Some(Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "n{} and n{} differ in {what}: n{} has {here}, n{} has {there}",
            a.member, b.member, a.member, b.member
        ),
        t: 0,
        node: Some(b.member),
        ops: Vec::new(),
        facts: vec![summary(a), summary(b)],
        class: class.into(),
    })
}

/// What a replica holds at a key, in words.
pub(crate) fn holds(kv: Option<&KeyValue>) -> String {
    let Some(kv) = kv else {
        return "nothing".into();
    };
    let mut text = format!("{} at revision {}", show(&kv.value), kv.mod_revision);
    if kv.version != 1 || kv.create_revision != kv.mod_revision {
        text += &format!(
            " (created at {}, version {})",
            kv.create_revision, kv.version
        );
    }
    if kv.lease != 0 {
        text += &format!(" with lease {:x}", kv.lease);
    }
    text
}

/// A value for people: escaped, and cut where it gets long.
pub(crate) fn show(value: &[u8]) -> String {
    const LIMIT: usize = 40;
    if value.len() <= LIMIT {
        format!("\"{}\"", value.escape_ascii())
    } else {
        format!(
            "\"{}\"... ({} bytes)",
            value[..LIMIT].escape_ascii(),
            value.len()
        )
    }
}

/// Compares members all through a run: whoever applied the log up to an index
/// must have the state digest that the first one had there.
#[derive(Debug, Default)]
pub struct Chain {
    states: BTreeMap<u64, State>,
    compared: u64,
    broken: Option<Box<Witness>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    digest: u64,
    revision: i64,
    node: u64,
    t: u64,
}

impl Chain {
    /// Nothing seen yet.
    pub fn new() -> Chain {
        Chain::default()
    }

    /// `node` shows the state it has come to at true time `t`: after applying
    /// an entry, installing a snapshot, or opening. Only the first divergence
    /// is told: what follows it differs as a consequence.
    pub fn observe(&mut self, t: u64, node: u64, view: &ApplyView) -> Result<(), Box<Witness>> {
        let here = State {
            digest: view.state,
            revision: view.revision,
            node,
            t,
        };
        let first = *self.states.entry(view.index).or_insert(here);
        self.compared += u64::from(first.node != node);
        if first.digest == here.digest && first.revision == here.revision {
            return Ok(());
        }
        if self.broken.is_some() {
            return Ok(());
        }
        let witness = diverged(view.index, first, here);
        self.broken = Some(witness.clone());
        Err(witness)
    }

    /// The verdict, with how many states were compared with another member's.
    pub fn finish(self) -> Check {
        Check {
            name: "replicas.chain".into(),
            verdict: match self.broken {
                Some(witness) => Verdict::Fail(witness),
                None if self.compared == 0 => Verdict::Unknown(Reason::TooLittle(
                    "no two members applied the same index".into(),
                )),
                None => Verdict::Pass {
                    judged: self.compared,
                    unknown: 0,
                },
            },
        }
    }
}

fn diverged(index: u64, first: State, second: State) -> Box<Witness> {
    let fact = |s: State| {
        Fact::new(
            format!("n{}", s.node),
            format!(
                "after log index {index} at {}: revision {}, state {:016x}",
                seconds(s.t),
                s.revision,
                s.digest
            ),
        )
    };
    let how = if first.revision == second.revision {
        format!(
            "at revision {}, but with different contents",
            first.revision
        )
    } else {
        format!("at revisions {} and {}", first.revision, second.revision)
    };
    let who = if first.node == second.node {
        format!("n{} twice", first.node)
    } else {
        format!("n{} and n{}", first.node, second.node)
    };
    Box::new(Witness {
        guarantee: CHAIN_GUARANTEE.into(),
        sentence: format!(
            "{who} applied the log up to index {index} ({} and {}), and came out {how}",
            seconds(first.t),
            seconds(second.t)
        ),
        t: second.t,
        node: Some(second.node),
        ops: Vec::new(),
        facts: vec![fact(first), fact(second)],
        class: "states-diverge".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::EntryId;

    fn kv(key: &'static str, value: &'static str, revision: i64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: value.into(),
            create_revision: revision,
            mod_revision: revision,
            version: 1,
            lease: 0,
        }
    }

    fn replica(member: u64) -> Replica {
        Replica {
            member,
            revision: 9,
            applied_index: 20,
            hash_kv: Some(0xabcd),
            kvs: vec![kv("k1", "v1", 8), kv("k2", "v2", 9)],
        }
    }

    fn sentence(check: Check) -> String {
        match check.verdict {
            Verdict::Fail(witness) => format!("{}: {}", witness.class, witness.sentence),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_replicas_pass_in_any_order_of_keys() {
        let mut other = replica(2);
        other.kvs.reverse();
        let verdict = check(&[replica(1), other, replica(3)]).verdict;
        assert_eq!(
            verdict,
            Verdict::Pass {
                judged: 3,
                unknown: 0
            }
        );
    }

    #[test]
    fn one_replica_is_too_little() {
        for finals in [vec![], vec![replica(1)]] {
            let verdict = check(&finals).verdict;
            assert!(matches!(verdict, Verdict::Unknown(Reason::TooLittle(_))));
        }
    }

    #[test]
    fn every_difference_is_found_and_told() {
        type Damage = fn(&mut Replica);
        let damages: [Damage; 9] = [
            |r| r.kvs[0].value = "x".into(),
            |r| r.kvs[1].mod_revision = 7,
            |r| r.kvs[1].version = 2,
            |r| r.kvs[1].lease = 77,
            |r| drop(r.kvs.remove(0)),
            |r| r.kvs.push(kv("k0", "new\n", 10)),
            |r| r.revision = 10,
            |r| r.applied_index = 19,
            |r| r.hash_kv = Some(0xabce),
        ];
        let told = damages.map(|damage| {
            let mut other = replica(3);
            damage(&mut other);
            let check = check(&[replica(1), replica(2), other]);
            sentence(check)
        });
        insta::assert_snapshot!(told.join("\n"));
    }

    fn applied(index: u64, revision: i64, state: u64) -> ApplyView {
        ApplyView {
            index,
            entry: EntryId { term: 1, digest: 1 },
            proposal: 0,
            revision,
            state,
        }
    }

    #[test]
    fn a_chain_of_equal_states_passes() {
        let mut chain = Chain::new();
        for (t, node, index) in [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 2), (5, 1, 2)] {
            let view = applied(index, index as i64, 100 + index);
            chain.observe(t, node, &view).unwrap();
        }
        let verdict = chain.finish().verdict;
        assert_eq!(
            verdict,
            Verdict::Pass {
                judged: 2,
                unknown: 0
            }
        );
    }

    #[test]
    fn a_chain_nobody_shares_is_too_little() {
        let mut chain = Chain::new();
        chain.observe(1, 1, &applied(1, 1, 1)).unwrap();
        chain.observe(2, 2, &applied(2, 2, 2)).unwrap();
        let verdict = chain.finish().verdict;
        assert!(matches!(verdict, Verdict::Unknown(Reason::TooLittle(_))));
    }

    #[test]
    fn a_diverging_state_is_told_once() {
        let told = [
            (2, applied(5, 4, 8)),
            (2, applied(5, 3, 7)),
            (1, applied(5, 4, 9)),
        ]
        .map(|(node, view)| {
            let mut chain = Chain::new();
            chain.observe(1_500_000_000, 1, &applied(5, 4, 7)).unwrap();
            let witness = chain.observe(2_250_000_000, node, &view).unwrap_err();
            assert!(chain.observe(3_000_000_000, node, &view).is_ok());
            let check = chain.finish();
            assert_eq!(check.name, "replicas.chain");
            assert_eq!(
                sentence(check),
                format!("{}: {}", witness.class, witness.sentence)
            );
            witness.sentence
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
