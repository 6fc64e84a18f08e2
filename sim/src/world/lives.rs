//! How processes end, stand still, and lose their disks.

use super::inner::Inner;
use super::process::{Doom, Exit, Lane, LaneState, Standing};
use super::queue::Due;
use crate::{DiskParams, NodeDisk, PowerLoss, Streams};
use squall_api::Fatal;
use squall_record::{Kind, PartKind};
use xxhash_rust::xxh3::xxh3_64;

/// How a process came to be gone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gone {
    /// It was killed, and power may have failed.
    Killed(PowerLoss),
    /// It stopped as it was asked to.
    Exited,
    /// It was killed, and its disk is replaced.
    Wiped,
}

impl Inner {
    /// The process is gone: everything that was only in its memory is lost.
    pub(crate) fn process_gone(&mut self, node: u64, gone: Gone) {
        let now = self.now;
        let state = self.node(node);
        state.up = false;
        // Whatever this incarnation still has under way is void.
        state.incarnation += 1;
        state.pauses.clear();
        state.held.clear();
        state.held_exit = None;
        for lane in &mut state.lanes {
            *lane = LaneState::default();
        }
        let applied = state.standing.applied;
        state.standing = Standing::of_nobody();
        state.standing.applied = applied;
        let (how, disk) = match gone {
            Gone::Killed(how) => (how, Some(how.name())),
            Gone::Exited => (PowerLoss::Kept, None),
            Gone::Wiped => (PowerLoss::Kept, Some("wiped")),
        };
        let mut disk = disk.map(str::to_owned);
        if let PowerLoss::Image(number) = how {
            state.images = Some(state.disk.counted_images(now));
            let left = state.disk.describe_image(now, number);
            disk = Some(format!("image {number}: {left}"));
        }
        let report = state.disk.crash(now, how);
        if let Some(disk) = disk {
            self.recorder.notable(
                now,
                Some(node),
                None,
                Kind::Crashed {
                    disk: disk.into(),
                    unsynced_sectors: report.unsynced_sectors,
                    lost_sectors: report.lost_sectors,
                },
            );
        }
        self.observer.crashed(node);
        // The kernel resets the process's connections; each client learns it
        // when the reset arrives.
        for conn in self.conns.open(|conn| conn.node == node) {
            self.reset(conn, false);
        }
    }

    /// A lane has come to its end. Its process ends with it, when the lane's
    /// last step is over; after a clean stop it waits for the other lane's.
    pub(crate) fn lane_ended(&mut self, node: u64, lane: Lane, fatal: &Fatal) {
        let now = self.now;
        let state = self.node(node);
        if !state.up {
            return;
        }
        state.lane(lane).ended = true;
        let asked = matches!(fatal, Fatal::Stopped);
        if asked && !state.lane(lane.other()).ended {
            return;
        }
        let exit = Exit {
            reason: fatal.to_string(),
            illegal: !matches!(fatal, Fatal::Stopped | Fatal::Removed),
            asked,
        };
        let ended = state.lanes.iter().filter(|lane| lane.ended);
        let at = ended.map(|lane| lane.busy_until).fold(now, u64::max);
        let incarnation = state.incarnation;
        let due = Due::Exit {
            node,
            incarnation,
            exit,
        };
        self.queue.push(at, due);
    }

    /// Whether a process that is due to end ends now; it may stand still, or
    /// have something to do at this very moment.
    pub(crate) fn exits(&mut self, node: u64, incarnation: u32, exit: &Exit) -> bool {
        let now = self.now;
        let state = self.node(node);
        if state.incarnation != incarnation || !state.up {
            return false;
        }
        if !state.pauses.is_empty() {
            state.held_exit.get_or_insert(exit.clone());
            return false;
        }
        if state.lanes.iter().any(|lane| lane.gated) {
            let due = Due::Exit {
                node,
                incarnation,
                exit: exit.clone(),
            };
            self.queue.push(now, due);
            return false;
        }
        let (reason, illegal) = (exit.reason.clone(), exit.illegal);
        state.ended = Some(reason.clone());
        self.recorder
            .notable(now, Some(node), None, Kind::Ended { reason, illegal });
        true
    }

    /// Replaces a node's disk by an empty one, with draws of its own.
    pub(crate) fn replace_disk(&mut self, node: u64, seed: u64, params: &DiskParams) {
        let state = self.node(node);
        state.wipes += 1;
        let name = [seed, node, state.wipes].map(u64::to_le_bytes);
        let streams = Streams::new(xxh3_64(name.as_flattened()));
        let new = NodeDisk::new(node, params.clone(), &streams);
        let old = std::mem::replace(&mut state.disk, new);
        // What the old one did is part of the run.
        let hash = old.take_hash().to_le_bytes();
        self.recorder.mix(PartKind::Disk, node, &hash);
        let stats = old.stats();
        self.replaced_disks.add(&stats.fired);
        self.charge(&stats);
        self.observer.wiped(node);
    }

    /// Kills a process that has done the disk operation at which it is to die.
    pub(crate) fn meet_doom(&mut self, node: u64) {
        let now = self.now;
        let state = self.node(node);
        let Some(Doom { how, down, .. }) = state.doom else {
            return;
        };
        let Some(operation) = state.disk.take_crash_point() else {
            return;
        };
        state.doom = None;
        let at = operation.begun.max(now);
        self.queue.push(at, Due::Crash { node, how });
        self.queue
            .push(at.saturating_add(down), Due::Start { node });
    }

    pub(crate) fn pause(&mut self, fault: u32, node: u64) {
        let now = self.now;
        let state = self.node(node);
        if !state.up {
            return;
        }
        if state.pauses.is_empty() {
            state.paused_since = now;
            self.recorder.notable(now, Some(node), None, Kind::Paused);
        }
        self.node(node).pauses.insert(fault);
    }

    pub(crate) fn resume(&mut self, fault: u32, node: u64) {
        let now = self.now;
        let state = self.node(node);
        if !state.pauses.remove(&fault) || !state.pauses.is_empty() {
            return;
        }
        // What was left of a step when the process stopped is still to be done.
        let stood = now - state.paused_since;
        let since = state.paused_since;
        for lane in &mut state.lanes {
            if lane.busy_until > since {
                lane.busy_until += stood;
            }
        }
        let held = std::mem::take(&mut state.held);
        if let Some(exit) = state.held_exit.take() {
            let busy = state.lanes.iter().map(|lane| lane.busy_until);
            let at = busy.fold(now, u64::max);
            let incarnation = state.incarnation;
            let due = Due::Exit {
                node,
                incarnation,
                exit,
            };
            self.queue.push(at, due);
        }
        self.recorder.notable(now, Some(node), None, Kind::Resumed);
        for batch in held {
            self.released(batch);
        }
        for lane in Lane::BOTH {
            self.arm(node, lane);
        }
    }
}
