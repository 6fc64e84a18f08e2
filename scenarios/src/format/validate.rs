//! What a scenario's values must be to each other: each table may be right and
//! the whole still make no sense.

use super::document::{Document, Problem, Step};
use super::fields::unknown;
use super::version::supported;
use super::{After, Between, CheckSpec, Elections, Expect, Scenario, Selector, WatchLoad, fault};

/// The most members that a cluster may have: raft groups are small, and
/// etcd advises 7 at most.
const NODES_MAX: u64 = 9;
/// The most nodes that may wait to become members.
const SPARES_MAX: u64 = 16;
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
        fault::check(&mut check, i, fault);
    }
    check.labels();
    check.checks();
    check.expects();
    check.problems
}

/// Collects what is wrong.
pub(super) struct Checker<'a> {
    doc: &'a Document,
    pub(super) scenario: &'a Scenario,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    pub(super) fn wrong(
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
        if cluster.spares > SPARES_MAX {
            let message = format!("a cluster cannot have {} spares", cluster.spares);
            self.wrong(
                &at("spares"),
                message,
                format!("expected 0 to {SPARES_MAX}"),
            );
        }
        if !cluster.version.is_supported() {
            let message = format!("nothing here can run as {}", cluster.version.short());
            self.wrong(&at("version"), message, supported());
        }
        let changes = self.scenario.workload.operator.changes;
        if (cluster.spares > 0) != changes.is_some() {
            let message = "members change where there are spares, and only there";
            let expected = "expected cluster.spares and workload.operator.changes, or neither";
            self.wrong(&at("spares"), message, expected);
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
        if cluster.read_lease >= cluster.election_timeout {
            let message = format!(
                "a read lease of {} proves nothing where elections begin after {}",
                cluster.read_lease, cluster.election_timeout
            );
            let expected =
                "expected less than the election timeout by as much as clocks may differ";
            self.wrong(&at("read_lease"), message, expected);
        }
        for (key, value) in [
            ("request_timeout", cluster.request_timeout.ns()),
            ("lease_checkpoint", cluster.lease_checkpoint.ns()),
            ("snapshot_entries", cluster.snapshot_entries),
            ("snapshot_chunk", cluster.snapshot_chunk.bytes()),
            ("wal_segment", cluster.wal_segment.bytes()),
            (
                "backend_commit_interval",
                cluster.backend_commit_interval.ns(),
            ),
            ("backend_commit_entries", cluster.backend_commit_entries),
            ("watch_window", cluster.watch_window.into()),
            ("watch_batch", cluster.watch_batch.into()),
            ("watch_progress", cluster.watch_progress.ns()),
            ("quota", cluster.quota.bytes()),
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

    pub(super) fn drift(&mut self, path: &[Step<'_>], ppm: i64) {
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
        let watch = |key| [Step::Key("workload"), Step::Key("watch"), Step::Key(key)];
        for (key, count) in [
            ("watchers", workload.watch.watchers),
            ("controllers", workload.watch.controllers),
        ] {
            if count > 1_000 {
                let message = format!("a workload cannot have {count} {key}");
                self.wrong(&watch(key), message, "expected at most 1000");
            }
        }
        for (key, every) in [
            ("compact_every", workload.upkeep.compact_every),
            ("defragment_every", workload.upkeep.defragment_every),
            ("make_room_every", workload.upkeep.make_room_every),
        ] {
            if every.is_some_and(|every| every.ns() == 0) {
                let path = [Step::Key("workload"), Step::Key("upkeep"), Step::Key(key)];
                let message = "an operator cannot do this all the time";
                self.wrong(&path, message, "expected more than 0, such as \"500ms\"");
            }
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
        let sessions = |key| [Step::Key("workload"), Step::Key("sessions"), Step::Key(key)];
        if workload.sessions.count > 1_000 {
            let message = format!(
                "a workload cannot have {} sessions",
                workload.sessions.count
            );
            self.wrong(&sessions("count"), message, "expected 0 to 1000");
        }
        let auth = |key| [Step::Key("workload"), Step::Key("auth"), Step::Key(key)];
        if workload.auth.users > 100 {
            let message = format!("a workload cannot have {} users", workload.auth.users);
            self.wrong(&auth("users"), message, "expected 0 to 100");
        }
        for (others, are_there) in [
            ("watch", workload.watch != WatchLoad::default()),
            ("locks", workload.locks.count > 0),
            ("elections", workload.elections != Elections::default()),
            ("operator", workload.operator.clients() > 0),
            ("upkeep", workload.upkeep.clients() > 0),
            ("replace", self.scenario.replacements() > 0),
        ] {
            if workload.auth.users > 0 && are_there {
                self.wrong(
                    &auth("users"),
                    format!("the clients of `workload.{others}` do not log in"),
                    format!("expected either users or `workload.{others}`"),
                );
            }
        }
        if workload.auth.change_every.ns() == 0 {
            self.wrong(
                &auth("change_every"),
                "permissions cannot change all the time",
                "expected more than 0",
            );
        }
        let locks = [Step::Key("workload"), Step::Key("locks")];
        let crowd = u64::from(workload.locks.count)
            + u64::from(workload.elections.candidates)
            + u64::from(workload.elections.observers);
        if crowd > 1_000 || workload.locks.names == 0 {
            let message = format!(
                "a workload cannot have {crowd} clients for {} locks and an election",
                workload.locks.names
            );
            self.wrong(&locks, message, "expected up to 1000 clients, and a lock");
        }
        for (owners, ttl) in [
            ("sessions", workload.sessions.ttl),
            ("locks", workload.locks.ttl),
            ("elections", workload.elections.ttl),
        ] {
            if ttl.min.ns() == 0 || ttl.max.ns() > 3_600_000_000_000 {
                let at = [Step::Key("workload"), Step::Key(owners), Step::Key("ttl")];
                let message = format!("a lease of {ttl} does not fit a run");
                self.wrong(&at, message, "expected 1s to 1h");
            }
        }
        if workload.value_size.max.bytes() > 1 << 20 {
            let message = format!(
                "a value of {} is more than is tested",
                workload.value_size.max
            );
            self.wrong(&at("value_size"), message, "expected at most 1MiB");
        }
        for (key, pause) in [
            ("changes", workload.operator.changes),
            ("transfers", workload.operator.transfers),
        ] {
            if pause.is_some_and(|pause| pause.min.ns() == 0) {
                let path = [Step::Key("workload"), Step::Key("operator"), Step::Key(key)];
                self.wrong(&path, "an operator needs time", "expected more than 0");
            }
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

    /// That a selector finds somebody in a cluster of this size.
    pub(super) fn nodes(&mut self, at: &[Step<'_>], selector: &Selector) {
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
            Selector::RandomOf(count) => *count,
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
