//! The timeline of a run: a line for each event.

use crate::describe;
use crate::style::printable;
use squall_record::{Event, seconds};
use std::fmt::Write as _;

/// A line for each event up to `until` (true nanoseconds): its number, its
/// time, what happened, and which event made it happen.
pub fn timeline(events: &[Event], until: Option<u64>) -> String {
    let mut out = String::new();
    for event in events {
        if until.is_some_and(|until| event.t > until) {
            break;
        }
        let cause = match event.cause {
            Some(seq) => format!("  <- {seq}"),
            None => String::new(),
        };
        let text = printable(&describe::event(event));
        let time = seconds(event.t).to_string();
        let _ = writeln!(out, "{:>8} {time:>9}  {text}{cause}", event.seq);
    }
    out
}
