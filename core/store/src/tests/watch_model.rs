//! Watchers that come, go and lag, against a model that keeps all history and
//! looks through it.

use super::bench::{IntoOp as _, SECOND, config, del, put, txn};
use super::watch::{Watching, cancel, watch};
use proptest::collection::vec;
use proptest::prelude::*;
use squall_api::pb::watch_create_request::FilterType;
use squall_api::pb::{self, Event, WatchCreateRequest};
use squall_api::{Config, Input, Request};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Puts(u8, u8),
    Delete(u8, u8),
    /// Compact up to so many revisions before the current one.
    Compact(i64),
    /// Watch a range from so many revisions before, or after, the current one.
    Watch(u8, u8, i64, Option<FilterType>),
    Cancel(i64),
    /// The client takes so many responses.
    Take(u32),
    /// The backend commits.
    Commit,
    Idle,
}

fn step() -> impl Strategy<Value = Step> {
    let filter = prop_oneof![
        3 => Just(None),
        1 => Just(Some(FilterType::Noput)),
        1 => Just(Some(FilterType::Nodelete)),
    ];
    prop_oneof![
        6 => (0u8..5).prop_map(Step::Put),
        2 => (0u8..5, 0u8..5).prop_map(|(a, b)| Step::Puts(a, b)),
        3 => (0u8..5, 0u8..6).prop_map(|(a, b)| Step::Delete(a, b)),
        1 => (0i64..6).prop_map(Step::Compact),
        3 => (0u8..5, 0u8..6, -8i64..4, filter).prop_map(|(a, b, start, f)| Step::Watch(a, b, start, f)),
        1 => (0i64..4).prop_map(Step::Cancel),
        6 => (0u32..4).prop_map(Step::Take),
        1 => Just(Step::Commit),
        2 => Just(Step::Idle),
    ]
}

fn key(n: u8) -> String {
    format!("k{n}")
}

/// A watch, as the model sees it.
struct Modelled {
    start: i64,
    from: String,
    to: String,
    without: Option<FilterType>,
    told: Vec<(i64, String, bool)>,
    /// Whether it was canceled, and up to where history was compacted then.
    over: Option<i64>,
}

/// What a watch is to be told of, in order.
fn expected(history: &[(i64, String, bool)], watch: &Modelled) -> Vec<(i64, String, bool)> {
    let wanted = |(revision, key, is_put): &&(i64, String, bool)| {
        let taken_away = match watch.without {
            Some(FilterType::Noput) => *is_put,
            Some(FilterType::Nodelete) => !*is_put,
            None => false,
        };
        *revision >= watch.start && *key >= watch.from && *key < watch.to && !taken_away
    };
    history.iter().filter(wanted).cloned().collect()
}

fn change(event: &Event) -> (i64, String, bool) {
    let kv = event.kv.as_ref().unwrap();
    let key = String::from_utf8(kv.key.to_vec()).unwrap();
    (kv.mod_revision, key, event.r#type == 0)
}

fn play(steps: Vec<Step>, window: u32) -> Result<(), TestCaseError> {
    let mut w = Watching::new(Config {
        watch_window: window,
        ..config()
    });
    let mut history: Vec<(i64, String, bool)> = Vec::new();
    let mut alive: BTreeMap<String, ()> = BTreeMap::new();
    let (mut revision, mut compacted) = (1i64, 0i64);
    let mut asked: Vec<Modelled> = Vec::new();
    let mut watches: BTreeMap<i64, Modelled> = BTreeMap::new();
    let mut over: Vec<Modelled> = Vec::new();
    let (mut opened, mut untaken) = (false, 0u32);
    // Whatever was drawn, in the end everything is taken.
    let end = (0..400).flat_map(|_| [Step::Take(u32::MAX), Step::Idle]);
    for step in steps.into_iter().chain(end) {
        match step {
            Step::Put(n) => {
                revision += 1;
                history.push((revision, key(n), true));
                alive.insert(key(n), ());
                w.write(Request::Put(put(&key(n), &revision.to_string())));
            }
            Step::Puts(a, b) if a != b => {
                revision += 1;
                for n in [a, b] {
                    history.push((revision, key(n), true));
                    alive.insert(key(n), ());
                }
                let puts = [a, b].map(|n| put(&key(n), "v").op());
                w.write(Request::Txn(txn(vec![], puts.to_vec(), vec![])));
            }
            Step::Delete(a, b) => {
                let gone: Vec<String> = alive
                    .range(key(a)..key(b.max(a)))
                    .map(|(k, ())| k.clone())
                    .collect();
                if !gone.is_empty() {
                    revision += 1;
                }
                for key in gone {
                    alive.remove(&key);
                    history.push((revision, key, false));
                }
                w.write(Request::DeleteRange(del(&key(a), &key(b.max(a)))));
            }
            Step::Compact(behind) => {
                let at = revision - behind;
                if at > compacted && at > 0 {
                    compacted = at;
                    w.write(Request::Compact(pb::CompactionRequest {
                        revision: at,
                        physical: false,
                    }));
                }
            }
            Step::Watch(a, b, start, without) if b > a => {
                let start = (revision + start).max(1);
                asked.push(Modelled {
                    start,
                    from: key(a),
                    to: key(b),
                    without,
                    told: Vec::new(),
                    over: None,
                });
                let create = WatchCreateRequest {
                    start_revision: start,
                    filters: without.into_iter().map(|f| f as i32).collect(),
                    ..watch(&key(a), &key(b))
                };
                match std::mem::replace(&mut opened, true) {
                    false => w.open(create),
                    true => w.watch(create),
                }
            }
            Step::Cancel(id) if opened => w.send(cancel(id)),
            Step::Take(n) if opened => {
                let n = n.min(untaken);
                untaken -= n;
                w.take(n);
            }
            Step::Commit => w.bench.now.mono += SECOND,
            Step::Idle => drop(w.heard()),
            Step::Puts(..) | Step::Watch(..) | Step::Cancel(_) | Step::Take(_) => {}
        }
        if w.bench.lane_is_due() {
            w.step(Input::Deadline);
        }
        for response in std::mem::take(&mut w.responses) {
            untaken += 1;
            let id = response.watch_id;
            if response.created {
                prop_assert!(!response.canceled);
                prop_assert!(watches.insert(id, asked.remove(0)).is_none());
                continue;
            }
            let told = watches
                .get_mut(&id)
                .expect("nobody is told of what is not open");
            prop_assert_eq!(response.header.as_ref().unwrap().revision, revision);
            let changes: Vec<_> = response.events.iter().map(change).collect();
            told.told.extend(changes);
            let expected = expected(&history, told);
            prop_assert!(
                expected.starts_with(&told.told),
                "{:?} of {:?}",
                told.told,
                expected
            );
            // A revision comes whole.
            if let Some((last, ..)) = told.told.last() {
                let rest = expected.get(told.told.len());
                prop_assert!(rest.is_none_or(|next| next.0 > *last));
            }
            if response.canceled {
                let mut watch = watches.remove(&id).expect("it was just told");
                if response.compact_revision != 0 {
                    prop_assert_eq!(response.compact_revision, compacted);
                    prop_assert!(watch.start < compacted);
                }
                watch.over = Some(response.compact_revision);
                over.push(watch);
            }
        }
        prop_assert!(
            untaken <= window + 60,
            "the window bounds what waits: {}",
            untaken
        );
    }
    for watch in watches.values() {
        prop_assert_eq!(&watch.told, &expected(&history, watch));
    }
    for watch in over.iter().filter(|w| w.over.is_some_and(|at| at > 0)) {
        // Only what is compacted was kept from it.
        let through = watch.told.last().map_or(0, |(revision, ..)| *revision);
        prop_assert!(through < watch.over.unwrap());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn watchers_are_told_what_the_model_says(
        steps in vec(step(), 1..60),
        window in 1u32..5,
    ) {
        play(steps, window)?;
    }
}
