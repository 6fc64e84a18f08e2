//! The handle that tasks of a scenario have on their world.

use super::client::SimClient;
use super::marks::AtMark;
use super::process::Standing;
use super::queue::Due;
use super::shared::Shared;
use super::task::{Running, Task};
use squall_api::MembersView;
use squall_record::{FaultPhase, Kind, RunPhase};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

/// A handle to the world, for the tasks of a scenario.
#[derive(Clone)]
pub struct World {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clients: u32,
}

impl World {
    /// True time in nanoseconds since the start of the run.
    pub fn now(&self) -> u64 {
        self.shared.lock().now
    }

    /// Starts a task. It runs when the conductor gets to it.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Running {
        let future = Box::pin(future);
        let task = {
            let mut inner = self.shared.lock();
            let task = inner.tasks.len() as u32;
            inner.tasks.push(Task {
                done: false,
                woken: false,
                future: Some(future),
                joiner: None,
            });
            let now = inner.now;
            inner.queue.push(now, Due::Wake { task });
            task
        };
        Running(task)
    }

    /// Waits until a task has ended.
    pub async fn join(&self, task: Running) {
        poll_fn(|_| {
            let mut inner = self.shared.lock();
            let current = inner.current_task;
            let state = &mut inner.tasks[task.0 as usize];
            if state.done {
                return Poll::Ready(());
            }
            state.joiner = Some(current);
            Poll::Pending
        })
        .await;
    }

    /// Waits until true time `t`.
    pub async fn sleep_until(&self, t: u64) {
        let mut armed = false;
        poll_fn(|_| {
            let mut inner = self.shared.lock();
            if inner.now >= t {
                return Poll::Ready(());
            }
            if !armed {
                armed = true;
                let task = inner.current_task;
                inner.queue.push(t, Due::Wake { task });
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits for `ns` nanoseconds of true time.
    pub async fn sleep(&self, ns: u64) {
        self.sleep_until(self.now().saturating_add(ns)).await;
    }

    /// Waits until the mark `name` is passed for the `nth` time from this call
    /// on, by whatever member, and yields that member. 1 is the next time.
    ///
    /// A mark is a moment in a step. Whoever waits for it acts *at* that moment:
    /// a crash, cut or pause from there comes before every later effect of the
    /// step, and a crash takes what the step did on its disk after it. (Disk
    /// operations that took no time at all happen in the same nanosecond, and
    /// stay.) Await it where nothing else is awaited before the fault.
    pub fn at_mark(&self, name: &str, nth: u64) -> AtMark {
        AtMark::new(self.shared.clone(), name, None, nth)
    }

    /// As [`World::at_mark`], counting only the times that `node` passes it.
    pub fn at_mark_of(&self, node: u64, name: &str, nth: u64) -> AtMark {
        AtMark::new(self.shared.clone(), name, Some(node), nth)
    }

    /// A client. Its number must be below the setup's `clients`, and be used once.
    pub fn client(&self, client: u32) -> SimClient {
        assert!(client < self.clients, "client {client} of {}", self.clients);
        SimClient::new(self.shared.clone(), client, self.clients)
    }

    // --- looking ---

    /// How many nodes there are; their ids are 1 to this.
    pub fn nodes(&self) -> u64 {
        self.shared.lock().nodes.len() as u64
    }

    /// The latest configuration that any member has in force.
    pub fn configuration(&self) -> Arc<MembersView> {
        self.shared.lock().configuration.clone()
    }

    /// The configuration that a member has in force, if it ever had one.
    pub fn configuration_of(&self, node: u64) -> Option<Arc<MembersView>> {
        self.shared.lock().node(node).configuration.clone()
    }

    /// The members of the latest configuration, in ascending order.
    pub fn members(&self) -> Vec<u64> {
        self.configuration().all().into_iter().collect()
    }

    /// The highest id that any configuration had.
    pub fn highest_member(&self) -> u64 {
        self.shared.lock().highest_member
    }

    /// The member that comes after `node`, round and round.
    pub fn next_member(&self, node: u64) -> u64 {
        let members = self.configuration().all();
        let next = members.range(node + 1..).next().or(members.first());
        next.copied().unwrap_or(node)
    }

    /// Whether a member's process runs, paused or not.
    pub fn is_up(&self, node: u64) -> bool {
        self.shared.lock().node(node).up
    }

    /// Why a member's process ended by itself, if it did.
    pub fn ended(&self, node: u64) -> Option<String> {
        self.shared.lock().node(node).ended.clone()
    }

    /// How often a member passed a named point in the code.
    pub fn marks(&self, node: u64, name: &str) -> u64 {
        self.shared.lock().marks.passed(node, name)
    }

    /// A member's role and progress, as its last views showed them.
    pub fn standing(&self, node: u64) -> Standing {
        self.shared.lock().node(node).standing
    }

    /// The running member that leads in the highest term, if one does.
    pub fn leader(&self) -> Option<u64> {
        let inner = self.shared.lock();
        (1u64..)
            .zip(&inner.nodes)
            .filter(|(_, node)| node.up && node.standing.role == squall_api::Role::Leader)
            .max_by_key(|(_, node)| node.standing.term)
            .map(|(id, _)| id)
    }

    // --- telling ---

    /// Notes that a phase of the run begins.
    pub fn phase(&self, phase: RunPhase) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner
            .recorder
            .notable(now, None, None, Kind::Phase { phase });
    }

    /// Notes that a fault sets in or ends.
    pub fn fault(&self, fault: u32, phase: FaultPhase, label: &str, what: &str) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        let (label, what) = (label.to_owned(), what.to_owned());
        inner.recorder.notable(
            now,
            None,
            None,
            Kind::Fault {
                fault,
                phase,
                label,
                what,
            },
        );
        if phase == FaultPhase::Start {
            inner.recorder.stats.faults_fired += 1;
        }
    }
}
