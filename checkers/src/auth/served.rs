//! What is served, and what is refused.

use super::access::{Decided, Need, needs};
use super::model::{Answer, Caller};
use super::register::Window;
use super::{Case, describe, refusals, witness};
use crate::rules::{Found, Judged};
use squall_record::{Fact, Op, Outcome, Witness, seconds};

/// Nothing is answered that needs a permission which the caller has at no moment
/// at which that may have been decided.
pub(super) fn permitted(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "nothing is read, written or managed without permission, and a \
                             revocation that was acknowledged before a call is honoured";
    let served = |op: &Op| matches!(op.outcome, Outcome::Ok(_));
    judge(case, GUARANTEE, Answer::No, served, |_, caller| {
        let class = match caller {
            Caller::Nobody => "anonymous",
            Caller::Stranger => "made-up-token",
            Caller::Known(_) => "served",
        };
        (class, "answered", "without permission".into())
    })
}

/// Nothing is refused for want of a permission that the caller has at every
/// moment at which that may have been decided.
pub(super) fn refused(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "whoever has a permission is not refused for want of it";
    judge(case, GUARANTEE, Answer::Yes, is_refused, |op, _| {
        let why = match &op.outcome {
            Outcome::Refused(status) => format!("because of `{}`", status.message),
            Outcome::Ok(_) | Outcome::Unknown(_) => String::new(),
        };
        ("needless", "refused", why)
    })
}

/// Whether the caller was told that it may not, or that it is nobody.
fn is_refused(op: &Op) -> bool {
    let Outcome::Refused(status) = &op.outcome else {
        return false;
    };
    let is_anonymous = op.token.is_empty() && status.message == refusals::USER_EMPTY;
    refusals::is_denied(status) || is_anonymous
}

/// Judges the calls that ended in such a way: the history must not say `wrong`
/// about any of them. `tell` gives the class of what is wrong, what became of the
/// call, and how.
fn judge(
    case: &Case<'_>,
    guarantee: &str,
    wrong: Answer,
    ended: fn(&Op) -> bool,
    tell: impl Fn(&Op, Caller<'_>) -> (&'static str, &'static str, String),
) -> Found {
    let mut judged = Judged::default();
    for op in case.ops.iter().filter(|op| ended(op)) {
        let (caller, window, answer) = decide(case, op);
        match answer {
            None => {}
            Some(Answer::Unclear) => judged.unclear += 1,
            Some(answer) if answer != wrong => judged.sure += 1,
            Some(_) => {
                let (class, what, how) = tell(op, caller);
                let sentence = format!(
                    "op {}, {} of {}, was {what} at {} {how}",
                    op.id,
                    describe(&op.call),
                    name(caller),
                    seconds(op.ret.unwrap_or(op.invoke)),
                );
                return Err(refuse(guarantee, class, sentence, case, op, window));
            }
        }
    }
    Ok(judged)
}

/// Whether a call is permitted, and when that was decided; `None` for what
/// anybody may ask.
fn decide<'a>(case: &Case<'a>, op: &'a Op) -> (Caller<'a>, Window, Option<Answer>) {
    let (need, decided) = needs(&op.call, &op.outcome);
    let caller = case.model.caller(&op.token);
    let window = match decided {
        Decided::Applied => case.window(op),
        Decided::Linear => Window::between(op.invoke, op.ret.unwrap_or(u64::MAX)),
        Decided::Local => since_known(caller, op.ret.unwrap_or(u64::MAX)),
    };
    if need == Need::Nothing {
        return (caller, window, None);
    }
    (caller, window, Some(case.model.may(caller, &need, window)))
}

/// The states that a member may have had that knows who calls: it has applied
/// the entry that brought the token.
pub(super) fn since_known(caller: Caller<'_>, until: u64) -> Window {
    let whenever = Window::between(0, until);
    match caller {
        Caller::Known(issued) => Window {
            from: issued.window.from,
            ..whenever
        },
        Caller::Nobody | Caller::Stranger => whenever,
    }
}

pub(super) fn name(caller: Caller<'_>) -> String {
    match caller {
        Caller::Nobody => "nobody".into(),
        Caller::Known(issued) => issued.user.into(),
        Caller::Stranger => "somebody with a token that nobody was given".into(),
    }
}

fn refuse(
    guarantee: &str,
    class: &str,
    sentence: String,
    case: &Case<'_>,
    op: &Op,
    window: Window,
) -> Box<Witness> {
    let mut facts = Vec::new();
    if let Caller::Known(issued) = case.model.caller(&op.token) {
        facts.push(Fact::new(
            issued.user,
            case.model.describe(issued.user, window),
        ));
    }
    facts.extend(case.last_change(window));
    let t = op.ret.unwrap_or(op.invoke);
    witness(guarantee, class, sentence, t, vec![op], facts)
}
