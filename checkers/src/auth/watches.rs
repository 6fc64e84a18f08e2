//! What watches tell, and to whom.

use super::access::{Access, Need, Touch};
use super::model::{Answer, Caller};
use super::register::Window;
use super::served::{name, since_known};
use super::{Case, refusals, witness};
use crate::rules::{Found, Judged};
use crate::watch::told::{Watch, kv_of, read};
use squall_record::{Fact, seconds};

/// A change is told only to whom may read its key: at some moment from when it was
/// applied, for no member tells of it sooner, to when it was heard. And a watch is
/// ended for want of permission only if there was no permission at some moment.
pub(super) fn permitted(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "a watch tells of nothing that its caller may not read, and goes on \
                             as long as it may";
    let (watches, _) = read(case.streams);
    let mut judged = Judged::default();
    for watch in &watches {
        let caller = case.model.caller(&watch.stream.token);
        let fail = |class: &str, t: u64, what: String, window: Window| {
            let mut facts = Vec::new();
            if let Caller::Known(issued) = caller {
                let may = case.model.describe(issued.user, window);
                facts.push(Fact::new(issued.user, may));
            }
            facts.extend(case.last_change(window));
            let sentence = format!("{}, of {}, {what}", watch.name(), name(caller));
            Err(witness(GUARANTEE, class, sentence, t, Vec::new(), facts))
        };
        for (t, event) in watch.events() {
            let (key, revision) = kv_of(event);
            let Some(applied) = case.applied.of_revision(revision) else {
                continue;
            };
            let window = Window {
                from: applied.from,
                ..Window::between(0, t)
            };
            match case.model.may(caller, &reads(key, &[]), window) {
                Answer::Yes => judged.sure += 1,
                Answer::Unclear => judged.unclear += 1,
                Answer::No => {
                    let key = key.escape_ascii();
                    let at = seconds(t);
                    let what = format!("was told of \"{key}\" at revision {revision} at {at}");
                    return fail("told", t, what, window);
                }
            }
        }
        if let Some((t, end)) = watch.canceled()
            && refusals::is_denial(&end.cancel_reason)
        {
            let window = since_known(caller, t);
            let need = watched(watch);
            // Whoever is not who it was when it got its token has to come again.
            let is_same = matches!(caller, Caller::Known(issued) if {
                let voids = case.model.voids.get(issued.user);
                !voids.is_some_and(|voids| voids.may_change_in(window))
            });
            if is_same && case.model.may(caller, &need, window) == Answer::Yes {
                let what = format!("was ended at {}: {}", seconds(t), end.cancel_reason);
                return fail("ended", t, what, window);
            }
            judged.sure += 1;
        }
    }
    Ok(judged)
}

fn watched<'a>(watch: &Watch<'a>) -> Need<'a> {
    let key: &[u8] = match &watch.create.key[..] {
        [] => &[0],
        key => key,
    };
    reads(key, &watch.create.range_end)
}

fn reads<'a>(key: &'a [u8], range_end: &'a [u8]) -> Need<'a> {
    let touch = Touch {
        access: Access::Read,
        key,
        range_end,
    };
    Need::Keys(vec![touch], Vec::new())
}
