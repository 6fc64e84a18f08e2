//! A client that watches this and that, is slow at times, changes its mind, and
//! goes on elsewhere when its stream breaks.

use super::super::caller::first_member;
use super::follow::{Follow, Followed, create};
use super::{Board, late};
use crate::draw::Draw;
use crate::format::Workload;
use bytes::Bytes;
use squall_api::Metadata;
use squall_api::pb::WatchCreateRequest;
use squall_api::pb::watch_create_request::FilterType;
use squall_sim::world::{SimClient, World};

/// The mean time between two whims, in nanoseconds.
const WHIM_EVERY: f64 = 300e6;
/// How long a client may be slow, in nanoseconds.
const SLOW: (u64, u64) = (100_000_000, 1_500_000_000);
/// How often whoever has a goal asks how far it is.
const ASK_EVERY: u64 = 100_000_000;
/// The most watches on one stream.
const MOST: usize = 5;

pub(super) struct Watcher {
    world: World,
    workload: Workload,
    board: Board,
    seed: u64,
    number: u32,
    client: SimClient,
    member: u64,
    whims: u64,
}

impl Watcher {
    pub(super) fn new(
        world: &World,
        workload: &Workload,
        board: &Board,
        seed: u64,
        number: u32,
    ) -> Watcher {
        Watcher {
            client: world.client(number),
            world: world.clone(),
            workload: workload.clone(),
            board: board.clone(),
            seed,
            number,
            member: first_member(world, number),
            whims: 0,
        }
    }

    pub(super) async fn run(mut self, end: u64) {
        let mut watches = vec![self.draw_watch(0)];
        loop {
            if let Some((_, until)) = self.board.goal()
                && self.world.now() >= until
            {
                return self.too_late(watches.iter().map(|w| w.next).min().unwrap_or(0));
            }
            if watches.is_empty() {
                watches.push(self.draw_watch(0));
            }
            match self.follow(watches, end).await {
                Ok(()) => return,
                Err(rest) => watches = rest,
            }
            self.member = self.world.next_member(self.member);
            self.world.sleep(20_000_000).await;
        }
    }

    /// Follows one stream until it breaks (then with what is to go on), or until
    /// the goal is reached.
    async fn follow(&mut self, watches: Vec<Followed>, end: u64) -> Result<(), Vec<Followed>> {
        let meta = Metadata {
            require_leader: self.number.is_multiple_of(2),
            ..Metadata::default()
        };
        let first = create(watches[0].resume());
        let stream = self.client.stream(self.member, meta, first);
        let mut follow = Follow::new(stream, watches);
        let mut whim_at = self.next_whim();
        let mut ask_at = 0;
        loop {
            let now = self.world.now();
            if let Some((goal, until)) = self.board.goal() {
                let next = follow.next();
                if next > goal {
                    follow.stream.close();
                    return Ok(());
                }
                if now >= until {
                    self.too_late(next);
                    follow.stream.close();
                    return Ok(());
                }
                // A client keeps to the members, as far as it knows them.
                if !self.world.members().contains(&self.member) {
                    let (stream, rest) = follow.give_up();
                    stream.close();
                    return Err(rest);
                }
                if now >= ask_at {
                    follow.cancel_beyond(goal);
                    follow.ask_progress();
                    ask_at = now + ASK_EVERY;
                }
            } else if now >= whim_at && now < end {
                whim_at = self.next_whim();
                if self.whim(&mut follow).await {
                    let (stream, rest) = follow.give_up();
                    stream.close();
                    return Err(rest);
                }
            }
            let until = now + ASK_EVERY;
            match follow.stream.next(until).await {
                None => {}
                Some(Ok(message)) => {
                    if let super::follow::Heard::Compacted(i) = follow.hear(message) {
                        follow.ask(i);
                    }
                    self.board.saw(follow.seen);
                }
                Some(Err(_)) => return Err(follow.give_up().1),
            }
        }
    }

    /// Does something that a client may do. Says whether it leaves the stream.
    async fn whim(&mut self, follow: &mut Follow) -> bool {
        let mut draw = self.draw("whim");
        if draw.unit() < self.workload.watch.slow.get() {
            let nap = draw.between(SLOW.0, SLOW.1);
            self.world.sleep(nap).await;
            return false;
        }
        match draw.below(8) {
            0 | 1 if follow.watches.len() < MOST => {
                let watch = self.draw_watch(follow.seen);
                follow.add(watch);
            }
            0..=2 => {
                let i = draw.below(follow.watches.len() as u64) as usize;
                follow.cancel(i);
            }
            3 => return true,
            _ => follow.ask_progress(),
        }
        false
    }

    /// A watch of one key or several, from now, from the past, or of the future.
    fn draw_watch(&mut self, seen: i64) -> Followed {
        let mut draw = self.draw("watch");
        let key = |n: u64| Bytes::from(format!("k{n}"));
        let count = u64::from(self.workload.keys.count);
        let (first, end) = match draw.below(4) {
            0 => (key(draw.below(count)), Bytes::new()),
            1 => (Bytes::from_static(b"k"), Bytes::from_static(b"l")),
            2 => (key(draw.below(count)), Bytes::from_static(&[0])),
            _ => (key(draw.below(count)), Bytes::from_static(b"k9")),
        };
        // An end that is not behind the key would watch nothing.
        let end = match end.as_ref() {
            b"k9" if first.as_ref() >= &b"k9"[..] => Bytes::from_static(b"l"),
            _ => end,
        };
        let start = match draw.below(4) {
            _ if seen <= 1 => 0,
            0 | 1 => 0,
            2 => (seen - draw.between(1, 60) as i64).max(1),
            _ => seen + draw.between(1, 20) as i64,
        };
        let filters = match draw.below(6) {
            0 => vec![FilterType::Noput as i32],
            1 => vec![FilterType::Nodelete as i32],
            _ => Vec::new(),
        };
        Followed::new(WatchCreateRequest {
            key: first,
            range_end: end,
            start_revision: start,
            progress_notify: draw.one_in(2),
            prev_kv: draw.one_in(2),
            fragment: draw.one_in(4),
            filters,
            ..WatchCreateRequest::default()
        })
    }

    fn next_whim(&mut self) -> u64 {
        let wait = self.draw("whims").exponential(WHIM_EVERY);
        self.world.now() + wait as u64
    }

    fn draw(&mut self, what: &str) -> Draw {
        self.whims += 1;
        Draw::keyed(self.seed, what, self.number.into(), self.whims)
    }

    fn too_late(&self, next: i64) {
        let (goal, _) = self.board.goal().expect("only a goal can be missed");
        let who = format!("c{}", self.number);
        self.board.late(late(&who, next, goal, self.world.now()));
    }
}
