//! Gate policy: what a sweep's result means to whoever waits for a yes or no.
//!
//! * [`Exit`]: the exit codes, and [`worst`], which picks one for many results;
//! * [`judge`]: which exit a judged run deserves;
//! * [`Config`] and [`Settings`]: profiles, and the order in which settings
//!   override each other. The embedded default is commented, and so the manual:
//!   [`DEFAULT`].
//!
//! A gate reads verdicts, never logs, and it proves itself: a profile may name
//! planted bugs that must be found.

mod amount;
mod exit;
mod judge;
mod profile;

pub use amount::{AmountError, Sample, parse_duration};
pub use exit::{Exit, worst};
pub use judge::{exit_of_check, headline, judge};
pub use profile::{
    AllBugs, Config, ConfigError, DEFAULT, Extent, FirstSeed, Keep, Layer, MustFind, Settings,
};
