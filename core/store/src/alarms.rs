//! Alarms: which members said that they have no space left, or other data than
//! the rest. Replicated, so that all members refuse the same requests.

use crate::error::Refusal;
use crate::rows::Rows;
use bytes::{BufMut as _, Bytes, BytesMut};
use squall_api::Fatal;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::{AlarmMember, AlarmType, PutRequest, TxnRequest};
use std::collections::BTreeSet;

pub(crate) const PREFIX: &[u8] = b"alarm/";

/// What a put takes besides its key and value; etcd's estimate.
const PUT_OVERHEAD: u64 = 256;
/// What a lease takes; etcd's estimate.
const LEASE_COST: u64 = 64 + PUT_OVERHEAD;

/// The alarms that are active, by type and member.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    active: BTreeSet<(i32, u64)>,
}

impl Alarms {
    /// The alarms in `rows`.
    pub(crate) fn load(rows: &Rows) -> Result<Alarms, Fatal> {
        let mut active = BTreeSet::new();
        for (key, _) in rows.under(PREFIX) {
            let Ok(bytes) = <[u8; 12]>::try_from(&key[..]) else {
                return Err(Fatal::Corrupt(format!("row {key:?} names no alarm")));
            };
            let [kind @ .., _, _, _, _, _, _, _, _] = bytes;
            let [_, _, _, _, member @ ..] = bytes;
            active.insert((i32::from_be_bytes(kind), u64::from_be_bytes(member)));
        }
        Ok(Alarms { active })
    }

    /// The active alarms of type `kind`; of all types for `NONE`.
    pub(crate) fn list(&self, kind: i32) -> Vec<AlarmMember> {
        let of_kind = |(alarm, _): &&(i32, u64)| kind == AlarmType::None as i32 || *alarm == kind;
        self.active.iter().filter(of_kind).map(shown).collect()
    }

    pub(crate) fn is_active(&self, kind: AlarmType, member: u64) -> bool {
        self.active.contains(&(kind as i32, member))
    }

    /// Activates an alarm, and returns it, active before or not. There is none
    /// of type `NONE` or of an unknown type.
    pub(crate) fn activate(
        &mut self,
        rows: &mut Rows,
        kind: i32,
        member: u64,
    ) -> Option<AlarmMember> {
        if !matches!(
            AlarmType::try_from(kind),
            Ok(AlarmType::Nospace | AlarmType::Corrupt)
        ) {
            return None;
        }
        self.active.insert((kind, member));
        rows.set(row(kind, member), Bytes::new());
        Some(shown(&(kind, member)))
    }

    /// Deactivates an alarm, and returns it if it was active.
    pub(crate) fn deactivate(
        &mut self,
        rows: &mut Rows,
        kind: i32,
        member: u64,
    ) -> Option<AlarmMember> {
        if !self.active.remove(&(kind, member)) {
            return None;
        }
        rows.remove(&row(kind, member));
        Some(shown(&(kind, member)))
    }

    /// A planted bug: an alarm that no other member knows.
    pub(crate) fn activate_here(&mut self, kind: AlarmType, member: u64) {
        self.active.insert((kind as i32, member));
    }

    /// Whether `command` may be applied while these alarms are active: without
    /// space nothing that takes space, with corrupt data no change at all.
    pub(crate) fn check(&self, command: &Command) -> Result<(), Refusal> {
        if self.any(AlarmType::Corrupt) && changes_data(command) {
            return Err(Refusal::Corrupt);
        }
        if self.any(AlarmType::Nospace) && cost(command) > 0 {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }

    /// Whether any member has an alarm of `kind`.
    pub(crate) fn any(&self, kind: AlarmType) -> bool {
        let all = (kind as i32, 0)..=(kind as i32, u64::MAX);
        self.active.range(all).next().is_some()
    }
}

/// The space in bytes that `command` may take; 0 for what takes none.
pub(crate) fn cost(command: &Command) -> u64 {
    match command {
        Command::Put(put) => cost_of_put(put),
        Command::Txn(txn) => cost_of_txn(txn),
        Command::LeaseGrant(_) => LEASE_COST,
        _ => 0,
    }
}

fn cost_of_put(put: &PutRequest) -> u64 {
    PUT_OVERHEAD + (put.key.len() + put.value.len()) as u64
}

/// Of the costlier branch.
fn cost_of_txn(txn: &TxnRequest) -> u64 {
    let branch = |ops: &[squall_api::pb::RequestOp]| -> u64 {
        let op = |op: &squall_api::pb::RequestOp| match &op.request {
            Some(Op::RequestPut(put)) => cost_of_put(put),
            Some(Op::RequestTxn(txn)) => cost_of_txn(txn),
            _ => 0,
        };
        ops.iter().map(op).sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}

fn changes_data(command: &Command) -> bool {
    matches!(
        command,
        Command::Put(_)
            | Command::DeleteRange(_)
            | Command::Txn(_)
            | Command::Compaction(_)
            | Command::LeaseGrant(_)
            | Command::LeaseRevoke(_)
    )
}

fn row(kind: i32, member: u64) -> Bytes {
    let mut key = BytesMut::from(PREFIX);
    key.put_i32(kind);
    key.put_u64(member);
    key.freeze()
}

fn shown(&(alarm, member_id): &(i32, u64)) -> AlarmMember {
    AlarmMember { member_id, alarm }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::pb::RequestOp;

    #[test]
    fn alarms_survive_in_their_rows() {
        let (mut rows, mut alarms) = (Rows::default(), Alarms::default());
        let (none, no_space, corrupt) = (0, 1, 2);
        assert_eq!(alarms.activate(&mut rows, none, 1), None);
        assert_eq!(alarms.activate(&mut rows, 9, 1), None);
        for member in [2, u64::MAX] {
            let active = alarms.activate(&mut rows, no_space, member).unwrap();
            assert_eq!((active.member_id, active.alarm), (member, no_space));
            assert!(alarms.activate(&mut rows, no_space, member).is_some());
        }
        assert!(alarms.activate(&mut rows, corrupt, 2).is_some());
        assert_eq!(alarms.deactivate(&mut rows, corrupt, 3), None);
        let again = Alarms::load(&rows).unwrap();
        assert_eq!(again.active, alarms.active);
        assert_eq!(again.list(none).len(), 3);
        assert_eq!(again.list(corrupt).len(), 1);
        assert!(again.is_active(AlarmType::Nospace, u64::MAX));
        for member in [2, u64::MAX] {
            assert!(alarms.deactivate(&mut rows, no_space, member).is_some());
            assert!(alarms.deactivate(&mut rows, no_space, member).is_none());
        }
        assert_eq!(Alarms::load(&rows).unwrap().list(none).len(), 1);
    }

    #[test]
    fn a_transaction_costs_its_costlier_branch_nested_ones_too() {
        let put = |len| RequestOp {
            request: Some(Op::RequestPut(PutRequest {
                value: vec![0; len].into(),
                ..PutRequest::default()
            })),
        };
        let txn = |success, failure| TxnRequest {
            success,
            failure,
            ..TxnRequest::default()
        };
        let nested = RequestOp {
            request: Some(Op::RequestTxn(txn(vec![put(10)], vec![]))),
        };
        let outer = txn(vec![put(100)], vec![nested, put(200)]);
        assert_eq!(cost(&Command::Txn(outer)), 2 * PUT_OVERHEAD + 210);
        assert_eq!(cost(&Command::Txn(txn(vec![], vec![]))), 0);
    }
}
