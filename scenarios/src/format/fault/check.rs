//! What a fault must be to its scenario.

use super::{Cut, DiskSpec, Fault, FaultAction, Lasting, LinkSpec, Moment, Partition, Way};
use crate::format::document::Step;
use crate::format::validate::Checker;
use crate::format::version::supported;
use crate::format::{Damage, Duration, Selector};

/// Says what is wrong with the i-th fault of a scenario.
pub(in crate::format) fn fault(check: &mut Checker<'_>, i: usize, fault: &Fault) {
    let mut check = FaultChecker { check, i };
    check.times(fault);
    check.action(fault);
}

struct FaultChecker<'a, 'b> {
    check: &'a mut Checker<'b>,
    i: usize,
}

impl FaultChecker<'_, '_> {
    fn wrong(&mut self, path: &[&str], message: impl Into<String>, expected: impl Into<String>) {
        let mut steps = vec![Step::Key("fault"), Step::Index(self.i)];
        steps.extend(path.iter().map(|key| Step::Key(key)));
        self.check.wrong(&steps, message, expected);
    }

    fn times(&mut self, fault: &Fault) {
        let run_for = self.check.scenario.workload.run_for;
        // A process may well start again at once.
        let takes_time = matches!(
            fault.action.lasting(),
            Lasting::Required | Lasting::Optional
        );
        if takes_time && fault.lasts.is_some_and(|lasts| lasts.max.ns() == 0) {
            let message = "a fault that lasts no time is no fault";
            self.wrong(&["for"], message, "expected more than 0");
        }
        let Some(latest) = fault.at.latest() else {
            if fault.repeat.is_some() {
                let message = "a fault at a mark does not repeat";
                let expected = "expected a time, or one [[fault]] for each passing of the mark";
                self.wrong(&["repeat"], message, expected);
            }
            return;
        };
        if latest >= run_for {
            let message = format!("this fault comes after the load has ended, at {run_for}");
            let expected = "expected a time before `run_for`";
            self.wrong(&["at"], message, expected);
            return;
        }
        let Some(repeat) = &fault.repeat else { return };
        if !(1..=1_000).contains(&repeat.times) {
            let message = format!("a fault cannot come {} times", repeat.times);
            self.wrong(&["repeat", "times"], message, "expected 1 to 1000");
            return;
        }
        let rest = (repeat.every.max.ns()).saturating_mul(u64::from(repeat.times) - 1);
        let last = latest.ns().saturating_add(rest);
        if last >= run_for.ns() {
            let last = Duration::from_ns(last);
            let message =
                format!("the last repetition may come at {last}, after the load has ended");
            let expected = format!("expected all of them before `run_for`, which is {run_for}");
            self.wrong(&["repeat"], message, expected);
        }
    }

    fn action(&mut self, fault: &Fault) {
        let key = fault.action.key();
        match &fault.action {
            FaultAction::Partition(partition) => {
                self.partition(partition);
                self.here(fault, partition.selectors());
                return;
            }
            FaultAction::Link { way, what } => {
                self.way(key, way);
                self.link(what);
                self.here(fault, vec![&way.from, &way.to]);
                return;
            }
            FaultAction::Clog(way) | FaultAction::Hold(way) => {
                self.way(key, way);
                self.here(fault, vec![&way.from, &way.to]);
                return;
            }
            FaultAction::ClientLink { delay, .. } if delay.is_zero() => {
                self.wrong(&[key, "delay"], "this delays nothing", MORE);
            }
            FaultAction::Disk { what, .. } => {
                if let Some((field, message)) = what.does_nothing() {
                    self.wrong(&[key, field], message, expected_of(what, field));
                }
            }
            FaultAction::SlowCpu { factor, .. } if !(2..=1_000_000).contains(&factor.max) => {
                let message = format!("a step that takes {} times as long", factor.max);
                self.wrong(&[key, "factor"], message, "expected 2 to 1000000");
            }
            FaultAction::Upgrade { to, .. } | FaultAction::Downgrade { to, .. }
                if !to.is_supported() =>
            {
                let message = format!("nothing here can run as {}", to.short());
                self.wrong(&[key, "to"], message, supported());
            }
            FaultAction::Crash {
                again_at: Some(at), ..
            } if at.min == 0 => {
                let message = "disk operations are counted from 1";
                self.wrong(&[key, "again_at"], message, "expected 1 or more");
            }
            FaultAction::ClockSkew {
                wall_step,
                drift_ppm,
                ..
            } => {
                let path = [
                    Step::Key("fault"),
                    Step::Index(self.i),
                    Step::Key(key),
                    Step::Key("drift_ppm"),
                ];
                self.check.drift(&path, *drift_ppm);
                if wall_step.ns() == 0 && *drift_ppm == 0 {
                    let expected = "expected a `wall_step` or a `drift_ppm`";
                    self.wrong(&[key], "this skews no clock", expected);
                }
            }
            FaultAction::ClockStep { by, .. } if by.min.ns() == 0 && by.max.ns() == 0 => {
                let expected = "expected a difference such as \"-3s\"";
                self.wrong(&[key, "by"], "this steps no clock", expected);
            }
            _ => {}
        }
        let node = (fault.action.node()).expect("what is no link is about nodes");
        self.selector(key, node);
        self.damage(fault, key);
        self.here(fault, vec![node]);
    }

    /// Damage needs somebody whom the atlas allows to be damaged.
    fn damage(&mut self, fault: &Fault, key: &str) {
        let cluster = &self.check.scenario.cluster;
        let restricted = fault.action.is_damage() && cluster.damage == Damage::Minority;
        if restricted && self.check.scenario.all_nodes() > cluster.nodes {
            let message = "nobody knows who is a minority where the members change";
            let expected =
                "expected cluster.damage = \"unrestricted\", or no spares and nobody replaced";
            self.wrong(&[key], message, expected);
        } else if restricted && cluster.nodes < 3 {
            let message = format!(
                "a cluster of {} survives no damage, so nobody may be hit",
                cluster.nodes
            );
            let expected = "expected 3 nodes or more, or cluster.damage = \"unrestricted\"";
            self.wrong(&[key], message, expected);
        }
    }

    /// `here` is the member that passes the mark at which the fault sets in.
    fn here(&mut self, fault: &Fault, selectors: Vec<&Selector>) {
        if matches!(fault.at, Moment::Time(_)) && selectors.contains(&&Selector::Here) {
            let message = "`here` is the member that passes a mark";
            let expected = "expected `at = \"mark:NAME#N\"`, or another selector";
            self.wrong(&[fault.action.key()], message, expected);
        }
    }

    fn way(&mut self, key: &str, way: &Way) {
        if self.alone(key) {
            return;
        }
        for (field, selector) in [("from", &way.from), ("to", &way.to)] {
            self.nodes(&[key, field], selector);
        }
        // Between all and all are the links of every pair.
        if way.from != Selector::All {
            self.sides(&[key], &way.from, &way.to);
        }
    }

    fn link(&mut self, link: &LinkSpec) {
        let key = "link";
        let delays = link.delay.is_some_and(|delay| !delay.is_zero());
        let shares = [link.loss, link.duplicate, link.reorder, link.corrupt];
        if !delays && link.bandwidth.is_none() && shares.iter().all(|share| share.get() == 0.0) {
            let expected = "expected a `delay`, `loss`, `duplicate`, `reorder`, `corrupt` or \
                            `bandwidth`";
            self.wrong(&[key], "this degrades nothing", expected);
        }
        if link.bandwidth.is_some_and(|rate| rate.bytes() == 0) {
            let expected = "expected more than 0, or a `clog`";
            self.wrong(&[key, "bandwidth"], "nothing would ever leave", expected);
        }
        if link.queue.is_some() && link.bandwidth.is_none() {
            let message = "a queue forms only before a narrow link";
            self.wrong(&[key, "queue"], message, "expected a `bandwidth` with it");
        }
        if link.reorder_by.is_some() && link.reorder.get() == 0.0 {
            let message = "nothing is reordered";
            self.wrong(
                &[key, "reorder_by"],
                message,
                "expected a `reorder` with it",
            );
        }
    }

    fn partition(&mut self, partition: &Partition) {
        let key = "partition";
        if self.alone(key) {
            return;
        }
        let nodes = self.check.scenario.cluster.nodes;
        if partition.flap.is_some_and(|flap| flap.min.ns() == 0) {
            let message = "a partition that flaps without a pause";
            self.wrong(&[key, "flap"], message, MORE);
        }
        match &partition.cut {
            Cut::OneWay { from, to } => {
                self.nodes(&[key, "from"], from);
                self.nodes(&[key, "to"], to);
                self.sides(&[key], from, to);
            }
            Cut::Isolate(selector) | Cut::Bridge(selector) => {
                let field = partition.cut.name();
                if *selector == Selector::Others {
                    let message = "`others` has no other side here";
                    self.wrong(&[key, field], message, "expected a node or a role");
                    return;
                }
                let all = match selector {
                    Selector::Nodes(ids) => ids.len() as u64 == nodes,
                    selector => *selector == Selector::All,
                };
                self.nodes(&[key, field], selector);
                if all {
                    let message = match &partition.cut {
                        Cut::Isolate(_) => "isolating everyone cuts nothing",
                        _ => "a bridge of everyone cuts nothing",
                    };
                    self.wrong(&[key], message, "expected some of the nodes");
                } else if matches!(partition.cut, Cut::Bridge(_)) && nodes < 3 {
                    self.wrong(
                        &[key],
                        "a bridge needs two sides",
                        "expected 3 nodes or more",
                    );
                }
            }
            Cut::Ring if nodes < 4 => {
                let message = format!("in a ring of {nodes}, everyone hears everyone");
                self.wrong(&[key], message, "expected 4 nodes or more");
            }
            Cut::Partial(share) if share.get() == 0.0 => {
                self.wrong(&[key, "partial"], "this partition cuts nothing", MORE);
            }
            Cut::Halves | Cut::Ring | Cut::Partial(_) => {}
            Cut::Split(one, other) => {
                for (side, selector) in [one, other].into_iter().enumerate() {
                    let path = [
                        Step::Key("fault"),
                        Step::Index(self.i),
                        Step::Key(key),
                        Step::Key("split"),
                        Step::Index(side),
                    ];
                    self.check.nodes(&path, selector);
                }
                self.sides(&[key], one, other);
            }
        }
    }

    fn alone(&mut self, key: &str) -> bool {
        let alone = self.check.scenario.cluster.nodes == 1;
        if alone {
            let message = "there is nothing to cut in a cluster of one node";
            self.wrong(&[key], message, "expected a larger cluster");
        }
        alone
    }

    /// Two sides of one partition.
    fn sides(&mut self, at: &[&str], one: &Selector, other: &Selector) {
        let drawn = matches!(
            one,
            Selector::Random | Selector::RandomFollower | Selector::RandomOf(_)
        );
        if one == other && !drawn {
            let message = format!("both sides of this {} are `{one}`", at[0]);
            self.wrong(at, message, "expected two different sides");
        }
    }

    /// The selector of an action that is about nodes, not links.
    fn selector(&mut self, action: &str, selector: &Selector) {
        if *selector == Selector::Others {
            let message = "`others` only means something between nodes";
            let expected = "expected `followers`, or another role";
            self.wrong(&[action, "node"], message, expected);
        } else {
            self.nodes(&[action, "node"], selector);
        }
    }

    fn nodes(&mut self, path: &[&str], selector: &Selector) {
        let mut steps = vec![Step::Key("fault"), Step::Index(self.i)];
        steps.extend(path.iter().map(|key| Step::Key(key)));
        self.check.nodes(&steps, selector);
    }
}

const MORE: &str = "expected more than 0";

fn expected_of(what: &DiskSpec, field: &str) -> &'static str {
    match (what, field) {
        (DiskSpec::SlowDisk { .. }, _) => "expected a `factor` above 1, or a `delay`",
        (_, "sectors" | "names") => "expected 1 or more",
        _ => MORE,
    }
}

impl Partition {
    fn selectors(&self) -> Vec<&Selector> {
        match &self.cut {
            Cut::OneWay { from, to } => vec![from, to],
            Cut::Isolate(one) | Cut::Bridge(one) => vec![one],
            Cut::Split(one, other) => vec![one, other],
            Cut::Halves | Cut::Ring | Cut::Partial(_) => Vec::new(),
        }
    }
}

impl FaultAction {
    /// Whom it is about, if it is about nodes and not links.
    pub(crate) fn node(&self) -> Option<&Selector> {
        match self {
            FaultAction::Partition(_)
            | FaultAction::Link { .. }
            | FaultAction::Clog(_)
            | FaultAction::Hold(_) => None,
            FaultAction::ClientLink { node, .. }
            | FaultAction::ClientCut { node, .. }
            | FaultAction::ClientReset { node }
            | FaultAction::Disk { node, .. }
            | FaultAction::Pause { node }
            | FaultAction::SlowCpu { node, .. }
            | FaultAction::Stop { node }
            | FaultAction::Crash { node, .. }
            | FaultAction::Wipe { node }
            | FaultAction::Replace { node }
            | FaultAction::Upgrade { node, .. }
            | FaultAction::Downgrade { node, .. }
            | FaultAction::ClockSkew { node, .. }
            | FaultAction::ClockFreeze { node }
            | FaultAction::ClockStep { node, .. } => Some(node),
        }
    }
}
