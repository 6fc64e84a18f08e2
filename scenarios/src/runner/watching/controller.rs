//! A controller, as Kubernetes has them: it lists, watches from the next
//! revision on, and keeps a cache that is to equal the store.

use super::super::caller::first_member;
use super::follow::{Follow, Followed, Heard, create};
use super::{Board, late};
use crate::format::Workload;
use bytes::Bytes;
use squall_api::Metadata;
use squall_api::pb::{self, Event, KeyValue, WatchCreateRequest, event};
use squall_checkers::watch::Cache;
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{SimClient, World};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often whoever has a goal asks how far it is.
const ASK_EVERY: u64 = 100_000_000;
/// How long it waits before it tries elsewhere.
const PAUSE: u64 = 20_000_000;
const KEY: &[u8] = b"k";
const RANGE_END: &[u8] = b"l";

pub(super) struct Controller {
    world: World,
    board: Board,
    number: u32,
    client: SimClient,
    member: u64,
    limit: Duration,
    kvs: BTreeMap<Bytes, KeyValue>,
}

impl Controller {
    pub(super) fn new(
        world: &World,
        workload: &Workload,
        board: &Board,
        number: u32,
    ) -> Controller {
        Controller {
            client: world.client(number),
            world: world.clone(),
            board: board.clone(),
            number,
            member: first_member(world, number),
            limit: Duration::from_nanos(workload.client_timeout.ns()),
            kvs: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut watch = None;
        loop {
            if let Some((goal, until)) = self.board.goal()
                && self.world.now() >= until
            {
                let next = watch.map_or(0, |w: Followed| w.next);
                let who = format!("the controller c{}", self.number);
                self.board.late(late(&who, next, goal, self.world.now()));
                return;
            }
            let followed = match watch.take() {
                Some(watch) => Some(watch),
                None => self.list().await,
            };
            if let Some(followed) = followed {
                match self.follow(followed).await {
                    After::Done(revision) => return self.show(revision),
                    After::Broken(rest) => watch = Some(rest),
                    After::Compacted => {}
                }
            }
            self.member = self.world.next_member(self.member);
            self.world.sleep(PAUSE).await;
        }
    }

    /// Lists everything, and says where to watch from.
    async fn list(&mut self) -> Option<Followed> {
        let list = Call::Range(pb::RangeRequest {
            key: Bytes::from_static(KEY),
            range_end: Bytes::from_static(RANGE_END),
            ..pb::RangeRequest::default()
        });
        let answer = self.client.call(self.member, list, self.limit).await;
        let Outcome::Ok(Ret::Range(listed)) = answer else {
            return None;
        };
        let revision = listed.header.as_ref().map_or(0, |header| header.revision);
        self.board.saw(revision);
        let entry = |kv: KeyValue| (kv.key.clone(), kv);
        self.kvs = listed.kvs.into_iter().map(entry).collect();
        Some(Followed::new(WatchCreateRequest {
            key: Bytes::from_static(KEY),
            range_end: Bytes::from_static(RANGE_END),
            start_revision: revision + 1,
            progress_notify: true,
            ..WatchCreateRequest::default()
        }))
    }

    async fn follow(&mut self, watch: Followed) -> After {
        let first = create(watch.resume());
        let stream = self.client.stream(self.member, Metadata::default(), first);
        let mut follow = Follow::new(stream, vec![watch]);
        let mut ask_at = 0;
        loop {
            let now = self.world.now();
            if let Some((goal, until)) = self.board.goal() {
                if follow.next() > goal {
                    let next = follow.next();
                    follow.stream.close();
                    return After::Done(next - 1);
                }
                // A client keeps to the members, as far as it knows them.
                let is_member = self.world.members().contains(&self.member);
                if now >= until || !is_member {
                    let (stream, mut rest) = follow.give_up();
                    stream.close();
                    return After::Broken(rest.remove(0));
                }
                if now >= ask_at {
                    follow.ask_progress();
                    ask_at = now + ASK_EVERY;
                }
            }
            match follow.stream.next(now + ASK_EVERY).await {
                None => {}
                Some(Ok(message)) => match follow.hear(message) {
                    Heard::Events(events) => {
                        events.into_iter().for_each(|event| self.learn(event));
                        self.board.saw(follow.seen);
                    }
                    Heard::Compacted(_) => {
                        follow.stream.close();
                        return After::Compacted;
                    }
                    Heard::Nothing => {}
                },
                Some(Err(_)) => return After::Broken(follow.give_up().1.remove(0)),
            }
        }
    }

    fn learn(&mut self, event: Event) {
        let kind = event.r#type();
        let Some(kv) = event.kv else { return };
        match kind {
            event::EventType::Put => drop(self.kvs.insert(kv.key.clone(), kv)),
            event::EventType::Delete => drop(self.kvs.remove(&kv.key)),
        }
    }

    fn show(self, revision: i64) {
        let cache = Cache {
            client: self.number,
            key: Bytes::from_static(KEY),
            range_end: Bytes::from_static(RANGE_END),
            t: self.world.now(),
            revision,
            kvs: self.kvs,
        };
        self.board.with(|state| state.caches.push(cache));
    }
}

/// How following a watch came out.
enum After {
    /// It has come to the goal: everything up to this revision was told.
    Done(i64),
    /// It goes on elsewhere.
    Broken(Followed),
    /// What it was to be told is compacted: it has to list again.
    Compacted,
}
