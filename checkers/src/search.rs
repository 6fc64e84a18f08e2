//! The complete search: Wing and Gong's, with Lowe's memoisation and
//! just-in-time linearization, and operations that may be left out.
//!
//! Time is walked through in the order of returns. An operation is linearized
//! no earlier than some return forces it, except that a pure one (an operation
//! whose answer says that it changed nothing) is taken as soon as the state
//! allows it: taking it can only discharge an obligation. A configuration is a
//! point in time, a state, the open operations that are already linearized, and
//! how many of each class of optional operations were used. One that was seen
//! before with no more of them used need not be seen again.

use std::collections::{BTreeMap, BTreeSet};

/// What operations do to states. States and operations are numbers; state 0 is
/// the first one.
pub(crate) trait Model {
    /// The state after `op`, with the answer that it had; `None` if the state
    /// does not allow that answer.
    fn step(&mut self, state: u32, op: u32) -> Option<u32>;
    /// How much memory the model's tables take.
    fn bytes(&self) -> u64;
    /// The state, for people.
    fn text(&self, state: u32) -> String;
    /// Is told the events before the search begins.
    fn prepare(&mut self, events: &[Event]) {
        let _ = events;
    }
    /// Whether an operation leads to one state with one answer, whatever the
    /// state was before: a write of a register. What nobody saw before it may
    /// as well not have happened.
    fn is_blind(&self, op: u32) -> bool {
        let _ = op;
        false
    }
    /// Whether everything that is still due may come true from `state`, once
    /// the first `event` events have passed and `open` operations are not yet
    /// linearized. Must never be false for a state from which the rest can be
    /// linearized.
    fn viable(&mut self, state: u32, event: u32, open: &mut dyn Iterator<Item = u32>) -> bool {
        let _ = (state, event, open);
        true
    }
}

/// What is to be ordered. Operations are numbered as they are added.
#[derive(Debug, Default)]
pub(crate) struct Task {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    invoke: u64,
    ret: u64,
    kind: Entered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entered {
    Pure,
    Effective,
    Optional { class: u32 },
    Repeatable { class: u32 },
}

impl Task {
    /// Adds an operation that must be placed between its two times.
    pub(crate) fn require(&mut self, invoke: u64, ret: u64, pure: bool) {
        let kind = if pure {
            Entered::Pure
        } else {
            Entered::Effective
        };
        self.entries.push(Entry { invoke, ret, kind });
    }

    /// Adds an operation that may be placed after its invocation, or left out.
    /// Operations of one class have the same effect. Classes are numbered from
    /// 0 without gaps.
    pub(crate) fn allow(&mut self, invoke: u64, class: u32) {
        let kind = Entered::Optional { class };
        let ret = u64::MAX;
        self.entries.push(Entry { invoke, ret, kind });
    }

    /// Adds an operation that may be placed anywhere, any number of times, or
    /// left out. Repeating it must lead to finitely many states. Operations of
    /// one class have the same effect; classes are not those of
    /// [`Task::allow`].
    pub(crate) fn repeat(&mut self, class: u32) {
        let (invoke, ret) = (0, u64::MAX);
        let kind = Entered::Repeatable { class };
        self.entries.push(Entry { invoke, ret, kind });
    }
}

/// What a search found. `T` names operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<T = u32> {
    /// This order explains everything.
    Legal(Vec<T>),
    /// Nothing does.
    Illegal {
        /// The first operation, in the order of returns, that nothing places.
        stuck: T,
        /// An order of everything before that comes as far as any.
        order: Vec<T>,
    },
    /// The budget was spent.
    Spent,
}

impl<T> Found<T> {
    /// Renames the operations.
    pub(crate) fn map<U>(self, mut name: impl FnMut(T) -> U) -> Found<U> {
        match self {
            Found::Legal(order) => Found::Legal(order.into_iter().map(name).collect()),
            Found::Illegal { stuck, order } => Found::Illegal {
                stuck: name(stuck),
                order: order.into_iter().map(name).collect(),
            },
            Found::Spent => Found::Spent,
        }
    }
}

/// Searches, within `steps` (reduced by what it took) and about `bytes`.
pub(crate) fn run(model: &mut impl Model, task: &Task, steps: &mut u64, bytes: u64) -> Found {
    let plan = Plan::new(task);
    model.prepare(&plan.events);
    if plan.slots <= 64 {
        Search::<u64, _>::new(&plan, model, 0).run(steps, bytes)
    } else {
        let none = vec![0; plan.slots.div_ceil(64)];
        Search::<Vec<u64>, _>::new(&plan, model, none).run(steps, bytes)
    }
}

/// A set of slots.
trait Mask: Clone + Ord {
    fn has(&self, slot: u32) -> bool;
    fn set(&mut self, slot: u32, on: bool);
}

impl Mask for u64 {
    fn has(&self, slot: u32) -> bool {
        self >> slot & 1 == 1
    }
    fn set(&mut self, slot: u32, on: bool) {
        *self = *self & !(1 << slot) | u64::from(on) << slot;
    }
}

impl Mask for Vec<u64> {
    fn has(&self, slot: u32) -> bool {
        self[slot as usize / 64].has(slot % 64)
    }
    fn set(&mut self, slot: u32, on: bool) {
        self[slot as usize / 64].set(slot % 64, on);
    }
}

/// A required operation begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was sent.
    Invoke(u32),
    /// It was answered.
    Return(u32),
}

/// A task, prepared for walking back and forth in time.
struct Plan<'t> {
    task: &'t Task,
    /// Invocations and returns of required operations; at equal times the
    /// invocations come first, for closed intervals that touch are concurrent.
    events: Vec<Event>,
    /// Where an operation is marked while it is open.
    slot: Vec<u32>,
    slots: usize,
    /// Optional operations by class, each in order of invocation.
    classes: Vec<Vec<u32>>,
    /// Operations that may be placed at any time, again and again: one of each
    /// class.
    repeatable: Vec<u32>,
}

impl<'t> Plan<'t> {
    fn new(task: &'t Task) -> Plan<'t> {
        let mut timed = Vec::with_capacity(2 * task.entries.len());
        let mut classes: Vec<Vec<u32>> = Vec::new();
        let mut repeatable = Vec::new();
        let mut seen = BTreeSet::new();
        for (i, entry) in task.entries.iter().enumerate() {
            let i = i as u32;
            match entry.kind {
                Entered::Optional { class } => {
                    if classes.len() <= class as usize {
                        classes.resize(class as usize + 1, Vec::new());
                    }
                    classes[class as usize].push(i);
                }
                Entered::Repeatable { class } => {
                    if seen.insert(class) {
                        repeatable.push(i);
                    }
                }
                Entered::Pure | Entered::Effective => {
                    timed.push((entry.invoke, false, i));
                    timed.push((entry.ret, true, i));
                }
            }
        }
        timed.sort_unstable();
        for class in &mut classes {
            class.sort_unstable_by_key(|i| (task.entries[*i as usize].invoke, *i));
        }
        let mut slot = vec![0; task.entries.len()];
        let mut free: Vec<u32> = Vec::new();
        let mut slots = 0;
        let mut events = Vec::with_capacity(timed.len());
        for (_, returns, i) in timed {
            if returns {
                free.push(slot[i as usize]);
                events.push(Event::Return(i));
            } else {
                slot[i as usize] = free.pop().unwrap_or_else(|| {
                    slots += 1;
                    slots - 1
                });
                events.push(Event::Invoke(i));
            }
        }
        Plan {
            task,
            events,
            slot,
            slots: slots as usize,
            classes,
            repeatable,
        }
    }

    fn pure(&self, op: u32) -> bool {
        self.task.entries[op as usize].kind == Entered::Pure
    }
}

const NOBODY: u32 = u32::MAX;

/// A configuration at the return of an operation that is not yet linearized.
#[derive(Clone)]
struct Node<M> {
    /// Events that have passed.
    event: u32,
    state: u32,
    /// Open operations that are linearized.
    done: M,
    /// How many of each class are used.
    used: Vec<u32>,
    /// Whether the last operation was an optional one, so that a blind one now
    /// would make it pointless.
    unseen: bool,
}

struct Frame<M> {
    node: Node<M>,
    /// Operations linearized before this node.
    ordered: usize,
    /// What may be linearized next.
    choices: Vec<u32>,
    next: usize,
}

/// What was seen at one event: by state, whether its last operation is unseen,
/// and linearized set, the least used counts.
type Seen<M> = BTreeMap<(u32, bool, M), Vec<Vec<u32>>>;

struct Search<'p, 't, M, S> {
    plan: &'p Plan<'t>,
    model: &'p mut S,
    /// Open operations by slot, as of `at` events.
    open: Vec<u32>,
    at: u32,
    order: Vec<u32>,
    seen: Vec<Seen<M>>,
    seen_bytes: u64,
    deepest: Deepest,
    nothing: M,
}

/// The dead end that was furthest along.
#[derive(Default)]
struct Deepest {
    /// The return that it stands at, and its operation.
    at: Option<(u32, u32)>,
    /// Whether its last operation was an optional, blind one that nothing saw.
    unseen: bool,
    order: Vec<u32>,
    /// How much of its order is still the beginning of the current one. Only
    /// the rest is copied when a further one is found: a history with many dead
    /// ends would otherwise cost its length for each of them.
    common: usize,
}

enum Stop {
    /// Everything is linearized.
    End,
    /// At the return of an operation that is not.
    Due,
}

impl<'p, 't, M: Mask, S: Model> Search<'p, 't, M, S> {
    fn new(plan: &'p Plan<'t>, model: &'p mut S, nothing: M) -> Search<'p, 't, M, S> {
        Search {
            plan,
            model,
            open: vec![NOBODY; plan.slots],
            at: 0,
            order: Vec::new(),
            seen: (0..plan.events.len()).map(|_| BTreeMap::new()).collect(),
            seen_bytes: 0,
            deepest: Deepest::default(),
            nothing,
        }
    }

    fn run(mut self, steps: &mut u64, bytes: u64) -> Found {
        let mut node = Node {
            event: 0,
            state: 0,
            done: self.nothing.clone(),
            used: vec![0; self.plan.classes.len()],
            unseen: false,
        };
        let mut stack: Vec<Frame<M>> = Vec::new();
        if let Stop::End = self.advance(&mut node) {
            return Found::Legal(self.order);
        }
        self.push(&mut stack, node);
        while let Some(frame) = stack.last_mut() {
            if *steps == 0 || self.seen_bytes + self.model.bytes() > bytes {
                return Found::Spent;
            }
            *steps -= 1;
            self.order.truncate(frame.ordered);
            self.deepest.common = self.deepest.common.min(frame.ordered);
            let Some(&choice) = frame.choices.get(frame.next) else {
                let (event, unseen) = (frame.node.event, frame.node.unseen);
                stack.pop();
                self.give_up(event, unseen);
                continue;
            };
            frame.next += 1;
            if frame.node.unseen && self.model.is_blind(choice) {
                continue;
            }
            let Some(state) = self.model.step(frame.node.state, choice) else {
                continue;
            };
            let mut node = frame.node.clone();
            self.seek(node.event);
            node.state = state;
            node.unseen = true;
            match self.plan.task.entries[choice as usize].kind {
                Entered::Optional { class } => node.used[class as usize] += 1,
                Entered::Repeatable { .. } => {}
                Entered::Effective | Entered::Pure => {
                    node.unseen = false;
                    node.done.set(self.plan.slot[choice as usize], true);
                }
            }
            self.order.push(choice);
            self.take_pure(&mut node);
            if let Stop::End = self.advance(&mut node) {
                return Found::Legal(self.order);
            }
            if self.viable(&node) && self.is_new(&node) {
                self.push(&mut stack, node);
            }
        }
        let (_, stuck) = self.deepest.at.expect("the first node was pushed");
        Found::Illegal {
            stuck,
            order: self.deepest.order,
        }
    }

    /// Remembers a dead end, if none was further along, or as far with an end
    /// that matters.
    fn give_up(&mut self, event: u32, unseen: bool) {
        let Event::Return(due) = self.plan.events[event as usize] else {
            unreachable!("nodes stand at returns");
        };
        let deepest = &mut self.deepest;
        let last = self.order.last();
        let unseen = unseen && last.is_some_and(|op| self.model.is_blind(*op));
        let reached = |(at, _)| (at, !deepest.unseen, deepest.order.len());
        let here = (event, !unseen, self.order.len());
        if deepest.at.map(reached).is_none_or(|reached| reached < here) {
            deepest.at = Some((event, due));
            deepest.unseen = unseen;
            deepest.order.truncate(deepest.common);
            let fresh = &self.order[deepest.common..];
            deepest.order.extend_from_slice(fresh);
            deepest.common = self.order.len();
        }
    }

    /// Passes events until a return finds its operation not linearized.
    fn advance(&mut self, node: &mut Node<M>) -> Stop {
        self.seek(node.event);
        while let Some(&event) = self.plan.events.get(node.event as usize) {
            match event {
                Event::Invoke(op) => {
                    self.seek(node.event + 1);
                    node.event += 1;
                    if self.plan.pure(op) {
                        self.take(node, op);
                    }
                }
                Event::Return(op) => {
                    let slot = self.plan.slot[op as usize];
                    if !node.done.has(slot) {
                        return Stop::Due;
                    }
                    node.done.set(slot, false);
                    self.seek(node.event + 1);
                    node.event += 1;
                }
            }
        }
        Stop::End
    }

    /// Linearizes every open pure operation that the state allows.
    fn take_pure(&mut self, node: &mut Node<M>) {
        for slot in 0..self.open.len() {
            let op = self.open[slot];
            if op != NOBODY && self.plan.pure(op) && !node.done.has(slot as u32) {
                self.take(node, op);
            }
        }
    }

    fn take(&mut self, node: &mut Node<M>, op: u32) {
        if let Some(state) = self.model.step(node.state, op) {
            assert_eq!(state, node.state, "a pure operation changed the state");
            node.done.set(self.plan.slot[op as usize], true);
            node.unseen = false;
            self.order.push(op);
        }
    }

    /// Opens and closes operations until exactly `event` events have passed.
    fn seek(&mut self, event: u32) {
        let plan = self.plan;
        while self.at < event {
            match plan.events[self.at as usize] {
                Event::Invoke(op) => self.open[plan.slot[op as usize] as usize] = op,
                Event::Return(op) => self.open[plan.slot[op as usize] as usize] = NOBODY,
            }
            self.at += 1;
        }
        while self.at > event {
            self.at -= 1;
            match plan.events[self.at as usize] {
                Event::Invoke(op) => self.open[plan.slot[op as usize] as usize] = NOBODY,
                Event::Return(op) => self.open[plan.slot[op as usize] as usize] = op,
            }
        }
    }

    fn viable(&mut self, node: &Node<M>) -> bool {
        let mut left = self
            .open
            .iter()
            .enumerate()
            .filter(|(slot, op)| **op != NOBODY && !node.done.has(*slot as u32))
            .map(|(_, op)| *op);
        self.model.viable(node.state, node.event, &mut left)
    }

    /// Whether the node was not seen before with as few optional operations.
    fn is_new(&mut self, node: &Node<M>) -> bool {
        let seen = self.seen[node.event as usize]
            .entry((node.state, node.unseen, node.done.clone()))
            .or_default();
        let no_more = |a: &[u32], b: &[u32]| a.iter().zip(b).all(|(a, b)| a <= b);
        if seen.iter().any(|used| no_more(used, &node.used)) {
            return false;
        }
        seen.retain(|used| !no_more(&node.used, used));
        seen.push(node.used.clone());
        self.seen_bytes += 96 + 4 * node.used.len() as u64;
        true
    }

    fn push(&mut self, stack: &mut Vec<Frame<M>>, node: Node<M>) {
        let Event::Return(due) = self.plan.events[node.event as usize] else {
            unreachable!("nodes stand at returns");
        };
        let entries = &self.plan.task.entries;
        let mut choices: Vec<u32> = self
            .open
            .iter()
            .enumerate()
            .filter(|(slot, op)| **op != NOBODY && !node.done.has(*slot as u32))
            .map(|(_, op)| *op)
            .filter(|op| !self.plan.pure(*op))
            .collect();
        choices.sort_unstable_by_key(|op| (entries[*op as usize].ret, *op));
        let deadline = entries[due as usize].ret;
        for (class, ops) in self.plan.classes.iter().enumerate() {
            if let Some(op) = ops.get(node.used[class] as usize)
                && entries[*op as usize].invoke <= deadline
            {
                choices.push(*op);
            }
        }
        choices.extend(&self.plan.repeatable);
        stack.push(Frame {
            ordered: self.order.len(),
            node,
            choices,
            next: 0,
        });
    }
}
