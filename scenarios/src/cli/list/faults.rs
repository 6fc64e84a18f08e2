//! `squall list faults`: what can break, and how often it did.

use super::super::console::Console;
use super::super::run::jobs;
use super::super::{Complaint, Format};
use super::show as show_table;
use crate::effects::{Effects, measure};
use crate::format::FaultKind;
use crate::runner::RunOptions;
use crate::sweep::{Runner, Stop, Sweep};
use crate::{Scenario, library};
use squall_api::Bugs;
use squall_ci::{Exit, Extent, Sample};
use squall_reports::Column;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, clap::Args)]
pub(super) struct FaultsArgs {
    /// Run the scenarios of the library, and count how often each kind of fault
    /// set in, did something, and changed an outcome
    #[arg(long)]
    measure: bool,

    /// With --measure: how many seeds of each scenario
    #[arg(long, value_name = "N", default_value_t = 5, requires = "measure",
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// With --measure: worker threads; 0 means one for each core
    #[arg(
        long,
        short,
        value_name = "N",
        default_value_t = 0,
        requires = "measure"
    )]
    jobs: usize,
}

/// Every action, as it is written in a scenario file, and what it does.
const EXAMPLES: &[(&str, &str)] = &[
    (
        r#"partition = { from = "leader", to = "others" }"#,
        "messages from some nodes to others are lost, in that direction",
    ),
    (
        r#"partition = { bridge = "random", flap = "200ms..700ms" }"#,
        "two halves hear each other through one node only, now and then",
    ),
    (
        r#"link = { from = "leader", to = "others", delay = "5ms..20ms", loss = 0.1, corrupt = 0.01 }"#,
        "messages are late, lost, repeated, overtaken, damaged, or queue before a narrow line",
    ),
    (
        r#"clog = { from = "leader", to = "others", both_ways = true }"#,
        "nothing moves; what is under way makes the rest of its way afterwards",
    ),
    (
        r#"hold = { from = "leader", to = "n2" }"#,
        "what would arrive is held, and arrives all at once afterwards",
    ),
    (
        r#"client_link = { node = "leader", way = "answers", delay = "50ms..200ms" }"#,
        "clients and a member hear each other late",
    ),
    (
        r#"client_cut = { node = "leader", way = "calls" }"#,
        "clients and a member do not hear each other; what was said arrives afterwards",
    ),
    (
        r#"client_reset = { node = "leader" }"#,
        "the connections of all clients to a member break",
    ),
    (
        r#"fsync_stall = { node = "leader", delay = "800ms" }"#,
        "syncs take longer",
    ),
    (
        r#"slow_disk = { node = "leader", factor = 20, delay = "1ms..5ms" }"#,
        "everything that touches the disk takes longer",
    ),
    (
        r#"throttle = { node = "leader", rate = "64KiB" }"#,
        "no more bytes than this are written in a second",
    ),
    (
        r#"write_error = { node = "random", region = "wal", probability = 0.01 }"#,
        "writes fail with EIO",
    ),
    (
        r#"fsync_error = { node = "random", region = "db", probability = 0.1 }"#,
        "syncs fail with EIO, and the pages count as clean from then on",
    ),
    (
        r#"fsync_lie = { node = "minority", probability = 0.5 }"#,
        "syncs report success and do nothing",
    ),
    (
        r#"disk_full = { node = "random", room = "0B..64KiB" }"#,
        "the disk has no room left but for so much",
    ),
    (
        r#"bit_rot = { node = "random", region = "wal", sectors = "1..4" }"#,
        "bits of stored sectors flip",
    ),
    (
        r#"read_flip = { node = "random", probability = 0.01 }"#,
        "reads return a wrong bit",
    ),
    (
        r#"latent_error = { node = "random", sectors = 3 }"#,
        "stored sectors cannot be read until they are written whole",
    ),
    (
        r#"misdirected_write = { node = "random", region = "wal", probability = 0.01 }"#,
        "writes land elsewhere in their file",
    ),
    (
        r#"lost_name = { node = "random", region = "wal", names = 1 }"#,
        "names of files vanish at the next power loss",
    ),
    (
        r#"crash = { node = "random(follower)", disk = "torn_write", restart_after = "1500ms", again_at = "1..40" }"#,
        "the process is killed, with unsynced data kept, lost or torn, and perhaps again as it recovers",
    ),
    (
        r#"stop = { node = "leader", restart_after = "500ms" }"#,
        "the process is asked to stop, and does",
    ),
    (
        r#"pause = { node = "leader" }"#,
        "the process stands still while its clocks run on",
    ),
    (
        r#"slow_cpu = { node = "leader", factor = "50..400" }"#,
        "each step of the process takes longer",
    ),
    (
        r#"wipe = { node = "random", restart_after = "1s" }"#,
        "the process is killed, and comes back with an empty disk",
    ),
    (
        r#"replace = { node = "random(follower)" }"#,
        "its machine is gone: its member is removed, and a new one joins under a new id",
    ),
    (
        r#"upgrade = { node = "n1", to = "3.6", restart_after = "500ms" }"#,
        "the process is stopped, and started as a later release",
    ),
    (
        r#"downgrade = { node = "n1", to = "3.5", restart_after = "500ms" }"#,
        "the process is stopped, and started as an earlier release",
    ),
    (
        r#"clock_skew = { node = "leader", wall_step = "+1200ms", drift_ppm = 200 }"#,
        "the wall clock is wrong, and both clocks run fast or slow",
    ),
    (
        r#"clock_freeze = { node = "leader" }"#,
        "both clocks stand still",
    ),
    (
        r#"clock_step = { node = "random", by = "-3600s..3600s" }"#,
        "the wall clock jumps, for good",
    ),
];

pub(super) fn faults(
    args: &FaultsArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    if args.measure {
        measured(args, format, runner, console, stop)
    } else {
        show(format, console)
    }
}

/// Runs the library, and counts.
fn measured(
    args: &FaultsArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    let parse = |(name, text): &(&str, &str)| Scenario::parse(name, text);
    let scenarios: Vec<Scenario> = (library::all().iter())
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(Complaint::usage)?;
    let sums: Mutex<BTreeMap<FaultKind, Effects>> = Mutex::default();
    // A sum does not depend on the order in which threads come to it.
    let counting = |scenario: &Scenario, seed: u64, options: &RunOptions| {
        if options.record {
            // A failed run is made again for its events, and counts once.
            return runner(scenario, seed, options);
        }
        // In this process: a worker hands over neither history nor events.
        let (run, effects) = measure(&crate::runner::run, scenario, seed, options)?;
        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, effect) in effects {
            sums.entry(kind).or_default().add(&effect);
        }
        Ok(run)
    };
    let sweep = Sweep {
        scenarios: &scenarios,
        first_seed: 1,
        extent: Extent::Seeds(args.seeds),
        bugs: Bugs::NONE,
        jobs: jobs(args.jobs),
        check_determinism: Sample::NONE,
        record_all: false,
    };
    let mut failed = Vec::new();
    sweep.go(&counting, stop, |judged| {
        if judged.summary.failure().is_some() {
            failed.push(format!(
                "{}@{}",
                judged.summary.scenario, judged.summary.seed
            ));
        }
        ControlFlow::<()>::Continue(())
    });
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let of = |kind: FaultKind| sums.get(&kind).copied().unwrap_or_default();
    if format == Format::Json {
        let all: BTreeMap<&str, Effects> = (FaultKind::ALL.into_iter())
            .map(|kind| (kind.name(), of(kind)))
            .collect();
        console.json(&all)?;
    } else {
        let columns = [
            Column::left("fault"),
            Column::right("set in"),
            Column::right("hits"),
            Column::right("left out"),
            Column::right("changed"),
            Column::right("operation"),
            Column::right("election"),
            Column::right("recovery"),
        ];
        let rows = FaultKind::ALL.into_iter().map(|kind| {
            let effect = of(kind);
            let mut row = vec![kind.name().to_owned()];
            row.extend(
                [
                    effect.set_in,
                    effect.hits,
                    effect.measured,
                    effect.any,
                    effect.operation,
                    effect.election,
                    effect.recovery,
                ]
                .map(|n| n.to_string()),
            );
            row
        });
        show_table(console, &columns, rows.collect());
    }
    let idle: Vec<&str> = (FaultKind::ALL.into_iter())
        .filter(|kind| of(*kind).hits == 0)
        .map(FaultKind::name)
        .collect();
    if !idle.is_empty() {
        console.warn(&format!("never did anything: {}", idle.join(", ")));
    }
    if !failed.is_empty() {
        console.warn(&format!(
            "failed, and counted all the same: {}",
            failed.join(", ")
        ));
    }
    Ok(match (stop.raised(), idle.is_empty()) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Pass,
        (false, false) => Exit::NotHit,
    })
}

/// Shows them.
fn show(format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    if format == Format::Json {
        let all: BTreeMap<&str, &str> = EXAMPLES.iter().copied().collect();
        console.json(&all)?;
        return Ok(Exit::Pass);
    }
    // Lines of a file do not wrap, so what they mean stands above them.
    for (i, (fault, meaning)) in EXAMPLES.iter().enumerate() {
        let between = if i == 0 { "" } else { "\n" };
        console.print(&format!("{between}  # {meaning}\n  {fault}\n"));
    }
    Ok(Exit::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scenario;
    use crate::format::{ACTIONS, FAULT_FIELDS, FaultKind};

    /// A scenario with one fault, and its `for` where it must have one.
    fn scenario(fault: &str) -> Result<Scenario, crate::ScenarioError> {
        let head = "schema = 1\nname = \"one\"\nabout = \"One fault.\"\n[cluster]\nnodes = 5\n";
        let with = |lasts: &str| {
            let text = format!("{head}[[fault]]\nat = \"1s\"\n{lasts}{fault}\n");
            Scenario::parse("one.toml", &text)
        };
        with("for = \"1s\"\n").or_else(|_| with(""))
    }

    #[test]
    fn every_example_reads_and_survives_being_written() {
        for (example, _) in EXAMPLES {
            let scenario = scenario(example).unwrap_or_else(|e| panic!("{example}: {e}"));
            let written = scenario.to_toml();
            let read = Scenario::parse("written.toml", &written);
            assert_eq!(read.unwrap_or_else(|e| panic!("{written}\n{e}")), scenario);
        }
        for (action, _) in ACTIONS {
            let has = |(example, _): &(&str, &str)| example.starts_with(&format!("{action} = "));
            assert!(EXAMPLES.iter().any(has), "{action} has no example");
        }
    }

    #[test]
    fn the_documentation_has_every_action_and_every_field() {
        let docs = include_str!("../../../../docs/FAULTS.md");
        for (action, fields) in ACTIONS {
            let heading = format!("### `{action}`\n");
            let Some((_, section)) = docs.split_once(&heading) else {
                panic!("docs/FAULTS.md has no section {heading}");
            };
            let section = section.split("\n### ").next().unwrap_or(section);
            let section = section.split("\n## ").next().unwrap_or(section);
            for field in *fields {
                let named = section.contains(&format!("`{field}`"));
                assert!(
                    named,
                    "docs/FAULTS.md does not explain `{field}` of {action}"
                );
            }
            let example = section.split("```toml\n").nth(1);
            let example = example.and_then(|rest| rest.split("```").next());
            let example = example.unwrap_or_else(|| panic!("{action} has no example"));
            let head = "schema = 1\nname = \"one\"\nabout = \"One.\"\n[cluster]\nnodes = 5\n";
            let text = format!("{head}{example}");
            let scenario = Scenario::parse("docs/FAULTS.md", &text)
                .unwrap_or_else(|e| panic!("the example of {action}: {e}"));
            assert_eq!(scenario.faults[0].action.key(), *action);
        }
        for field in FAULT_FIELDS {
            assert!(docs.contains(&format!("`{field}`")), "{field}");
        }
        for kind in FaultKind::ALL {
            let word = kind.name().split(' ').next().unwrap_or_default();
            assert!(docs.contains(&format!("`{word}`")), "{}", kind.name());
        }
    }
}
