//! The crash-point sweep: one short run, crashed at every disk operation.
//!
//! A run is a function of scenario and seed, so the run without crashes tells
//! when each disk operation of each member ends. The sweep makes the run again
//! for every such moment, with a power loss there:
//!
//! * after each operation, and for one that makes something durable also just
//!   before it ends, when every message that could leave has left;
//! * into several of the images that the power loss may legally leave: nothing
//!   unsynced kept, all kept, and others in turn, some with torn sectors. There
//!   are too many to try them all; how many were left out is counted;
//! * and then once more at every operation of the recovery, for the first
//!   recovery of each shape: those that do the same to the same kinds of files
//!   are taken for one.
//!
//! Each run is judged as any other: the member must come back, keep what it
//! promised, and the cluster must converge with every acknowledged write.

mod moments;
mod table;

pub use table::Table;

use crate::Scenario;
use crate::plan::CrashPoint;
use crate::runner::{NodeProbe, Probe, RunOptions};
use crate::sweep::{Judged, Runner, Stop, judge_once};
use moments::{Moment, moments};
use squall_api::Bugs;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to sweep, and how far.
#[derive(Debug, Clone)]
pub struct CrashSweep<'a> {
    /// The run.
    pub scenario: &'a Scenario,
    /// Its seed.
    pub seed: u64,
    /// The planted bugs that every member carries.
    pub bugs: Bugs,
    /// Worker threads.
    pub jobs: usize,
    /// Images to try at each moment; at least 1.
    pub images: u32,
    /// Moments to crash at, spread evenly; `None` for every one.
    pub points: Option<usize>,
}

/// One run of a sweep.
#[derive(Debug)]
pub struct Crashed {
    /// What came of it.
    pub judged: Judged,
    /// Where it crashed; nowhere in the first run.
    pub points: Vec<CrashPoint>,
}

/// What a run left, besides its verdict.
struct Made {
    judged: Judged,
    probe: Option<NodeProbe>,
}

impl CrashSweep<'_> {
    /// Makes the runs and hands each to `each`, in an order that does not depend
    /// on the number of threads. `each` may break, which ends the sweep.
    pub fn go(
        &self,
        runner: &impl Runner,
        stop: &Stop,
        mut each: impl FnMut(Crashed) -> ControlFlow<()>,
    ) -> Table {
        let mut table = Table::default();
        let probe = Probe::default();
        let options = RunOptions {
            bugs: self.bugs,
            probe: Some(probe.clone()),
            ..RunOptions::default()
        };
        let judged = judge_once(runner, self.scenario, self.seed, &options, false, 0);
        let failed = judged.summary.failure().is_some();
        let going = each(Crashed {
            judged,
            points: Vec::new(),
        });
        let Some(probed) = probe.take().filter(|_| !failed && going.is_continue()) else {
            table.unfinished = true;
            return table;
        };

        let mut all = Vec::new();
        for (node, probe) in (1..).zip(&probed.nodes) {
            let until = probed.load_end;
            all.extend(moments(node, probe, 0, until));
        }
        table.operations = probed.nodes.iter().map(|node| node.operations.len()).sum();
        let chosen = self.choose(&all, &mut table);

        let mut recoveries = Vec::new();
        let mut shapes = BTreeSet::new();
        let mut images = Vec::new();
        let mut left_out = 0;
        let first: Vec<Vec<Moment>> = chosen.iter().map(|moment| vec![moment.clone()]).collect();
        let learn = |at: usize, made: &Made| {
            let moment = &chosen[at];
            let Some(probe) = &made.probe else { return };
            let counted = probe.images.unwrap_or(1);
            let before = images.len();
            images.extend(self.further_images(at, counted).map(|image| {
                vec![Moment {
                    image,
                    ..moment.clone()
                }]
            }));
            let tried = 1 + (images.len() - before) as u64;
            left_out += u64::from(counted).saturating_sub(tried);
            // The recovery: what the first opening after the crash did.
            let opening = probe.openings.iter().find(|(from, _)| *from >= moment.at);
            if let Some(&(from, to)) = opening
                && !moment.opening
            {
                let recovery = moments::recovery(moment.node, probe, from, to);
                let shape: Vec<_> = recovery.iter().map(Moment::kind).collect();
                if shapes.insert(shape) {
                    let second = |again: Moment| vec![moment.clone(), again];
                    recoveries.extend(recovery.into_iter().map(second));
                }
            }
        };
        let mut ended = self.rounds(runner, stop, &first, &mut table, &mut each, learn);
        table.images_left_out = left_out;
        if ended.is_continue() {
            ended = self.rounds(runner, stop, &images, &mut table, &mut each, |_, _| {});
        }
        table.recovery_shapes = shapes.len();
        if ended.is_continue() {
            let varied: Vec<Vec<Moment>> = recoveries
                .iter()
                .flat_map(|points| {
                    // Nothing kept, everything kept, and one with torn sectors.
                    [0, 1, TORN].map(|image| {
                        let mut points = points.clone();
                        points[1].image = image;
                        points
                    })
                })
                .collect();
            ended = self.rounds(runner, stop, &varied, &mut table, &mut each, |_, _| {});
        }
        table.unfinished |= ended.is_break() || stop.raised();
        table
    }

    /// At most as many moments as were asked for, spread evenly.
    fn choose(&self, all: &[Moment], table: &mut Table) -> Vec<Moment> {
        let count = all.len();
        table.moments = count;
        let wanted = self.points.unwrap_or(count).min(count);
        table.moments_left_out = count - wanted;
        (0..wanted)
            .map(|i| all[i * count / wanted].clone())
            .collect()
    }

    /// Which images to try besides image 0, of `counted` and those that draw.
    fn further_images(&self, at: usize, counted: u32) -> impl Iterator<Item = u32> + use<> {
        let mut images = BTreeSet::new();
        if counted > 1 {
            let wanted = self.images.saturating_sub(1) as usize;
            // All kept; one that draws; then, from moment to moment, others.
            let others = (2..counted).cycle().skip(at * 7 % counted as usize);
            let others = others.take(counted.saturating_sub(2) as usize);
            for image in [1, counted + at as u32 % 8].into_iter().chain(others) {
                if images.len() < wanted {
                    images.insert(image);
                }
            }
        }
        images.into_iter()
    }

    /// Makes one run for each of `work`.
    fn rounds(
        &self,
        runner: &impl Runner,
        stop: &Stop,
        work: &[Vec<Moment>],
        table: &mut Table,
        each: &mut impl FnMut(Crashed) -> ControlFlow<()>,
        mut learn: impl FnMut(usize, &Made),
    ) -> ControlFlow<()> {
        let chunk = self.jobs.max(1) * 16;
        for (number, part) in work.chunks(chunk).enumerate() {
            if stop.raised() {
                return ControlFlow::Break(());
            }
            for (i, made) in self.make_all(runner, part).into_iter().enumerate() {
                let moments = &part[i];
                learn(number * chunk + i, &made);
                table.count(moments, &made.judged);
                each(Crashed {
                    judged: made.judged,
                    points: moments.iter().map(Moment::point).collect(),
                })?;
            }
        }
        ControlFlow::Continue(())
    }

    fn make_all(&self, runner: &impl Runner, part: &[Vec<Moment>]) -> Vec<Made> {
        let next = AtomicUsize::new(0);
        let made: Vec<Mutex<Option<Made>>> = part.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, part.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(moments) = part.get(at) else { break };
                        let result = self.make(runner, moments);
                        if let Ok(mut slot) = made[at].lock() {
                            *slot = Some(result);
                        }
                    }
                });
            }
        });
        made.into_iter()
            .filter_map(|slot| slot.into_inner().ok().flatten())
            .collect()
    }

    fn make(&self, runner: &impl Runner, moments: &[Moment]) -> Made {
        let probe = Probe::default();
        let options = RunOptions {
            bugs: self.bugs,
            crash_points: moments.iter().map(Moment::point).collect(),
            probe: Some(probe.clone()),
            ..RunOptions::default()
        };
        let judged = judge_once(runner, self.scenario, self.seed, &options, false, 0);
        let node = moments.first().map_or(0, |moment| moment.node as usize - 1);
        let probed = probe.take();
        Made {
            judged,
            probe: probed.and_then(|mut probed| {
                (node < probed.nodes.len()).then(|| probed.nodes.swap_remove(node))
            }),
        }
    }
}

/// Beyond what is counted at any moment: such an image draws its sectors.
const TORN: u32 = 1 << 20;
