//! From a [`Scenario`] back to a file: every default and label written out.

use super::{After, CheckSpec, Expect, SCHEMA, Scenario, Selector, Size, Skew, Upkeep, fault};
use squall_api::Version;
use squall_checkers::budget::Budget;
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
        .try_for_each(|fault| fault::write(out, fault))?;
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
    if cluster.spares > 0 {
        writeln!(out, "spares = {}", cluster.spares)?;
    }
    if cluster.version != Version::CURRENT {
        writeln!(out, "version = \"{}\"", cluster.version)?;
    }
    writeln!(out, "election_timeout = \"{}\"", cluster.election_timeout)?;
    writeln!(out, "heartbeat = \"{}\"", cluster.heartbeat)?;
    writeln!(out, "read_lease = \"{}\"", cluster.read_lease)?;
    writeln!(out, "request_timeout = \"{}\"", cluster.request_timeout)?;
    writeln!(out, "lease_checkpoint = \"{}\"", cluster.lease_checkpoint)?;
    writeln!(out, "corrupt_check = \"{}\"", cluster.corrupt_check)?;
    writeln!(out, "auth_token_ttl = \"{}\"", cluster.auth_token_ttl)?;
    writeln!(out, "max_append = \"{}\"", cluster.max_append)?;
    writeln!(out, "snapshot_entries = {}", cluster.snapshot_entries)?;
    writeln!(out, "snapshot_chunk = \"{}\"", cluster.snapshot_chunk)?;
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
    writeln!(out, "watch_window = {}", cluster.watch_window)?;
    writeln!(out, "watch_batch = {}", cluster.watch_batch)?;
    writeln!(out, "watch_progress = \"{}\"", cluster.watch_progress)?;
    writeln!(out, "quota = \"{}\"", cluster.quota)?;
    writeln!(out, "damage = \"{}\"", cluster.damage.name())?;
    let link = &cluster.link;
    writeln!(
        out,
        "link = {{ latency = {}, loss = {:?}, duplicate = {:?}, reorder = {} }}",
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
    writeln!(
        out,
        "auth = {{ users = {}, change_every = \"{}\" }}",
        workload.auth.users, workload.auth.change_every
    )?;
    writeln!(
        out,
        "sessions = {{ count = {}, ttl = \"{}\" }}",
        workload.sessions.count, workload.sessions.ttl
    )?;
    let locks = &workload.locks;
    if *locks != super::Locks::default() {
        writeln!(
            out,
            "locks = {{ count = {}, names = {}, fenced = {:?}, ttl = \"{}\" }}",
            locks.count,
            locks.names,
            locks.fenced.get(),
            locks.ttl
        )?;
    }
    let elections = &workload.elections;
    if *elections != super::Elections::default() {
        writeln!(
            out,
            "elections = {{ candidates = {}, observers = {}, ttl = \"{}\" }}",
            elections.candidates, elections.observers, elections.ttl
        )?;
    }
    let operator = &workload.operator;
    let pauses = [
        ("changes", operator.changes),
        ("transfers", operator.transfers),
    ];
    let mut pauses: Vec<_> = (pauses.iter())
        .filter_map(|(key, pause)| Some(format!("{key} = \"{}\"", pause.as_ref()?)))
        .collect();
    pauses.extend(
        operator
            .downgrade_at
            .map(|at| format!("downgrade_at = \"{at}\"")),
    );
    if !pauses.is_empty() {
        writeln!(out, "operator = {{ {} }}", pauses.join(", "))?;
    }
    writeln!(out, "value_size = \"{}\"", workload.value_size)?;
    writeln!(out, "client_timeout = \"{}\"", workload.client_timeout)?;
    writeln!(out, "run_for = \"{}\"", workload.run_for)?;
    let watch = &workload.watch;
    if *watch != super::WatchLoad::default() {
        writeln!(
            out,
            "watch = {{ watchers = {}, controllers = {}, slow = {:?} }}",
            watch.watchers,
            watch.controllers,
            watch.slow.get()
        )?;
    }
    let Upkeep {
        compact_every,
        defragment_every,
        make_room_every,
    } = workload.upkeep;
    let upkeep: Vec<String> = [
        ("compact_every", compact_every),
        ("defragment_every", defragment_every),
        ("make_room_every", make_room_every),
    ]
    .iter()
    .filter_map(|(key, every)| every.map(|every| format!("{key} = \"{every}\"")))
    .collect();
    if !upkeep.is_empty() {
        writeln!(out, "upkeep = {{ {} }}", upkeep.join(", "))?;
    }
    Ok(())
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
        CheckSpec::Watch => writeln!(out, "watch = true"),
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
        Expect::Budget(budget) => write_budget(out, budget),
    }
}

fn write_budget(out: &mut String, budget: &Budget) -> fmt::Result {
    let Budget {
        messages_per_commit,
        sent_per_commit,
        syncs_per_commit,
        written_per_commit,
        log,
        snapshot,
        unread,
    } = *budget;
    let amount = |amount: Option<f64>| amount.map(|amount| format!("{amount:?}"));
    let bytes = |bytes: Option<u64>| bytes.map(|b| format!("\"{}\"", Size::from_bytes(b)));
    let lines = [
        ("messages_per_commit", amount(messages_per_commit)),
        ("sent_per_commit", bytes(sent_per_commit)),
        ("syncs_per_commit", amount(syncs_per_commit)),
        ("written_per_commit", bytes(written_per_commit)),
        ("log", bytes(log)),
        ("snapshot", bytes(snapshot)),
        ("unread", unread.map(|unread| unread.to_string())),
    ];
    let lines: Vec<String> = (lines.into_iter())
        .filter_map(|(key, value)| Some(format!("{key} = {}", value?)))
        .collect();
    writeln!(out, "budget = {{ {} }}", lines.join(", "))
}

pub(super) fn toml(selector: &Selector) -> String {
    match selector {
        Selector::Nodes(nodes) if nodes.len() != 1 => {
            let names: Vec<_> = nodes.iter().map(|n| format!("\"n{n}\"")).collect();
            format!("[{}]", names.join(", "))
        }
        selector => format!("\"{selector}\""),
    }
}

pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}
