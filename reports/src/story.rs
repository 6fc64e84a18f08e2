//! The story of a failure: the few events around the witness that a person
//! would tell, by time.

use crate::describe;
use crate::explanation::Beat;
use squall_api::Role;
use squall_record::{Event, FaultPhase, Kind, Op, Outcome, Why, Witness, seconds};
use std::cmp::Reverse;

/// A story is read, not searched.
const BEATS_MAX: usize = 9;
/// Below this, even what explains little is told.
const BEATS_MIN: usize = 5;
/// What weighs less explains little.
const EXPLAINS: u8 = 50;
/// Of them, operations: the table shows all.
const OPERATIONS_MAX: usize = 4;
/// Events this long before the first operation of the witness may still
/// explain it, in nanoseconds.
const BEFORE: u64 = 10_000_000_000;
/// Of equal kinds (elections, say), the latest few tell enough.
const ALIKE_MAX: usize = 3;

/// Picks what matters: power losses and faults first, then leaders, then what
/// the clients saw. What ends the story is the witness's own sentence, which
/// the reader already has.
pub(crate) fn tell(witness: &Witness, events: &[Event]) -> Vec<Beat> {
    let first_op = witness.ops.iter().map(|op| op.invoke).min();
    let begin = first_op.unwrap_or(witness.t).saturating_sub(BEFORE);
    let open_faults = faults_open_at(events, begin);

    let before = leader_before(events, begin);

    let mut candidates: Vec<(Weight, Beat)> = Vec::new();
    for event in events.iter().filter(|e| e.t <= witness.t) {
        let still_holds = open_faults.contains(&event.seq) || before == Some(event.seq);
        if event.t < begin && !still_holds {
            continue;
        }
        if let Some(weight) = weigh(event, witness) {
            candidates.push((weight, beat_of_event(event)));
        }
    }
    keep_latest_alike(&mut candidates);
    candidates.extend(operations(witness));

    // The heaviest, and among equals the closest to the failure.
    candidates.sort_by_key(|(weight, beat)| (Reverse(weight.0), Reverse((beat.t, beat.seq))));
    let explain = candidates.iter().filter(|(w, _)| w.0 >= EXPLAINS).count();
    candidates.truncate(explain.clamp(BEATS_MIN, BEATS_MAX));
    let mut beats: Vec<Beat> = candidates.into_iter().map(|(_, beat)| beat).collect();
    beats.sort_by_key(|beat| (beat.t, beat.seq, beat.op));
    beats
}

/// How much an event explains; and its kind, by which it is counted as alike.
struct Weight(u8, &'static str);

fn weigh(event: &Event, witness: &Witness) -> Option<Weight> {
    let about_node = event.node.is_some() && event.node == witness.node;
    let near = u8::from(about_node);
    Some(match &event.kind {
        Kind::Ended { illegal: true, .. } => Weight(98, "death"),
        Kind::Crashed { lost_sectors, .. } if *lost_sectors > 0 => match about_node {
            true => Weight(97, "its loss"),
            false => Weight(95, "loss"),
        },
        Kind::Crashed { .. } => match about_node {
            true => Weight(87, "its crash"),
            false => Weight(84, "crash"),
        },
        Kind::Fault {
            phase: FaultPhase::Start,
            ..
        } => Weight(92, "fault"),
        Kind::Fault { .. } => Weight(58, "heal"),
        Kind::Role {
            role: Role::Leader, ..
        } => Weight(88 + near, "leader"),
        Kind::Role {
            role: Role::Candidate,
            ..
        } => Weight(40 + near, "candidate"),
        Kind::Role { .. } => Weight(30 + near, "follower"),
        Kind::SnapshotInstalled { .. } => Weight(72 + near, "snapshot"),
        Kind::Paused | Kind::Resumed => Weight(74 + near, "pause"),
        Kind::Started { incarnation } if *incarnation > 0 => match about_node {
            true => Weight(67, "its restart"),
            false => Weight(66, "restart"),
        },
        Kind::Ended { .. } => Weight(60, "end"),
        // The reader has that sentence already.
        Kind::Violated { sentence, .. } if *sentence == witness.sentence => return None,
        Kind::Violated { .. } => Weight(90, "violation"),
        Kind::Mark { .. } if about_node => Weight(35, "mark"),
        _ => return None,
    })
}

/// `seq` of each fault that had set in before `t` and not ended by then.
fn faults_open_at(events: &[Event], t: u64) -> Vec<u64> {
    let mut open: Vec<(u32, u64)> = Vec::new();
    for event in events.iter().take_while(|e| e.t < t) {
        if let Kind::Fault { fault, phase, .. } = &event.kind {
            match phase {
                FaultPhase::Start => open.push((*fault, event.seq)),
                FaultPhase::End => open.retain(|(f, _)| f != fault),
            }
        }
    }
    open.into_iter().map(|(_, seq)| seq).collect()
}

/// `seq` of the last election before `t`: who led when the story begins.
fn leader_before(events: &[Event], t: u64) -> Option<u64> {
    let elected = |event: &&Event| {
        matches!(
            event.kind,
            Kind::Role {
                role: Role::Leader,
                ..
            }
        )
    };
    let earlier = events.iter().take_while(|event| event.t < t);
    earlier.filter(elected).last().map(|event| event.seq)
}

/// Elections come in storms; the last few of a kind explain the rest.
fn keep_latest_alike(candidates: &mut Vec<(Weight, Beat)>) {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    let mut keep = vec![true; candidates.len()];
    for (i, (weight, _)) in candidates.iter().enumerate().rev() {
        let seen = match kinds.iter_mut().find(|(kind, _)| *kind == weight.1) {
            Some((_, n)) => {
                *n += 1;
                *n
            }
            None => {
                kinds.push((weight.1, 1));
                1
            }
        };
        keep[i] = seen <= ALIKE_MAX;
    }
    let mut keep = keep.into_iter();
    candidates.retain(|_| keep.next().unwrap_or(false));
}

fn beat_of_event(event: &Event) -> Beat {
    Beat {
        t: event.t,
        seq: Some(event.seq),
        op: None,
        node: event.node,
        text: describe::event(event),
    }
}

/// What the clients saw: the operations of the witness, told at the moment at
/// which they matter. The last one is the one that cannot be.
fn operations(witness: &Witness) -> Vec<(Weight, Beat)> {
    let ops = &witness.ops;
    let skipped = ops.len().saturating_sub(OPERATIONS_MAX);
    ops[skipped..]
        .iter()
        .map(|op| (Weight(91, "operation"), beat_of_op(op)))
        .collect()
}

fn beat_of_op(op: &Op) -> Beat {
    let call = describe::call(&op.call);
    let (client, member) = (op.client, op.member);
    let text = match &op.outcome {
        Outcome::Ok(_) => {
            let answer = describe::outcome(op);
            format!("n{member} answers c{client}'s {call} with {answer}")
        }
        Outcome::Refused(status) => {
            format!("n{member} refuses c{client}'s {call}: {}", status.message)
        }
        Outcome::Unknown(why) => {
            let sent = seconds(op.invoke);
            let asked = format!("c{client}'s {call}, sent to n{member} at {sent}");
            match why {
                Why::Timeout => format!("no answer in time to {asked}"),
                Why::Reset => format!("the connection breaks before an answer to {asked}"),
                Why::Status(status) => {
                    format!("\"{}\" leaves open what came of {asked}", status.message)
                }
                Why::RunEnded => format!("the run ends before an answer to {asked}"),
            }
        }
    };
    Beat {
        t: op.ret.unwrap_or(op.invoke),
        seq: None,
        op: Some(op.id),
        node: Some(op.member),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_record::RunPhase;

    fn event(seq: u64, seconds: u64, node: u64, kind: Kind) -> Event {
        Event {
            seq,
            t: seconds * 1_000_000_000,
            node: Some(node),
            cause: None,
            kind,
        }
    }

    fn leader(term: u64) -> Kind {
        Kind::Role {
            role: Role::Leader,
            term,
            leader: 1,
        }
    }

    fn witness(seconds: u64) -> Witness {
        Witness {
            guarantee: String::new(),
            sentence: String::new(),
            t: seconds * 1_000_000_000,
            node: Some(1),
            ops: Vec::new(),
            facts: Vec::new(),
            class: String::new(),
        }
    }

    fn told(witness: &Witness, events: &[Event]) -> Vec<u64> {
        tell(witness, events).iter().filter_map(|b| b.seq).collect()
    }

    #[test]
    fn what_began_long_ago_and_still_holds_belongs_to_the_story() {
        let fault = |phase| Kind::Fault {
            fault: 4,
            phase,
            label: "cut".into(),
            what: "partition n1 | n2 n3".into(),
        };
        let events = [
            event(
                0,
                0,
                1,
                Kind::Phase {
                    phase: RunPhase::Boot,
                },
            ),
            event(1, 1, 1, leader(1)),
            event(2, 2, 1, leader(2)),
            event(3, 3, 1, fault(FaultPhase::Start)),
            event(9, 40, 1, Kind::Paused),
        ];
        assert_eq!(told(&witness(50), &events), [2, 3, 9]);
        let healed = [&events[..4], &[event(5, 9, 1, fault(FaultPhase::End))]].concat();
        assert_eq!(told(&witness(50), &healed), [2]);
    }

    #[test]
    fn a_storm_of_elections_does_not_drown_the_power_loss() {
        let mut events = vec![event(
            0,
            40,
            1,
            Kind::Crashed {
                disk: "lost".into(),
                unsynced_sectors: 9,
                lost_sectors: 4,
            },
        )];
        events.extend((1..200).map(|i| event(i, 41, 2, leader(i))));
        events.push(event(200, 60, 2, leader(999)));
        let seqs = told(&witness(45), &events);
        assert_eq!(
            seqs,
            [0, 197, 198, 199],
            "nothing after the failure is told"
        );
    }
}
