//! Rules over a whole history: each judges one promise, and says how much of it
//! there was to judge.

use squall_record::{Check, Reason, Verdict, Witness};

/// What a rule says: how much it judged, or how its promise was broken.
pub(crate) type Found = Result<Judged, Box<Witness>>;

/// How much a rule judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What could be decided.
    pub(crate) sure: u64,
    /// What the rule is about, and could not be decided.
    pub(crate) unclear: u64,
}

impl Judged {
    /// So much was decided, and nothing was left open.
    pub(crate) fn all(sure: u64) -> Judged {
        Judged { sure, unclear: 0 }
    }
}

/// The check of a name that a rule makes.
pub(crate) fn judged(name: &str, found: Found) -> Check {
    let verdict = match found {
        Err(witness) => Verdict::Fail(witness),
        Ok(Judged { sure: 0, unclear }) => Verdict::Unknown(Reason::TooLittle(match unclear {
            0 => "nothing to judge".into(),
            n => format!("{n} times something to judge, which could not be decided"),
        })),
        Ok(Judged { sure, unclear }) => Verdict::Pass {
            judged: sure,
            unknown: unclear,
        },
    };
    Check {
        name: name.into(),
        verdict,
    }
}

/// The rules that are broken, as `rule/class`, in order.
#[cfg(test)]
pub(crate) fn broken(checks: &[Check]) -> Vec<String> {
    let fingerprints = checks.iter().filter_map(Check::fingerprint);
    fingerprints.map(|fingerprint| fingerprint.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_decided_is_no_pass_and_is_shown() {
        let said = |sure, unclear| judged("a", Ok(Judged { sure, unclear })).verdict;
        let nothing = Verdict::Unknown(Reason::TooLittle("nothing to judge".into()));
        assert_eq!(said(0, 0), nothing);
        assert!(matches!(said(0, 3), Verdict::Unknown(_)));
        let most = Verdict::Pass {
            judged: 5,
            unknown: 3,
        };
        assert_eq!(said(5, 3), most);
    }
}
