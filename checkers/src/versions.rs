//! The cluster's version: when it rises, when it falls, and who may take part.

use squall_api::pb::downgrade_request::DowngradeAction;
use squall_api::{MaintenanceRequest, MaintenanceResponse, Version, VersionsView};
use squall_record::{Call, Check, Fact, Op, Outcome, Ret, Verdict, Witness, seconds};
use std::collections::BTreeMap;

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "the cluster's version rises when all members have announced it and falls by one minor \
     version while a downgrade is enabled; members that do not fit it do not run, and what it \
     does not know is not done";

/// Follows what members show of versions, all through a run.
#[derive(Debug, Default)]
pub struct Versions {
    /// What was in force from each index on.
    history: BTreeMap<u64, VersionsView>,
    judged: u64,
    broken: Option<Box<Witness>>,
}

impl Versions {
    /// Nothing seen yet.
    pub fn new() -> Versions {
        Versions::default()
    }

    /// `node` shows the versions that it knows of at true time `t`. Only the
    /// first violation is told.
    pub fn observe(&mut self, t: u64, node: u64, view: &VersionsView) -> Result<(), Box<Witness>> {
        let Some(cluster) = view.cluster else {
            return Ok(());
        };
        self.judged += 1;
        let own = view.own;
        if !own.fits(cluster) {
            let class = "runs-although-it-does-not-fit";
            let sentence = format!(
                "n{node} runs as {own} in a cluster of version {} at {}",
                cluster.short(),
                seconds(t)
            );
            return self.fail(t, node, class, sentence, Vec::new());
        }
        let Some((_, before)) = self.history.range(..=view.index).next_back() else {
            self.history.insert(view.index, view.clone());
            return Ok(());
        };
        if same(before, view) {
            return Ok(());
        }
        let is_next = self.history.last_key_value().map(|(index, _)| *index) < Some(view.index);
        let wrong = match is_next {
            true => change(before, view),
            false => Some(("versions-differ", "differ between members")),
        };
        if let Some((class, what)) = wrong {
            let sentence = format!(
                "at entry {} the versions {what}, as n{node} shows at {}",
                view.index,
                seconds(t)
            );
            let facts = vec![fact("before", before), fact("then", view)];
            return self.fail(t, node, class, sentence, facts);
        }
        self.history.insert(view.index, view.clone());
        Ok(())
    }

    /// `node` has applied, at true time `t`, the entry `index`, which members
    /// before `since` do not understand.
    pub fn gated(
        &mut self,
        t: u64,
        node: u64,
        index: u64,
        since: Version,
    ) -> Result<(), Box<Witness>> {
        let Some((_, view)) = self.history.range(..=index).next_back() else {
            return Ok(());
        };
        self.judged += 1;
        if view.downgrade.or(view.cluster) >= Some(since) {
            return Ok(());
        }
        let facts = vec![fact("then", view)];
        let sentence = format!(
            "n{node} applied entry {index} at {}, which members before {} do not understand",
            seconds(t),
            since.short()
        );
        self.fail(t, node, "done-too-early", sentence, facts)
    }

    /// The verdict, with what the calls of `history` were answered.
    pub fn finish(self, history: &[Op]) -> Check {
        let verdict = match self.broken.or_else(|| history.iter().find_map(misled)) {
            Some(witness) => Verdict::Fail(witness),
            None => Verdict::Pass {
                judged: self.judged,
                unknown: 0,
            },
        };
        Check {
            name: "versions".into(),
            verdict,
        }
    }

    fn fail(
        &mut self,
        t: u64,
        node: u64,
        class: &str,
        sentence: String,
        facts: Vec<Fact>,
    ) -> Result<(), Box<Witness>> {
        if self.broken.is_some() {
            return Ok(());
        }
        let witness = Box::new(Witness {
            guarantee: GUARANTEE.into(),
            sentence,
            t,
            node: Some(node),
            ops: Vec::new(),
            facts,
            class: class.into(),
        });
        self.broken = Some(witness.clone());
        Err(witness)
    }
}

/// Whether two members know the same.
fn same(a: &VersionsView, b: &VersionsView) -> bool {
    (a.cluster, a.downgrade, &a.members) == (b.cluster, b.downgrade, &b.members)
}

/// What is wrong with a change, if something is.
fn change(before: &VersionsView, after: &VersionsView) -> Option<(&'static str, &'static str)> {
    let (from, to) = (before.cluster?, after.cluster?);
    if to > from {
        let old = after.members.values().any(|version| *version < to);
        return old.then_some(("raised-too-early", "rise although a member announced less"));
    }
    if to < from {
        let enabled = before.downgrade == Some(to);
        if !enabled {
            return Some(("fell", "fall although no such downgrade is enabled"));
        }
        let far = !from.follows(to);
        return far.then_some(("fell-too-far", "fall by more than one minor version"));
    }
    None
}

/// An answer that allows a downgrade which there cannot be.
fn misled(op: &Op) -> Option<Box<Witness>> {
    let Call::Maintenance(MaintenanceRequest::Downgrade(call)) = &op.call else {
        return None;
    };
    let Outcome::Ok(Ret::Maintenance(MaintenanceResponse::Downgrade(answer))) = &op.outcome else {
        return None;
    };
    if call.action() == DowngradeAction::Cancel {
        return None;
    }
    let target = call.version.parse::<Version>().ok();
    let cluster = answer.version.parse::<Version>().ok();
    if cluster.zip(target).is_some_and(|(c, t)| c.follows(t)) {
        return None;
    }
    let t = op.ret.unwrap_or(op.invoke);
    Some(Box::new(Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "n{} allowed a downgrade to {} of a cluster of version {} at {}",
            op.member,
            call.version,
            answer.version,
            seconds(t)
        ),
        t,
        node: Some(op.member),
        ops: vec![op.clone()],
        facts: Vec::new(),
        class: "downgrade-allowed".into(),
    }))
}

fn fact(name: &str, view: &VersionsView) -> Fact {
    let shown = |version: Option<Version>| version.map_or("none".into(), Version::short);
    let members = view.members.iter();
    let members = members.map(|(id, version)| format!(", n{id} {}", version.short()));
    Fact::new(
        name.to_owned(),
        format!(
            "cluster {}, downgrade {}{}",
            shown(view.cluster),
            shown(view.downgrade),
            members.collect::<String>()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::pb;

    /// `3.6 3.5 | 3.6 3.5`: cluster, downgrade, members.
    fn view(index: u64, text: &str) -> VersionsView {
        let (cluster, members) = text.split_once(" | ").unwrap();
        let mut cluster = cluster.split(' ').map(|v| v.parse().unwrap());
        let members = members.split(' ').map(|v| v.parse().unwrap());
        VersionsView {
            index,
            own: Version::new(3, 6, 1),
            cluster: cluster.next(),
            downgrade: cluster.next(),
            members: (1..).zip(members).collect(),
        }
    }

    /// The class of the violation that these views end with, if they do.
    fn judged(views: &[(u64, &str)]) -> Option<String> {
        let mut versions = Versions::new();
        let mut last = Ok(());
        for (index, text) in views {
            assert_eq!(last, Ok(()), "before {text}");
            last = versions.observe(*index, 1, &view(*index, text));
        }
        last.err().map(|witness| witness.class)
    }

    #[test]
    fn an_upgrade_and_a_downgrade_pass() {
        let whole = [
            (0, "3.5 | 3.5 3.5"),
            (5, "3.5 | 3.6 3.5"),
            (6, "3.5 | 3.6 3.6"),
            (7, "3.6 | 3.6 3.6"),
            (9, "3.6 3.5 | 3.6 3.6"),
            (10, "3.5 3.5 | 3.6 3.6"),
            (12, "3.5 3.5 | 3.5 3.5"),
            (13, "3.5 | 3.5 3.5"),
            // Another member comes to the same.
            (8, "3.6 | 3.6 3.6"),
        ];
        assert_eq!(judged(&whole), None);
    }

    #[test]
    fn each_wrong_change_is_named() {
        for (views, class) in [
            (
                [(0, "3.5 | 3.5 3.5"), (5, "3.6 | 3.6 3.5")],
                "raised-too-early",
            ),
            ([(0, "3.6 | 3.6 3.6"), (5, "3.5 | 3.6 3.6")], "fell"),
            ([(0, "3.7 3.5 | 3.7"), (5, "3.5 3.5 | 3.7")], "fell-too-far"),
            (
                [(5, "3.6 | 3.6 3.6"), (5, "3.6 | 3.6 3.5")],
                "versions-differ",
            ),
            (
                [(5, "3.6 | 3.6"), (6, "3.4 | 3.6")],
                "runs-although-it-does-not-fit",
            ),
        ] {
            let views = match class {
                // The member that shows it runs as 3.6.
                "fell-too-far" => {
                    let [a, b] = views.map(|(index, text)| view(index, text));
                    assert_eq!(change(&a, &b).unwrap().0, class);
                    continue;
                }
                _ => views,
            };
            assert_eq!(judged(&views).as_deref(), Some(class));
        }
    }

    #[test]
    fn what_the_cluster_does_not_know_must_not_be_done() {
        let mut versions = Versions::new();
        let since = Version::new(3, 6, 0);
        versions.observe(0, 1, &view(3, "3.6 | 3.6")).unwrap();
        assert_eq!(versions.gated(1, 1, 4, since), Ok(()));
        versions.observe(2, 1, &view(5, "3.6 3.5 | 3.6")).unwrap();
        let witness = versions.gated(3, 1, 6, since).unwrap_err();
        assert_eq!(witness.class, "done-too-early");
        assert!(matches!(versions.finish(&[]).verdict, Verdict::Fail(_)));
    }

    #[test]
    fn a_downgrade_by_two_minor_versions_must_not_be_allowed() {
        let op = |target: &str| {
            let call = pb::DowngradeRequest {
                version: target.into(),
                ..pb::DowngradeRequest::default()
            };
            let answer = pb::DowngradeResponse {
                version: "3.6".into(),
                ..pb::DowngradeResponse::default()
            };
            Op {
                id: 0,
                client: 0,
                process: 0,
                member: 1,
                invoke: 1,
                ret: Some(2),
                call: Call::Maintenance(MaintenanceRequest::Downgrade(call)),
                outcome: Outcome::Ok(Ret::Maintenance(MaintenanceResponse::Downgrade(answer))),
                token: String::new(),
            }
        };
        for (target, class) in [("3.5", None), ("3.4", Some("downgrade-allowed"))] {
            let found = misled(&op(target)).map(|witness| witness.class);
            assert_eq!(found.as_deref(), class);
        }
    }
}
