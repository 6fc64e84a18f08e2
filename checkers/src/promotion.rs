//! A learner is promoted only when it has caught up: else it counts towards
//! quorums that it cannot help to make.
//!
//! The leader has to find nine tenths of its log at the learner at some moment
//! between the call and its answer. What it has then is at least what was
//! committed before the call; what the learner has then is at most what its log
//! had reached when the answer came. Where these two are too far apart, nobody
//! can have looked.

use squall_api::{ClusterRequest, RaftView};
use squall_record::{Call, Check, Fact, Op, Outcome, Verdict, Witness, seconds};
use std::collections::BTreeMap;

/// The guarantee, in a sentence.
pub const GUARANTEE: &str =
    "a learner is promoted only when it has nine tenths of the leader's log";

/// Follows how far logs come, all through a run.
#[derive(Debug, Default)]
pub struct Promotions {
    committed: Levels,
    logs: BTreeMap<u64, Levels>,
}

impl Promotions {
    /// `node` shows its log at true time `t`.
    pub fn observe(&mut self, t: u64, node: u64, view: &RaftView) {
        self.committed.reach(t, view.commit);
        self.logs.entry(node).or_default().reach(t, view.last_index);
    }

    /// Judges every promotion that was acknowledged; `None` if nobody asked for
    /// one.
    pub fn finish(self, history: &[Op]) -> Option<Check> {
        let is_promotion =
            |op: &&Op| matches!(op.call, Call::Cluster(ClusterRequest::MemberPromote(_)));
        let mut promotions = history.iter().filter(is_promotion).peekable();
        promotions.peek()?;
        let (mut judged, mut broken) = (0, None);
        for op in promotions {
            if matches!(op.outcome, Outcome::Ok(_)) {
                judged += 1;
                broken = broken.or_else(|| self.unready(op));
            }
        }
        Some(Check {
            name: "promotion".into(),
            verdict: match broken {
                Some(witness) => Verdict::Fail(witness),
                None => Verdict::Pass { judged, unknown: 0 },
            },
        })
    }

    fn unready(&self, op: &Op) -> Option<Box<Witness>> {
        let Call::Cluster(ClusterRequest::MemberPromote(call)) = &op.call else {
            return None;
        };
        let ret = op.ret.unwrap_or(u64::MAX);
        let committed = self.committed.at_least(op.invoke);
        let log = self.logs.get(&call.id).map_or(0, |log| log.at_most(ret));
        if u128::from(log) * 10 >= u128::from(committed) * 9 {
            return None;
        }
        Some(Box::new(Witness {
            guarantee: GUARANTEE.into(),
            sentence: format!(
                "n{} promoted n{} at {}, whose log had not come beyond entry {log}, although \
                 {committed} entries were committed before it was asked",
                op.member,
                call.id,
                seconds(ret),
            ),
            t: ret,
            node: Some(call.id),
            ops: vec![op.clone()],
            facts: vec![
                Fact::new(
                    "committed before the call".to_owned(),
                    committed.to_string(),
                ),
                Fact::new(format!("n{}'s log at the answer", call.id), log.to_string()),
            ],
            class: "promoted-unready".into(),
        }))
    }
}

/// When a number that grows had come how far, to about one in a hundred: what is
/// kept grows with the logarithm of the number.
#[derive(Debug, Default)]
struct Levels(Vec<(u64, u64)>);

impl Levels {
    fn reach(&mut self, t: u64, value: u64) {
        let known = self.0.last().map_or(0, |(_, value)| *value);
        if value > beyond(known) {
            self.0.push((t, value));
        }
    }

    /// It had come at least this far at `t`.
    fn at_least(&self, t: u64) -> u64 {
        let before = self.0.partition_point(|(at, _)| *at <= t);
        before.checked_sub(1).map_or(0, |last| self.0[last].1)
    }

    /// It had come no farther than this at `t`.
    fn at_most(&self, t: u64) -> u64 {
        beyond(self.at_least(t))
    }
}

/// The highest number that is not noted after `known`.
fn beyond(known: u64) -> u64 {
    known.saturating_add(known / 128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::{ClusterResponse, Role, pb};
    use squall_record::{Ret, Status};

    fn view(commit: u64, last_index: u64) -> RaftView {
        RaftView {
            term: 1,
            vote: 0,
            role: Role::Follower,
            leader: 1,
            commit,
            first_index: 1,
            last_index,
            log: None,
            members: None,
        }
    }

    fn promote(invoke: u64, ret: u64, outcome: Outcome) -> Op {
        Op {
            id: 0,
            client: 1,
            process: 0,
            member: 2,
            invoke,
            ret: Some(ret),
            token: String::new(),
            call: Call::Cluster(ClusterRequest::MemberPromote(pb::MemberPromoteRequest {
                id: 4,
            })),
            outcome,
        }
    }

    fn done() -> Outcome {
        Outcome::Ok(Ret::Cluster(ClusterResponse::MemberPromote(
            pb::MemberPromoteResponse::default(),
        )))
    }

    /// The leader's log grows by one entry a nanosecond, and the learner's begins
    /// to when it is heard of, at 500.
    fn judged(op: Op) -> Option<String> {
        let mut promotions = Promotions::default();
        for t in 0..1_000 {
            promotions.observe(t, 1, &view(t, t + 3));
            if t >= 500 {
                promotions.observe(t, 4, &view(0, (t - 500) * 2));
            }
        }
        match promotions.finish(&[op])?.verdict {
            Verdict::Fail(witness) => Some(witness.class),
            _ => None,
        }
    }

    #[test]
    fn who_cannot_have_caught_up_was_promoted_unready() {
        let unready = Some("promoted-unready".to_owned());
        assert_eq!(judged(promote(400, 450, done())), unready, "never started");
        assert_eq!(judged(promote(700, 750, done())), unready, "500 of 700");
        assert_eq!(judged(promote(700, 850, done())), None, "caught up since");
        assert_eq!(judged(promote(950, 960, done())), None, "920 of 950");
        let refused = Outcome::Refused(Status::new(squall_record::Code::NotFound, ""));
        assert_eq!(judged(promote(400, 450, refused)), None);
    }

    #[test]
    fn levels_are_bounds() {
        let mut levels = Levels::default();
        (0..100_000).for_each(|t| levels.reach(t, t));
        assert!(levels.0.len() < 1_500, "{}", levels.0.len());
        for t in (0..100_000).step_by(997) {
            let (least, most) = (levels.at_least(t), levels.at_most(t));
            assert!(least <= t && t <= most && most - least <= 1 + t / 64);
        }
    }

    #[test]
    fn where_nobody_promotes_nothing_is_judged() {
        assert_eq!(Promotions::default().finish(&[]), None);
    }
}
