//! A node: its disk and clock, and the process that runs on them.

use super::peer::{self, Links};
use super::{Trace, tag};
use crate::world::{Lanes, MemberSetup, Observer, Violation};
use crate::{NodeClock, NodeDisk, Streams};
use bytes::BytesMut;
use squall_api::{
    Bugs, Effect, Effects, Env, Fatal, Host, Input, LaneMsg, Machine, Now, ReqId, Response, Status,
    drive,
};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One node. Disk and clock outlive its processes.
pub(super) struct Node {
    pub(super) id: u64,
    pub(super) disk: Arc<NodeDisk>,
    clock: NodeClock,
    member: MemberSetup,
    bugs: Bugs,
    streams: Streams,
    incarnation: Cell<u64>,
    process: RefCell<Option<Inboxes>>,
    replies: RefCell<BTreeMap<ReqId, Result<Response, Status>>>,
    trace: Rc<Trace>,
}

/// How the lanes of the running process are reached.
#[derive(Clone)]
pub(super) struct Inboxes {
    pub(super) raft: UnboundedSender<Input>,
    pub(super) apply: UnboundedSender<Input>,
}

impl Node {
    pub(super) fn new(
        id: u64,
        member: MemberSetup,
        bugs: Bugs,
        disk: Arc<NodeDisk>,
        streams: Streams,
        trace: Rc<Trace>,
    ) -> Node {
        Node {
            id,
            disk,
            clock: NodeClock::new(member.clock.clone()),
            member,
            bugs,
            streams,
            incarnation: Cell::new(0),
            process: RefCell::new(None),
            replies: RefCell::default(),
            trace,
        }
    }

    pub(super) fn name(&self) -> String {
        host_name(self.id)
    }

    /// Gives the apply lane an input; false if no process runs.
    pub(super) fn tell_apply(&self, input: Input) -> bool {
        let process = self.process.borrow();
        process
            .as_ref()
            .is_some_and(|inboxes| inboxes.apply.send(input).is_ok())
    }

    pub(super) fn take_reply(&self, id: ReqId) -> Option<Result<Response, Status>> {
        self.replies.borrow_mut().remove(&id)
    }

    pub(super) fn forget_process(&self) {
        self.process.take();
        self.replies.take();
    }

    pub(super) fn mix(&self, tag: u8, bytes: &[u8]) {
        self.trace.mix(true_now(), self.id, tag, bytes);
    }

    fn observe(&self, look: impl FnOnce(u64, u64, &mut dyn Observer) -> Result<(), Violation>) {
        let t = true_now();
        self.trace.observe(|observer| look(t, self.id, observer));
    }

    /// Ends the syncs that the present step started when they are due.
    fn watch_syncs(self: &Rc<Self>, raft: &UnboundedSender<Input>) {
        for sync in self.disk.take_started() {
            let (node, raft) = (self.clone(), raft.clone());
            tokio::task::spawn_local(async move {
                wait_until(sync.due).await;
                let result = node.disk.finish_sync(sync.id);
                let id = sync.id;
                // A lane that has ended waits for no sync.
                drop(raft.send(Input::Synced { id, result }));
            });
        }
    }
}

/// The name by which turmoil knows a node.
pub(super) fn host_name(id: u64) -> String {
    format!("n{id}")
}

/// True time, as the running node is allowed to see it: never.
pub(super) fn true_now() -> u64 {
    let elapsed = turmoil::sim_elapsed().expect("only called by software on a node");
    elapsed.as_nanos() as u64
}

async fn wait_until(t: u64) {
    let wait = t.saturating_sub(true_now());
    if wait > 0 {
        tokio::time::sleep(Duration::from_nanos(wait)).await;
    }
}

/// The process: opens the member, runs its lanes and its connections, and ends
/// with whichever ends first, which in this world is always an error.
pub(super) async fn run(node: Rc<Node>) -> turmoil::Result {
    let mount = node.disk.mount();
    let incarnation = node.incarnation.replace(node.incarnation.get() + 1);
    node.mix(tag::START, &incarnation.to_le_bytes());
    node.observe(|_, id, observer| {
        observer.started(id);
        Ok(())
    });
    let begun = true_now();
    node.disk.begin_step(begun);
    let rng = node.streams.rng("member", node.id << 32 | incarnation);
    let cfg = node.member.config.clone();
    let env = Env {
        disk: mount.clone(),
        rng,
        bugs: node.bugs,
        cfg: cfg.clone(),
    };
    let Lanes { raft, apply } = (node.member.open)(env, node.clock.now(begun))
        .map_err(|e| format!("n{} cannot open: {e}", node.id))?;
    wait_until(begun + node.disk.spent()).await;

    let (raft_inbox, raft_inputs) = unbounded_channel();
    let (apply_inbox, apply_inputs) = unbounded_channel();
    node.watch_syncs(&raft_inbox);
    let inboxes = Inboxes {
        raft: raft_inbox,
        apply: apply_inbox,
    };
    node.process.replace(Some(inboxes.clone()));
    let peers = cfg.voters.iter().copied().filter(|id| *id != cfg.id);
    let links = Rc::new(Links::new(peers, inboxes.clone()));
    let lane = |inbox, is_raft| LaneHost {
        node: node.clone(),
        is_raft,
        inbox,
        inboxes: inboxes.clone(),
        links: links.clone(),
        step_at: 0,
    };
    let (raft_host, apply_host) = (lane(raft_inputs, true), lane(apply_inputs, false));
    // Biased: which of two that are ready goes first is no matter of chance.
    tokio::select! {
        biased;
        fatal = run_lane(raft, raft_host, Effects::new(mount.clone())) => {
            Err(format!("the Raft lane of n{} ended: {fatal}", node.id).into())
        }
        fatal = run_lane(apply, apply_host, Effects::new(mount)) => {
            Err(format!("the apply lane of n{} ended: {fatal}", node.id).into())
        }
        Err(error) = peer::run(cfg.cluster, cfg.id, &links) => {
            Err(format!("n{} cannot listen: {error}", node.id).into())
        }
    }
}

async fn run_lane(mut machine: Box<dyn Machine>, mut host: LaneHost, mut fx: Effects) -> Fatal {
    drive(&mut machine, &mut host, &mut fx).await
}

/// A lane's host.
struct LaneHost {
    node: Rc<Node>,
    is_raft: bool,
    inbox: UnboundedReceiver<Input>,
    inboxes: Inboxes,
    links: Rc<Links>,
    /// When the present step began.
    step_at: u64,
}

impl LaneHost {
    async fn wait(&mut self, until: Option<u64>) -> Input {
        let due = until.and_then(|mono| self.node.clock.true_at(mono));
        let input = match due {
            None => self.inbox.recv().await,
            // A timer that is due goes first: a full inbox may not starve it.
            Some(due) if due <= true_now() => return Input::Deadline,
            Some(due) => {
                let wait = Duration::from_nanos(due - true_now());
                match tokio::time::timeout(wait, self.inbox.recv()).await {
                    Ok(input) => input,
                    Err(_) => return Input::Deadline,
                }
            }
        };
        input.expect("the host itself holds a sender to each inbox")
    }

    fn hash_input(&self, input: &Input) {
        let mut bytes = Vec::new();
        let tag = match input {
            Input::Peer(frame) => {
                frame.encode_body(&mut bytes);
                tag::RECEIVED
            }
            Input::Synced { id, result } => {
                bytes.extend(id.0.to_le_bytes());
                bytes.push(u8::from(result.is_ok()));
                tag::SYNCED
            }
            Input::Request { req, .. } => {
                req.encode(&mut bytes);
                tag::REQUEST
            }
            Input::Deadline => {
                bytes.push(u8::from(self.is_raft));
                tag::INPUT
            }
            Input::Message { req, .. } => {
                req.encode(&mut bytes);
                tag::REQUEST
            }
            Input::Stop
            | Input::Unreachable(_)
            | Input::Lane(_)
            | Input::Taken { .. }
            | Input::Cancel(_)
            | Input::Closed(_) => return,
        };
        self.node.mix(tag, &bytes);
    }

    fn emit(&self, effect: Effect) {
        match effect {
            Effect::Send(frame) => {
                let mut wire = BytesMut::new();
                frame.encode(&mut wire);
                self.node.mix(tag::SENT, &wire);
                if let Some(msg) = frame.raft() {
                    self.node
                        .observe(|t, node, observer| observer.sent(t, node, msg));
                }
                self.links.send(frame.to, wire);
            }
            Effect::Reply { id, result, last } => {
                assert!(last, "request {} got an answer that is not its last", id.0);
                let mut bytes = Vec::new();
                match &*result {
                    Ok(response) => response.encode(&mut bytes),
                    Err(status) => bytes.extend(status.to_string().bytes()),
                }
                self.node.mix(tag::REPLY, &bytes);
                self.node.replies.borrow_mut().insert(id, *result);
            }
            Effect::Lane(message) => self.tell_other(message),
            Effect::Mark(name) => self.node.mix(tag::MARK, name.as_bytes()),
            Effect::View(view) => self
                .node
                .observe(|t, node, observer| observer.view(t, node, &view)),
        }
    }

    fn tell_other(&self, message: LaneMsg) {
        let other = if self.is_raft {
            &self.inboxes.apply
        } else {
            &self.inboxes.raft
        };
        // A lane that has ended takes the process with it in this very tick.
        drop(other.send(Input::Lane(message)));
    }
}

impl Host for LaneHost {
    async fn next(&mut self, until: Option<u64>) -> Input {
        let input = self.wait(until).await;
        self.step_at = true_now();
        self.node.disk.begin_step(self.step_at);
        self.hash_input(&input);
        input
    }

    fn now(&self) -> Now {
        self.node.clock.now(true_now())
    }

    async fn release(&mut self, fx: &mut Effects) {
        // Asked before anything is awaited: the other lane has steps too.
        let end = self.step_at + self.node.disk.spent();
        self.node.watch_syncs(&self.inboxes.raft);
        for (stamp, effect) in fx.drain() {
            wait_until(self.step_at + stamp).await;
            self.emit(effect);
        }
        wait_until(end).await;
    }
}
