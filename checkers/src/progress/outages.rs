//! Times in which no write got through, and what stood in the way.

use super::quorums::Quorums;
use super::{Kind, Terms, names};
use squall_api::Role;
use squall_record::{
    Availability, Condition, Event, FaultPhase, Kind as Happened, LinkTrouble, Op, Outage, Outcome,
    Recovery, Trouble, seconds,
};
use std::collections::BTreeMap;

/// How many outages are kept with their reasons.
const LONGEST: usize = 5;

pub(super) fn tell(
    writes: &Kind,
    history: &[Op],
    events: &[Event],
    conditions: &[Condition],
    quorums: &Quorums,
    terms: Terms,
) -> Availability {
    let mut gaps = gaps(writes, terms);
    gaps.retain(|(from, to)| to - from > terms.election_timeout);
    let mut availability = Availability {
        asked_ns: terms.until - terms.from,
        outages: gaps.len() as u64,
        out_ns: gaps.iter().map(|(from, to)| to - from).sum(),
        longest: Vec::new(),
        recoveries: recoveries(history, events, terms),
    };
    gaps.sort_by_key(|(from, to)| (std::cmp::Reverse(to - from), *from));
    for (from, to) in gaps.into_iter().take(LONGEST) {
        availability.longest.push(Outage {
            from,
            to,
            owed_ns: quorums.length(from, to),
            elected: elected(events, from, to),
            why: why(events, conditions, from, to),
        });
    }
    availability
}

/// The times between writes that got done, as long as somebody asked for one.
fn gaps(writes: &Kind, terms: Terms) -> Vec<(u64, u64)> {
    let done = writes.done.iter().copied();
    let done = done.filter(|t| (terms.from..terms.until).contains(t));
    let mut gaps = Vec::new();
    let mut last = terms.from;
    for next in done.chain([terms.until]) {
        // Nobody waits before anybody has asked.
        let first = writes.asked.partition_point(|(t, _)| *t < last);
        if let Some((asked, _)) = writes.asked.get(first)
            && *asked < next
        {
            gaps.push((*asked, next));
        }
        last = next;
    }
    gaps
}

/// When the first write was acknowledged that was sent after each fault's end.
fn recoveries(history: &[Op], events: &[Event], terms: Terms) -> Vec<Recovery> {
    let writes = history.iter().filter(|op| {
        use squall_record::Call;
        matches!(op.call, Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_))
            && matches!(op.outcome, Outcome::Ok(_))
    });
    let mut writes: Vec<(u64, u64)> = writes
        .filter_map(|op| Some((op.invoke, op.ret?)))
        .filter(|(_, ret)| *ret < terms.until)
        .collect();
    writes.sort_unstable();
    // From each on, the earliest answer.
    let mut earliest = u64::MAX;
    for (_, ret) in writes.iter_mut().rev() {
        earliest = earliest.min(*ret);
        *ret = earliest;
    }
    let ended = events.iter().filter_map(|event| match &event.kind {
        Happened::Fault {
            phase: FaultPhase::End,
            label,
            ..
        } if event.t < terms.until => Some((event.t, label)),
        _ => None,
    });
    ended
        .map(|(ended, label)| {
            let first = writes.partition_point(|(invoke, _)| *invoke < ended);
            Recovery {
                fault: label.clone(),
                ended,
                took: writes.get(first).map(|(_, ret)| ret - ended),
            }
        })
        .collect()
}

fn elected(events: &[Event], from: u64, to: u64) -> Vec<u64> {
    let leads = events.iter().filter_map(|event| match &event.kind {
        Happened::Role { role, .. } if *role == Role::Leader => Some((event.t, event.node?)),
        _ => None,
    });
    let within = leads.filter(|(t, _)| (from..=to).contains(t));
    within.map(|(_, node)| node).collect()
}

/// What stood in the way, in words: who led, who was not well, who did not hear
/// whom, and how elections went.
pub(super) fn why(events: &[Event], conditions: &[Condition], from: u64, to: u64) -> Vec<String> {
    let mut said = Vec::new();
    said.push(match leader(events, from) {
        Some(node) => format!("n{node} led when it began"),
        None => "nobody led when it began".to_owned(),
    });
    let mut nodes: BTreeMap<(u64, Trouble), (u64, u64)> = BTreeMap::new();
    let mut links: BTreeMap<(u64, LinkTrouble), Unheard> = BTreeMap::new();
    for (n, condition) in conditions.iter().enumerate() {
        let ends = conditions.get(n + 1).map_or(u64::MAX, |next| next.since);
        let (begins, ends) = (condition.since.max(from), ends.min(to));
        if begins >= ends {
            continue;
        }
        for (node, troubles) in &condition.nodes {
            for trouble in troubles {
                let known = nodes.entry((*node, *trouble)).or_insert((begins, ends));
                known.1 = ends;
            }
        }
        for ((node, to), trouble) in &condition.links {
            let known = links.entry((*node, *trouble)).or_insert(Unheard {
                by: Vec::new(),
                from: begins,
                to: ends,
            });
            if !known.by.contains(to) {
                known.by.push(*to);
            }
            known.to = ends;
        }
    }
    for ((node, trouble), (from, to)) in nodes {
        let what = ailing(trouble);
        said.push(format!("n{node} {what} {}", span(from, to)));
    }
    for ((node, trouble), unheard) in links {
        let by = names(&unheard.by);
        let span = span(unheard.from, unheard.to);
        said.push(match trouble {
            LinkTrouble::Cut => format!("n{node} did not reach {by} {span}"),
            LinkTrouble::Clogged => format!("nothing moved from n{node} to {by} {span}"),
            LinkTrouble::Held => format!("what n{node} sent to {by} was held {span}"),
            LinkTrouble::Degraded => format!("n{node} reached {by} badly {span}"),
        });
    }
    let stood = candidacies(events, from, to);
    for (node, times) in stood {
        said.push(match times {
            1 => format!("n{node} stood for election"),
            n => format!("n{node} stood for election {n} times"),
        });
    }
    let elected = elected(events, from, to);
    if !elected.is_empty() {
        said.push(format!("{} won", names(&elected)));
    }
    said
}

/// Who did not hear a member, from when to when.
struct Unheard {
    by: Vec<u64>,
    from: u64,
    to: u64,
}

fn ailing(trouble: Trouble) -> String {
    match trouble {
        Trouble::Down => "was down".into(),
        Trouble::Paused => "was paused".into(),
        Trouble::SlowCpu => "had a slow CPU".into(),
        Trouble::Disk(fault) => format!("had a disk with {fault}"),
        Trouble::Clock => "had a clock that is off".into(),
        Trouble::Clients => "was cut off from clients".into(),
    }
}

fn span(from: u64, to: u64) -> String {
    format!("from {} to {}", seconds(from), seconds(to))
}

/// Who led last before a moment, as far as it says.
fn leader(events: &[Event], t: u64) -> Option<u64> {
    let mut leads: BTreeMap<u64, u64> = BTreeMap::new();
    for event in events.iter().take_while(|event| event.t <= t) {
        let Some(node) = event.node else { continue };
        match &event.kind {
            Happened::Role { role, term, .. } if *role == Role::Leader => {
                leads.insert(node, *term);
            }
            Happened::Role { .. } | Happened::Crashed { .. } | Happened::Ended { .. } => {
                leads.remove(&node);
            }
            _ => {}
        }
    }
    let highest = leads.into_iter().max_by_key(|(_, term)| *term);
    highest.map(|(node, _)| node)
}

fn candidacies(events: &[Event], from: u64, to: u64) -> BTreeMap<u64, u64> {
    let mut stood = BTreeMap::new();
    for event in events.iter().filter(|e| (from..=to).contains(&e.t)) {
        if let (Some(node), Happened::Role { role, .. }) = (event.node, &event.kind)
            && *role == Role::Candidate
        {
            *stood.entry(node).or_insert(0) += 1;
        }
    }
    stood
}
