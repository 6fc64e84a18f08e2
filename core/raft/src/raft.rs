//! The node.

use crate::{LogBase, NoLeader, Output, Restored, Settings};
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, Message, Snapshot};
use rand_chacha::ChaCha8Rng;
use squall_api::Role;

/// A Raft node.
#[derive(Debug)]
pub struct Raft {}

#[expect(
    unused_variables,
    missing_docs,
    reason = "signatures first; bodies follow"
)]
impl Raft {
    pub fn new(settings: Settings, restored: Restored, rng: ChaCha8Rng, now: u64) -> Raft {
        unimplemented!()
    }
    pub fn deadline(&self) -> u64 {
        unimplemented!()
    }
    pub fn on_deadline(&mut self, now: u64) {
        unimplemented!()
    }
    pub fn step(&mut self, now: u64, msg: Message) {
        unimplemented!()
    }
    pub fn propose(&mut self, now: u64, id: u64, data: Bytes) -> Result<(), NoLeader> {
        unimplemented!()
    }
    pub fn read_index(&mut self, now: u64, ctx: u64) -> Result<(), NoLeader> {
        unimplemented!()
    }
    pub fn unreachable(&mut self, peer: u64) {
        unimplemented!()
    }
    pub fn snapshot_taken(&mut self, now: u64, snapshot: Snapshot) {
        unimplemented!()
    }
    pub fn snapshot_installed(&mut self, now: u64, base: LogBase) {
        unimplemented!()
    }
    pub fn compact(&mut self, index: u64) {
        unimplemented!()
    }
    pub fn persisted(&mut self, now: u64, through: u64) {
        unimplemented!()
    }
    pub fn take(&mut self) -> Output {
        unimplemented!()
    }
    pub fn id(&self) -> u64 {
        unimplemented!()
    }
    pub fn term(&self) -> u64 {
        unimplemented!()
    }
    pub fn vote(&self) -> u64 {
        unimplemented!()
    }
    pub fn role(&self) -> Role {
        unimplemented!()
    }
    pub fn leader(&self) -> u64 {
        unimplemented!()
    }
    pub fn commit(&self) -> u64 {
        unimplemented!()
    }
    pub fn base(&self) -> LogBase {
        unimplemented!()
    }
    pub fn first_index(&self) -> u64 {
        unimplemented!()
    }
    pub fn last_index(&self) -> u64 {
        unimplemented!()
    }
    pub fn term_at(&self, index: u64) -> Option<u64> {
        unimplemented!()
    }
    pub fn entries_from(&self, index: u64) -> impl Iterator<Item = &Entry> {
        std::iter::empty()
    }
}
