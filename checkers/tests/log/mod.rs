//! Writing small Jepsen logs down.

#![expect(unreachable_pub, reason = "shared by tests, not published")]

use squall_checkers::foreign::{self, Format, Report};
use squall_checkers::linearizable::Budget;
use squall_record::{Verdict, Witness};

/// A Jepsen log of one cas-register.
#[derive(Default)]
pub struct Log {
    text: String,
}

impl Log {
    fn line(&mut self, process: u64, kind: &str, f: &str, value: &str) {
        self.text += &format!("INFO  jepsen.util - {process}\t{kind}\t{f}\t{value}\n");
    }

    pub fn ok(&mut self, process: u64, f: &str, value: &str) {
        let arg = if f == ":read" { "nil" } else { value };
        self.line(process, ":invoke", f, arg);
        self.line(process, ":ok", f, value);
    }

    pub fn unknown(&mut self, process: u64, f: &str, value: &str) {
        self.line(process, ":invoke", f, value);
        self.line(process, ":info", f, ":timed-out");
    }

    pub fn report(&self, budget: Budget) -> Report {
        foreign::check(self.text.as_bytes(), Some(Format::JepsenLog), budget)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn passes(&self) -> bool {
        matches!(self.report(Budget::default()).verdict, Verdict::Pass { .. })
    }

    pub fn fails(&self) -> Witness {
        match self.report(Budget::default()).verdict {
            Verdict::Fail(witness) => *witness,
            other => panic!("{other:#?}"),
        }
    }
}
