//! Tokens: good for as long as they are used, and for no longer than their user
//! is who it was.

use super::access::{Decided, Need, needs};
use super::model::{Caller, Issued};
use super::register::Window;
use super::{Case, refusals, witness};
use crate::rules::{Found, Judged};
use squall_record::{Event, Fact, Kind, Outcome, seconds};
use std::collections::BTreeMap;

/// How a token fares at one member.
#[derive(Default)]
struct Use {
    /// When it was shown and taken for good last.
    good: Option<(u64, u64)>,
    /// Whether a call since then has an end that is not known.
    unsure: bool,
}

/// A token is taken while it is good, by every member that has been up since it
/// was given, and not when it has not been used for its time, or when its user was
/// deleted or given another password since.
pub(super) fn good(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "a token is good at every member while it is used, and until its \
                             user is deleted or given another password";
    let forgot = forgotten(case.events);
    let mut uses: BTreeMap<(&str, u64), Use> = BTreeMap::new();
    let mut judged = Judged::default();
    for op in &case.ops {
        let Caller::Known(issued) = case.model.caller(&op.token) else {
            continue;
        };
        let ret = op.ret.unwrap_or(u64::MAX);
        let known = uses.entry((&op.token, op.member)).or_default();
        let (need, decided) = needs(&op.call, &op.outcome);
        let fail = |class: &str, what: String, why: Vec<Fact>| {
            let sentence = format!(
                "op {}, answered at {} by n{}, came with the token that {} got in at {}: {what}",
                op.id,
                seconds(ret),
                op.member,
                issued.user,
                seconds(issued.window.to.0)
            );
            Err(witness(GUARANTEE, class, sentence, ret, vec![op], why))
        };
        match &op.outcome {
            Outcome::Ok(_) if need != Need::Nothing => {
                let is_on = |value: Option<&bool>| value == Some(&true);
                let window = case.window(op);
                if !case.model.enabled.surely(window, is_on) {
                    judged.unclear += u64::from(case.model.enabled.possibly(window, is_on));
                    *known = Use::default();
                    continue;
                }
                if is_looked_at_again(&need, decided)
                    && let Some(at) = void_since(case, &issued, case.window(op))
                {
                    let why = vec![Fact::new(
                        issued.user,
                        format!(
                            "was deleted, or given another password, after {}",
                            seconds(at)
                        ),
                    )];
                    return fail("void", "it was void, and taken".into(), why);
                }
                let longest = stretch(case.terms.token_ttl, case.terms.drift_ppm);
                if let Some((_, last)) = known.good
                    && !known.unsure
                    && !happened(&forgot, op.member, last, ret)
                    && op.invoke.saturating_sub(last) > longest
                {
                    let what = format!("it was last used at {} there, and taken", seconds(last));
                    return fail("expired", what, Vec::new());
                }
                // A call since it was last known to be good may have renewed it.
                match known.unsure {
                    true => judged.unclear += 1,
                    false => judged.sure += 1,
                }
                known.good = Some((op.invoke, ret));
                known.unsure = false;
            }
            Outcome::Refused(status) if refusals::is_unknown_token(status) => {
                let since = issued.window.from.0;
                let shortest = shrink(case.terms.token_ttl, case.terms.drift_ppm);
                let alive = known.good.map_or(since, |(first, _)| first.max(since));
                let changed = case.model.voids.get(issued.user);
                let window = Window::between(since, ret);
                let is_void = changed.is_some_and(|voids| voids.may_change_in(window));
                let is_forgotten = happened(&forgot, op.member, since, ret);
                if !is_void && ret.saturating_sub(alive) < shortest && !is_forgotten {
                    return fail("good", "it was good, and refused".into(), Vec::new());
                }
                match is_forgotten || void_since(case, &issued, case.window(op)).is_some() {
                    true => judged.sure += 1,
                    false => judged.unclear += 1,
                }
            }
            // A call that is refused for another reason may have shown its token.
            Outcome::Ok(_) | Outcome::Refused(_) | Outcome::Unknown(_) => known.unsure = true,
        }
    }
    Ok(judged)
}

/// Whether who calls is found out, or looked at once more, when the call is
/// decided; otherwise the asked member's word of when it came is enough.
fn is_looked_at_again(need: &Need<'_>, decided: Decided) -> bool {
    match (need, decided) {
        (_, Decided::Local) | (Need::Nothing, _) => false,
        (Need::Keys(touched, _), _) => !touched.is_empty(),
        (_, Decided::Linear) => true,
        (_, Decided::Applied) => false,
    }
}

/// When the token was surely void already before the window, if it was.
fn void_since(case: &Case<'_>, issued: &Issued<'_>, window: Window) -> Option<u64> {
    let voids = case.model.voids.get(issued.user)?;
    let last = voids.last_before(window.from)?;
    (last > issued.window.to).then_some(last.0)
}

/// When each member forgot the tokens that it knew: it started, or a snapshot
/// came in the place of the entries that brought them.
fn forgotten(events: &[Event]) -> BTreeMap<u64, Vec<u64>> {
    let mut forgot: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for event in events {
        if let (Some(node), Kind::Started { .. } | Kind::SnapshotInstalled { .. }) =
            (event.node, &event.kind)
        {
            forgot.entry(node).or_default().push(event.t);
        }
    }
    forgot
}

fn happened(when: &BTreeMap<u64, Vec<u64>>, node: u64, from: u64, to: u64) -> bool {
    let Some(times) = when.get(&node) else {
        return false;
    };
    let first = times.partition_point(|t| *t < from);
    times.get(first).is_some_and(|t| *t <= to)
}

fn stretch(span: u64, ppm: u64) -> u64 {
    span.saturating_add(span / 1_000_000 * 2 * ppm)
}

fn shrink(span: u64, ppm: u64) -> u64 {
    span.saturating_sub(span / 1_000_000 * 2 * ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_wrong_moves_the_end_both_ways() {
        assert_eq!(stretch(1_000_000, 500), 1_001_000);
        assert_eq!(shrink(1_000_000, 500), 999_000);
    }

    #[test]
    fn what_happened_in_between_is_found() {
        let when = BTreeMap::from([(1, vec![10, 20])]);
        for (node, from, to, expected) in [
            (1, 0, 9, false),
            (1, 0, 10, true),
            (1, 11, 19, false),
            (1, 11, 20, true),
            (1, 21, 90, false),
            (2, 0, 90, false),
        ] {
            assert_eq!(happened(&when, node, from, to), expected);
        }
    }
}
