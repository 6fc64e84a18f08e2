//! What there is to count: the kinds of faults.

use super::{CrashDisk, DiskSpec, FaultAction};

/// A kind of fault, as counts and tables know it: finer than the actions of a
/// file where one action does different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultKind(&'static str);

impl FaultKind {
    /// Every kind, in the order of tables.
    pub const ALL: [FaultKind; 47] = [
        FaultKind("partition one_way"),
        FaultKind("partition isolate"),
        FaultKind("partition halves"),
        FaultKind("partition split"),
        FaultKind("partition bridge"),
        FaultKind("partition ring"),
        FaultKind("partition partial"),
        FaultKind("partition flapping"),
        FaultKind("link delay uniform"),
        FaultKind("link delay exponential"),
        FaultKind("link delay bimodal"),
        FaultKind("link loss"),
        FaultKind("link duplicate"),
        FaultKind("link reorder"),
        FaultKind("link corrupt"),
        FaultKind("link bandwidth"),
        FaultKind("clog"),
        FaultKind("hold"),
        FaultKind("client_link"),
        FaultKind("client_cut"),
        FaultKind("client_reset"),
        FaultKind("fsync_stall"),
        FaultKind("slow_disk"),
        FaultKind("throttle"),
        FaultKind("write_error"),
        FaultKind("fsync_error"),
        FaultKind("fsync_lie"),
        FaultKind("disk_full"),
        FaultKind("bit_rot"),
        FaultKind("read_flip"),
        FaultKind("latent_error"),
        FaultKind("misdirected_write"),
        FaultKind("lost_name"),
        FaultKind("crash kept"),
        FaultKind("crash lost"),
        FaultKind("crash torn_write"),
        FaultKind("crash again_at"),
        FaultKind("stop"),
        FaultKind("pause"),
        FaultKind("slow_cpu"),
        FaultKind("wipe"),
        FaultKind("replace"),
        FaultKind("upgrade"),
        FaultKind("downgrade"),
        FaultKind("clock_skew"),
        FaultKind("clock_freeze"),
        FaultKind("clock_step"),
    ];

    /// Its name: the action's key, and what of it.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.0 == name)
    }
}

impl FaultAction {
    /// The kinds that it is: an action may do several things at once.
    pub fn kinds(&self) -> Vec<FaultKind> {
        let mut names = Vec::new();
        match self {
            FaultAction::Partition(partition) => {
                names.push(format!("partition {}", partition.cut.name()));
                if partition.flap.is_some() {
                    names.push("partition flapping".into());
                }
            }
            FaultAction::Link { what, .. } => {
                let delay = what.delay.map(|delay| match delay {
                    super::Latency::Uniform(_) => "delay uniform",
                    super::Latency::Exponential { .. } => "delay exponential",
                    super::Latency::Bimodal { .. } => "delay bimodal",
                });
                let parts = [
                    delay,
                    (what.loss.get() > 0.0).then_some("loss"),
                    (what.duplicate.get() > 0.0).then_some("duplicate"),
                    (what.reorder.get() > 0.0).then_some("reorder"),
                    (what.corrupt.get() > 0.0).then_some("corrupt"),
                    what.bandwidth.map(|_| "bandwidth"),
                ];
                names.extend(parts.into_iter().flatten().map(|p| format!("link {p}")));
            }
            FaultAction::Disk { what, .. } => names.push(DiskSpec::key(what).into()),
            FaultAction::Crash { disk, again_at, .. } => {
                names.push(format!("crash {}", CrashDisk::name(*disk)));
                if again_at.is_some() {
                    names.push("crash again_at".into());
                }
            }
            action => names.push(action.key().into()),
        }
        let known = |name: String| FaultKind::named(&name).expect("every action has its kinds");
        names.into_iter().map(known).collect()
    }
}
