//! Histories of a store that keeps its promises, for tests and benchmarks of
//! whoever judges histories. A history is a pure function of its shape.

use crate::linearizable::Applied;
use crate::store::model::{Refusal, State};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use squall_api::pb;
use squall_record::{Call, Code, Op, Outcome, Status, Why};

use pb::request_op::Request as SubRequest;

/// What a history looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Everything else is drawn from this.
    pub seed: u64,
    /// Operations.
    pub ops: usize,
    /// Clients, each with at most one operation open.
    pub clients: u32,
    /// Keys that half of all operations use.
    pub hot_keys: u32,
    /// Keys that the other half uses; 0 leaves all to the hot ones.
    pub cold_keys: u32,
    /// Of 1,000 operations, how many have an unknown outcome.
    pub unknown_per_mille: u32,
    /// Of 1,000 of those, how many are applied, at any time after they were sent.
    pub applied_per_mille: u32,
    /// Of 1,000 operations, how many are transactions.
    pub txn_per_mille: u32,
    /// Whether values repeat: tokens that prove nothing.
    pub repeated_values: bool,
}

impl Default for Shape {
    /// What the benchmarks use: 8 clients, 12 hot keys among 10,000, 2% unknown
    /// of which half were applied, some transactions.
    fn default() -> Shape {
        Shape {
            seed: 1,
            ops: 20_000,
            clients: 8,
            hot_keys: 12,
            cold_keys: 10_000,
            unknown_per_mille: 20,
            applied_per_mille: 500,
            txn_per_mille: 150,
            repeated_values: false,
        }
    }
}

/// A history, and the order in which its writes were applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// By invocation.
    pub history: Vec<Op>,
    /// What the host of the store would have seen.
    pub applied: Vec<Applied>,
}

/// Makes a history of that shape.
pub fn history(shape: &Shape) -> Generated {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(shape.seed));
    let mut plans = plan(shape, &mut draw);
    // Operations are numbered by invocation, and take effect at their points.
    plans.sort_by_key(|p| (p.invoke, p.client));
    let mut by_point: Vec<usize> = (0..plans.len())
        .filter(|i| plans[*i].point.is_some())
        .collect();
    by_point.sort_by_key(|i| (plans[*i].point, *i));

    let mut state = State::default();
    let mut applied = Vec::new();
    let mut outcomes: Vec<Outcome> = vec![Outcome::Unknown(Why::Timeout); plans.len()];
    for i in by_point {
        let p = &plans[i];
        let answer = state.answer(&p.call);
        if crate::store::timeline::may_write(&p.call) && answer.is_ok() {
            applied.push(Applied {
                op: Some(i as u64),
                lease: None,
                revision: state.revision(),
            });
        }
        if !p.unknown {
            outcomes[i] = match answer {
                Ok(ret) => Outcome::Ok(ret),
                Err(refusal) => Outcome::Refused(status(refusal)),
            };
        }
    }
    let mut process: Vec<u32> = (0..shape.clients).collect();
    let mut fresh = shape.clients;
    let history = plans
        .into_iter()
        .zip(outcomes)
        .enumerate()
        .map(|(i, (p, outcome))| {
            let op = Op {
                token: String::new(),
                id: i as u64,
                client: p.client + 1,
                process: process[p.client as usize],
                member: 1 + u64::from(p.client) % 3,
                invoke: p.invoke,
                ret: Some(p.ret),
                call: p.call,
                outcome,
            };
            if p.unknown {
                process[p.client as usize] = fresh;
                fresh += 1;
            }
            op
        })
        .collect();
    Generated { history, applied }
}

/// One operation before it runs. Times are nanoseconds.
struct Plan {
    client: u32,
    invoke: u64,
    /// When it takes effect, if it does.
    point: Option<u64>,
    ret: u64,
    call: Call,
    unknown: bool,
}

fn plan(shape: &Shape, draw: &mut Draw) -> Vec<Plan> {
    let mut clocks: Vec<u64> = (0..shape.clients)
        .map(|_| draw.below(20) * MS / 10)
        .collect();
    let mut plans = Vec::with_capacity(shape.ops);
    for i in 0..shape.ops {
        // The client that is free first goes on.
        let client = (0..clocks.len())
            .min_by_key(|c| (clocks[*c], *c))
            .expect("there are clients");
        let invoke = clocks[client];
        let call = call(shape, draw, i as u64);
        let unknown = draw.per_mille(shape.unknown_per_mille);
        let (point, ret) = if unknown {
            let late = if draw.per_mille(200) { 20 } else { 2 };
            let applied = draw.per_mille(shape.applied_per_mille);
            let point = invoke + draw.below(late * MS);
            (applied.then_some(point), invoke + 5 * MS)
        } else {
            let point = invoke + draw.below(MS);
            (Some(point), point + draw.below(MS))
        };
        clocks[client] = ret + 1 + draw.below(MS / 10);
        plans.push(Plan {
            client: client as u32,
            invoke,
            point,
            ret,
            call,
            unknown,
        });
    }
    plans
}

const MS: u64 = 1_000_000;

fn call(shape: &Shape, draw: &mut Draw, n: u64) -> Call {
    if draw.per_mille(shape.txn_per_mille) {
        return Call::Txn(txn(shape, draw, n));
    }
    match draw.below(20) {
        0..8 => Call::Put(put(shape, draw, n)),
        8 => Call::DeleteRange(delete_range(shape, draw)),
        _ => Call::Range(range(shape, draw)),
    }
}

fn put(shape: &Shape, draw: &mut Draw, n: u64) -> pb::PutRequest {
    let value = if shape.repeated_values {
        format!("v{}", draw.below(2))
    } else {
        format!("v{n}")
    };
    pb::PutRequest {
        key: key(shape, draw),
        value: value.into(),
        prev_kv: draw.per_mille(250),
        ..pb::PutRequest::default()
    }
}

fn delete_range(shape: &Shape, draw: &mut Draw) -> pb::DeleteRangeRequest {
    let (key, range_end) = interval(shape, draw, 100);
    pb::DeleteRangeRequest {
        key,
        range_end,
        prev_kv: draw.per_mille(250),
    }
}

fn range(shape: &Shape, draw: &mut Draw) -> pb::RangeRequest {
    let (key, range_end) = interval(shape, draw, 100);
    pb::RangeRequest {
        key,
        range_end,
        limit: if draw.per_mille(50) { 1 } else { 0 },
        serializable: draw.per_mille(50),
        keys_only: draw.per_mille(20),
        count_only: draw.per_mille(20),
        ..pb::RangeRequest::default()
    }
}

fn txn(shape: &Shape, draw: &mut Draw, n: u64) -> pb::TxnRequest {
    use pb::compare::{CompareResult, CompareTarget, TargetUnion};
    let key = key(shape, draw);
    let own = |draw: &mut Draw| pb::PutRequest {
        key: key.clone(),
        ..put(shape, draw, n)
    };
    let (target, union) = match draw.below(3) {
        0 => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
        1 => (
            CompareTarget::Version,
            TargetUnion::Version(draw.below(3) as i64),
        ),
        _ => (
            CompareTarget::Value,
            TargetUnion::Value(format!("v{}", draw.below(2)).into()),
        ),
    };
    let compare = pb::Compare {
        result: if draw.per_mille(700) {
            CompareResult::Equal
        } else {
            CompareResult::Greater
        } as i32,
        target: target as i32,
        key: key.clone(),
        target_union: Some(union),
        ..pb::Compare::default()
    };
    let op = |request| pb::RequestOp {
        request: Some(request),
    };
    let mut success = vec![op(SubRequest::RequestPut(own(draw)))];
    let other = put(shape, draw, n);
    if other.key != key && draw.per_mille(500) {
        success.push(op(SubRequest::RequestPut(other)));
    }
    let mut failure = Vec::new();
    if draw.per_mille(700) {
        failure.push(op(SubRequest::RequestRange(pb::RangeRequest {
            key: key.clone(),
            ..pb::RangeRequest::default()
        })));
    }
    if draw.per_mille(200) {
        failure.push(op(SubRequest::RequestDeleteRange(pb::DeleteRangeRequest {
            key: key.clone(),
            ..pb::DeleteRangeRequest::default()
        })));
    }
    pb::TxnRequest {
        compare: if draw.per_mille(900) {
            vec![compare]
        } else {
            Vec::new()
        },
        success,
        failure,
    }
}

fn key(shape: &Shape, draw: &mut Draw) -> Bytes {
    let hot = shape.cold_keys == 0 || draw.per_mille(500);
    let n = if hot {
        draw.below(u64::from(shape.hot_keys))
    } else {
        u64::from(shape.hot_keys) + draw.below(u64::from(shape.cold_keys))
    };
    format!("k{n:05}").into()
}

/// A key and an end; of 1,000 intervals, `wide` span a few keys.
fn interval(shape: &Shape, draw: &mut Draw, wide: u32) -> (Bytes, Bytes) {
    let start = key(shape, draw);
    if !draw.per_mille(wide) {
        return (start, Bytes::new());
    }
    let n: u64 = std::str::from_utf8(&start[1..])
        .ok()
        .and_then(|n| n.parse().ok())
        .expect("keys are numbered");
    (start, format!("k{:05}", n + 1 + draw.below(5)).into())
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::FutureRevision => Status::new(
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        Refusal::KeyNotFound => Status::new(Code::InvalidArgument, "etcdserver: key not found"),
        Refusal::Malformed | Refusal::NotKv => {
            unreachable!("such calls are not generated: {}", refusal.text())
        }
    }
}

/// Draws from one stream.
struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    fn per_mille(&mut self, n: u32) -> bool {
        self.below(1000) < u64::from(n)
    }
}

/// Changes one thing about a history, anything: the result may still be right.
pub fn damage_somehow(history: &mut [Op], seed: u64) {
    use squall_record::Ret;
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    let n = history.len() as u64;
    let i = draw.below(n) as usize;
    let j = draw.below(n) as usize;
    match draw.below(8) {
        0 => {
            let other = history[j].outcome.clone();
            if history[j].call.name() == history[i].call.name() {
                history[i].outcome = other;
            }
        }
        1 => history[i].outcome = Outcome::Unknown(Why::Timeout),
        2 => {
            let by = draw.below(3 * MS);
            history[i].invoke += by;
            history[i].ret = history[i].ret.map(|ret| ret + by);
        }
        3 => {
            let by = draw.below(3 * MS).min(history[i].invoke);
            history[i].invoke -= by;
            history[i].ret = history[i].ret.map(|ret| ret - by);
        }
        4 => {
            let by = draw.below(3) as i64 - 1;
            if let Outcome::Ok(ret) = &mut history[i].outcome
                && let Some(header) = header_mut(ret)
            {
                header.revision += by;
            }
        }
        5 => {
            if let Outcome::Ok(Ret::Range(r)) = &mut history[i].outcome
                && let Some(kv) = r.kvs.first_mut()
            {
                match draw.below(4) {
                    0 => kv.version += 1,
                    1 => kv.mod_revision -= 1,
                    2 => kv.create_revision -= 1,
                    _ => kv.value = format!("v{}", draw.below(4)).into(),
                }
            }
        }
        6 => {
            if let Outcome::Ok(Ret::Range(r)) = &mut history[i].outcome {
                r.kvs.clear();
                r.count = 0;
            }
        }
        _ => {
            let call = history[j].call.clone();
            if matches!(history[i].outcome, Outcome::Unknown(_)) {
                history[i].call = call;
            }
        }
    }
}

fn header_mut(ret: &mut squall_record::Ret) -> Option<&mut pb::ResponseHeader> {
    use squall_record::Ret;
    match ret {
        Ret::Range(r) => r.header.as_mut(),
        Ret::Put(r) => r.header.as_mut(),
        Ret::DeleteRange(r) => r.header.as_mut(),
        Ret::Txn(r) => r.header.as_mut(),
        _ => None,
    }
}
