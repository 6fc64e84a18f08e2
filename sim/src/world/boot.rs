//! How a process begins: it opens its member, and its lanes run.

use super::lane::{LaneHost, run_lane};
use super::process::{Exit, Lane};
use super::queue::Due;
use super::setup::{Lanes, MemberSetup};
use super::shared::Shared;
use crate::Streams;
use squall_api::{Bugs, Effects, Env};
use squall_record::Kind;
use std::sync::Arc;

/// A process's first task. It never ends: madsim takes its end for the node's.
pub(crate) async fn boot(
    shared: Arc<Shared>,
    node: u64,
    member: MemberSetup,
    bugs: Bugs,
    seed: u64,
) {
    open_member(shared, node, member, bugs, seed);
    std::future::pending::<()>().await;
}

/// Opens the member and starts its lanes.
fn open_member(shared: Arc<Shared>, node: u64, member: MemberSetup, bugs: Bugs, seed: u64) {
    let (env, now, disk) = {
        let mut inner = shared.lock();
        let t = inner.now;
        let state = inner.node(node);
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
    let opened = (member.open)(env, now);
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
            inner.running += 2;
            let raft_host = LaneHost {
                shared: shared.clone(),
                node,
                lane: Lane::Raft,
                begun: false,
            };
            let apply_host = LaneHost {
                shared: shared.clone(),
                node,
                lane: Lane::Apply,
                begun: false,
            };
            let fx = Effects::new(disk.clone());
            madsim::task::spawn(run_lane(raft_host, raft, fx));
            let fx = Effects::new(disk);
            madsim::task::spawn(run_lane(apply_host, apply, fx));
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
        }
    }
    inner.park();
}
