//! Damage to what is told of events, leases and locks: what breaks a guarantee is
//! caught by the check of that guarantee, and what breaks none by none.
//! Permissions have theirs where their histories are told (`auth/tests/damage.rs`).

use super::town::{MS, Town, header, keep_alive, kept, locked, read_all};
use squall_api::pb::{self, KeyValue};
use squall_api::{LeaseRequest, LeaseResponse, LockRequest};
use squall_record::{Call, Heard, Op, Outcome, Ret, Why};

/// A way to damage what a town left.
struct Damage {
    name: &'static str,
    found: Found,
    /// Does it, as late as it can; false if there is no place for it.
    apply: fn(&mut Town) -> bool,
}

/// What is to be found of a damage.
enum Found {
    /// This check says so.
    By(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

const fn breaks(name: &'static str, check: &'static str, apply: fn(&mut Town) -> bool) -> Damage {
    Damage {
        name,
        found: Found::By(check),
        apply,
    }
}

const fn keeps(name: &'static str, why: &'static str, apply: fn(&mut Town) -> bool) -> Damage {
    Damage {
        name,
        found: Found::Nothing(why),
        apply,
    }
}

const TO_KEYS: &[Damage] = &[
    breaks("an event is missing", "watch.reliable", |t| {
        in_last_response(t, |r| r.events.pop().is_some())
    }),
    breaks("an event is told twice", "watch.unique", |t| {
        in_last_response(t, |r| {
            let again = r.events.last().cloned();
            r.events.extend(again);
            true
        })
    }),
    breaks("two responses change places", "watch.ordered", |t| {
        let told = with_events(t);
        let [.., first, second] = told[..] else {
            return false;
        };
        let heard = &mut t.streams[0].heard;
        let message = heard[first].message.clone();
        heard[first].message = heard[second].message.clone();
        heard[second].message = message;
        true
    }),
    breaks("an event has another value", "watch.true", |t| {
        in_last_kv(t, |kv| kv.value = "phantom".into())
    }),
    breaks(
        "an event is of a key that nobody wrote",
        "watch.true",
        |t| in_last_kv(t, |kv| kv.key = "bb".into()),
    ),
    breaks("an event has another value before", "watch.prev_kv", |t| {
        in_last_event(t, |event| match &mut event.prev_kv {
            Some(prev) => {
                prev.value = "phantom".into();
                true
            }
            None => false,
        })
    }),
    breaks("an event has no value before", "watch.prev_kv", |t| {
        in_last_event(t, |event| event.prev_kv.take().is_some())
    }),
    breaks(
        "progress is confirmed ahead of events",
        "watch.bookmarkable",
        |t| {
            let Some(last) = with_events(t).pop() else {
                return false;
            };
            let heard = &mut t.streams[0].heard;
            let mut early = heard[last].clone();
            let Ret::Watch(response) = &mut early.message else {
                return false;
            };
            response.events.clear();
            heard.insert(last, early);
            true
        },
    ),
    breaks(
        "who watches wants no puts, and is told of them",
        "watch.filters",
        |t| {
            created(t).filters = vec![0];
            true
        },
    ),
    breaks("a revision comes in two responses", "watch.atomic", |t| {
        let heard = &mut t.streams[0].heard;
        let several = |heard: &Heard| match &heard.message {
            Ret::Watch(response) => response.events.len() > 1,
            _ => false,
        };
        let Some(place) = heard.iter().rposition(several) else {
            return false;
        };
        let mut rest = heard[place].clone();
        if let (Ret::Watch(first), Ret::Watch(rest)) =
            (&mut heard[place].message, &mut rest.message)
        {
            rest.events = first.events.split_off(1);
        }
        heard.insert(place + 1, rest);
        true
    }),
    breaks("a creation is told as a change", "watch.create", |t| {
        in_last_event(t, |event| match (&mut event.kv, &event.prev_kv) {
            (Some(kv), None) if kv.version == 1 => {
                kv.create_revision -= 1;
                true
            }
            _ => false,
        })
    }),
    breaks(
        "who begins later is told of what was before",
        "watch.resumable",
        |t| {
            let create = created(t);
            create.start_revision = 6;
            true
        },
    ),
    breaks(
        "one watcher is told otherwise than another",
        "watch.agree",
        |t| in_last_kv(t, |kv| kv.version += 1),
    ),
    breaks("a watch is canceled for nothing", "watch.compaction", |t| {
        say(t, |response| response.canceled = true)
    }),
    breaks(
        "a watch is told of that was never made",
        "watch.protocol",
        |t| say(t, |response| response.watch_id = 7),
    ),
    breaks("a cache has missed a change", "watch.cache", |t| {
        let cache = &mut t.caches[0];
        let last = cache.kvs.keys().next_back().cloned();
        last.is_some_and(|key| cache.kvs.remove(&key).is_some())
    }),
    keeps(
        "responses come as one",
        "a list may hold several revisions, each whole",
        |t| {
            let told = with_events(t);
            let Some([first, second]) = told.windows(2).rev().find(|w| w[0] + 1 == w[1]) else {
                return false;
            };
            let heard = &mut t.streams[0].heard;
            let Ret::Watch(one) = heard[*first].message.clone() else {
                return false;
            };
            let Ret::Watch(other) = &mut heard[*second].message else {
                return false;
            };
            other.events.splice(0..0, one.events);
            heard.remove(*first);
            true
        },
    ),
    keeps("progress is not confirmed", "nobody promised when", |t| {
        let is_progress =
            |message: &Ret| matches!(message, Ret::Watch(r) if r.events.is_empty() && !r.created);
        let before = t.streams[0].heard.len();
        t.streams[0]
            .heard
            .retain(|heard| !is_progress(&heard.message));
        t.streams[0].heard.len() < before
    }),
    keeps(
        "the last events are not heard yet",
        "they may be on their way",
        |t| {
            let half = t.streams[0].heard.len() / 2;
            t.streams[0].heard.truncate(half);
            true
        },
    ),
    keeps(
        "everything is heard late",
        "events may take as long as they do",
        |t| {
            for heard in &mut t.streams[0].heard {
                heard.t += 50 * MS;
            }
            true
        },
    ),
    breaks("a lease expires early", "lease.not_early", |t| {
        let first = t.ended.iter_mut().rev().find(|ended| ended.expired);
        first.is_some_and(|ended| {
            ended.t -= 1_000 * MS;
            true
        })
    }),
    breaks("a lease expires late", "lease.not_late", |t| {
        let first = t.ended.iter_mut().rev().find(|ended| ended.expired);
        first.is_some_and(|ended| {
            ended.t += 60_000 * MS;
            true
        })
    }),
    breaks("a lease that is gone is kept alive", "lease.answers", |t| {
        let Some(id) = t.ended.last().map(|ended| ended.lease) else {
            return false;
        };
        t.now += 100 * MS;
        let outcome = kept(t.revision(), id, 5);
        t.record(keep_alive(id), outcome, false);
        true
    }),
    breaks(
        "a lease that lives is said to be gone",
        "lease.answers",
        |t| {
            let answer = |op: &mut Op| match &mut op.outcome {
                Outcome::Ok(Ret::Lease(LeaseResponse::KeepAlive(r))) => {
                    r.ttl = 0;
                    true
                }
                _ => false,
            };
            t.history.iter_mut().rev().any(answer)
        },
    ),
    breaks(
        "a lease is granted for less than asked",
        "lease.answers",
        |t| {
            let answer = |op: &mut Op| match &mut op.outcome {
                Outcome::Ok(Ret::Lease(LeaseResponse::Grant(r))) => {
                    r.ttl = 1;
                    true
                }
                _ => false,
            };
            t.history.iter_mut().rev().any(answer)
        },
    ),
    breaks(
        "a key is put with a lease that nobody was granted",
        "lease.exists",
        |t| {
            let ungiven = |op: &mut Op| match (&mut op.call, &op.outcome) {
                (Call::Put(put), Outcome::Ok(_)) if put.lease != 0 => {
                    put.lease = 1_000;
                    true
                }
                _ => false,
            };
            t.history.iter_mut().rev().any(ungiven)
        },
    ),
    breaks("a key outlives its lease", "lease.keys_end", |t| {
        let Some(ended) = t.ended.last().copied() else {
            return false;
        };
        t.now += 100 * MS;
        let kv = KeyValue {
            key: "a".into(),
            create_revision: 2,
            mod_revision: 2,
            version: 1,
            lease: ended.lease,
            ..KeyValue::default()
        };
        let answer = pb::RangeResponse {
            header: header(t.revision()),
            kvs: vec![kv],
            count: 1,
            more: false,
        };
        t.record(read_all(), Outcome::Ok(Ret::Range(answer)), false);
        true
    }),
    breaks("a lease that lives is granted again", "lease.exists", |t| {
        let is_gone = |id: i64| t.ended.iter().any(|ended| ended.lease == id);
        let granted = t.history.iter().rev().find_map(|op| match &op.outcome {
            Outcome::Ok(Ret::Lease(LeaseResponse::Grant(r))) if !is_gone(r.id) => Some(op.clone()),
            _ => None,
        });
        let Some(op) = granted else { return false };
        t.now += 100 * MS;
        t.record(op.call, op.outcome, false);
        true
    }),
    keeps(
        "a keep-alive has no known outcome",
        "it may have renewed the lease, or not",
        |t| {
            forget(t, |call| {
                matches!(call, Call::Lease(LeaseRequest::KeepAlive(_)))
            })
        },
    ),
    keeps(
        "a revocation has no known outcome",
        "the lease ended, and nobody says why",
        |t| {
            forget(t, |call| {
                matches!(call, Call::Lease(LeaseRequest::Revoke(_)))
            })
        },
    ),
];

const TO_LOCKS: &[Damage] = &[
    breaks("a lock is given before it is free", "lock.exclusive", |t| {
        early(t, |t, (holder, waiter)| {
            let held_until = t.history[holder].ret.unwrap_or(0) + MS;
            t.history[waiter].ret = Some(held_until.max(t.history[waiter].invoke + MS));
            true
        })
    }),
    breaks(
        "a lock is given as of when it was not free",
        "lock.in_line",
        |t| {
            early(t, |t, (_, waiter)| {
                let Outcome::Ok(Ret::Lock(answer)) = &mut t.history[waiter].outcome else {
                    return false;
                };
                let squall_api::LockResponse::Lock(answer) = answer else {
                    return false;
                };
                let Some(header) = &mut answer.header else {
                    return false;
                };
                header.revision -= 1;
                true
            })
        },
    ),
    breaks(
        "a lock is given to whom is not there",
        "lock.in_line",
        |t| {
            let Some(lease) = t.ended.last().map(|ended| ended.lease) else {
                return false;
            };
            t.now += 100 * MS;
            let name = bytes::Bytes::from_static(b"lock");
            let call = Call::Lock(LockRequest::Lock(squall_api::pb::v3lockpb::LockRequest {
                name,
                lease,
            }));
            let outcome = Outcome::Ok(locked(lease, t.revision()));
            t.record(call, outcome, false);
            true
        },
    ),
    breaks("a write passes a fence that is gone", "lock.fenced", |t| {
        let Some(lease) = t.ended.last().map(|ended| ended.lease) else {
            return false;
        };
        t.now += 100 * MS;
        let answer = pb::TxnResponse {
            header: header(t.revision()),
            succeeded: true,
            responses: Vec::new(),
        };
        let call = super::town::fenced(lease, "late".into());
        t.record(call, Outcome::Ok(Ret::Txn(answer)), false);
        true
    }),
    keeps(
        "a holder does not know that it holds",
        "it stood in line, as it shows",
        |t| {
            // The one that was given last: nobody waits for it to unlock.
            forget(t, |call| matches!(call, Call::Lock(LockRequest::Lock(_))))
        },
    ),
    keeps(
        "an unlock has no known outcome",
        "the key is gone from when it was",
        |t| forget(t, |call| matches!(call, Call::Lock(LockRequest::Unlock(_)))),
    ),
];

/// What the first stream's watch asked for.
fn created(town: &mut Town) -> &mut pb::WatchCreateRequest {
    use pb::watch_request::RequestUnion::CreateRequest;
    match &mut town.streams[0].said[0].message {
        Call::Watch(pb::WatchRequest {
            request_union: Some(CreateRequest(create)),
        }) => create,
        other => panic!("the stream begins with {other:?}"),
    }
}

/// Tells the first stream something at the end.
fn say(town: &mut Town, change: impl Fn(&mut pb::WatchResponse)) -> bool {
    let revision = town.revision();
    let mut response = pb::WatchResponse {
        header: header(revision),
        ..pb::WatchResponse::default()
    };
    change(&mut response);
    let t = town.now;
    let message = Ret::Watch(response);
    town.streams[0].heard.push(Heard { t, message });
    true
}

/// The places in the first stream at which events are told.
fn with_events(town: &Town) -> Vec<usize> {
    let heard = town.streams[0].heard.iter().enumerate();
    let told =
        heard.filter(|(_, heard)| matches!(&heard.message, Ret::Watch(r) if !r.events.is_empty()));
    told.map(|(place, _)| place).collect()
}

fn in_last_response(town: &mut Town, act: impl Fn(&mut pb::WatchResponse) -> bool) -> bool {
    // Not the very last: what is behind shows what is missing.
    let Some(place) = with_events(town).into_iter().rev().nth(2) else {
        return false;
    };
    match &mut town.streams[0].heard[place].message {
        Ret::Watch(response) => act(response),
        _ => false,
    }
}

fn in_last_event(town: &mut Town, act: impl Fn(&mut pb::Event) -> bool) -> bool {
    for place in with_events(town).into_iter().rev() {
        if let Ret::Watch(response) = &mut town.streams[0].heard[place].message
            && response.events.iter_mut().any(&act)
        {
            return true;
        }
    }
    false
}

fn in_last_kv(town: &mut Town, act: impl Fn(&mut KeyValue)) -> bool {
    in_last_event(town, |event| match (event.r#type(), &mut event.kv) {
        (pb::event::EventType::Put, Some(kv)) => {
            act(kv);
            true
        }
        _ => false,
    })
}

/// The last such operation has an outcome that nobody knows.
fn forget(town: &mut Town, which: impl Fn(&Call) -> bool) -> bool {
    let mut acknowledged = town.history.iter_mut().rev();
    let last = acknowledged.find(|op| which(&op.call) && matches!(op.outcome, Outcome::Ok(_)));
    last.is_some_and(|op| {
        op.outcome = Outcome::Unknown(Why::Timeout);
        true
    })
}

/// Does something with the last operations of which the second was given the lock
/// when the first had let go of it.
fn early(town: &mut Town, act: impl Fn(&mut Town, (usize, usize)) -> bool) -> bool {
    let mut given: Vec<(u64, usize)> = Vec::new();
    for (place, op) in town.history.iter().enumerate() {
        let is_lock = matches!(op.call, Call::Lock(LockRequest::Lock(_)));
        if let (true, Outcome::Ok(_), Some(ret)) = (is_lock, &op.outcome, op.ret) {
            given.push((ret, place));
        }
    }
    given.sort_unstable();
    let waited = |pair: &&[(u64, usize)]| town.history[pair[1].1].invoke < pair[0].0 + 20 * MS;
    let pair = given.windows(2).rev().find(waited);
    let Some(pair) = pair.map(|pair| (pair[0].1, pair[1].1)) else {
        return false;
    };
    act(town, pair)
}

fn judge(make: fn(u64) -> Town, damages: &[Damage]) {
    for seed in 0..16 {
        let right = make(seed).broken();
        assert!(right.is_empty(), "seed {seed} is right: {right:?}");
    }
    for Damage { name, found, apply } in damages {
        let mut done = 0;
        for seed in 0..16 {
            let mut town = make(seed);
            if !apply(&mut town) {
                continue;
            }
            done += 1;
            let broken = town.broken();
            match found {
                Found::Nothing(why) => {
                    assert!(broken.is_empty(), "{name} ({why}), seed {seed}: {broken:?}");
                }
                Found::By(check) => assert!(
                    broken
                        .iter()
                        .any(|found| found.split('/').next() == Some(check)),
                    "{name}, seed {seed}: {check} says nothing: {broken:?}"
                ),
            }
        }
        assert!(done > 5, "{name} was possible only {done} times");
    }
}

#[test]
fn damage_to_events_and_leases_is_caught_where_it_breaks_something() {
    judge(Town::of_keys, TO_KEYS);
}

#[test]
fn damage_to_locks_is_caught_where_it_breaks_something() {
    judge(Town::of_locks, TO_LOCKS);
}
