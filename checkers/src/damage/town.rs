//! A store that keeps its promises about leases, locks and watches, and everything
//! that its host sees of it: a function of a seed.
//!
//! Things happen one after the other, a tenth of a second apart; who waits for a
//! lock waits while others go on.

use crate::lease::{self, Ended};
use crate::line::{self, Place};
use crate::linearizable::{self, Applied, Budget};
use crate::rules;
use crate::store::model::State;
use crate::watch::truth::event_of;
use crate::watch::{self, Cache};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::request_op::Request as Sub;
use squall_api::pb::v3lockpb::{
    LockRequest as Lock, LockResponse as Locked, UnlockRequest as Unlock,
    UnlockResponse as Unlocked,
};
use squall_api::pb::{self, KeyValue, ResponseHeader};
use squall_api::{LeaseRequest, LeaseResponse, LockRequest, LockResponse};
use squall_record::{Call, Check, Heard, Op, Outcome, Ret, Said, Stream, Why};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const STEP: u64 = 100 * MS;
/// From a call to its effect, and from there to its answer.
const HALF: u64 = 5 * MS;

const TERMS: lease::Terms = lease::Terms {
    min_ttl: 2,
    drift_ppm: 0,
    checkpoint_interval: SECOND,
    election_timeout: SECOND,
    request_timeout: 5 * SECOND,
};

/// What the host of the store saw, and what clients did.
#[derive(Clone, Default)]
pub(super) struct Town {
    pub(super) history: Vec<Op>,
    pub(super) streams: Vec<Stream>,
    pub(super) applied: Vec<Applied>,
    pub(super) ended: Vec<Ended>,
    pub(super) now: u64,
    /// What clients that list and follow know at the end.
    pub(super) caches: Vec<Cache>,
    state: State,
    /// Living leases, with their TTLs and when they end.
    leases: BTreeMap<i64, (i64, u64)>,
    /// Who stands in line, by when their keys were created: the operation that waits,
    /// and its lease.
    line: Vec<(u64, i64)>,
    /// Which leases ever did.
    stood: BTreeSet<i64>,
    granted: i64,
}

/// The name of the one lock.
const NAME: &[u8] = b"lock";

pub(super) fn key_of(lease: i64) -> Bytes {
    Place::new(NAME, lease).key
}

pub(super) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

pub(super) fn put(key: &str, value: String, lease: i64) -> Call {
    Call::Put(pb::PutRequest {
        key: key.to_owned().into(),
        value: value.into(),
        lease,
        prev_kv: true,
        ..pb::PutRequest::default()
    })
}

fn delete(key: Bytes) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key,
        ..pb::DeleteRangeRequest::default()
    }
}

/// A write that is fenced by a lock's key.
pub(super) fn fenced(lease: i64, value: String) -> Call {
    Call::Txn(pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::NotEqual.into(),
            target: CompareTarget::Create.into(),
            key: key_of(lease),
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::CreateRevision(0)),
        }],
        success: vec![pb::RequestOp {
            request: Some(Sub::RequestPut(pb::PutRequest {
                key: "resource".into(),
                value: value.into(),
                ..pb::PutRequest::default()
            })),
        }],
        failure: Vec::new(),
    })
}

impl Town {
    /// Puts, deletes, leases and two watches.
    pub(super) fn of_keys(seed: u64) -> Town {
        let mut town = Town::default();
        for client in 0..2 {
            town.open_watch(client);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for n in 0..150 {
            let mut below = |n: u32| rng.next_u32() % n;
            let key = ["a", "b", "c", "d", "e"][below(5) as usize];
            let lease = town.some_lease(below(8));
            match (below(12), lease) {
                (0 | 1, _) => town.grant(2 + i64::from(below(6))),
                (2, Some(lease)) => town.keep_alive(lease),
                (3, Some(lease)) => town.revoke(lease),
                (4 | 5, Some(lease)) => drop(town.call(put(key, format!("v{n}"), lease))),
                (6, _) => {
                    let key = Bytes::copy_from_slice(key.as_bytes());
                    town.call(Call::DeleteRange(delete(key)));
                }
                (7 | 8, _) => drop(town.call(read_all())),
                _ => drop(town.call(put(key, format!("v{n}"), 0))),
            }
            town.step();
        }
        let kvs = town.keys().into_iter().map(|kv| (kv.key.clone(), kv));
        town.caches.push(Cache {
            client: 1,
            key: "a".into(),
            range_end: "f".into(),
            t: town.now,
            revision: town.state.revision(),
            kvs: kvs.collect(),
        });
        town
    }

    /// Leases, and a lock that their owners wait for.
    pub(super) fn of_locks(seed: u64) -> Town {
        let mut town = Town::default();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for n in 0..150 {
            let mut below = |n: u32| rng.next_u32() % n;
            let lease = town.some_lease(below(8));
            let held = town.holder();
            match (below(10), lease, held) {
                (0 | 1, _, _) | (_, None, _) => town.grant(3 + i64::from(below(6))),
                (2, Some(lease), _) => town.keep_alive(lease),
                (3 | 4, _, Some(holder)) => town.unlock(holder),
                (5 | 6, _, Some(holder)) => drop(town.call(fenced(holder, format!("v{n}")))),
                _ => town.lock(),
            }
            town.step();
        }
        town
    }

    /// Everything that judges it, by name and class of what is broken.
    pub(super) fn broken(&self) -> Vec<String> {
        let applied = Some(&self.applied[..]);
        // What is damaged is another check's to find.
        let budget = Budget {
            steps: 2_000,
            ..Budget::default()
        };
        let mut checks = vec![Check {
            name: "linearizable".into(),
            verdict: linearizable::check(&self.history, applied, budget).verdict,
        }];
        let until = self.now;
        checks.extend(lease::check(&self.history, &[], &self.ended, TERMS, until));
        checks.extend(line::check(&self.history, &[], applied, &self.ended));
        if !self.streams.is_empty() {
            checks.extend(watch::check(
                &self.streams,
                &self.caches,
                &self.history,
                applied,
            ));
        }
        rules::broken(&checks)
    }

    /// Another operation, by nobody who is known yet.
    pub(super) fn record(&mut self, call: Call, outcome: Outcome, applied: bool) -> u64 {
        let id = self.history.len() as u64;
        self.history.push(Op {
            id,
            client: id as u32,
            process: id as u32,
            member: 1,
            invoke: self.now,
            ret: Some(self.now + 2 * HALF),
            token: String::new(),
            call,
            outcome,
        });
        if applied {
            self.applied.push(Applied {
                op: Some(id),
                lease: None,
                revision: self.state.revision(),
            });
        }
        id
    }

    pub(super) fn revision(&self) -> i64 {
        self.state.revision()
    }

    /// Calls, has the effect, and is answered.
    fn call(&mut self, call: Call) -> u64 {
        let before = self.state.revision();
        let answer = self.state.answer(&call).expect("it can be answered");
        let writes = self.state.revision() > before;
        self.tell(before);
        self.record(call, Outcome::Ok(answer), writes)
    }

    fn some_lease(&self, n: u32) -> Option<i64> {
        self.leases.keys().nth(n as usize % 3).copied()
    }

    fn grant(&mut self, ttl: i64) {
        self.granted += 1;
        let id = self.granted;
        let answer = pb::LeaseGrantResponse {
            header: header(self.state.revision()),
            id,
            ttl,
            ..pb::LeaseGrantResponse::default()
        };
        let call = LeaseRequest::Grant(pb::LeaseGrantRequest { id, ttl });
        let answer = Ret::Lease(LeaseResponse::Grant(answer));
        self.record(Call::Lease(call), Outcome::Ok(answer), false);
        self.leases.insert(id, (ttl, self.lives_until(ttl)));
    }

    fn lives_until(&self, ttl: i64) -> u64 {
        self.now + 2 * HALF + ttl as u64 * SECOND
    }

    fn keep_alive(&mut self, id: i64) {
        let (ttl, _) = self.leases[&id];
        self.record(keep_alive(id), kept(self.state.revision(), id, ttl), false);
        self.leases.insert(id, (ttl, self.lives_until(ttl)));
    }

    fn revoke(&mut self, id: i64) {
        self.end(id, false);
        let revoke = LeaseRequest::Revoke(pb::LeaseRevokeRequest { id });
        let answer = LeaseResponse::Revoke(pb::LeaseRevokeResponse {
            header: header(self.state.revision()),
        });
        let outcome = Outcome::Ok(Ret::Lease(answer));
        let op = self.record(Call::Lease(revoke), outcome, false);
        self.applied.push(Applied {
            op: Some(op),
            lease: Some(id),
            revision: self.state.revision(),
        });
    }

    /// A lease ends, and its keys with it.
    fn end(&mut self, id: i64, expired: bool) {
        self.leases.remove(&id);
        let before = self.state.revision();
        let attached: Vec<Bytes> = (self.keys().into_iter())
            .filter(|kv| kv.lease == id)
            .map(|kv| kv.key)
            .collect();
        let deletes = attached.into_iter().map(|key| pb::RequestOp {
            request: Some(Sub::RequestDeleteRange(delete(key))),
        });
        let all = Call::Txn(pb::TxnRequest {
            success: deletes.collect(),
            ..pb::TxnRequest::default()
        });
        self.state.answer(&all).expect("keys can be deleted");
        self.tell(before);
        let (t, revision) = (self.now + HALF, self.state.revision());
        self.ended.push(Ended {
            lease: id,
            t,
            revision,
            expired,
        });
        if expired {
            self.applied.push(Applied {
                op: None,
                lease: Some(id),
                revision,
            });
        }
        // Whoever waited with it gives up.
        self.line.retain(|(_, lease)| *lease != id);
    }

    fn keys(&mut self) -> Vec<KeyValue> {
        let all = Call::Range(pb::RangeRequest {
            key: Bytes::from_static(&[0]),
            range_end: Bytes::from_static(&[0]),
            ..pb::RangeRequest::default()
        });
        match self.state.answer(&all) {
            Ok(Ret::Range(r)) => r.kvs,
            _ => Vec::new(),
        }
    }

    // --- locks ---

    fn holder(&self) -> Option<i64> {
        self.line.first().map(|(_, lease)| *lease)
    }

    /// The next lease stands in line. Each does once: its key is the same each time,
    /// and so would the lock be to whoever judges it.
    fn lock(&mut self) {
        let mut leases = self.leases.keys().copied();
        let Some(lease) = leases.find(|lease| !self.stood.contains(lease)) else {
            return;
        };
        self.stood.insert(lease);
        let join = pb::PutRequest {
            key: key_of(lease),
            lease,
            ..pb::PutRequest::default()
        };
        self.state.answer(&Call::Put(join)).expect("a put");
        let name = Bytes::from_static(NAME);
        let call = Call::Lock(LockRequest::Lock(Lock { name, lease }));
        let op = self.record(call, Outcome::Unknown(Why::Timeout), true);
        self.history[op as usize].ret = None;
        self.line.push((op, lease));
        self.give();
    }

    /// Whoever is first is told so.
    fn give(&mut self) {
        let (revision, now) = (self.state.revision(), self.now);
        let Some((op, lease)) = self.line.first() else {
            return;
        };
        let op = &mut self.history[*op as usize];
        if op.ret.is_none() {
            op.ret = Some(now + 2 * HALF);
            op.outcome = Outcome::Ok(locked(*lease, revision));
        }
    }

    fn unlock(&mut self, lease: i64) {
        let key = key_of(lease);
        let gone = Call::DeleteRange(delete(key.clone()));
        self.state.answer(&gone).expect("a delete");
        let answer = LockResponse::Unlock(Unlocked {
            header: header(self.state.revision()),
        });
        let call = Call::Lock(LockRequest::Unlock(Unlock { key }));
        self.record(call, Outcome::Ok(Ret::Lock(answer)), true);
        self.line.remove(0);
    }

    // --- watches, and time ---

    fn open_watch(&mut self, client: u32) {
        let create = pb::WatchCreateRequest {
            key: "a".into(),
            range_end: "f".into(),
            prev_kv: true,
            start_revision: 2,
            ..pb::WatchCreateRequest::default()
        };
        let request = pb::watch_request::RequestUnion::CreateRequest(create);
        let created = pb::WatchResponse {
            header: header(1),
            created: true,
            ..pb::WatchResponse::default()
        };
        self.streams.push(Stream {
            id: client.into(),
            client: 1_000_000 + client,
            member: 1,
            token: String::new(),
            said: vec![Said {
                t: 0,
                message: Call::Watch(pb::WatchRequest {
                    request_union: Some(request),
                }),
            }],
            heard: vec![Heard {
                t: 1,
                message: Ret::Watch(created),
            }],
            end: None,
        });
    }

    /// Tells those who watch what was changed since a revision.
    fn tell(&mut self, before: i64) {
        let revision = self.state.revision();
        if revision == before {
            return;
        }
        let event = |kv: &pb::KeyValue| event_of(kv, self.state.key_at(&kv.key, before));
        let events = self.state.newest().map(event).collect();
        self.say(pb::WatchResponse {
            header: header(revision),
            events,
            ..pb::WatchResponse::default()
        });
    }

    fn say(&mut self, response: pb::WatchResponse) {
        for stream in &mut self.streams {
            stream.heard.push(Heard {
                t: self.now + 3 * HALF,
                message: Ret::Watch(response.clone()),
            });
        }
    }

    /// Time goes on: leases expire, who is next is given the lock, and now and then
    /// progress is confirmed.
    fn step(&mut self) {
        self.now += STEP;
        let over = self.leases.iter().find(|(_, (_, end))| *end <= self.now);
        if let Some((id, _)) = over {
            self.end(*id, true);
            self.now += STEP;
        }
        self.give();
        if (self.now / STEP).is_multiple_of(9) {
            self.say(pb::WatchResponse {
                header: header(self.state.revision()),
                ..pb::WatchResponse::default()
            });
        }
        self.now += STEP;
    }
}

pub(super) fn keep_alive(id: i64) -> Call {
    Call::Lease(LeaseRequest::KeepAlive(pb::LeaseKeepAliveRequest { id }))
}

pub(super) fn kept(revision: i64, id: i64, ttl: i64) -> Outcome {
    let answer = pb::LeaseKeepAliveResponse {
        header: header(revision),
        id,
        ttl,
    };
    Outcome::Ok(Ret::Lease(LeaseResponse::KeepAlive(answer)))
}

pub(super) fn locked(lease: i64, revision: i64) -> Ret {
    Ret::Lock(LockResponse::Lock(Locked {
        header: header(revision),
        key: key_of(lease),
    }))
}

pub(super) fn read_all() -> Call {
    Call::Range(pb::RangeRequest {
        key: "a".into(),
        range_end: "f".into(),
        ..pb::RangeRequest::default()
    })
}
