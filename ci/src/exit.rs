//! Exit codes: a public contract, never renumbered.

use std::fmt;

/// What a command's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Every check passed.
    Pass = 0,
    /// A safety guarantee was broken, or the store panicked.
    Violation = 1,
    /// The command line, a scenario or an input file is wrong. Decided before
    /// anything runs.
    Usage = 2,
    /// Something could not be decided, and nothing failed.
    Inconclusive = 3,
    /// Nothing was selected, so nothing ran.
    NothingSelected = 4,
    /// Two runs of the same scenario, seed and build differed.
    Nondeterminism = 5,
    /// A recorded regression no longer applies to its scenario.
    StaleRegression = 6,
    /// Liveness or availability was missed.
    Liveness = 7,
    /// A required mark or a planted bug was not hit.
    NotHit = 8,
    /// Squall itself is broken.
    Internal = 70,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl Exit {
    /// Every exit, by code.
    pub const ALL: [Exit; 11] = [
        Exit::Pass,
        Exit::Violation,
        Exit::Usage,
        Exit::Inconclusive,
        Exit::NothingSelected,
        Exit::Nondeterminism,
        Exit::StaleRegression,
        Exit::Liveness,
        Exit::NotHit,
        Exit::Internal,
        Exit::Interrupted,
    ];

    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The exit with that number.
    pub fn from_code(code: u8) -> Option<Exit> {
        Exit::ALL.into_iter().find(|exit| exit.code() == code)
    }

    /// What it says, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Pass => "pass",
            Exit::Violation => "safety violation",
            Exit::Usage => "usage error",
            Exit::Inconclusive => "inconclusive",
            Exit::NothingSelected => "nothing selected",
            Exit::Nondeterminism => "nondeterminism",
            Exit::StaleRegression => "a regression no longer applies",
            Exit::Liveness => "liveness or availability missed",
            Exit::NotHit => "a required mark or planted bug was not hit",
            Exit::Internal => "internal error",
            Exit::Interrupted => "interrupted",
        }
    }

    /// How bad it is: the higher wins. Usage errors are decided before
    /// anything runs, so they meet nothing that could be worse.
    const fn rank(self) -> u8 {
        match self {
            Exit::Pass => 0,
            Exit::NothingSelected => 1,
            Exit::Inconclusive => 2,
            Exit::Interrupted => 3,
            Exit::NotHit => 4,
            Exit::StaleRegression => 5,
            Exit::Liveness => 6,
            Exit::Violation => 7,
            Exit::Nondeterminism => 8,
            Exit::Internal => 9,
            Exit::Usage => 10,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.meaning())
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The worst of several exits: 70 > 5 > 1 > 7 > 6 > 8 > 130 > 3 > 4 > 0.
///
/// An interrupt never hides a violation, and neither hides that squall itself
/// cannot be trusted. Of nothing, the worst is a pass: whoever selected nothing
/// says [`Exit::NothingSelected`] instead.
pub fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
    exits
        .into_iter()
        .max_by_key(|exit| exit.rank())
        .unwrap_or(Exit::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_order_holds_for_every_pair() {
        let order = [70, 5, 1, 7, 6, 8, 130, 3, 4, 0].map(|c| Exit::from_code(c).unwrap());
        for (i, &worse) in order.iter().enumerate() {
            for &better in &order[i..] {
                assert_eq!(worst([worse, better]), worse, "{worse} and {better}");
                assert_eq!(worst([better, worse]), worse, "{better} and {worse}");
            }
        }
        assert_eq!(worst([]), Exit::Pass);
    }

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 70, 130]);
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), Some(exit));
        }
        assert_eq!(Exit::from_code(9), None);
    }
}
