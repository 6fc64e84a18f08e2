//! Every input of every lane of a run, and the bare loop that feeds them again.

use crate::plain::PlainDisk;
use squall::Scenario;
use squall::runner::{RunOptions, run_unchecked};
use squall_api::{ApplyView, Effect, Effects, Env, Fatal, Input, Machine, NoStamp, Now, View};
use squall_sim::world::{Lanes, Open, store};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What a run's members were given.
pub(crate) struct Tape {
    /// What each member was opened with, but for its disk. Opened once.
    opened: Vec<(u64, Env, Now)>,
    /// To which member and lane, when, and what, in the order of the run.
    inputs: Vec<(u64, Side, Now, Input)>,
    /// How many operations were answered with success.
    answered: u64,
}

/// Which lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Raft,
    Apply,
}

/// What came out of a replay.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// How many requests were answered with success, and how far each member's
    /// state machine came.
    answered: u64,
    applied: BTreeMap<u64, ApplyView>,
}

impl Tape {
    /// Makes the run, with a tape running.
    pub(crate) fn record(scenario: &Scenario, seed: u64) -> Tape {
        let tape = Arc::new(Mutex::new(Tape {
            opened: Vec::new(),
            inputs: Vec::new(),
            answered: 0,
        }));
        let open = |id| recording(id, tape.clone());
        let run = run_unchecked(scenario, seed, &RunOptions::default(), &open)
            .unwrap_or_else(|e| panic!("{}@{seed}: {}", scenario.name, e.panic));
        let mut taken = tape.lock().unwrap_or_else(PoisonError::into_inner);
        taken.answered = run.stats.ops_ok;
        taken.clone()
    }

    /// How many inputs there are.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Feeds everything to new members.
    pub(crate) fn replay(self) -> Replayed {
        let mut fx = Effects::new(Arc::new(NoStamp));
        let mut members = BTreeMap::new();
        for (id, env, now) in self.opened {
            let lanes = store()(env, now).unwrap_or_else(|e| panic!("n{id}: {e}"));
            members.insert(id, lanes);
        }
        let mut replayed = Replayed::default();
        for (id, side, now, input) in self.inputs {
            let Lanes { raft, apply } = members.get_mut(&id).expect("it was opened");
            let lane = match side {
                Side::Raft => raft,
                Side::Apply => apply,
            };
            let step = lane.step(now, input, &mut fx);
            step.unwrap_or_else(|e| panic!("n{id} ended: {e}"));
            black_box(lane.deadline());
            for (_, effect) in fx.drain() {
                match effect {
                    Effect::Reply { result, .. } => replayed.answered += u64::from(result.is_ok()),
                    Effect::View(View::Applied(view)) => {
                        replayed.applied.insert(id, view);
                    }
                    effect => drop(black_box(effect)),
                }
            }
        }
        replayed
    }
}

impl Replayed {
    /// The members must have done what they did in the run.
    pub(crate) fn expect_like(&self, run: &Tape) {
        // Some answers came when nobody waited any more.
        assert!(self.answered >= run.answered, "{self:?}");
        let views: Vec<&ApplyView> = self.applied.values().collect();
        assert_eq!(views.len(), run.opened.len());
        for view in &views {
            assert_eq!((view.index, view.state), (views[0].index, views[0].state));
        }
    }
}

impl Clone for Tape {
    fn clone(&self) -> Tape {
        let opened = |(id, env, now): &(u64, Env, Now)| (*id, on_a_plain_disk(env), *now);
        let input =
            |(id, side, now, input): &(u64, Side, Now, Input)| (*id, *side, *now, cloned(input));
        Tape {
            opened: self.opened.iter().map(opened).collect(),
            inputs: self.inputs.iter().map(input).collect(),
            answered: self.answered,
        }
    }
}

/// The same, with a disk of its own.
fn on_a_plain_disk(env: &Env) -> Env {
    Env {
        disk: Arc::new(PlainDisk::default()),
        rng: env.rng.clone(),
        bugs: env.bugs,
        cfg: env.cfg.clone(),
    }
}

/// Opens the store, and writes down what its lanes are given.
fn recording(id: u64, tape: Arc<Mutex<Tape>>) -> Open {
    Arc::new(move |env, now| {
        let opened = (id, on_a_plain_disk(&env), now);
        tape.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .opened
            .push(opened);
        let Lanes { raft, apply } = store()(env, now)?;
        let lane = |side, machine| {
            Box::new(Recording {
                id,
                side,
                machine,
                tape: tape.clone(),
            })
        };
        Ok(Lanes {
            raft: lane(Side::Raft, raft),
            apply: lane(Side::Apply, apply),
        })
    })
}

struct Recording {
    id: u64,
    side: Side,
    machine: Box<dyn Machine>,
    tape: Arc<Mutex<Tape>>,
}

impl Machine for Recording {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        let taken = (self.id, self.side, now, cloned(&input));
        self.tape
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .inputs
            .push(taken);
        self.machine.step(now, input, fx)
    }

    fn deadline(&self) -> Option<u64> {
        self.machine.deadline()
    }
}

fn cloned(input: &Input) -> Input {
    match input {
        Input::Deadline => Input::Deadline,
        Input::Stop => Input::Stop,
        Input::Peer(frame) => Input::Peer(frame.clone()),
        Input::Unreachable(id) => Input::Unreachable(*id),
        Input::Lane(msg) => Input::Lane(msg.clone()),
        Input::Synced { id, result } => Input::Synced {
            id: *id,
            result: (result.as_ref().copied()).map_err(|e| io::Error::new(e.kind(), e.to_string())),
        },
        Input::Request {
            id,
            session,
            meta,
            req,
        } => Input::Request {
            id: *id,
            session: *session,
            meta: meta.clone(),
            req: req.clone(),
        },
        Input::Message { id, req } => Input::Message {
            id: *id,
            req: req.clone(),
        },
        Input::Taken { id, answers } => Input::Taken {
            id: *id,
            answers: *answers,
        },
        Input::Cancel(id) => Input::Cancel(*id),
        Input::Closed(session) => Input::Closed(*session),
    }
}
