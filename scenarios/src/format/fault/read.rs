//! From a table `[[fault]]` to a [`Fault`].

use super::words::{KEYS, fields_of};
use super::{Cut, DiskSpec, Fault, FaultAction, Lasting, LinkSpec, Partition, Repeat, Way};
use crate::format::document::{Node, Problem, Value};
use crate::format::fields::{Fields, Read, unknown};
use crate::format::{Between, CrashDisk, Duration, Selector, SignedDuration};

/// Reads a fault. Its label may be empty: the scenario gives it one.
pub(in crate::format) fn fault(node: &Node) -> Result<Fault, Problem> {
    let fields = Fields::open(node, "`fault`", KEYS)?;
    let mut actions = fields
        .entries()
        .iter()
        .filter_map(|entry| Some((entry, fields_of(&entry.key)?)));
    let Some((entry, known)) = actions.next() else {
        let keys: Vec<&str> = super::ACTIONS.iter().map(|(key, _)| *key).collect();
        let expected = format!("expected one of {}", keys.join(", "));
        return Err(Problem::new(
            &fields.node().place,
            "this fault does nothing",
            expected,
        ));
    };
    if let Some((second, _)) = actions.next() {
        return Err(Problem::new(
            &second.place,
            format!(
                "this fault does two things: `{}` and `{}`",
                entry.key, second.key
            ),
            "expected one action; write two [[fault]] tables",
        ));
    }
    let table = Fields::open(&entry.node, format!("`{}`", entry.key), known)?;
    let action = action(&entry.key, &table)?;
    let lasts = match (fields.entry("for"), action.lasting()) {
        (Some(given), Lasting::RestartAfter) => {
            return Err(Problem::new(
                &given.place,
                format!("a {} has no `for`", entry.key),
                format!("expected `restart_after` inside `{}`", entry.key),
            ));
        }
        (Some(given), Lasting::Never) => {
            return Err(Problem::new(
                &given.place,
                format!("a {} has no `for`", entry.key),
                "it happens at once",
            ));
        }
        (None, Lasting::RestartAfter) => table.optional("restart_after")?,
        (None, Lasting::Never) => Some(Between::exactly(Duration::default())),
        (None, Lasting::Required) => {
            return Err(fields
                .missing("for")
                .note("it says how long the fault lasts"));
        }
        (None, Lasting::Optional) => None,
        (Some(_), Lasting::Required | Lasting::Optional) => fields.optional("for")?,
    };
    Ok(Fault {
        label: fields.or("label", String::new())?,
        at: fields.required("at")?,
        lasts,
        repeat: fields.optional("repeat")?,
        action,
    })
}

/// The action `key`, from its table.
fn action(key: &str, fields: &Fields<'_>) -> Result<FaultAction, Problem> {
    let node = || fields.required::<Selector>("node");
    if let Some(what) = DiskSpec::read(key, fields)? {
        return Ok(FaultAction::Disk {
            node: node()?,
            what,
        });
    }
    Ok(match key {
        "partition" => FaultAction::Partition(partition(fields)?),
        "link" => FaultAction::Link {
            way: way(fields)?,
            what: link(fields)?,
        },
        "clog" => FaultAction::Clog(way(fields)?),
        "hold" => FaultAction::Hold(way(fields)?),
        "client_link" => FaultAction::ClientLink {
            node: node()?,
            way: fields.or("way", Default::default())?,
            delay: fields.required("delay")?,
        },
        "client_cut" => FaultAction::ClientCut {
            node: node()?,
            way: fields.or("way", Default::default())?,
        },
        "client_reset" => FaultAction::ClientReset { node: node()? },
        "pause" => FaultAction::Pause { node: node()? },
        "slow_cpu" => FaultAction::SlowCpu {
            node: node()?,
            factor: fields.required("factor")?,
        },
        "stop" => FaultAction::Stop { node: node()? },
        "crash" => FaultAction::Crash {
            node: node()?,
            disk: fields.or("disk", CrashDisk::Kept)?,
            again_at: fields.optional("again_at")?,
        },
        "wipe" => FaultAction::Wipe { node: node()? },
        "replace" => FaultAction::Replace { node: node()? },
        "upgrade" => FaultAction::Upgrade {
            node: node()?,
            to: fields.required("to")?,
        },
        "downgrade" => FaultAction::Downgrade {
            node: node()?,
            to: fields.required("to")?,
        },
        "clock_skew" => FaultAction::ClockSkew {
            node: node()?,
            wall_step: fields.or("wall_step", SignedDuration::default())?,
            drift_ppm: fields.or("drift_ppm", 0)?,
        },
        "clock_freeze" => FaultAction::ClockFreeze { node: node()? },
        "clock_step" => FaultAction::ClockStep {
            node: node()?,
            by: fields.required("by")?,
        },
        other => unreachable!("{other} is a disk fault, or no action"),
    })
}

fn way(fields: &Fields<'_>) -> Result<Way, Problem> {
    Ok(Way {
        from: fields.required("from")?,
        to: fields.required("to")?,
        both_ways: fields.or("both_ways", false)?,
    })
}

fn link(fields: &Fields<'_>) -> Result<LinkSpec, Problem> {
    let none = LinkSpec::default();
    Ok(LinkSpec {
        delay: fields.optional("delay")?,
        loss: fields.or("loss", none.loss)?,
        duplicate: fields.or("duplicate", none.duplicate)?,
        reorder: fields.or("reorder", none.reorder)?,
        reorder_by: fields.optional("reorder_by")?,
        corrupt: fields.or("corrupt", none.corrupt)?,
        bandwidth: fields.optional("bandwidth")?,
        queue: fields.optional("queue")?,
    })
}

fn partition(fields: &Fields<'_>) -> Result<Partition, Problem> {
    const FORMS: &str = "expected { from, to }, { isolate }, { halves = true }, { split }, \
                         { bridge }, { ring = true } or { partial }";
    let node = fields.node();
    let nothing = || Problem::new(&node.place, "this partition cuts nothing", FORMS);
    let keys: Vec<&str> = fields
        .entries()
        .iter()
        .map(|e| e.key.as_str())
        .filter(|key| *key != "flap")
        .collect();
    let cut = match keys[..] {
        ["from", "to"] | ["to", "from"] => Cut::OneWay {
            from: fields.required("from")?,
            to: fields.required("to")?,
        },
        ["from"] => return Err(fields.missing("to")),
        ["to"] => return Err(fields.missing("from")),
        ["isolate"] => Cut::Isolate(fields.required("isolate")?),
        ["halves"] if fields.required::<bool>("halves")? => Cut::Halves,
        ["ring"] if fields.required::<bool>("ring")? => Cut::Ring,
        ["split"] => split(&fields.entry("split").expect("it is the only key").node)?,
        ["bridge"] => Cut::Bridge(fields.required("bridge")?),
        ["partial"] => Cut::Partial(fields.required("partial")?),
        ["halves"] | ["ring"] | [] => return Err(nothing()),
        _ => {
            return Err(Problem::new(
                &node.place,
                "this is not one partition",
                FORMS,
            ));
        }
    };
    Ok(Partition {
        cut,
        flap: fields.optional("flap")?,
    })
}

fn split(node: &Node) -> Result<Cut, Problem> {
    match &node.value {
        Value::Array(sides) if sides.len() == 2 => {
            let side = |i: usize| Selector::read(&sides[i]).map_err(|p| p.named("split"));
            Ok(Cut::Split(side(0)?, side(1)?))
        }
        _ => Err(Problem::new(
            &node.place,
            "a split has two sides",
            "expected such as [\"leader\", \"others\"] or [[\"n1\", \"n2\"], [\"n3\"]]",
        )),
    }
}

impl Read for CrashDisk {
    fn read(node: &Node) -> Result<CrashDisk, Problem> {
        let text = String::read(node)?;
        let found = CrashDisk::ALL.into_iter().find(|disk| disk.name() == text);
        let names = CrashDisk::ALL.map(CrashDisk::name);
        found.ok_or_else(|| {
            let what = "fate of unsynced data";
            unknown(
                what,
                &text,
                "",
                &names,
                &node.place.part(&text, 0..text.len()),
            )
        })
    }
}

impl Read for Repeat {
    fn read(node: &Node) -> Result<Repeat, Problem> {
        let fields = Fields::open(node, "`repeat`", &["every", "times"])?;
        Ok(Repeat {
            every: fields.required("every")?,
            times: fields.required("times")?,
        })
    }
}
