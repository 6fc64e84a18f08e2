//! A lane on a test disk, with the Raft lane played by hand.

use super::crash_disk::CrashDisk;
use crate::ApplyLane;
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, Snapshot};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::pb::{self, compare, request_op, response_op};
use squall_api::{
    ApplyView, Bugs, Config, Disk, Effect, Effects, Env, Fatal, Input, LaneMsg, LeaseResponse,
    Machine as _, Metadata, NoStamp, Now, OpenError, ReqId, Request, Response, SessionId, Status,
    View,
};
use std::sync::Arc;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const SESSION: SessionId = SessionId(1);

pub(super) struct Bench {
    pub(super) lane: ApplyLane,
    pub(super) now: Now,
    fx: Effects,
    /// The log: every proposal is committed at once, unless a test plays Raft.
    pub(super) index: u64,
    last_req: u64,
    /// What calls come with.
    pub(super) meta: Metadata,
    /// What the last calls showed.
    pub(super) applied: Vec<ApplyView>,
    /// The data of every entry committed here.
    pub(super) log: Vec<Bytes>,
}

pub(super) fn config() -> Config {
    Config::new(0xc1, 1, vec![1, 2, 3])
}

pub(super) fn env(disk: &Arc<dyn Disk>, cfg: Config) -> Env {
    Env {
        disk: Arc::clone(disk),
        rng: ChaCha8Rng::seed_from_u64(cfg.id),
        bugs: Bugs::NONE,
        cfg,
    }
}

impl Bench {
    pub(super) fn new() -> Bench {
        let disk: Arc<dyn Disk> = CrashDisk::default().shared();
        Bench::open(&disk, config()).unwrap()
    }

    pub(super) fn open(disk: &Arc<dyn Disk>, cfg: Config) -> Result<Bench, OpenError> {
        Bench::open_with(disk, cfg, Bugs::NONE)
    }

    /// A member with `bugs` planted in it.
    pub(super) fn open_with(
        disk: &Arc<dyn Disk>,
        cfg: Config,
        bugs: Bugs,
    ) -> Result<Bench, OpenError> {
        let env = Env {
            bugs,
            ..env(disk, cfg)
        };
        let (lane, base) = ApplyLane::open(&env, Now::default())?;
        Ok(Bench {
            lane,
            now: Now::default(),
            fx: Effects::new(Arc::new(NoStamp)),
            index: base.index,
            last_req: 0,
            meta: Metadata::default(),
            applied: Vec::new(),
            log: Vec::new(),
        })
    }

    pub(super) fn step(&mut self, input: Input) -> Result<Vec<Effect>, Fatal> {
        let outcome = self.lane.step(self.now, input, &mut self.fx);
        let effects: Vec<Effect> = self.fx.drain().map(|(_, effect)| effect).collect();
        for effect in &effects {
            if let Effect::View(View::Applied(view)) = effect {
                self.applied.push(view.clone());
            }
        }
        outcome.map(|()| effects)
    }

    pub(super) fn request(&mut self, req: Request) -> (ReqId, Vec<Effect>) {
        self.last_req += 1;
        let id = ReqId(self.last_req);
        let effects = self.step(Input::Request {
            id,
            session: SESSION,
            meta: self.meta.clone(),
            req: Box::new(req),
        });
        (id, effects.unwrap())
    }

    /// Commits `data` as the next entry.
    pub(super) fn commit(&mut self, data: Bytes) -> Result<Vec<Effect>, Fatal> {
        let committed = self.entry(data);
        self.step(Input::Lane(committed))
    }

    /// The message that `data` is committed as the next entry.
    pub(super) fn entry(&mut self, data: Bytes) -> LaneMsg {
        self.index += 1;
        self.log.push(data.clone());
        let entry = Entry {
            index: self.index,
            term: 1,
            data,
            ..Entry::default()
        };
        LaneMsg::Committed(vec![entry])
    }

    /// Makes a call, with Raft agreeing at once.
    pub(super) fn call(&mut self, req: Request) -> Result<Response, Status> {
        let (id, mut effects) = self.request(req);
        // A login reads, and then proposes.
        for _ in 0..3 {
            if let Some(result) = replies(&effects).pop() {
                assert_eq!(result.0, id);
                return result.1;
            }
            // What it asks of other members meanwhile is lost.
            effects.retain(|effect| matches!(effect, Effect::Lane(_)));
            effects = match effects.pop() {
                Some(Effect::Lane(LaneMsg::Propose { data, .. })) => self.commit(data).unwrap(),
                Some(Effect::Lane(LaneMsg::ReadIndex { ctx })) => {
                    let index = self.index;
                    self.step(Input::Lane(LaneMsg::Readable { ctx, index }))
                        .unwrap()
                }
                other => panic!("neither answered nor asked of Raft: {other:?}"),
            };
        }
        panic!("no answer to {id:?}: {effects:?}")
    }

    /// Makes a call and shows the answer in one line.
    pub(super) fn say(&mut self, req: Request) -> String {
        match self.call(req) {
            Ok(response) => show(&response),
            Err(status) => status.to_string(),
        }
    }

    pub(super) fn revision(&mut self) -> i64 {
        let status = self.call(Request::Status(pb::StatusRequest {})).unwrap();
        status.header().unwrap().revision
    }

    pub(super) fn hash(&mut self, revision: i64) -> Result<pb::HashKvResponse, Status> {
        match self.call(Request::HashKv(pb::HashKvRequest { revision }))? {
            Response::HashKv(resp) => Ok(resp),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn snapshot(&mut self) -> Box<Snapshot> {
        let effects = self.step(Input::Lane(LaneMsg::WantSnapshot)).unwrap();
        effects
            .into_iter()
            .find_map(|effect| match effect {
                Effect::Lane(LaneMsg::Snapshot(snapshot)) => Some(snapshot),
                _ => None,
            })
            .expect("a snapshot was asked for")
    }

    /// Whether the lane asks for a step at this time.
    pub(super) fn lane_is_due(&self) -> bool {
        self.lane.deadline().is_some_and(|at| at <= self.now.mono)
    }

    /// Stops the lane cleanly.
    pub(super) fn stop(mut self) {
        self.stop_with_effects();
    }

    /// Stops the lane cleanly, and shows what it did last.
    pub(super) fn stop_with_effects(&mut self) -> Vec<Effect> {
        let end = self.lane.step(self.now, Input::Stop, &mut self.fx);
        assert!(matches!(end, Err(Fatal::Stopped)), "{end:?}");
        self.fx.drain().map(|(_, effect)| effect).collect()
    }
}

pub(super) fn replies(effects: &[Effect]) -> Vec<(ReqId, Result<Response, Status>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Reply { id, result, last } => {
                let is_keep_alive =
                    matches!(**result, Ok(Response::Lease(LeaseResponse::KeepAlive(_))));
                // Else a watch's.
                (*last || is_keep_alive).then(|| (*id, (**result).clone()))
            }
            _ => None,
        })
        .collect()
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..pb::PutRequest::default()
    }
}

pub(super) fn get(key: &str, range_end: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        ..pb::RangeRequest::default()
    }
}

pub(super) fn del(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        prev_kv: false,
    }
}

pub(super) fn when(
    target: compare::CompareTarget,
    key: &str,
    result: compare::CompareResult,
    operand: compare::TargetUnion,
) -> pb::Compare {
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: bytes(key),
        range_end: Bytes::new(),
        target_union: Some(operand),
    }
}

pub(super) trait IntoOp {
    fn op(self) -> pb::RequestOp;
}

macro_rules! into_op {
    ($($request:ty => $variant:ident,)*) => {$(
        impl IntoOp for $request {
            fn op(self) -> pb::RequestOp {
                pb::RequestOp { request: Some(request_op::Request::$variant(self)) }
            }
        }
    )*};
}

into_op! {
    pb::PutRequest => RequestPut,
    pb::RangeRequest => RequestRange,
    pb::DeleteRangeRequest => RequestDeleteRange,
    pb::TxnRequest => RequestTxn,
}

pub(super) fn txn(
    compare: Vec<pb::Compare>,
    success: Vec<pb::RequestOp>,
    failure: Vec<pb::RequestOp>,
) -> pb::TxnRequest {
    pb::TxnRequest {
        compare,
        success,
        failure,
    }
}

/// `key=value(create,mod,version)`.
fn show_kv(kv: &pb::KeyValue) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}={}({},{},{})",
        text(&kv.key),
        text(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    )
}

fn show_kvs(kvs: &[pb::KeyValue]) -> String {
    kvs.iter().map(show_kv).collect::<Vec<_>>().join(" ")
}

fn show_range(r: &pb::RangeResponse) -> String {
    let more = if r.more { " more" } else { "" };
    format!("[{}] of {}{more}", show_kvs(&r.kvs), r.count)
}

fn show_put(r: &pb::PutResponse) -> String {
    match &r.prev_kv {
        Some(kv) => format!("put over {}", show_kv(kv)),
        None => "put".into(),
    }
}

fn show_delete(r: &pb::DeleteRangeResponse) -> String {
    match r.prev_kvs.as_slice() {
        [] => format!("deleted {}", r.deleted),
        kvs => format!("deleted {} [{}]", r.deleted, show_kvs(kvs)),
    }
}

fn show_txn(r: &pb::TxnResponse) -> String {
    let revision = |header: &Option<pb::ResponseHeader>| header.as_ref().unwrap().revision;
    let ops: Vec<String> = r
        .responses
        .iter()
        .map(|op| match op.response.as_ref().unwrap() {
            response_op::Response::ResponseRange(r) => {
                format!("{}: {}", revision(&r.header), show_range(r))
            }
            response_op::Response::ResponsePut(r) => {
                format!("{}: {}", revision(&r.header), show_put(r))
            }
            response_op::Response::ResponseDeleteRange(r) => {
                format!("{}: {}", revision(&r.header), show_delete(r))
            }
            response_op::Response::ResponseTxn(r) => {
                format!("{}: {}", revision(&r.header), show_txn(r))
            }
        })
        .collect();
    let branch = if r.succeeded { "then" } else { "else" };
    format!("{branch} {{{}}}", ops.join("; "))
}

/// Ids, learners in parentheses, and where they listen.
fn show_members(members: &[pb::Member]) -> String {
    let show = |m: &pb::Member| {
        let id = match m.is_learner {
            true => format!("({})", m.id),
            false => m.id.to_string(),
        };
        format!("{id}{}", m.peer_ur_ls.join(","))
    };
    let all: Vec<String> = members.iter().map(show).collect();
    format!("members {}", all.join(" "))
}

fn show_lease(response: &LeaseResponse) -> String {
    match response {
        LeaseResponse::Grant(r) => format!("granted {} for {} s", r.id, r.ttl),
        LeaseResponse::Revoke(_) => "revoked".into(),
        LeaseResponse::KeepAlive(r) => format!("kept {} for {} s", r.id, r.ttl),
        LeaseResponse::TimeToLive(r) => {
            let keys: Vec<_> = r
                .keys
                .iter()
                .map(|key| String::from_utf8_lossy(key))
                .collect();
            format!("{} of {} s [{}]", r.ttl, r.granted_ttl, keys.join(" "))
        }
        LeaseResponse::Leases(r) => {
            let ids: Vec<String> = r.leases.iter().map(|lease| lease.id.to_string()).collect();
            format!("leases [{}]", ids.join(" "))
        }
    }
}

/// `revision: what`.
pub(super) fn show(response: &Response) -> String {
    let what = match response {
        Response::Range(r) => show_range(r),
        Response::Put(r) => show_put(r),
        Response::DeleteRange(r) => show_delete(r),
        Response::Txn(r) => show_txn(r),
        Response::HashKv(r) => format!("hash up to {}", r.hash_revision),
        Response::Status(r) => format!("applied {}", r.raft_applied_index),
        Response::Cluster(r) => show_members(r.members()),
        Response::Lease(r) => show_lease(r),
        other => format!("{other:?}"),
    };
    match response.header() {
        Some(header) => format!("{}: {what}", header.revision),
        None => what,
    }
}
