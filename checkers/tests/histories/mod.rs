//! Writing small histories of a store down.

#![expect(unreachable_pub, reason = "shared by tests, not published")]

use squall_api::pb::{self, KeyValue, ResponseHeader};
use squall_record::{Call, Op, Outcome, Ret, Why};

/// A store's history. Times are milliseconds.
#[derive(Default)]
pub struct Store {
    pub ops: Vec<Op>,
}

/// Key, value, create_revision, mod_revision, version.
pub type Kv<'a> = (&'a str, &'a str, i64, i64, i64);

impl Store {
    pub fn push(&mut self, invoke: u64, ret: Option<u64>, call: Call, outcome: Outcome) {
        let n = self.ops.len() as u64;
        self.ops.push(Op {
            token: String::new(),
            id: n,
            client: 1 + (n % 3) as u32,
            process: n as u32,
            member: 1 + n % 3,
            invoke: invoke * 1_000_000,
            ret: ret.map(|ret| ret * 1_000_000),
            call,
            outcome,
        });
    }

    /// A put that took `revision`.
    pub fn put(&mut self, invoke: u64, ret: u64, key: &str, value: &str, revision: i64) {
        let answer = Ret::Put(pb::PutResponse {
            header: header(revision),
            prev_kv: None,
        });
        self.push(invoke, Some(ret), put(key, value), Outcome::Ok(answer));
    }

    /// A read that was shown these keys at `revision`.
    pub fn ok(&mut self, invoke: u64, ret: u64, call: Call, revision: i64, kvs: &[Kv<'_>]) {
        let answer = Ret::Range(pb::RangeResponse {
            header: header(revision),
            kvs: kvs.iter().map(kv).collect(),
            more: false,
            count: kvs.len() as i64,
        });
        self.push(invoke, Some(ret), call, Outcome::Ok(answer));
    }

    pub fn unknown(&mut self, invoke: u64, call: Call) {
        self.push(
            invoke,
            Some(invoke + 5),
            call,
            Outcome::Unknown(Why::Timeout),
        );
    }
}

pub fn put(key: &str, value: &str) -> Call {
    Call::Put(pb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..pb::PutRequest::default()
    })
}

pub fn get(key: &str) -> Call {
    Call::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        ..pb::RangeRequest::default()
    })
}

pub fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn kv((key, value, create_revision, mod_revision, version): &Kv<'_>) -> KeyValue {
    KeyValue {
        key: key.to_string().into(),
        value: value.to_string().into(),
        create_revision: *create_revision,
        mod_revision: *mod_revision,
        version: *version,
        lease: 0,
    }
}
