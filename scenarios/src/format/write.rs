//! From a [`Scenario`] back to a file: every default and label written out.

use super::{
    After, CheckSpec, Expect, Fault, FaultAction, Partition, SCHEMA, Scenario, Selector, Skew,
};
use std::fmt::{self, Write};

/// The scenario as TOML.
pub(super) fn scenario(scenario: &Scenario) -> String {
    let mut out = String::new();
    write(&mut out, scenario).expect("writing to a string does not fail");
    out
}

fn write(out: &mut String, scenario: &Scenario) -> fmt::Result {
    writeln!(out, "schema = {SCHEMA}")?;
    writeln!(out, "name = {}", quote(&scenario.name))?;
    writeln!(out, "about = {}", quote(&scenario.about))?;
    let tags: Vec<_> = scenario.tags.iter().map(|tag| quote(tag)).collect();
    writeln!(out, "tags = [{}]", tags.join(", "))?;
    write_cluster(out, scenario)?;
    write_workload(out, scenario)?;
    scenario
        .faults
        .iter()
        .try_for_each(|fault| write_fault(out, fault))?;
    scenario
        .checks
        .iter()
        .try_for_each(|check| write_check(out, check))?;
    scenario
        .expects
        .iter()
        .try_for_each(|expect| write_expect(out, expect))
}

fn write_cluster(out: &mut String, scenario: &Scenario) -> fmt::Result {
    let cluster = &scenario.cluster;
    writeln!(out, "\n[cluster]")?;
    writeln!(out, "nodes = {}", cluster.nodes)?;
    writeln!(out, "election_timeout = \"{}\"", cluster.election_timeout)?;
    writeln!(out, "heartbeat = \"{}\"", cluster.heartbeat)?;
    writeln!(out, "request_timeout = \"{}\"", cluster.request_timeout)?;
    writeln!(out, "snapshot_entries = {}", cluster.snapshot_entries)?;
    writeln!(out, "catch_up_entries = {}", cluster.catch_up_entries)?;
    writeln!(out, "wal_segment = \"{}\"", cluster.wal_segment)?;
    writeln!(
        out,
        "backend_commit_interval = \"{}\"",
        cluster.backend_commit_interval
    )?;
    writeln!(
        out,
        "backend_commit_entries = {}",
        cluster.backend_commit_entries
    )?;
    let link = &cluster.link;
    writeln!(
        out,
        "link = {{ latency = \"{}\", loss = {:?}, duplicate = {:?}, reorder = {} }}",
        link.latency,
        link.loss.get(),
        link.duplicate.get(),
        link.reorder
    )?;
    let disk = &cluster.disk;
    writeln!(
        out,
        "disk = {{ write = \"{}\", fsync = \"{}\" }}",
        disk.write, disk.fsync
    )?;
    let clock = &cluster.clock;
    writeln!(
        out,
        "clock = {{ offset = \"{}\", drift_ppm = \"{}\" }}",
        clock.offset, clock.drift_ppm
    )
}

fn write_workload(out: &mut String, scenario: &Scenario) -> fmt::Result {
    let workload = &scenario.workload;
    writeln!(out, "\n[workload]")?;
    writeln!(out, "clients = {}", workload.clients)?;
    writeln!(out, "rate = {:?}", workload.rate)?;
    let skew = match workload.keys.skew {
        Skew::Uniform => "uniform".into(),
        Skew::Zipf(s) => format!("zipf({s:?})"),
    };
    writeln!(
        out,
        "keys = {{ count = {}, skew = \"{skew}\" }}",
        workload.keys.count
    )?;
    let weights = workload.mix.weights();
    let weights: Vec<_> = weights
        .iter()
        .map(|(key, weight)| format!("{key} = {weight}"))
        .collect();
    writeln!(out, "mix = {{ {} }}", weights.join(", "))?;
    writeln!(out, "value_size = \"{}\"", workload.value_size)?;
    writeln!(out, "client_timeout = \"{}\"", workload.client_timeout)?;
    writeln!(out, "run_for = \"{}\"", workload.run_for)
}

fn write_fault(out: &mut String, fault: &Fault) -> fmt::Result {
    writeln!(out, "\n[[fault]]")?;
    writeln!(out, "label = {}", quote(&fault.label))?;
    writeln!(out, "at = \"{}\"", fault.at)?;
    let crash = matches!(fault.action, FaultAction::Crash { .. });
    if let (Some(lasts), false) = (fault.lasts, crash) {
        writeln!(out, "for = \"{lasts}\"")?;
    }
    if let Some(repeat) = &fault.repeat {
        writeln!(
            out,
            "repeat = {{ every = \"{}\", times = {} }}",
            repeat.every, repeat.times
        )?;
    }
    write!(out, "{} = ", fault.action.key())?;
    match &fault.action {
        FaultAction::Partition(partition) => write_partition(out, partition)?,
        FaultAction::FsyncStall { node, delay } => {
            write!(out, "{{ node = {}, delay = \"{delay}\" }}", toml(node))?;
        }
        FaultAction::Pause { node } => write!(out, "{{ node = {} }}", toml(node))?,
        FaultAction::Crash { node, disk } => {
            write!(out, "{{ node = {}, disk = \"{}\"", toml(node), disk.name())?;
            if let Some(down) = fault.lasts {
                write!(out, ", restart_after = \"{down}\"")?;
            }
            out.push_str(" }");
        }
        FaultAction::ClockSkew {
            node,
            wall_step,
            drift_ppm,
        } => write!(
            out,
            "{{ node = {}, wall_step = \"{wall_step}\", drift_ppm = {drift_ppm} }}",
            toml(node)
        )?,
    }
    out.push('\n');
    Ok(())
}

fn write_partition(out: &mut String, partition: &Partition) -> fmt::Result {
    match partition {
        Partition::OneWay { from, to } => {
            write!(out, "{{ from = {}, to = {} }}", toml(from), toml(to))
        }
        Partition::Isolate(selector) => write!(out, "{{ isolate = {} }}", toml(selector)),
        Partition::Halves => write!(out, "{{ halves = true }}"),
        Partition::Split(one, other) => {
            write!(out, "{{ split = [{}, {}] }}", toml(one), toml(other))
        }
    }
}

fn write_check(out: &mut String, check: &CheckSpec) -> fmt::Result {
    writeln!(out, "\n[[check]]")?;
    match check {
        CheckSpec::Linearizable { budget } => {
            writeln!(out, "linearizable = {{ budget = {budget} }}")
        }
        CheckSpec::Raft => writeln!(out, "raft = {{ invariants = \"all\" }}"),
        CheckSpec::Durable => writeln!(out, "durable = true"),
        CheckSpec::ReplicasAgree => writeln!(out, "replicas_agree = true"),
    }
}

fn write_expect(out: &mut String, expect: &Expect) -> fmt::Result {
    writeln!(out, "\n[[expect]]")?;
    match expect {
        Expect::Recovers { after, within } => {
            let after = match after {
                After::EveryFault => quote("every fault"),
                After::Label(label) => quote(label),
            };
            writeln!(
                out,
                "recovers = {{ after = {after}, within = \"{within}\" }}"
            )
        }
        Expect::Load {
            ok,
            keys,
            transactions,
        } => {
            write!(out, "load = {{ ok = {ok}")?;
            if *keys != u64::MAX {
                write!(out, ", keys = {keys}")?;
            }
            writeln!(out, ", transactions = {:?} }}", transactions.get())
        }
    }
}

fn toml(selector: &Selector) -> String {
    match selector {
        Selector::Nodes(nodes) if nodes.len() != 1 => {
            let names: Vec<_> = nodes.iter().map(|n| format!("\"n{n}\"")).collect();
            format!("[{}]", names.join(", "))
        }
        selector => format!("\"{selector}\""),
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}
