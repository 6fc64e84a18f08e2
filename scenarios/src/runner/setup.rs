//! From a scenario and its plan to a world.

use crate::format::{Between, Duration, Scenario, Workload};
use crate::plan::NodeClock;
use crate::runner::RunOptions;
use squall_sim::ClockParams;
use squall_sim::DiskParams;
use squall_sim::LinkParams;
use squall_sim::world::{Keep, MemberSetup, Open, Setup};
use std::ops::RangeInclusive;

/// Besides the scenario's clients, and before its sessions: one that probes, one
/// that audits.
pub(super) const OWN_CLIENTS: u32 = 2;

pub(super) fn world(
    scenario: &Scenario,
    clocks: &[NodeClock],
    seed: u64,
    options: &RunOptions,
    open: &dyn Fn(u64) -> Open,
) -> Setup {
    let cluster = &scenario.cluster;
    let members = (1..=scenario.all_nodes())
        .map(|id| {
            let clock = clocks.iter().find(|clock| clock.node == id);
            MemberSetup {
                config: cluster.member(CLUSTER, id),
                clock: ClockParams {
                    wall_offset_ns: clock.map_or(0, |c| c.offset_ns),
                    drift_ppm: clock.map_or(0.0, |c| c.drift_ppm as f64),
                },
                open: open(id),
            }
        })
        .collect();
    Setup {
        seed,
        members,
        disk: DiskParams {
            // What is read was written by the same process: the page cache has it.
            read: 0..=0,
            write: range(cluster.disk.write),
            fsync: range(cluster.disk.fsync),
        },
        link: LinkParams {
            latency: cluster.link.latency.into(),
            loss: cluster.link.loss.get(),
            duplicate: cluster.link.duplicate.get(),
            reorder: cluster.link.reorder,
        },
        client_link: LinkParams {
            latency: cluster.link.latency.into(),
            loss: 0.0,
            duplicate: 0.0,
            reorder: false,
        },
        step_cost: 0,
        clients: first_replacer(&scenario.workload) + scenario.replacements(),
        bugs: options.bugs,
        keep: if options.record {
            Keep::Everything
        } else {
            Keep::Notable
        },
        trace: options.trace,
    }
}

/// The number of the operator's first client: it comes after all but
/// users.
pub(super) fn first_operator(workload: &Workload) -> u32 {
    workload.all_clients() + OWN_CLIENTS + workload.owners()
}

/// The number of the first client of [`crate::format::AuthLoad`]: the last ones.
pub(super) fn first_user(workload: &Workload) -> u32 {
    first_operator(workload) + workload.operator.clients()
}

/// The number of the first client that replaces a member: each has its own.
pub(super) fn first_replacer(workload: &Workload) -> u32 {
    first_user(workload) + workload.auth.clients()
}

/// The simulated cluster's id.
pub(super) const CLUSTER: u64 = 0x5175_a11c;

fn range(between: Between<Duration>) -> RangeInclusive<u64> {
    between.min.ns()..=between.max.ns()
}
