//! Faults, as the tasks of a scenario inject them.
//!
//! Most are overlays: they last until they are ended by the number of the fault
//! that they belong to, and what other faults do at the same place stays.

use super::handle::World;
use super::process::{Doom, Lane, Node};
use super::queue::Due;
use crate::{
    ClientWay, ClockFault, DiskFault, LatencyModel, LinkFault, NodeClock, Operation, PowerLoss,
};
use squall_api::{Input, Version};

/// Processes.
impl World {
    /// Starts a member's process, if it does not run.
    pub fn start(&self, node: u64) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.queue.push(now, Due::Start { node });
    }

    /// Kills a member's process, if it runs: nothing of it runs any more, no
    /// destructor's write counts. A process that is still opening dies half-way
    /// through its recovery.
    pub fn crash(&self, node: u64, how: PowerLoss) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.queue.push(now, Due::Crash { node, how });
    }

    /// Starts a member's process, if it does not run, and kills it again when
    /// it begins its `operation`-th disk operation, counted from 1: in the midst
    /// of its recovery, if that takes so many. It is down for `down` ns then.
    pub fn start_doomed(&self, node: u64, operation: u64, how: PowerLoss, down: u64) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.node(node).doom = Some(Doom {
            operation: operation.max(1),
            how,
            down,
        });
        inner.queue.push(now, Due::Start { node });
    }

    /// Takes back what [`World::start_doomed`] announced, if it has not come.
    pub fn spare(&self, node: u64) {
        let mut inner = self.shared.lock();
        let state = inner.node(node);
        state.doom = None;
        state.disk.crash_at_operation(None);
    }

    /// Asks a member's process to stop, if it runs. It is down, without loss,
    /// once both of its lanes have stopped.
    pub fn stop(&self, node: u64) {
        let mut inner = self.shared.lock();
        if inner.node(node).up {
            for lane in Lane::BOTH {
                inner.give(node, lane, Input::Stop, None);
            }
        }
    }

    /// Kills a member's process, if it runs, and replaces its disk by a new,
    /// empty one. Faults of the old disk do not touch the new one.
    ///
    /// A member that starts again from an empty disk has forgotten its votes and
    /// what it acknowledged: nothing that rests on those may be expected of the
    /// cluster if it returns under the same id.
    pub fn wipe(&self, node: u64) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.queue.push(now, Due::Wipe { node });
    }

    /// The release that a member's process runs as, or will when it starts.
    pub fn version(&self, node: u64) -> Version {
        self.shared.lock().node(node).member.config.version
    }

    /// Lets a member's next process run as another release.
    pub fn set_version(&self, node: u64, version: Version) {
        self.shared.lock().node(node).member.config.version = version;
    }

    /// Stops a process in its tracks, as a garbage collection would; its clocks
    /// run on. It stands still until every fault that paused it has resumed it.
    pub fn pause(&self, fault: u32, node: u64) {
        self.shared.lock().pause(fault, node);
    }

    /// Ends the pause that `fault` began.
    pub fn resume(&self, fault: u32, node: u64) {
        self.shared.lock().resume(fault, node);
    }

    /// Lets each step that a node begins from now on cost `factor` times as much
    /// of the CPU (20 µs times `factor` if the setup says that steps cost
    /// nothing). Several faults multiply. It outlives the node's processes.
    pub fn slow(&self, fault: u32, node: u64, factor: u32) {
        self.shared.lock().node(node).slow.insert(fault, factor);
    }

    /// Ends what `fault` slowed.
    pub fn unslow(&self, fault: u32, node: u64) {
        self.shared.lock().node(node).slow.remove(&fault);
    }
}

/// The network.
impl World {
    /// Cuts the direction `from` to `to` for as long as `fault` is not healed.
    pub fn cut(&self, fault: u32, from: u64, to: u64) {
        self.shared.lock().net.cut(fault, from, to);
    }

    /// Degrades the messages that are sent from `from` to `to` from now on, for
    /// as long as `fault` is not healed. A second call replaces the first.
    pub fn degrade(&self, fault: u32, from: u64, to: u64, what: LinkFault) {
        self.shared.lock().net.degrade(fault, from, to, what);
    }

    /// Clogs a direction: nothing moves on it until `fault` is healed. What is
    /// under way, or sent meanwhile, makes the rest of its way afterwards.
    pub fn clog(&self, fault: u32, from: u64, to: u64) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.net.clog(now, fault, from, to);
    }

    /// Holds what would arrive at `to` from `from`; it all arrives, in order,
    /// when `fault` is healed.
    pub fn hold(&self, fault: u32, from: u64, to: u64) {
        self.shared.lock().net.hold(fault, from, to);
    }

    /// Ends everything that `fault` cut, degraded, clogged or held.
    pub fn heal(&self, fault: u32) {
        self.shared.lock().heal(fault);
    }

    /// Delays what clients and a member say to each other, in the ways that
    /// `way` names, until `fault` is healed.
    pub fn delay_clients(&self, fault: u32, node: u64, way: ClientWay, delay: LatencyModel) {
        let mut inner = self.shared.lock();
        inner.net.delay_clients(fault, node, way, delay);
    }

    /// Cuts the connections between clients and a member, in the ways that
    /// `way` names. They stay open: what is sent on them, and what is under way,
    /// arrives when `fault` is healed.
    pub fn cut_clients(&self, fault: u32, node: u64, way: ClientWay) {
        self.shared.lock().net.cut_clients(fault, node, way);
    }

    /// Resets every open connection of a client, and returns how many there
    /// were. Answers that have left their members still arrive; of whatever else
    /// it waits for, the client learns that its outcome is unknown. The members
    /// learn that the connections are closed.
    pub fn reset_client(&self, client: u32) -> u64 {
        let mut inner = self.shared.lock();
        inner.reset_connections(|conn| conn.client == client)
    }

    /// Resets every open connection to a member, as
    /// [`World::reset_client`] does those of a client.
    pub fn reset_member(&self, node: u64) -> u64 {
        let mut inner = self.shared.lock();
        inner.reset_connections(|conn| conn.node == node)
    }
}

/// Disks.
impl World {
    /// Sets a fault of a node's disk in: see
    /// [`NodeDisk::inject`](crate::NodeDisk::inject).
    pub fn spoil(&self, fault: u32, node: u64, what: DiskFault) {
        self.shared.lock().node(node).disk.inject(fault, what);
    }

    /// Ends what `fault` does to a node's disk: see
    /// [`NodeDisk::clear`](crate::NodeDisk::clear).
    pub fn unspoil(&self, fault: u32, node: u64) {
        self.shared.lock().node(node).disk.clear(fault);
    }

    /// Records every node's disk operations from now on.
    pub fn record_operations(&self) {
        let mut inner = self.shared.lock();
        for node in &mut inner.nodes {
            node.disk.record_operations(true);
        }
    }

    /// A node's disk operations since this was last called. Those that a crash
    /// took back are among them, with times after it.
    pub fn take_operations(&self, node: u64) -> Vec<Operation> {
        self.shared.lock().node(node).disk.take_operations()
    }

    /// When each of a node's processes opened its member: from, and to, had it
    /// not been killed.
    pub fn openings(&self, node: u64) -> Vec<(u64, u64)> {
        self.shared.lock().node(node).openings.clone()
    }

    /// How many images a node's last power loss could have left, as
    /// [`NodeDisk::counted_images`](crate::NodeDisk::counted_images) has them;
    /// `None` if it was no [`PowerLoss::Image`].
    pub fn images(&self, node: u64) -> Option<u32> {
        self.shared.lock().node(node).images
    }

    /// Bytes that a node's files take on its disk.
    pub fn allocated(&self, node: u64) -> u64 {
        self.shared.lock().node(node).disk.allocated()
    }

    /// Makes every fsync of a node that begins from now on take `delay` ns longer.
    pub fn stall(&self, fault: u32, node: u64, delay: u64) {
        self.shared.lock().node(node).disk.stall(fault, delay);
    }

    /// Ends a stall.
    pub fn unstall(&self, fault: u32, node: u64) {
        self.shared.lock().node(node).disk.unstall(fault);
    }
}

/// Clocks.
impl World {
    /// Lets a fault freeze, bend or shift a node's clocks from now on, in place
    /// of what the same fault did to them before.
    pub fn disturb_clock(&self, fault: u32, node: u64, what: ClockFault) {
        self.turn_clock(node, |clock, now| clock.disturb(now, fault, what));
    }

    /// Ends what `fault` does to a node's clocks: they go on from where they
    /// are, the wall clock steps back by the fault's offset.
    pub fn relieve_clock(&self, fault: u32, node: u64) {
        self.turn_clock(node, |clock, now| clock.relieve(now, fault));
    }

    /// Changes how fast a node's clocks run without faults, in parts per million.
    pub fn drift(&self, node: u64, ppm: f64) {
        self.turn_clock(node, |clock, now| clock.set_drift(now, ppm));
    }

    /// Steps a node's wall clock, for good.
    pub fn step_wall(&self, node: u64, ns: i64) {
        self.shared.lock().node(node).clock.step_wall(ns);
    }

    /// Changes a clock, and has its node's timers looked at again.
    fn turn_clock(&self, node: u64, change: impl FnOnce(&mut NodeClock, u64)) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        let Node { clock, .. } = inner.node(node);
        change(clock, now);
        for lane in Lane::BOTH {
            inner.arm(node, lane);
        }
    }
}
