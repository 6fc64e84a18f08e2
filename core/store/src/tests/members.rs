//! Whole members, both lanes each, on a network that loses nothing but what a
//! test cuts off.

use super::bench::{IntoOp as _, config, del, env, get, put, replies, show, txn};
use super::crash_disk::CrashDisk;
use crate::{ApplyLane, RaftLane};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::{
    Bug, Bugs, ClusterRequest, Config, Effect, Effects, Env, Fatal, Input, Machine as _,
    MaintenanceRequest, Metadata, NoStamp, Now, ReqId, Request, Response, SessionId, Status, pb,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const MILLISECOND: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Lane {
    Raft,
    Apply,
}

struct Member {
    disk: CrashDisk,
    raft: RaftLane,
    apply: ApplyLane,
}

struct Cluster {
    members: BTreeMap<u64, Member>,
    inputs: VecDeque<(u64, Lane, Input)>,
    answers: BTreeMap<ReqId, Result<Response, Status>>,
    cut_off: BTreeSet<u64>,
    /// Members that ended because they were removed.
    removed: BTreeSet<u64>,
    marks: BTreeSet<&'static str>,
    now: Now,
    last_req: u64,
}

fn member_config(id: u64) -> Config {
    Config {
        id,
        snapshot_entries: 10,
        catch_up_entries: 5,
        backend_commit_entries: 4,
        ..config()
    }
}

fn open(id: u64, incarnation: u64, disk: CrashDisk, now: Now) -> Member {
    open_with(id, incarnation, disk, now, Bugs::NONE)
}

fn open_with(id: u64, incarnation: u64, disk: CrashDisk, now: Now, bugs: Bugs) -> Member {
    let mut cfg = member_config(id);
    if id > 3 {
        cfg.voters.clear();
    }
    let env = Env {
        rng: ChaCha8Rng::seed_from_u64(id + 100 * incarnation),
        bugs,
        ..env(&disk.shared(), cfg)
    };
    let (raft, apply) = crate::open(env, now).unwrap();
    Member { disk, raft, apply }
}

impl Cluster {
    fn new() -> Cluster {
        Cluster::with(Bugs::NONE)
    }

    fn with(bugs: Bugs) -> Cluster {
        let now = Now::default();
        let open = |id| open_with(id, 0, CrashDisk::default(), now, bugs);
        let members = [1, 2, 3].map(|id| (id, open(id)));
        let mut cluster = Cluster {
            members: members.into(),
            inputs: VecDeque::new(),
            answers: BTreeMap::new(),
            cut_off: BTreeSet::new(),
            removed: BTreeSet::new(),
            marks: BTreeSet::new(),
            now,
            last_req: 0,
        };
        cluster.run(4_000);
        cluster
    }

    /// Lets `milliseconds` pass.
    fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now.mono += MILLISECOND;
            for (&id, member) in &self.members {
                if member.raft.deadline().is_some_and(|at| at <= self.now.mono) {
                    self.inputs.push_back((id, Lane::Raft, Input::Deadline));
                }
                if member
                    .apply
                    .deadline()
                    .is_some_and(|at| at <= self.now.mono)
                {
                    self.inputs.push_back((id, Lane::Apply, Input::Deadline));
                }
                for (sync, result) in member.disk.finish_syncs() {
                    let input = Input::Synced { id: sync, result };
                    self.inputs.push_back((id, Lane::Raft, input));
                }
            }
            while let Some((id, lane, input)) = self.inputs.pop_front() {
                self.step(id, lane, input);
            }
            self.members.retain(|id, _| !self.removed.contains(id));
        }
    }

    fn step(&mut self, id: u64, lane: Lane, input: Input) {
        let mut fx = Effects::new(Arc::new(NoStamp));
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let (outcome, other) = match lane {
            Lane::Raft => (member.raft.step(self.now, input, &mut fx), Lane::Apply),
            Lane::Apply => (member.apply.step(self.now, input, &mut fx), Lane::Raft),
        };
        match outcome {
            Ok(()) => {}
            Err(Fatal::Removed) => {
                self.removed.insert(id);
            }
            Err(fatal) => panic!("member {id}: {fatal}"),
        }
        let effects: Vec<Effect> = fx.drain().map(|(_, effect)| effect).collect();
        for (req, result) in replies(&effects) {
            let before = self.answers.insert(req, result);
            assert!(before.is_none(), "{req:?} was answered twice");
        }
        for effect in effects {
            match effect {
                Effect::Send(frame) => {
                    if !self.cut_off.contains(&id) && !self.cut_off.contains(&frame.to) {
                        let lane = match frame.is_for_raft() {
                            true => Lane::Raft,
                            false => Lane::Apply,
                        };
                        let to = frame.to;
                        self.inputs.push_back((to, lane, Input::Peer(frame)));
                    }
                }
                Effect::Lane(msg) => self.inputs.push_back((id, other, Input::Lane(msg))),
                Effect::Mark(mark) => {
                    self.marks.insert(mark);
                }
                Effect::Reply { .. } | Effect::View(_) => {}
            }
        }
    }

    fn call(&mut self, member: u64, req: Request) -> String {
        self.last_req += 1;
        let id = ReqId(self.last_req);
        let session = SessionId(member);
        let input = Input::Request {
            id,
            session,
            meta: Metadata::default(),
            req: Box::new(req),
        };
        self.inputs.push_back((member, Lane::Apply, input));
        for _ in 0..8_000 {
            if let Some(answer) = self.answers.remove(&id) {
                return answer.map_or_else(|status| status.to_string(), |r| show(&r));
            }
            self.run(1);
        }
        panic!("{id:?} was not answered in 8 seconds");
    }

    fn hashes(&mut self) -> BTreeSet<String> {
        let all: Vec<u64> = self.members.keys().copied().collect();
        all.into_iter()
            .map(|id| {
                self.last_req += 1;
                let req = ReqId(self.last_req);
                let input = Input::Request {
                    id: req,
                    session: SessionId(id),
                    meta: Metadata::default(),
                    req: Box::new(Request::HashKv(pb::HashKvRequest::default())),
                };
                self.step(id, Lane::Apply, input);
                match self.answers.remove(&req) {
                    Some(Ok(Response::HashKv(r))) => format!("{} at {}", r.hash, r.hash_revision),
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }

    fn restart(&mut self, id: u64, fate: u64) {
        let old = self.members.remove(&id).unwrap();
        old.disk.fail_at(0);
        let disk = old.disk.after_power_loss(fate);
        self.inputs.retain(|(to, ..)| *to != id);
        self.members.insert(id, open(id, fate + 1, disk, self.now));
    }
}

fn put_req(i: u64) -> Request {
    Request::Put(put(&format!("k{}", i % 7), &i.to_string()))
}

#[test]
fn every_member_serves_reads_and_writes_of_one_history() {
    let mut cluster = Cluster::new();
    for i in 0..12 {
        let writer = i % 3 + 1;
        let reader = (i + 1) % 3 + 1;
        assert_eq!(cluster.call(writer, put_req(i)), format!("{}: put", i + 2));
        let got = cluster.call(reader, Request::Range(get(&format!("k{}", i % 7), "")));
        assert!(got.contains(&format!("={i}(")), "{got} after put {i}");
    }
    let read = txn(vec![], vec![get("k1", "").op()], vec![]);
    let got = cluster.call(2, Request::Txn(read));
    assert_eq!(got, "13: then {13: [k1=8(3,10,2)] of 1}");
    assert_eq!(
        cluster.call(3, Request::DeleteRange(del("\0", "\0"))),
        "14: deleted 7"
    );
    cluster.run(500);
    assert_eq!(cluster.hashes().len(), 1);
}

#[test]
fn a_member_that_was_cut_off_catches_up_from_a_snapshot() {
    let mut cluster = Cluster::new();
    cluster.call(1, put_req(0));
    cluster.cut_off.insert(3);
    for i in 1..60 {
        let said = cluster.call(i % 2 + 1, put_req(i));
        // Cutting off a leader costs an election, and some answers.
        assert!(
            said.ends_with("put") || said.starts_with("Unavailable"),
            "{said}"
        );
    }
    cluster.cut_off.clear();
    cluster.run(5_000);
    for mark in ["apply.took_snapshot", "apply.installed_snapshot"] {
        assert!(cluster.marks.contains(mark), "{:?}", cluster.marks);
    }
    assert_eq!(cluster.hashes().len(), 1);
    let said = cluster.call(3, put_req(60));
    assert!(said.ends_with("put"), "{said}");
}

#[test]
fn leadership_moves_to_the_member_that_was_named() {
    let mut cluster = Cluster::new();
    for to in [2, 3, 1, 1, 2] {
        let request = MaintenanceRequest::MoveLeader(pb::MoveLeaderRequest { target_id: to });
        let asked = [1, 2, 3].map(|id| cluster.call(id, Request::Maintenance(request.clone())));
        let moved = asked.iter().filter(|said| said.contains("MoveLeader"));
        assert!(moved.count() > 0, "{asked:?}");
        assert!(
            cluster.members[&to].raft.is_leader(),
            "{to} was to lead: {asked:?}"
        );
        let said = cluster.call(to % 3 + 1, put_req(to));
        assert!(said.ends_with("put"), "{said}");
    }
}

#[test]
fn members_that_lose_power_lose_no_acknowledged_write() {
    let mut cluster = Cluster::new();
    let mut acknowledged = 0;
    for round in 0..9 {
        for i in 0..7 {
            let value = round * 7 + i;
            let said = cluster.call((value % 3) + 1, Request::Put(put(&format!("w{value}"), "")));
            acknowledged += u64::from(said.ends_with("put"));
        }
        cluster.restart(round % 3 + 1, round);
        cluster.run(4_000);
    }
    let everything = pb::RangeRequest {
        count_only: true,
        ..get("w", "x")
    };
    let said = cluster.call(1, Request::Range(everything));
    let count: u64 = said.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        acknowledged > 50,
        "only {acknowledged} writes were answered"
    );
    assert!(
        count >= acknowledged,
        "{count} of {acknowledged} writes are there"
    );
    cluster.run(500);
    assert_eq!(cluster.hashes().len(), 1);
}

fn add(is_learner: bool) -> Request {
    Request::Cluster(ClusterRequest::MemberAdd(pb::MemberAddRequest {
        is_learner,
        ..pb::MemberAddRequest::default()
    }))
}

fn remove(id: u64) -> Request {
    Request::Cluster(ClusterRequest::MemberRemove(pb::MemberRemoveRequest { id }))
}

fn promote(id: u64) -> Request {
    Request::Cluster(ClusterRequest::MemberPromote(pb::MemberPromoteRequest {
        id,
    }))
}

fn list() -> Request {
    Request::Cluster(ClusterRequest::MemberList(pb::MemberListRequest {
        linearizable: true,
    }))
}

impl Cluster {
    fn leader(&self) -> u64 {
        let leads = |(_, m): &(&u64, &Member)| m.raft.is_leader();
        let leader = self.members.iter().find(leads);
        *leader.expect("somebody leads").0
    }

    fn start(&mut self, id: u64) {
        let member = open(id, 0, CrashDisk::default(), self.now);
        self.members.insert(id, member);
    }
}

#[test]
fn a_member_joins_as_a_learner_is_promoted_and_removed() {
    let mut cluster = Cluster::new();
    for i in 0..30 {
        cluster.call(1, put_req(i));
    }
    assert_eq!(cluster.call(1, add(true)), "31: members 1 2 3 (4)");
    cluster.start(4);
    cluster.run(3_000);
    assert!(cluster.marks.contains("raft.asked_for_snapshot"));
    assert_eq!(cluster.call(2, promote(4)), "31: members 1 2 3 4");
    cluster.run(500);
    assert_eq!(cluster.hashes().len(), 1);
    let again = cluster.call(2, promote(4));
    assert!(again.contains("can only promote a learner"), "{again}");
    let update = Request::Cluster(ClusterRequest::MemberUpdate(pb::MemberUpdateRequest {
        id: 4,
        peer_ur_ls: vec!["http://n4".into()],
    }));
    assert_eq!(cluster.call(4, update), "31: members 1 2 3 4http://n4");
    assert_eq!(cluster.call(4, put_req(30)), "32: put");

    assert_eq!(cluster.call(1, remove(4)), "32: members 1 2 3");
    cluster.run(3_000);
    assert_eq!(cluster.removed, BTreeSet::from([4]));
    let again = cluster.call(1, remove(4));
    assert!(again.contains("member not found"), "{again}");
    assert_eq!(cluster.call(1, add(false)), "32: members 1 2 3 5");
}

#[test]
fn a_learner_is_promoted_when_it_has_caught_up_whoever_is_asked() {
    let mut cluster = Cluster::new();
    for i in 0..30 {
        cluster.call(1, put_req(i));
    }
    assert_eq!(cluster.call(1, add(true)), "31: members 1 2 3 (4)");
    let unready = "FailedPrecondition: etcdserver: can only promote a learner member which is in \
                   sync with leader";
    for asked in 1..=3 {
        assert_eq!(cluster.call(asked, promote(4)), unready, "never started");
    }
    cluster.start(4);
    cluster.run(3_000);
    // Cut off, it may fall behind by no more than a tenth.
    cluster.cut_off.insert(4);
    for i in 0..10 {
        cluster.call(1, put_req(i));
    }
    let leader = cluster.leader();
    for asked in [leader, leader % 3 + 1] {
        assert_eq!(cluster.call(asked, promote(4)), unready);
    }
    cluster.cut_off.clear();
    cluster.run(1_000);
    let follower = cluster.leader() % 3 + 1;
    assert_eq!(cluster.call(follower, promote(4)), "41: members 1 2 3 4");

    let mut planted = Cluster::with(Bugs::NONE.with(Bug::PromoteUnready));
    planted.call(1, add(true));
    assert_eq!(planted.call(1, promote(4)), "1: members 1 2 3 4");
}

#[test]
fn a_promotion_waits_for_a_leader_and_for_no_longer_than_others() {
    let mut cluster = Cluster::new();
    cluster.call(1, add(true));
    cluster.start(4);
    cluster.run(2_000);
    let leader = cluster.leader();
    let asked = leader % 3 + 1;
    // The leader goes; whoever is asked finds the next one.
    cluster.cut_off.insert(leader);
    assert_eq!(cluster.call(asked, promote(4)), "1: members 1 2 3 4");
    cluster.cut_off = (1..=4).filter(|id| *id != asked).collect();
    let said = cluster.call(asked, remove(4));
    assert!(said.starts_with("Unavailable"), "{said}");
}

#[test]
fn a_removed_leader_hands_the_cluster_to_the_others_and_ends() {
    let mut cluster = Cluster::new();
    let leader = cluster.leader();
    let other = leader % 3 + 1;
    cluster.call(other, put_req(0));
    let said = cluster.call(other, remove(leader));
    assert!(said.starts_with("2: members"), "{said}");
    cluster.run(6_000);
    assert_eq!(cluster.removed, BTreeSet::from([leader]));
    assert_ne!(cluster.leader(), leader);
    assert_eq!(cluster.call(other, put_req(1)), "3: put");
}

#[test]
fn membership_survives_a_loss_of_power_and_no_change_is_made_twice() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.call(1, add(true)), "1: members 1 2 3 (4)");
    cluster.start(4);
    cluster.run(2_000);
    assert_eq!(cluster.call(1, promote(4)), "1: members 1 2 3 4");
    // Some lose power before their backend has the promotion, some after.
    for round in 0..4 {
        cluster.restart(round + 1, round);
        cluster.run(if round % 2 == 0 { 20 } else { 3_000 });
    }
    cluster.run(4_000);
    for id in 1..=4 {
        assert_eq!(
            cluster.call(id, list()),
            "1: members 1 2 3 4",
            "member {id}"
        );
    }
    assert_eq!(cluster.call(2, remove(3)), "1: members 1 2 4");
    cluster.run(2_000);
    cluster.restart(4, 9);
    cluster.run(3_000);
    assert_eq!(cluster.call(4, list()), "1: members 1 2 4");
}

#[test]
fn a_learner_answers_from_what_it_has_and_nothing_else() {
    let said = |bugs: Bugs| {
        let mut cluster = Cluster::new();
        cluster.call(1, put_req(1));
        cluster.call(1, add(true));
        let learner = open_with(4, 0, CrashDisk::default(), cluster.now, bugs);
        cluster.members.insert(4, learner);
        cluster.run(3_000);
        let here = pb::RangeRequest {
            serializable: true,
            ..get("k1", "")
        };
        let calls = [
            Request::Range(here),
            Request::Range(get("k1", "")),
            put_req(2),
            list(),
        ];
        calls.map(|call| cluster.call(4, call))
    };
    let [here, others @ ..] = said(Bugs::NONE);
    assert!(here.contains("k1=1"), "{here}");
    for other in others {
        assert!(other.contains("not supported for learner"), "{other}");
    }
    // Its harm is that it answers; what it answers is right.
    let planted = said(Bugs::NONE.with(Bug::LearnerServes));
    assert!(planted[1].contains("k1=1"), "{planted:?}");
}

#[test]
fn who_was_removed_unheard_is_told_and_ends_voters_and_learners() {
    for (is_learner, bugs) in [
        (false, Bugs::NONE),
        (true, Bugs::NONE),
        (false, Bugs::NONE.with(Bug::RemovedUnheard)),
    ] {
        let mut cluster = Cluster::with(bugs);
        cluster.call(1, add(is_learner));
        let newcomer = open_with(4, 0, CrashDisk::default(), cluster.now, bugs);
        cluster.members.insert(4, newcomer);
        cluster.run(3_000);
        cluster.cut_off.insert(4);
        let said = cluster.call(1, remove(4));
        assert!(!said.contains("id 4"), "{said}");
        cluster.run(10_000);
        assert!(cluster.members.contains_key(&4), "who told it?");
        cluster.cut_off.clear();
        cluster.run(10_000);
        let was_told = !bugs.has(Bug::RemovedUnheard);
        assert_eq!(!cluster.members.contains_key(&4), was_told);
        assert_eq!(cluster.marks.contains("apply.heard_of_removal"), was_told);
        // Members who were cut off themselves are told nothing of the kind.
        cluster.cut_off.insert(3);
        cluster.run(10_000);
        cluster.cut_off.clear();
        cluster.run(10_000);
        assert!([1, 2, 3].iter().all(|id| cluster.members.contains_key(id)));
    }
}

#[test]
fn only_members_are_believed_that_say_who_was_removed() {
    use squall_api::pb::peer::{Forwarded, Removed, forwarded::Body};
    use squall_api::{PeerBody, PeerFrame, VERSION};
    for (from, is_believed) in [(9, false), (2, true)] {
        let mut cluster = Cluster::new();
        let frame = PeerFrame {
            cluster: config().cluster,
            from,
            to: 1,
            version: VERSION,
            body: PeerBody::Forwarded(Box::new(Forwarded {
                id: 7,
                body: Some(Body::Removed(Removed {})),
            })),
        };
        cluster
            .inputs
            .push_back((1, Lane::Apply, Input::Peer(frame)));
        cluster.run(10);
        assert_eq!(!cluster.members.contains_key(&1), is_believed, "n{from}");
    }
}
