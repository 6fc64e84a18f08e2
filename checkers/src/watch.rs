//! Watches: etcd's guarantees, a validator each, on what clients were told.
//!
//! What was changed is known from the order in which the host of the store saw
//! operations applied ([`truth`]), as far as that order makes sense. Where it
//! ends, the validators that need it say nothing, and the others go on: whether
//! a history is linearizable does not matter to any of them.

mod by_truth;
mod by_watch;
#[cfg(test)]
mod tests;
pub(crate) mod told;
pub(crate) mod truth;

use crate::linearizable::Applied;
use crate::store::{leases, lines};
use bytes::Bytes;
use squall_api::pb::KeyValue;
use squall_record::{Check, Fact, Op, Reason, Stream, Verdict, Witness, seconds};
use std::collections::BTreeMap;
use told::{Stray, Watch};
use truth::Truth;

/// What a client that lists and then watches believes at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Cache {
    /// The client.
    pub client: u32,
    /// The range that it follows.
    pub key: Bytes,
    /// The end of that range, as etcd has it.
    pub range_end: Bytes,
    /// When it was looked at.
    pub t: u64,
    /// The revision that it has come to.
    pub revision: i64,
    /// The keys that it knows.
    pub kvs: BTreeMap<Bytes, KeyValue>,
}

/// Everything that validators look at.
struct Case<'a> {
    watches: Vec<Watch<'a>>,
    strays: Vec<Stray<'a>>,
    truth: Truth<'a>,
    caches: &'a [Cache],
}

/// A guarantee, and who judges it.
struct Validator {
    name: &'static str,
    /// As etcd documents it.
    guarantee: &'static str,
    /// Whether it compares with what was changed, as far as that is known.
    by_truth: bool,
    judge: fn(&Case<'_>) -> Option<Broken>,
}

/// How a guarantee was broken.
struct Broken {
    sentence: String,
    t: u64,
    node: Option<u64>,
    ops: Vec<Op>,
    facts: Vec<Fact>,
    class: &'static str,
}

const VALIDATORS: &[Validator] = &[
    Validator {
        name: "watch.protocol",
        guarantee: "what a watch is told comes between its creation and its cancellation, under \
                    its own id, and a cancellation is answered",
        by_truth: false,
        judge: by_watch::protocol,
    },
    Validator {
        name: "watch.ordered",
        guarantee: "events are ordered by revision; an event will never appear on a watch if it \
                    precedes an event in time that has already been posted",
        by_truth: false,
        judge: by_watch::ordered,
    },
    Validator {
        name: "watch.unique",
        guarantee: "an event will never appear on a watch twice",
        by_truth: false,
        judge: by_watch::unique,
    },
    Validator {
        name: "watch.atomic",
        guarantee: "a list of events is guaranteed to encompass complete revisions; updates in the \
                    same revision over multiple keys will not be split over several lists of events",
        by_truth: false,
        judge: by_watch::atomic,
    },
    Validator {
        name: "watch.filters",
        guarantee: "a watch is told of its keys and of nothing that its filters take away",
        by_truth: false,
        judge: by_watch::filters,
    },
    Validator {
        name: "watch.resumable",
        guarantee: "a broken watch can be resumed by establishing a new watch starting after the \
                    last revision received; it is told everything from its start revision on, and \
                    nothing older",
        by_truth: true,
        judge: by_truth::resumable,
    },
    Validator {
        name: "watch.reliable",
        guarantee: "a sequence of events will never drop any subsequence of events within the \
                    available history window",
        by_truth: true,
        judge: by_truth::reliable,
    },
    Validator {
        name: "watch.bookmarkable",
        guarantee: "progress notification events guarantee that all events up to a revision have \
                    been already delivered",
        by_truth: true,
        judge: by_truth::bookmarkable,
    },
    Validator {
        name: "watch.true",
        guarantee: "an event tells of a change that was made, with its value, version and \
                    revisions, after somebody asked for it",
        by_truth: true,
        judge: by_truth::honest,
    },
    Validator {
        name: "watch.create",
        guarantee: "an event is a creation exactly if the key was not there before",
        by_truth: true,
        judge: by_truth::create,
    },
    Validator {
        name: "watch.prev_kv",
        guarantee: "the previous value in an event is that of the revision before, and comes only \
                    if it was asked for",
        by_truth: true,
        judge: by_truth::prev_kv,
    },
    Validator {
        name: "watch.compaction",
        guarantee: "a watch is canceled only because its client wanted it, or because what it was \
                    to be told is compacted: then it is told up to which revision",
        by_truth: true,
        judge: by_truth::compaction,
    },
    Validator {
        name: "watch.agree",
        guarantee: "all watchers are told the same of a change",
        by_truth: false,
        judge: by_watch::agree,
    },
    Validator {
        name: "watch.cache",
        guarantee: "a cache that is listed at a revision and then follows a watch from the next \
                    one on equals the store",
        by_truth: true,
        judge: by_truth::cache,
    },
];

/// Judges every guarantee on what `streams` told their clients, and `caches`
/// on what was changed.
pub fn check(
    streams: &[Stream],
    caches: &[Cache],
    history: &[Op],
    applied: Option<&[Applied]>,
) -> Vec<Check> {
    let (watches, strays) = told::read(streams);
    let lines = lines::told(history, applied);
    let in_keys = leases::told(&lines.history, lines.applied.as_deref());
    let replay = |applied: &[Applied]| Truth::replay(&in_keys.history, applied);
    let case = Case {
        watches,
        strays,
        truth: in_keys.applied.as_deref().map(replay).unwrap_or_default(),
        caches,
    };
    let known = |(_, event): &(u64, &_)| told::kv_of(event).1 <= case.truth.through();
    let all = case.watches.iter().flat_map(Watch::events);
    let (events, known) = all.fold((0, 0), |(all, some), event| {
        (all + 1, some + u64::from(known(&event)))
    });
    // The host saw everything that anybody was told of: where the replay stops short
    // of that, it is no pass, however much was judged before.
    let through = case.truth.through();
    let stops_short = applied.is_some() && known < events;
    let judge = |validator: &Validator| {
        let judged = if validator.by_truth { known } else { events };
        let nothing = match events {
            0 => "no watch was told anything".to_owned(),
            _ if judged == 0 => "of no event that was told it is known what was changed".into(),
            _ => format!("what was changed is known up to revision {through} only"),
        };
        let verdict = match (validator.judge)(&case) {
            Some(broken) => Verdict::Fail(Box::new(broken.witness(validator.guarantee))),
            None if judged == 0 || (validator.by_truth && stops_short) => {
                Verdict::Unknown(Reason::TooLittle(nothing))
            }
            None => Verdict::Pass {
                judged,
                unknown: events - judged,
            },
        };
        Check {
            name: validator.name.into(),
            verdict,
        }
    };
    VALIDATORS.iter().map(judge).collect()
}

impl Broken {
    /// On one watch, at a time.
    fn on(watch: &Watch<'_>, t: u64, class: &'static str, sentence: String) -> Broken {
        let mut said = format!("from revision {}", watch.start);
        if watch.create.start_revision == 0 {
            said.push_str(", which was the next one");
        }
        Broken {
            sentence: format!("at {} {sentence}", seconds(t)),
            t,
            node: Some(watch.stream.member),
            ops: Vec::new(),
            facts: vec![Fact::new(watch.name(), said)],
            class,
        }
    }

    /// Names the operation behind it.
    fn by(mut self, op: Option<&Op>) -> Broken {
        self.ops.extend(op.cloned());
        self
    }

    fn fact(mut self, subject: impl Into<String>, text: impl Into<String>) -> Broken {
        self.facts.push(Fact::new(subject, text));
        self
    }

    fn witness(self, guarantee: &str) -> Witness {
        Witness {
            guarantee: guarantee.into(),
            sentence: self.sentence,
            t: self.t,
            node: self.node,
            ops: self.ops,
            facts: self.facts,
            class: self.class.into(),
        }
    }
}
