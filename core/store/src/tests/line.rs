//! etcd's lock and election services: keys, order, errors, and what becomes of
//! those who wait.

use super::bench::{Bench, SECOND, SESSION, bytes, config, del, get, put};
use super::crash_disk::CrashDisk;
use squall_api::pb::v3electionpb::{
    CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest,
};
use squall_api::pb::v3lockpb::{LockRequest as Lock, UnlockRequest as Unlock};
use squall_api::pb::{self, KeyValue};
use squall_api::{
    Bug, Bugs, Effect, ElectionRequest, ElectionResponse, Input, LaneMsg, LeaseRequest,
    LockRequest, LockResponse, Metadata, ReqId, Request, Response, SessionId,
};
use std::collections::BTreeMap;

/// A member that Raft always agrees with, and what its clients were told.
struct Line {
    bench: Bench,
    said: BTreeMap<ReqId, Vec<String>>,
    last: u64,
}

fn lock(name: &str, lease: i64) -> Request {
    let name = bytes(name);
    Request::Lock(LockRequest::Lock(Lock { name, lease }))
}

fn unlock(key: &str) -> Request {
    Request::Lock(LockRequest::Unlock(Unlock { key: bytes(key) }))
}

fn campaign(name: &str, lease: i64, value: &str) -> Request {
    Request::Election(ElectionRequest::Campaign(CampaignRequest {
        name: bytes(name),
        lease,
        value: bytes(value),
    }))
}

fn leader_key(name: &str, lease: i64, rev: i64) -> Option<LeaderKey> {
    Some(LeaderKey {
        name: bytes(name),
        key: bytes(&format!("{name}/{lease:x}")),
        rev,
        lease,
    })
}

fn proclaim(leader: Option<LeaderKey>, value: &str) -> Request {
    let value = bytes(value);
    Request::Election(ElectionRequest::Proclaim(ProclaimRequest { leader, value }))
}

fn resign(leader: Option<LeaderKey>) -> Request {
    Request::Election(ElectionRequest::Resign(ResignRequest { leader }))
}

fn leader(name: &str) -> Request {
    Request::Election(ElectionRequest::Leader(LeaderRequest { name: bytes(name) }))
}

fn observe(name: &str) -> Request {
    Request::Election(ElectionRequest::Observe(LeaderRequest {
        name: bytes(name),
    }))
}

fn revoke(id: i64) -> Request {
    Request::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id }))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn leads(kv: Option<&KeyValue>) -> String {
    let kv = kv.expect("a leader has a key");
    format!("{}={} leads", text(&kv.key), text(&kv.value))
}

fn show(response: &Response) -> String {
    let what = match response {
        Response::Lock(LockResponse::Lock(r)) => format!("holds {}", text(&r.key)),
        Response::Lock(LockResponse::Unlock(_)) => "unlocked".into(),
        Response::Election(ElectionResponse::Campaign(r)) => {
            let leader = r.leader.as_ref().expect("who won has a key");
            format!("won {} of {}", text(&leader.key), leader.rev)
        }
        Response::Election(ElectionResponse::Proclaim(_)) => "proclaimed".into(),
        Response::Election(ElectionResponse::Resign(_)) => "resigned".into(),
        Response::Election(ElectionResponse::Leader(r)) => leads(r.kv.as_ref()),
        Response::Election(ElectionResponse::Observe(r)) => leads(r.kv.as_ref()),
        other => return super::bench::show(other),
    };
    let header = response.header().expect("each of these has a header");
    format!("{}: {what}", header.revision)
}

impl Line {
    fn new() -> Line {
        Line::with(Bugs::NONE)
    }

    fn with(bugs: Bugs) -> Line {
        let disk = CrashDisk::default().shared();
        let bench = Bench::open_with(&disk, config(), bugs).unwrap();
        let mut line = Line {
            bench,
            said: BTreeMap::new(),
            last: 100,
        };
        for id in [1, 2, 3, 0xff] {
            let grant = pb::LeaseGrantRequest { id, ttl: 1_000 };
            line.say(Request::Lease(LeaseRequest::Grant(grant)));
        }
        line
    }

    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for effect in self.bench.step(input).unwrap() {
                match effect {
                    Effect::Reply { id, result, .. } => {
                        assert!(!id.is_own(), "{result:?} left the member");
                        let text = result.map_or_else(|s| s.to_string(), |r| show(&r));
                        self.said.entry(id).or_default().push(text);
                    }
                    Effect::Lane(LaneMsg::Propose { data, .. }) => {
                        inputs.insert(0, Input::Lane(self.bench.entry(data)));
                    }
                    Effect::Lane(LaneMsg::ReadIndex { ctx }) => {
                        let index = self.bench.index;
                        inputs.insert(0, Input::Lane(LaneMsg::Readable { ctx, index }));
                    }
                    _ => {}
                }
            }
        }
    }

    fn open_on(&mut self, session: SessionId, req: Request) -> ReqId {
        self.last += 1;
        let id = ReqId(self.last);
        let meta = self.bench.meta.clone();
        self.step(Input::Request {
            id,
            session,
            meta,
            req: Box::new(req),
        });
        id
    }

    fn open(&mut self, req: Request) -> ReqId {
        self.open_on(SESSION, req)
    }

    /// What was said to a call since it was last looked at.
    fn told(&mut self, id: ReqId) -> String {
        self.said.remove(&id).unwrap_or_default().join(", ")
    }

    fn say(&mut self, req: Request) -> String {
        let id = self.open(req);
        self.told(id)
    }

    fn keys(&mut self) -> String {
        self.say(Request::Range(get("\0", "\0")))
    }
}

const GONE: &str = "Unknown: mutex: session is expired";
const NOT_LEADER: &str = "Unknown: election: not leader";

#[test]
fn a_lock_is_held_by_one_after_the_other() {
    let mut line = Line::new();
    assert_eq!(line.say(lock("l", 0xff)), "2: holds l/ff");
    let (second, third) = (line.open(lock("l", 1)), line.open(lock("l", 2)));
    assert_eq!(
        (line.told(second), line.told(third)),
        ("".into(), "".into())
    );
    assert_eq!(
        line.say(lock("l", 0xff)),
        "4: holds l/ff",
        "it has it already"
    );
    assert_eq!(line.say(lock("other", 3)), "5: holds other/3");
    assert_eq!(line.say(unlock("l/ff")), "6: unlocked");
    assert_eq!(line.told(second), "6: holds l/1");
    assert_eq!(line.told(third), "");
    assert_eq!(line.say(revoke(1)), "7: revoked");
    assert_eq!(line.told(third), "7: holds l/2");
    assert_eq!(line.say(unlock("l/2")), "8: unlocked");
    assert_eq!(
        line.say(unlock("l/2")),
        "8: unlocked",
        "as in etcd, twice is no error"
    );
    assert_eq!(line.keys(), "8: [other/3=(5,5,1)] of 1");
}

#[test]
fn who_gives_up_leaves_the_line() {
    let mut line = Line::new();
    line.say(lock("l", 1));
    let second = line.open_on(SessionId(9), lock("l", 2));
    let third = line.open(lock("l", 3));
    line.step(Input::Cancel(third));
    assert_eq!(line.keys(), "5: [l/1=(2,2,1) l/2=(3,3,1)] of 2");
    let third = line.open(lock("l", 3));
    line.step(Input::Closed(SessionId(9)));
    assert_eq!(line.keys(), "7: [l/1=(2,2,1) l/3=(6,6,1)] of 2");
    assert_eq!(line.told(third), "", "the first still has the lock");
    line.say(unlock("l/1"));
    assert_eq!(
        (line.told(second), line.told(third)),
        ("".into(), "8: holds l/3".into())
    );
}

#[test]
fn whose_lease_ends_while_it_waits_never_holds_the_lock() {
    let mut line = Line::new();
    line.say(lock("l", 1));
    let waits = line.open(lock("l", 2));
    line.say(revoke(2));
    assert_eq!(
        line.told(waits),
        "",
        "as in etcd, it learns when it is its turn"
    );
    line.say(unlock("l/1"));
    assert_eq!(line.told(waits), GONE);
    let waits = {
        line.say(campaign("e", 1, "one"));
        line.open(campaign("e", 3, "three"))
    };
    line.say(revoke(3));
    line.say(revoke(1));
    assert_eq!(line.told(waits), NOT_LEADER);
    let unknown = "NotFound: etcdserver: requested lease not found";
    assert_eq!(line.say(lock("l", 77)), unknown);
    assert_eq!(line.say(campaign("e", 77, "")), unknown);
}

#[test]
fn the_member_gives_a_lease_of_a_minute_to_who_has_none() {
    let mut line = Line::new();
    let said = line.say(lock("l", 0));
    assert!(said.starts_with("2: holds l/"), "{said}");
    let lease = i64::from_str_radix(said.rsplit('/').next().unwrap(), 16).unwrap();
    assert!(lease > 0);
    let leases = line.say(Request::Lease(LeaseRequest::Leases(
        pb::LeaseLeasesRequest {},
    )));
    assert!(leases.contains(&lease.to_string()), "{leases}");
}

#[test]
fn an_election_is_won_proclaimed_and_given_up_as_in_etcd() {
    let mut line = Line::new();
    assert_eq!(line.say(leader("e")), "Unknown: election: no leader");
    assert_eq!(line.say(campaign("e", 1, "a")), "2: won e/1 of 2");
    assert_eq!(line.say(leader("e")), "2: e/1=a leads");
    let second = line.open(campaign("e", 2, "b"));
    assert_eq!(
        line.say(proclaim(leader_key("e", 1, 2), "a2")),
        "4: proclaimed"
    );
    assert_eq!(line.say(leader("e")), "4: e/1=a2 leads");
    assert_eq!(
        line.say(campaign("e", 1, "a3")),
        "4: won e/1 of 2",
        "with another value"
    );
    assert_eq!(line.say(leader("e")), "5: e/1=a3 leads");
    assert_eq!(line.say(proclaim(leader_key("e", 1, 7), "x")), NOT_LEADER);
    assert_eq!(
        line.say(resign(leader_key("e", 1, 7))),
        "5: resigned",
        "of nothing"
    );
    assert_eq!(line.told(second), "");
    assert_eq!(line.say(resign(leader_key("e", 1, 2))), "6: resigned");
    assert_eq!(line.told(second), "3: won e/2 of 3");
    assert_eq!(line.say(leader("e")), "6: e/2=b leads");
    assert_eq!(line.say(proclaim(leader_key("e", 1, 2), "x")), NOT_LEADER);
    let missing = "Unknown: \"leader\" field must be provided";
    assert_eq!(line.say(proclaim(None, "x")), missing);
    assert_eq!(line.say(resign(None)), missing);
}

#[test]
fn observers_are_told_of_every_leader_in_order() {
    let mut line = Line::new();
    let early = line.open(observe("e"));
    assert_eq!(line.told(early), "", "nobody leads");
    line.say(campaign("e", 1, "a"));
    let late = line.open(observe("e"));
    let second = line.open(campaign("e", 2, "b"));
    line.say(proclaim(leader_key("e", 1, 2), "a2"));
    line.say(put_elsewhere());
    line.say(resign(leader_key("e", 1, 2)));
    line.told(second);
    line.say(revoke(2));
    let all = "2: e/1=a leads, 4: e/1=a2 leads, 6: e/2=b leads";
    assert_eq!(line.told(early), all);
    assert_eq!(line.told(late), all);
    line.step(Input::Cancel(late));
    line.say(campaign("e", 3, "c"));
    assert_eq!(line.told(late), "");
    assert_eq!(line.told(early), "8: e/3=c leads");
}

fn put_elsewhere() -> Request {
    Request::Put(put("else", "v"))
}

#[test]
fn a_slow_observer_is_told_of_the_last_leader_when_it_takes_again() {
    let mut line = Line::new();
    line.say(campaign("e", 1, "0"));
    let id = line.open(observe("e"));
    let window = config().watch_window;
    for n in 0..2 * window {
        line.say(proclaim(leader_key("e", 1, 2), &n.to_string()));
    }
    let told = line.told(id);
    assert_eq!(told.split(", ").count(), window as usize);
    let answers = window;
    line.step(Input::Taken { id, answers });
    let last = 2 * window - 1;
    assert_eq!(
        line.told(id),
        format!("{}: e/1={last} leads", 2 + 2 * window)
    );
}

#[test]
fn a_call_waits_for_as_long_as_its_client_does_and_hears_of_the_end() {
    let mut line = Line::new();
    line.say(lock("l", 1));
    let waits = line.open(lock("l", 2));
    let observes = line.open(observe("l"));
    line.told(observes);
    line.bench.now.mono += 30 * SECOND;
    line.step(Input::Deadline);
    assert_eq!(line.told(waits), "");
    let effects = line.bench.stop_with_effects();
    let mut ended = Vec::new();
    for effect in effects {
        if let Effect::Reply { id, result, last } = effect {
            assert!(last && !id.is_own());
            assert_eq!(
                result.unwrap_err().to_string(),
                "Unavailable: etcdserver: server stopped"
            );
            ended.push(id);
        }
    }
    assert_eq!(ended, [waits, observes]);
}

#[test]
fn without_a_leader_who_requires_one_hears_so() {
    let mut line = Line::new();
    let lead = |line: &mut Line, leader| {
        line.step(Input::Lane(LaneMsg::Leader { term: 1, leader }));
    };
    lead(&mut line, 2);
    line.bench.meta = Metadata {
        require_leader: true,
        ..Metadata::default()
    };
    let observes = line.open(observe("e"));
    let waits = {
        line.say(lock("l", 1));
        line.open(lock("l", 2))
    };
    lead(&mut line, 0);
    let none = "Unavailable: etcdserver: no leader";
    assert_eq!(line.say(lock("l", 3)), none, "at once");
    line.bench.now.mono += 3 * config().election_timeout;
    line.step(Input::Deadline);
    assert_eq!(line.told(observes), none);
    assert_eq!(line.told(waits), "", "as in etcd, only streams are ended");
}

#[test]
fn after_a_snapshot_everybody_looks_again() {
    let mut line = Line::new();
    line.say(lock("l", 1));
    let waits = line.open(lock("l", 2));
    let observes = line.open(observe("e"));
    // Another member, with the same log, and more.
    let mut other = Line::new();
    other.say(lock("l", 1));
    other.open(lock("l", 2));
    other.say(unlock("l/1"));
    other.say(campaign("e", 3, "c"));
    let snapshot = other.bench.snapshot();
    line.bench.index = other.bench.index;
    line.step(Input::Lane(LaneMsg::Install(snapshot)));
    assert_eq!(line.told(waits), "5: holds l/2");
    assert_eq!(line.told(observes), "5: e/3=c leads");
}

/// What planted bugs change of three short stories.
fn stories(bugs: Bugs) -> Vec<String> {
    let mut said = Vec::new();
    let mut line = Line::with(bugs);
    let observes = line.open(observe("l"));
    line.say(lock("l", 3));
    let (second, third) = (line.open(lock("l", 2)), line.open(lock("l", 1)));
    line.step(Input::Cancel(second));
    said.push(line.told(third));
    said.push(line.told(observes));
    said.push(line.say(lock("l", 3)));
    let mut line = Line::with(bugs);
    line.say(lock("l", 1));
    let waits = line.open(lock("l", 2));
    line.say(revoke(2));
    line.say(unlock("l/1"));
    said.push(line.told(waits));
    let mut line = Line::with(bugs);
    line.say(campaign("e", 1, "a"));
    line.say(Request::DeleteRange(del("e/1", "")));
    said.push(line.say(proclaim(leader_key("e", 1, 2), "late")));
    line.say(campaign("e", 1, "b"));
    line.say(resign(leader_key("e", 1, 2)));
    said.push(line.say(leader("e")));
    said
}

#[test]
fn each_planted_bug_changes_a_story() {
    let right = stories(Bugs::NONE);
    for bug in [
        Bug::HoldAfterExpiry,
        Bug::LineByKey,
        Bug::ObserveCandidates,
        Bug::RelockWaits,
        Bug::UnguardedProclaim,
        Bug::UnguardedResign,
        Bug::WakeWithoutLooking,
    ] {
        assert_ne!(stories(Bugs::NONE.with(bug)), right, "{bug:?}");
    }
}
