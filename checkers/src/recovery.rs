//! Recovery: once a fault has ended, the cluster serves again within a bound.
//!
//! The bar is met in a window when at least 95% of the operations invoked in it
//! returned ok; a client gives each the time that it always gives. Every
//! one-second window counts, from the bound after the fault's end until the
//! next fault sets in.

use squall_record::{
    Check, Event, Fact, FaultPhase, Kind, Op, Outcome, Reason, Verdict, Witness, seconds,
};

/// One window, in nanoseconds.
const WINDOW: u64 = 1_000_000_000;
/// Per cent of the operations in a window that must return ok.
const BAR: u64 = 95;

/// The guarantee, in a sentence.
pub const GUARANTEE: &str =
    "once a fault has ended, 95% of the operations of every second succeed again within the bound";

/// Judges recovery after each fault called `label` (after every fault if
/// `None`). `within` is the bound in nanoseconds, `end` the end of the load.
pub fn check(
    history: &[Op],
    events: &[Event],
    label: Option<&str>,
    within: u64,
    end: u64,
) -> Check {
    let name = match label {
        None => "recovers.every_fault".to_owned(),
        Some(label) => format!("recovers.{}", label.replace(' ', "_")),
    };
    Check {
        name,
        verdict: verdict(history, events, label, within, end),
    }
}

fn verdict(
    history: &[Op],
    events: &[Event],
    label: Option<&str>,
    within: u64,
    end: u64,
) -> Verdict {
    let faults = Faults::of(events);
    let mut invoked: Vec<&Op> = history.iter().collect();
    invoked.sort_by_key(|op| (op.invoke, op.id));
    let mut judged = 0;
    let mut unknown = 0;
    for (t, name) in faults.ends(label) {
        let mut window = t + within;
        let until = faults.calm_until(t).min(end);
        if window + WINDOW > until {
            unknown += 1;
            continue;
        }
        while window + WINDOW <= until {
            if let Some(witness) = misses(&invoked, window, t, name, within) {
                return Verdict::Fail(Box::new(witness));
            }
            judged += 1;
            window += WINDOW;
        }
    }
    if judged == 0 {
        let what = format!(
            "no fault left a whole second, {} after its end and before the next fault",
            seconds(within)
        );
        return Verdict::Unknown(Reason::TooLittle(what));
    }
    Verdict::Pass { judged, unknown }
}

/// When faults set in and ended, with how many were active from then on.
struct Faults<'a>(Vec<(u64, FaultPhase, &'a str, u64)>);

impl<'a> Faults<'a> {
    fn of(events: &'a [Event]) -> Faults<'a> {
        let mut active = 0u64;
        let faults = events.iter().filter_map(|event| {
            let Kind::Fault { phase, label, .. } = &event.kind else {
                return None;
            };
            active = match phase {
                FaultPhase::Start => active + 1,
                FaultPhase::End => active.saturating_sub(1),
            };
            Some((event.t, *phase, label.as_str(), active))
        });
        Faults(faults.collect())
    }

    /// When the faults in question ended, and their names.
    fn ends(&self, wanted: Option<&str>) -> impl Iterator<Item = (u64, &'a str)> {
        self.0.iter().filter_map(move |(t, phase, label, _)| {
            let is_wanted = wanted.is_none_or(|wanted| wanted == *label);
            (*phase == FaultPhase::End && is_wanted).then_some((*t, *label))
        })
    }

    /// Until when nothing is broken, from `t` on: not at all if another fault is
    /// active then.
    fn calm_until(&self, t: u64) -> u64 {
        let next = self.0.partition_point(|(at, ..)| *at <= t);
        let active = next.checked_sub(1).map_or(0, |last| self.0[last].3);
        match (active, self.0.get(next)) {
            (0, None) => u64::MAX,
            (0, Some((at, FaultPhase::Start, ..))) => *at,
            _ => t,
        }
    }
}

/// Judges a window, by operations in the order in which they were invoked.
fn misses(invoked: &[&Op], window: u64, end: u64, label: &str, within: u64) -> Option<Witness> {
    let before = |t: u64| invoked.partition_point(|op| op.invoke < t);
    let invoked = &invoked[before(window)..before(window + WINDOW)];
    let is_ok = |op: &&&Op| matches!(op.outcome, Outcome::Ok(_));
    let all = invoked.len() as u64;
    let ok = invoked.iter().filter(is_ok).count() as u64;
    if ok * 100 >= all * BAR {
        return None;
    }
    let failed = invoked.iter().filter(|op| !is_ok(op));
    Some(Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "no recovery after \"{label}\": it ended at {}, and of {all} operations invoked in \
             the second from {} only {ok} succeeded",
            seconds(end),
            seconds(window)
        ),
        t: window,
        node: None,
        ops: failed.take(12).copied().cloned().collect(),
        facts: vec![
            Fact::new(
                "bound",
                format!("{} after the fault's end", seconds(within)),
            ),
            Fact::new("bar", format!("{BAR}% of the operations of each second")),
        ],
        class: "no-recovery".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_record::{Call, Ret, Why};

    const S: u64 = 1_000_000_000;

    fn fault(t: u64, phase: FaultPhase) -> Event {
        let kind = Kind::Fault {
            fault: 0,
            phase,
            label: "cut".into(),
            what: String::new(),
        };
        Event {
            seq: 0,
            t,
            node: None,
            cause: None,
            kind,
        }
    }

    /// Ten operations a second from 0 to 20 s; those invoked in `dead` fail.
    fn history(dead: std::ops::Range<u64>) -> Vec<Op> {
        (0..200)
            .map(|i| {
                let invoke = i * S / 10;
                let outcome = if dead.contains(&invoke) {
                    Outcome::Unknown(Why::Timeout)
                } else {
                    Outcome::Ok(Ret::Put(Default::default()))
                };
                let (id, ret) = (i, Some(invoke + 1));
                let call = Call::Put(Default::default());
                Op {
                    token: String::new(),
                    id,
                    client: 0,
                    process: 0,
                    member: 1,
                    invoke,
                    ret,
                    call,
                    outcome,
                }
            })
            .collect()
    }

    fn judge(dead: std::ops::Range<u64>, faults: &[(u64, FaultPhase)]) -> Verdict {
        let events: Vec<_> = faults.iter().map(|&(t, phase)| fault(t, phase)).collect();
        check(&history(dead), &events, None, 2 * S, 20 * S).verdict
    }

    #[test]
    fn an_outage_within_the_bound_is_recovery_and_a_longer_one_is_not() {
        use FaultPhase::{End, Start};
        let faults = [(5 * S, Start), (8 * S, End)];
        assert!(matches!(
            judge(5 * S..10 * S, &faults),
            Verdict::Pass {
                judged: 10,
                unknown: 0
            }
        ));
        let Verdict::Fail(witness) = judge(5 * S..10 * S + S / 2, &faults) else {
            panic!("half a second too long");
        };
        assert_eq!(
            witness.sentence,
            "no recovery after \"cut\": it ended at 8.000s, and of 10 operations invoked in the \
             second from 10.000s only 5 succeeded"
        );
    }

    #[test]
    fn what_the_next_fault_cuts_short_is_unknown() {
        use FaultPhase::{End, Start};
        let next_too_soon = [(5 * S, Start), (8 * S, End), (10 * S, Start)];
        assert!(matches!(
            judge(0..0, &next_too_soon),
            Verdict::Unknown(Reason::TooLittle(_))
        ));
        let still_another = [(5 * S, Start), (6 * S, Start), (8 * S, End), (19 * S, End)];
        assert!(matches!(
            judge(0..0, &still_another),
            Verdict::Unknown(Reason::TooLittle(_))
        ));
        assert!(matches!(
            judge(0..0, &[]),
            Verdict::Unknown(Reason::TooLittle(_))
        ));
    }
}
