//! What a scenario's values must be to each other: each table may be right and
//! the whole still make no sense.

use super::document::{Document, Problem, Step};
use super::fields::unknown;
use super::{After, Between, CheckSpec, Expect, Fault, FaultAction, Partition, Scenario, Selector};

/// The most members that a cluster may have: raft groups are small, and
/// etcd advises 7 at most.
const NODES_MAX: u64 = 9;
/// Clocks that are wronger than this are broken, not skewed.
const DRIFT_PPM_MAX: i64 = 100_000;

/// Says everything that is wrong with a scenario that was read from `doc`.
pub(super) fn validate(doc: &Document, scenario: &Scenario) -> Vec<Problem> {
    let mut check = Checker {
        doc,
        scenario,
        problems: Vec::new(),
    };
    check.cluster();
    check.workload();
    for (i, fault) in scenario.faults.iter().enumerate() {
        check.fault(i, fault);
    }
    check.labels();
    check.checks();
    check.expects();
    check.problems
}

struct Checker<'a> {
    doc: &'a Document,
    scenario: &'a Scenario,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn wrong(
        &mut self,
        path: &[Step<'_>],
        message: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let place = &self.doc.nearest(path).place;
        self.problems.push(Problem::new(place, message, expected));
    }

    fn cluster(&mut self) {
        let cluster = &self.scenario.cluster;
        let at = |key| [Step::Key("cluster"), Step::Key(key)];
        if !(1..=NODES_MAX).contains(&cluster.nodes) {
            let message = format!("a cluster cannot have {} nodes", cluster.nodes);
            self.wrong(&at("nodes"), message, format!("expected 1 to {NODES_MAX}"));
        }
        let longest = cluster.election_timeout.ns() / 5;
        if cluster.heartbeat.ns() == 0 {
            self.wrong(
                &at("heartbeat"),
                "a heartbeat takes time",
                "expected more than 0",
            );
        } else if cluster.heartbeat.ns() > longest {
            let message = format!(
                "a heartbeat every {} is too slow for an election timeout of {}",
                cluster.heartbeat, cluster.election_timeout
            );
            let longest = super::Duration::from_ns(longest);
            let expected = format!("expected at most {longest}, a fifth of the election timeout");
            // Whichever the author wrote: the other may be a default.
            let key = match self.doc.has(&at("heartbeat")) {
                true => "heartbeat",
                false => "election_timeout",
            };
            self.wrong(&at(key), message, expected);
        }
        for (key, value) in [
            ("request_timeout", cluster.request_timeout.ns()),
            ("snapshot_entries", cluster.snapshot_entries),
            ("wal_segment", cluster.wal_segment.bytes()),
            (
                "backend_commit_interval",
                cluster.backend_commit_interval.ns(),
            ),
            ("backend_commit_entries", cluster.backend_commit_entries),
        ] {
            if value == 0 {
                self.wrong(
                    &at(key),
                    format!("`{key}` cannot be 0"),
                    "expected more than 0",
                );
            }
        }
        let Between { min, max } = cluster.clock.drift_ppm;
        let path = [
            Step::Key("cluster"),
            Step::Key("clock"),
            Step::Key("drift_ppm"),
        ];
        self.drift(&path, min);
        if max != min {
            self.drift(&path, max);
        }
    }

    fn drift(&mut self, path: &[Step<'_>], ppm: i64) {
        if ppm.unsigned_abs() > DRIFT_PPM_MAX.unsigned_abs() {
            let message = format!("a clock that drifts by {ppm} ppm is no clock");
            let expected = format!("expected -{DRIFT_PPM_MAX} to {DRIFT_PPM_MAX}");
            self.wrong(path, message, expected);
        }
    }

    fn workload(&mut self) {
        let workload = &self.scenario.workload;
        let at = |key| [Step::Key("workload"), Step::Key(key)];
        let keys = |key| [Step::Key("workload"), Step::Key("keys"), Step::Key(key)];
        if !(1..=1_000).contains(&workload.clients) {
            let message = format!("a workload cannot have {} clients", workload.clients);
            self.wrong(&at("clients"), message, "expected 1 to 1000");
        }
        if !(workload.rate > 0.0 && workload.rate <= 1e6) {
            let message = format!("{} operations per second cannot be made", workload.rate);
            self.wrong(
                &at("rate"),
                message,
                "expected more than 0, at most 1000000",
            );
        }
        if !(1..=10_000).contains(&workload.keys.count) {
            let message = format!("a workload cannot use {} keys", workload.keys.count);
            self.wrong(&keys("count"), message, "expected 1 to 10000");
        }
        if workload.mix.total() == 0 {
            let expected = "expected a weight above 0, such as put = 1";
            self.wrong(
                &at("mix"),
                "nothing is mixed: the clients do nothing",
                expected,
            );
        }
        if workload.value_size.max.bytes() > 1 << 20 {
            let message = format!(
                "a value of {} is more than is tested",
                workload.value_size.max
            );
            self.wrong(&at("value_size"), message, "expected at most 1MiB");
        }
        for (key, value) in [
            ("client_timeout", workload.client_timeout),
            ("run_for", workload.run_for),
        ] {
            if value.ns() == 0 {
                self.wrong(
                    &at(key),
                    format!("`{key}` cannot be 0"),
                    "expected more than 0",
                );
            }
        }
    }

    fn fault(&mut self, i: usize, fault: &Fault) {
        let at = |key| [Step::Key("fault"), Step::Index(i), Step::Key(key)];
        self.fault_times(i, fault);
        match &fault.action {
            FaultAction::Partition(partition) => self.partition(i, partition),
            FaultAction::FsyncStall { node, delay } => {
                self.selector(i, "fsync_stall", "node", node);
                if delay.max.ns() == 0 {
                    let path = [at("fsync_stall").as_slice(), &[Step::Key("delay")]].concat();
                    self.wrong(&path, "a stall of 0 is no stall", "expected more than 0");
                }
            }
            FaultAction::Pause { node } => self.selector(i, "pause", "node", node),
            FaultAction::Crash { node, .. } => self.selector(i, "crash", "node", node),
            FaultAction::ClockSkew {
                node,
                wall_step,
                drift_ppm,
            } => {
                self.selector(i, "clock_skew", "node", node);
                let path = [at("clock_skew").as_slice(), &[Step::Key("drift_ppm")]].concat();
                self.drift(&path, *drift_ppm);
                if wall_step.ns() == 0 && *drift_ppm == 0 {
                    let expected = "expected a `wall_step` or a `drift_ppm`";
                    self.wrong(&at("clock_skew"), "this skews no clock", expected);
                }
            }
        }
    }

    fn fault_times(&mut self, i: usize, fault: &Fault) {
        let at = |key| [Step::Key("fault"), Step::Index(i), Step::Key(key)];
        let run_for = self.scenario.workload.run_for;
        if let Some(lasts) = fault.lasts
            && lasts.max.ns() == 0
        {
            let message = "a fault that lasts no time is no fault";
            match fault.action {
                // A process may well start again at once.
                FaultAction::Crash { .. } => {}
                _ => self.wrong(&at("for"), message, "expected more than 0"),
            }
        }
        if fault.at.max >= run_for {
            let message = format!("this fault comes after the load has ended, at {run_for}");
            let expected = "expected a time before `run_for`";
            self.wrong(&at("at"), message, expected);
            return;
        }
        let Some(repeat) = &fault.repeat else { return };
        if !(1..=1_000).contains(&repeat.times) {
            let message = format!("a fault cannot come {} times", repeat.times);
            let path = [at("repeat").as_slice(), &[Step::Key("times")]].concat();
            self.wrong(&path, message, "expected 1 to 1000");
            return;
        }
        let rest = repeat
            .every
            .max
            .ns()
            .saturating_mul(u64::from(repeat.times) - 1);
        let last = fault.at.max.ns().saturating_add(rest);
        if last >= run_for.ns() {
            let last = super::Duration::from_ns(last);
            let message =
                format!("the last repetition may come at {last}, after the load has ended");
            let expected = format!("expected all of them before `run_for`, which is {run_for}");
            self.wrong(&at("repeat"), message, expected);
        }
    }

    fn partition(&mut self, i: usize, partition: &Partition) {
        let at = [Step::Key("fault"), Step::Index(i), Step::Key("partition")];
        if self.scenario.cluster.nodes == 1 {
            let message = "there is nothing to cut in a cluster of one node";
            self.wrong(&at, message, "expected a larger cluster");
            return;
        }
        match partition {
            Partition::OneWay { from, to } => {
                self.side(i, &[Step::Key("from")], from);
                self.side(i, &[Step::Key("to")], to);
                self.sides(&at, from, to);
            }
            Partition::Isolate(selector) => {
                let all = match selector {
                    Selector::Nodes(nodes) => nodes.len() as u64 == self.scenario.cluster.nodes,
                    Selector::Others => {
                        self.wrong(
                            &[at.as_slice(), &[Step::Key("isolate")]].concat(),
                            "`others` has no other side here",
                            "expected a node or a role",
                        );
                        return;
                    }
                    selector => *selector == Selector::All,
                };
                self.side(i, &[Step::Key("isolate")], selector);
                if all {
                    let message = "isolating everyone cuts nothing";
                    self.wrong(&at, message, "expected some of the nodes");
                }
            }
            Partition::Halves => {}
            Partition::Split(one, other) => {
                self.side(i, &[Step::Key("split"), Step::Index(0)], one);
                self.side(i, &[Step::Key("split"), Step::Index(1)], other);
                self.sides(&at, one, other);
            }
        }
    }

    /// Two sides of one partition.
    fn sides(&mut self, at: &[Step<'_>], one: &Selector, other: &Selector) {
        if one == other && !matches!(one, Selector::Random | Selector::RandomFollower) {
            let message = format!("both sides of this partition are `{one}`");
            self.wrong(at, message, "expected two different sides");
        }
    }

    fn side(&mut self, i: usize, within: &[Step<'_>], selector: &Selector) {
        let at = [Step::Key("fault"), Step::Index(i), Step::Key("partition")];
        self.nodes(&[at.as_slice(), within].concat(), selector);
    }

    /// The selector of an action that is no partition.
    fn selector(&mut self, i: usize, action: &str, key: &str, selector: &Selector) {
        let at = [
            Step::Key("fault"),
            Step::Index(i),
            Step::Key(action),
            Step::Key(key),
        ];
        if *selector == Selector::Others {
            let expected = "expected `followers`, or another role";
            self.wrong(
                &at,
                "`others` only means something in a partition",
                expected,
            );
        } else {
            self.nodes(&at, selector);
        }
    }

    /// That a selector finds somebody in a cluster of this size.
    fn nodes(&mut self, at: &[Step<'_>], selector: &Selector) {
        let nodes = self.scenario.cluster.nodes;
        if nodes == 0 {
            return; // Said already: a cluster cannot have 0 nodes.
        }
        let least = match selector {
            Selector::Nodes(ids) => {
                let stranger = ids.iter().find(|id| !(1..=nodes).contains(id));
                if let Some(stranger) = stranger {
                    let message = format!("there is no node n{stranger}");
                    self.wrong(at, message, format!("the cluster has n1 to n{nodes}"));
                }
                return;
            }
            Selector::Follower | Selector::Followers | Selector::RandomFollower => 2,
            Selector::Minority => 3,
            _ => 1,
        };
        if nodes < least {
            let message = format!("`{selector}` is nobody in a cluster of {nodes}");
            self.wrong(at, message, format!("expected {least} nodes or more"));
        }
    }

    fn labels(&mut self) {
        let faults = &self.scenario.faults;
        for (i, fault) in faults.iter().enumerate() {
            let at = [Step::Key("fault"), Step::Index(i), Step::Key("label")];
            if faults[..i].iter().any(|other| other.label == fault.label) {
                let message = format!("two faults are labelled {:?}", fault.label);
                let expected = "expected another label: draws are keyed by it";
                self.wrong(&at, message, expected);
            }
            if fault.label == "every fault" {
                let message = "no fault can be called \"every fault\"";
                self.wrong(&at, message, "an [[expect]] means all of them by it");
            }
        }
    }

    fn checks(&mut self) {
        let checks = &self.scenario.checks;
        for (i, check) in checks.iter().enumerate() {
            let at = [Step::Key("check"), Step::Index(i)];
            let kind = std::mem::discriminant(check);
            if checks[..i]
                .iter()
                .any(|other| std::mem::discriminant(other) == kind)
            {
                self.wrong(
                    &at,
                    "this check is there already",
                    "expected each check once",
                );
            }
            if matches!(check, CheckSpec::Linearizable { budget: 0 }) {
                let path = [
                    at.as_slice(),
                    &[Step::Key("linearizable"), Step::Key("budget")],
                ]
                .concat();
                self.wrong(
                    &path,
                    "a budget of 0 decides nothing",
                    "expected search steps",
                );
            }
        }
    }

    fn expects(&mut self) {
        for (i, expect) in self.scenario.expects.iter().enumerate() {
            let at = |key| {
                let recovers = Step::Key("recovers");
                [
                    Step::Key("expect"),
                    Step::Index(i),
                    recovers,
                    Step::Key(key),
                ]
            };
            let Expect::Recovers { after, within } = expect else {
                continue;
            };
            if within.ns() == 0 {
                self.wrong(
                    &at("within"),
                    "nothing recovers in 0",
                    "expected more than 0",
                );
            }
            let labels: Vec<_> = self
                .scenario
                .faults
                .iter()
                .map(|f| f.label.as_str())
                .collect();
            if let After::Label(label) = after
                && !labels.contains(&label.as_str())
            {
                let known = [&labels[..], &["every fault"]].concat();
                let place = &self.doc.nearest(&at("after")).place;
                self.problems
                    .push(unknown("fault", label, "", &known, place));
            }
        }
    }
}
