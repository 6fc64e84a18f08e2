//! Alarms stop writes, so they have to be true, and while they are, they have to
//! stop them.
//!
//! A write is refused as `corrupt cluster` only where members differ, and as
//! `database space exceeded` only where there may be as much data as the quota
//! allows: what was compacted or deleted since counts, because it may still be
//! stored, and an operation of unknown outcome as well. What takes no space is
//! never refused for want of it: it is how space is made.
//!
//! Alarms are in the log, and who asks for them asks the log, so they have an
//! order in true time with everything else: one that was listed is active, for all
//! who ask and for all who write, until somebody deactivates it.

mod active;
#[cfg(test)]
mod tests;

use active::{Active, Known, listed, request};
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::pb::request_op::Request as RequestOp;
use squall_api::pb::{AlarmType, PutRequest, RequestOp as SubRequest, TxnRequest};
use squall_api::{ElectionRequest, LeaseRequest, LockRequest, Status};
use squall_record::{Call, Check, Fact, Op, Outcome, Verdict, Why, Witness, seconds};

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "no alarm is false, and none is passed over: writes are refused for corruption only where \
     members differ, and for want of space only where the quota may be used up; and what an alarm forbids is refused \
     until it is deactivated";

const CORRUPT: &str = "corrupt cluster";
const NO_SPACE: &str = "database space exceeded";

/// What a put may take besides its key and value; etcd's estimate, twice, for
/// the database around it.
const OVERHEAD: u64 = 512;

/// Judges every write and every list of alarms. `differ` says whether members were
/// found to differ.
pub fn check(history: &[Op], quota: u64, differ: bool) -> Check {
    let rules = Rules {
        known: Known::new(history),
        stored: history.iter().map(cost).sum(),
        quota,
        differ,
        asked_for: history.iter().filter_map(asked_for).collect(),
    };
    let mut judged = 0;
    let mut verdict = None;
    for op in history {
        let Some(ret) = op.ret else { continue };
        match rules.broken(op, ret) {
            None => continue,
            Some(Ok(())) => judged += 1,
            Some(Err(broken)) => {
                judged += 1;
                verdict.get_or_insert_with(|| witness(op, ret, broken));
            }
        }
    }
    Check {
        name: "alarms".into(),
        verdict: match verdict {
            Some(witness) => Verdict::Fail(Box::new(witness)),
            None => Verdict::Pass { judged, unknown: 0 },
        },
    }
}

/// What is wrong with an answer.
struct Broken<'a> {
    class: &'static str,
    /// What the member did, and why it should not have.
    did: String,
    /// The alarm that it passed over.
    active: Option<Active<'a>>,
}

struct Rules<'a> {
    known: Known<'a>,
    /// The bytes that may ever have been stored.
    stored: u64,
    quota: u64,
    differ: bool,
    /// The types of alarms that somebody may have activated, and from when on.
    asked_for: Vec<(AlarmType, u64)>,
}

impl<'a> Rules<'a> {
    /// `None` if there is nothing to judge about `op`.
    fn broken(&self, op: &Op, ret: u64) -> Option<Result<(), Broken<'a>>> {
        if let Some((kind, alarms)) = listed(op) {
            return Some(self.list(op, ret, kind, alarms.collect()));
        }
        match &op.outcome {
            Outcome::Refused(status) | Outcome::Unknown(Why::Status(status)) => {
                self.refusal(op, ret, status)
            }
            Outcome::Ok(_) => Some(self.success(op, ret)).filter(|_| changes(op)),
            Outcome::Unknown(_) => None,
        }
    }

    /// What was listed is true, and what is active is listed.
    fn list(
        &self,
        op: &Op,
        ret: u64,
        kind: AlarmType,
        alarms: Vec<active::Alarm>,
    ) -> Result<(), Broken<'a>> {
        for (kind, member) in &alarms {
            let kind = AlarmType::try_from(*kind).unwrap_or_default();
            if let Err((class, why)) = self.may_be(kind, ret) {
                let did = format!(
                    "listed an alarm of n{member}, {}, but {why}",
                    kind.as_str_name()
                );
                return Err(Broken::of(class, did));
            }
        }
        let mut active = self.known.during(op, ret, kind);
        match active.find(|active| !alarms.contains(&active.alarm)) {
            None => Ok(()),
            Some(active) => Err(Broken {
                class: "unlisted",
                did: format!("did not list {}, which is active", shown(active.alarm)),
                active: Some(active),
            }),
        }
    }

    /// What an alarm forbids is not done.
    fn success(&self, op: &Op, ret: u64) -> Result<(), Broken<'a>> {
        let mut active = self.known.during(op, ret, AlarmType::None);
        let forbids = |active: &Active<'_>| match AlarmType::try_from(active.alarm.0) {
            Ok(AlarmType::Nospace) => takes_space(op),
            Ok(AlarmType::Corrupt) => true,
            Ok(AlarmType::None) | Err(_) => false,
        };
        match active.find(forbids) {
            None => Ok(()),
            Some(active) => Err(Broken {
                class: "passed-over",
                did: format!("did it although {} is active", shown(active.alarm)),
                active: Some(active),
            }),
        }
    }

    /// What is refused because of an alarm is refused for cause.
    fn refusal(&self, op: &Op, ret: u64, status: &Status) -> Option<Result<(), Broken<'a>>> {
        let kind = match &status.message {
            message if message.contains(CORRUPT) => AlarmType::Corrupt,
            message if message.contains(NO_SPACE) => AlarmType::Nospace,
            _ => return None,
        };
        let refused = |why: &str| format!("refused it because of `{}`, but {why}", status.message);
        if kind == AlarmType::Nospace && !takes_space(op) {
            let did = refused("it takes no space");
            return Some(Err(Broken::of("refused-what-takes-none", did)));
        }
        let is_true = self.may_be(kind, ret);
        Some(is_true.map_err(|(class, why)| Broken::of(class, refused(&why))))
    }

    /// Whether there may be an alarm of `kind` by true time `t`; if not, why not.
    fn may_be(&self, kind: AlarmType, t: u64) -> Result<(), (&'static str, String)> {
        let Rules { stored, quota, .. } = *self;
        let (may_be, class, why) = match kind {
            AlarmType::Corrupt => (
                self.differ,
                "false-corruption",
                "no two members were found to differ".to_owned(),
            ),
            AlarmType::Nospace => (
                stored >= quota,
                "false-want-of-space",
                format!("at most {stored} of {quota} bytes were ever written"),
            ),
            AlarmType::None => (false, "no-such-alarm", "there is no such alarm".to_owned()),
        };
        let asked_for = |(of, since): &(AlarmType, u64)| *of == kind && *since < t;
        match may_be || self.asked_for.iter().any(asked_for) {
            true => Ok(()),
            false => Err((class, why)),
        }
    }
}

impl Broken<'_> {
    fn of(class: &'static str, did: String) -> Self {
        Broken {
            class,
            did,
            active: None,
        }
    }
}

fn asked_for(op: &Op) -> Option<(AlarmType, u64)> {
    let request = request(op).filter(|r| r.action() == AlarmAction::Activate)?;
    let is_refused = matches!(op.outcome, Outcome::Refused(_));
    (!is_refused).then_some((request.alarm(), op.invoke))
}

/// Whether `op` may change data, and so is refused where data is corrupt.
fn changes(op: &Op) -> bool {
    match &op.call {
        Call::Put(_) | Call::DeleteRange(_) | Call::Compact(_) => true,
        Call::Txn(txn) => writes(txn),
        Call::Lease(call) => matches!(call, LeaseRequest::Grant(_) | LeaseRequest::Revoke(_)),
        _ => false,
    }
}

/// Whether `op` may add data. Of a transaction both branches count: it is refused
/// before anybody knows which one it will be. Who joins a line or proclaims puts a
/// key.
fn takes_space(op: &Op) -> bool {
    match &op.call {
        Call::Put(_)
        | Call::Lease(LeaseRequest::Grant(_))
        | Call::Lock(LockRequest::Lock(_))
        | Call::Election(ElectionRequest::Campaign(_) | ElectionRequest::Proclaim(_)) => true,
        Call::Txn(txn) => any(txn, |op| matches!(op, RequestOp::RequestPut(_))),
        _ => false,
    }
}

fn writes(txn: &TxnRequest) -> bool {
    any(txn, |op| !matches!(op, RequestOp::RequestRange(_)))
}

/// Whether `is` says so of an operation of either branch, nested ones too.
fn any(txn: &TxnRequest, is: fn(&RequestOp) -> bool) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure);
    ops.any(|op| match &op.request {
        Some(RequestOp::RequestTxn(nested)) => any(nested, is),
        Some(op) => is(op),
        None => false,
    })
}

/// The bytes that an operation may have added.
fn cost(op: &Op) -> u64 {
    let put = |put: &PutRequest| OVERHEAD + (put.key.len() + put.value.len()) as u64;
    fn branch(ops: &[SubRequest], put: &impl Fn(&PutRequest) -> u64) -> u64 {
        let one = |op: &SubRequest| match &op.request {
            Some(RequestOp::RequestPut(p)) => put(p),
            Some(RequestOp::RequestDeleteRange(_)) => OVERHEAD,
            Some(RequestOp::RequestTxn(t)) => branch(&t.success, put) + branch(&t.failure, put),
            _ => 0,
        };
        ops.iter().map(one).sum()
    }
    match &op.call {
        Call::Put(p) => put(p),
        Call::Txn(t) => branch(&t.success, &put) + branch(&t.failure, &put),
        Call::DeleteRange(_) | Call::Lease(_) => OVERHEAD,
        Call::Lock(LockRequest::Lock(r)) => OVERHEAD + r.name.len() as u64,
        Call::Election(ElectionRequest::Campaign(r)) => {
            OVERHEAD + (r.name.len() + r.value.len()) as u64
        }
        Call::Election(ElectionRequest::Proclaim(r)) => {
            let key = r.leader.as_ref().map_or(0, |leader| leader.key.len());
            OVERHEAD + (key + r.value.len()) as u64
        }
        Call::Lock(_) | Call::Election(_) => OVERHEAD,
        _ => 0,
    }
}

fn witness(op: &Op, ret: u64, broken: Broken<'_>) -> Witness {
    let told = |op: &Op, ret: u64| {
        let between = format!("from {} to {}", seconds(op.invoke), seconds(ret));
        Fact::new(
            format!("c{} to n{}", op.client, op.member),
            format!("{} {between}", op.call.name()),
        )
    };
    let listed = broken.active.map(|active| active.listed);
    let before = listed.and_then(|op| Some((op, op.ret?)));
    let mut facts: Vec<Fact> = before.map(|(op, ret)| told(op, ret)).into_iter().collect();
    facts.push(told(op, ret));
    Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "n{} answered c{}'s {} at {}: it {}",
            op.member,
            op.client,
            op.call.name(),
            seconds(ret),
            broken.did,
        ),
        t: ret,
        node: Some(op.member),
        facts,
        ops: listed.into_iter().chain([op]).cloned().collect(),
        class: broken.class.into(),
    }
}

fn shown((kind, member): active::Alarm) -> String {
    let kind = AlarmType::try_from(kind).unwrap_or_default();
    format!("n{member}'s alarm {}", kind.as_str_name())
}
