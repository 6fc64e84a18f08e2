//! Snapshots in parts, from sender to receiver over a bad link.

use super::assembly::{Assembly, Taken};
use super::marks;
use super::streams::Streams;
use bytes::Bytes;
use proptest::prelude::*;
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::pb::peer::{SnapshotChunk, SnapshotReceived};

const CHUNK: u64 = 10;
const PAUSE: u64 = 100;

fn snapshot(index: u64, len: usize) -> Message {
    let mut msg = Message {
        msg_type: MessageType::MsgSnapshot,
        from: 1,
        to: 2,
        term: 3,
        ..Message::default()
    };
    let data: Vec<u8> = (0..len).map(|i| (i as u64 * index % 251) as u8).collect();
    let snapshot = msg.mut_snapshot();
    snapshot.data = data.into();
    snapshot.mut_metadata().index = index;
    snapshot.mut_metadata().term = 2;
    msg
}

fn taken(assembly: &mut Assembly, chunk: SnapshotChunk) -> Taken {
    assembly.take(1, 2, chunk, 0, 3)
}

fn received(taken: Taken) -> SnapshotReceived {
    match taken {
        Taken::Part { received, .. } | Taken::Whole { received, .. } => received,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_fits_into_a_frame_travels_whole() {
    let mut streams = Streams::new(CHUNK, PAUSE);
    let small = snapshot(7, 10);
    assert_eq!(streams.begin(0, small.clone()), Some(small));
    assert_eq!(streams.begin(0, snapshot(7, 11)), None);
    assert_eq!(streams.take_due().len(), 2);
}

#[test]
fn chunks_wait_for_those_before_them_to_arrive() {
    let mut streams = Streams::new(CHUNK, PAUSE);
    let mut assembly = Assembly::default();
    let whole = snapshot(7, 95);
    assert_eq!(streams.begin(0, whole.clone()), None);
    let first = streams.take_due();
    assert_eq!(first.len(), 4);
    assert!(streams.take_due().is_empty());
    let ack = received(taken(&mut assembly, first[0].1.clone()));
    assert_eq!((ack.received, ack.gap), (10, false));
    assert!(streams.received(1, 2, &ack));
    assert!(!streams.received(1, 2, &ack), "told twice");
    assert_eq!(streams.take_due().len(), 1);

    // The second is lost: the third lies behind a gap, and so do the others.
    let ack = received(taken(&mut assembly, first[2].1.clone()));
    assert_eq!((ack.received, ack.gap), (10, true));
    assert!(streams.received(2, 2, &ack));
    let again = streams.take_due();
    assert_eq!(again[0].1.offset, 10);
    streams.received(2, 2, &ack);
    assert!(streams.take_due().is_empty(), "a gap is mended once");
}

/// Sender and receiver of one snapshot, and what was seen of them.
struct Story {
    streams: Streams,
    assembly: Assembly,
    told: String,
}

impl Story {
    fn say(&mut self, text: &str) {
        self.told += &format!("{text}\n");
    }

    /// The sender sends what is due at `now`.
    fn send(&mut self, now: u64) -> Vec<SnapshotChunk> {
        let chunks: Vec<_> = self
            .streams
            .take_due()
            .into_iter()
            .map(|(_, c)| c)
            .collect();
        for chunk in &chunks {
            let (from, to) = (chunk.offset, chunk.offset + chunk.data.len() as u64);
            self.say(&format!(
                "  {now:>3} ns: sent {from}..{to} of {}",
                chunk.total
            ));
        }
        chunks
    }

    /// A chunk arrives, and its answer does.
    fn arrive(&mut self, now: u64, chunk: &SnapshotChunk) {
        let taken = taken(&mut self.assembly, chunk.clone());
        let is_whole = matches!(taken, Taken::Whole { .. });
        let answer = received(taken);
        let gap = if answer.gap {
            ", and a gap behind them"
        } else {
            ""
        };
        let from = chunk.offset;
        self.say(&format!(
            "  {now:>3} ns: {from}.. arrives: {} bytes are there{gap}",
            answer.received
        ));
        if is_whole {
            self.say("          the whole snapshot goes to Raft");
        }
        let is_progress = self.streams.received(now, 2, &answer);
        if !is_progress {
            self.say("          which is no progress");
        }
    }
}

#[test]
fn a_snapshot_travels_in_parts() {
    let mut story = Story {
        streams: Streams::new(CHUNK, PAUSE),
        assembly: Assembly::default(),
        told: String::new(),
    };
    story.say("A snapshot of 65 bytes, in parts of 10. Four may be ahead of what has arrived.");
    assert_eq!(story.streams.begin(0, snapshot(7, 65)), None);
    let first = story.send(0);
    story.say("\nEach part that arrives makes room for the next. The second is lost: what comes behind it lies behind a gap, and all from there on is sent again.");
    story.arrive(10, &first[0]);
    story.send(10);
    story.arrive(11, &first[2]);
    let again = story.send(11);
    story.say("\nAll that is lost as well. After a pause the parts go out again, and after one that is twice as long once more.");
    drop(again);
    let mut chunks = Vec::new();
    for _ in 0..2 {
        let at = story.streams.deadline();
        assert_eq!(story.streams.on_deadline(at), 1);
        chunks = story.send(at);
    }
    story.say("\nThese arrive, and the last parts after them. Only what is whole, and has the right checksum, is shown to Raft.");
    let mut now = story.streams.deadline() - 1;
    while !chunks.is_empty() {
        for chunk in std::mem::take(&mut chunks) {
            story.arrive(now, &chunk);
            now += 1;
            chunks.extend(story.send(now));
        }
    }
    insta::assert_snapshot!(story.told);
}

#[test]
fn pauses_double_while_nothing_arrives() {
    let mut streams = Streams::new(CHUNK, PAUSE);
    streams.begin(0, snapshot(7, 95));
    streams.take_due();
    let mut pauses = Vec::new();
    let mut last = 0;
    for _ in 0..6 {
        let at = streams.deadline();
        pauses.push(at - last);
        last = at;
        assert_eq!(streams.on_deadline(at), 1);
        assert_eq!(streams.take_due().len(), 4);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 800, 800]);
}

#[test]
fn a_newer_snapshot_replaces_one_that_is_under_way() {
    let mut streams = Streams::new(CHUNK, PAUSE);
    let mut assembly = Assembly::default();
    streams.begin(0, snapshot(7, 50));
    let old = streams.take_due();
    taken(&mut assembly, old[0].1.clone());
    streams.begin(0, snapshot(9, 20));
    let new = streams.take_due();
    assert!(matches!(
        taken(&mut assembly, new[0].1.clone()),
        Taken::Part {
            mark: marks::SUPERSEDED_SNAPSHOT,
            ..
        }
    ));
    assert!(matches!(
        taken(&mut assembly, old[1].1.clone()),
        Taken::Refused(marks::REFUSED_OLD_CHUNK)
    ));
    let Taken::Whole { snapshot: got, .. } = taken(&mut assembly, new[1].1.clone()) else {
        panic!("it is complete")
    };
    assert_eq!(*got, snapshot(9, 20));
}

#[test]
fn damaged_data_never_reaches_raft() {
    let mut streams = Streams::new(CHUNK, PAUSE);
    let mut assembly = Assembly::default();
    streams.begin(0, snapshot(7, 20));
    let mut due = streams.take_due();
    due[1].1.data = Bytes::from_static(b"otherbytes");
    taken(&mut assembly, due[0].1.clone());
    let refused = taken(&mut assembly, due[1].1.clone());
    assert!(matches!(
        refused,
        Taken::Part {
            mark: marks::REFUSED_SNAPSHOT_CHECKSUM,
            ..
        }
    ));
    // And all of it is asked for again.
    assert!(streams.received(1, 2, &received(refused)));
    assert_eq!(streams.take_due()[0].1.offset, 0);
}

#[test]
fn nonsense_is_refused() {
    let mut streams = Streams::new(CHUNK, PAUSE);
    streams.begin(0, snapshot(7, 20));
    let good = streams.take_due().remove(0).1;
    let change = |change: fn(&mut SnapshotChunk)| {
        let mut chunk = good.clone();
        change(&mut chunk);
        chunk
    };
    for bad in [
        change(|c| c.message = Bytes::from_static(b"\xff\xff")),
        change(|c| c.message = Bytes::new()),
        change(|c| c.total = u64::MAX),
        change(|c| c.total = 5),
        change(|c| c.offset = u64::MAX),
        change(|c| c.offset = 15),
        change(|c| c.data = Bytes::new()),
    ] {
        assert!(matches!(
            taken(&mut Assembly::default(), bad),
            Taken::Refused(marks::REFUSED_MALFORMED_CHUNK)
        ));
    }
    let mut assembly = Assembly::default();
    let older_term = assembly.take(1, 2, good.clone(), 0, 4);
    assert!(matches!(
        older_term,
        Taken::Refused(marks::REFUSED_OLD_CHUNK)
    ));
    let known = assembly.take(1, 2, good, 7, 3);
    assert!(matches!(known, Taken::Known(msg) if msg.get_snapshot().data.is_empty()));
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// The frame at this place arrives, from either side.
    Deliver(usize),
    Double(usize),
    Lose(usize),
    /// The receiver is restarted.
    Restart,
    Wait,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any::<usize>().prop_map(Event::Deliver),
        1 => any::<usize>().prop_map(Event::Double),
        2 => any::<usize>().prop_map(Event::Lose),
        1 => Just(Event::Restart),
        1 => Just(Event::Wait),
    ]
}

enum Frame {
    Chunk(SnapshotChunk),
    Received(SnapshotReceived),
}

proptest! {
    #[test]
    fn it_arrives_whole_whatever_the_link_does(
        len in 11_usize..200,
        events in prop::collection::vec(event(), 0..300),
    ) {
        let whole = snapshot(7, len);
        let mut streams = Streams::new(CHUNK, PAUSE);
        let mut assembly = Assembly::default();
        let mut link: Vec<Frame> = Vec::new();
        let mut now = 0;
        streams.begin(now, whole.clone());
        // Once the link behaves, it arrives.
        let mut round = [Event::Deliver(0); 20];
        round[0] = Event::Wait;
        let healthy = std::iter::repeat_n(round, 120).flatten();
        let mut arrived = false;
        for event in events.into_iter().chain(healthy) {
            link.extend(streams.take_due().into_iter().map(|(_, c)| Frame::Chunk(c)));
            prop_assert!(link.len() < 5_000);
            let pick = |i: usize| i % link.len().max(1);
            match event {
                Event::Restart => assembly = Assembly::default(),
                Event::Wait => {
                    now = now.max(streams.deadline().min(now + PAUSE));
                    streams.on_deadline(now);
                }
                _ if link.is_empty() => {}
                Event::Lose(i) => drop(link.remove(pick(i))),
                Event::Double(i) => {
                    let copy = match &link[pick(i)] {
                        Frame::Chunk(chunk) => Frame::Chunk(chunk.clone()),
                        Frame::Received(told) => Frame::Received(*told),
                    };
                    link.push(copy);
                }
                Event::Deliver(i) => match link.remove(pick(i)) {
                    Frame::Received(told) => {
                        streams.received(now, 2, &told);
                    }
                    Frame::Chunk(chunk) => {
                        let result = taken(&mut assembly, chunk);
                        if let Taken::Whole { snapshot, .. } = &result {
                            prop_assert_eq!(&**snapshot, &whole);
                            arrived = true;
                        }
                        link.push(Frame::Received(received(result)));
                    }
                },
            }
        }
        prop_assert!(arrived);
    }
}
