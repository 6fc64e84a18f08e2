//! How a process begins: it opens its member, and its lanes run.

use super::lane::{LaneHost, run_lane};
use super::process::{Exit, Lane};
use super::queue::Due;
use super::setup::Lanes;
use super::shared::Shared;
use super::task::Polled;
use crate::Streams;
use squall_api::{Effects, Env};
use squall_record::Kind;
use std::sync::Arc;

/// Starts a node's process, if none runs: opens its member. Returns its lanes,
/// to be polled; none if it could not open.
pub(crate) fn boot(shared: &Arc<Shared>, node: u64) -> Option<[Polled; 2]> {
    let (open, env, now, disk) = {
        let mut inner = shared.lock();
        let (t, bugs, seed) = (inner.now, inner.bugs, inner.seed);
        let state = inner.node(node);
        if state.up {
            return None;
        }
        state.up = true;
        state.ended = None;
        for lane in Lane::BOTH {
            *state.lane(lane) = Default::default();
        }
        let member = state.member.clone();
        let mount = state.disk.mount();
        state.disk.begin_step(t);
        if let Some(doom) = &state.doom {
            let number = state.disk.operations() + doom.operation;
            state.disk.crash_at_operation(Some(number));
        }
        let incarnation = state.incarnation;
        let now = state.clock.now(t);
        inner
            .recorder
            .notable(t, Some(node), None, Kind::Started { incarnation });
        inner.observer.started(node);
        if incarnation > 0 {
            inner.recorder.stats.restarts += 1;
        }
        let rng = Streams::new(seed).rng("member", node << 32 | u64::from(incarnation));
        (
            member.open,
            Env {
                disk: mount.clone(),
                rng,
                bugs,
                cfg: member.config,
            },
            now,
            mount,
        )
    };
    let opened = open(env, now);
    let mut inner = shared.lock();
    let t = inner.now;
    inner.meet_doom(node);
    let spent = inner.node(node).disk.spent();
    inner.node(node).openings.push((t, t + spent));
    match opened {
        Ok(Lanes { raft, apply }) => {
            let spent = inner.node(node).disk.spent();
            for lane in Lane::BOTH {
                let state = inner.node(node).lane(lane);
                state.busy_until = t + spent;
                // A lane that was opened is due at once.
                state.deadline = Some(0);
                inner.arm(node, lane);
            }
            let begin = |lane, machine| -> Polled {
                let host = LaneHost {
                    shared: shared.clone(),
                    node,
                    lane,
                    now,
                };
                Box::pin(run_lane(host, machine, Effects::new(disk.clone())))
            };
            Some([begin(Lane::Raft, raft), begin(Lane::Apply, apply)])
        }
        Err(error) => {
            // It ends when what it did on its disk until then is over.
            let at = t + inner.node(node).disk.spent();
            let incarnation = inner.node(node).incarnation;
            let exit = Exit {
                reason: format!("cannot open: {error}"),
                illegal: true,
                asked: false,
            };
            let due = Due::Exit {
                node,
                incarnation,
                exit,
            };
            inner.queue.push(at, due);
            None
        }
    }
}
