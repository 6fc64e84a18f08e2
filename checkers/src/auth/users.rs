//! Who logs in, and whether somebody is left who may manage.

use super::model::Secret;
use super::register::Window;
use super::{Case, refusals, witness};
use crate::rules::{Found, Judged};
use squall_api::AuthRequest;
use squall_record::{Call, Fact, Op, Outcome, Witness, seconds};

/// A login succeeds with the password that the user has, and with no other.
pub(super) fn logins(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "who logs in knows the password of a user that has one, and who \
                             knows it may log in";
    let mut judged = Judged::default();
    for op in &case.ops {
        let Call::Auth(AuthRequest::Authenticate(asked)) = &op.call else {
            continue;
        };
        // A login that was overtaken by a change is checked once more: what was
        // refused may have been refused at any time, applied or not.
        let window = match &op.outcome {
            Outcome::Ok(_) => case.window(op),
            _ => Window::between(op.invoke, op.ret.unwrap_or(u64::MAX)),
        };
        let fits = |secret: Option<&Option<Secret<'_>>>| {
            secret.copied().flatten() == Some(Secret::Password(&asked.password))
        };
        let user = case.model.users.get(asked.name.as_str());
        let surely = user.is_some_and(|user| user.surely(window, fits));
        let possibly = user.is_some_and(|user| user.possibly(window, fits));
        let (class, what) = match &op.outcome {
            Outcome::Ok(_) if !possibly => ("wrong-password", "logged in without its password"),
            Outcome::Refused(status) if status.message == refusals::AUTH_FAILED && surely => {
                ("right-password", "was refused with its password")
            }
            Outcome::Ok(_) | Outcome::Refused(_) => {
                match surely == possibly {
                    true => judged.sure += 1,
                    false => judged.unclear += 1,
                }
                continue;
            }
            Outcome::Unknown(_) => continue,
        };
        let sentence = format!(
            "{} {what} in op {}, answered at {}",
            asked.name,
            op.id,
            seconds(op.ret.unwrap_or(op.invoke))
        );
        return Err(at(GUARANTEE, class, sentence, op, case));
    }
    Ok(judged)
}

/// Auth is enabled only while there is a user `root` that has its role.
pub(super) fn root(case: &Case<'_>) -> Found {
    const GUARANTEE: &str = "auth is enabled only where root can manage it";
    let mut judged = Judged::default();
    for op in &case.ops {
        if !matches!(&op.call, Call::Auth(AuthRequest::Enable(_))) {
            continue;
        }
        match &op.outcome {
            Outcome::Ok(_) if case.model.lacks_root(case.window(op)) => {
                let sentence = format!(
                    "op {} enabled auth at {}, and there was no root",
                    op.id,
                    seconds(op.ret.unwrap_or(op.invoke))
                );
                return Err(at(GUARANTEE, "no-root", sentence, op, case));
            }
            Outcome::Ok(_) if !case.model.has_root(case.window(op)) => judged.unclear += 1,
            Outcome::Ok(_) | Outcome::Refused(_) => judged.sure += 1,
            Outcome::Unknown(_) => {}
        }
    }
    Ok(judged)
}

fn at(guarantee: &str, class: &str, sentence: String, op: &Op, case: &Case<'_>) -> Box<Witness> {
    let facts: Vec<Fact> = case.last_change(case.window(op)).into_iter().collect();
    let t = op.ret.unwrap_or(op.invoke);
    witness(guarantee, class, sentence, t, vec![op], facts)
}
