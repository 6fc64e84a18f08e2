//! From a [`Fault`] back to a table `[[fault]]`.

use super::{Cut, Fault, FaultAction, Lasting, LinkSpec, Partition, Way};
use crate::format::write::{quote, toml};
use std::fmt::{self, Write};

/// Writes a fault, its label included.
pub(in crate::format) fn fault(out: &mut String, fault: &Fault) -> fmt::Result {
    writeln!(out, "\n[[fault]]")?;
    writeln!(out, "label = {}", quote(&fault.label))?;
    writeln!(out, "at = \"{}\"", fault.at)?;
    let lasting = fault.action.lasting();
    if let (Some(lasts), Lasting::Required | Lasting::Optional) = (fault.lasts, lasting) {
        writeln!(out, "for = \"{lasts}\"")?;
    }
    if let Some(repeat) = &fault.repeat {
        writeln!(
            out,
            "repeat = {{ every = \"{}\", times = {} }}",
            repeat.every, repeat.times
        )?;
    }
    let mut table = fields(&fault.action);
    if let (Some(down), Lasting::RestartAfter) = (fault.lasts, lasting) {
        write!(table, ", restart_after = \"{down}\"")?;
    }
    writeln!(out, "{} = {{ {table} }}", fault.action.key())
}

/// What stands between an action's braces, but for `restart_after`.
fn fields(action: &FaultAction) -> String {
    match action {
        FaultAction::Partition(partition) => partition_fields(partition),
        FaultAction::Link { way, what } => format!("{}{}", way_fields(way), link_fields(what)),
        FaultAction::Clog(way) | FaultAction::Hold(way) => way_fields(way),
        FaultAction::ClientLink { node, way, delay } => format!(
            "node = {}, way = \"{}\", delay = {delay}",
            toml(node),
            way.name()
        ),
        FaultAction::ClientCut { node, way } => {
            format!("node = {}, way = \"{}\"", toml(node), way.name())
        }
        FaultAction::Disk { node, what } => format!("node = {}{}", toml(node), what.write()),
        FaultAction::ClientReset { node }
        | FaultAction::Pause { node }
        | FaultAction::Stop { node }
        | FaultAction::Wipe { node }
        | FaultAction::Replace { node }
        | FaultAction::ClockFreeze { node } => format!("node = {}", toml(node)),
        FaultAction::Upgrade { node, to } | FaultAction::Downgrade { node, to } => {
            format!("node = {}, to = \"{}\"", toml(node), to.short())
        }
        FaultAction::SlowCpu { node, factor } => {
            format!("node = {}, factor = \"{factor}\"", toml(node))
        }
        FaultAction::Crash {
            node,
            disk,
            again_at,
        } => {
            let again = again_at.map_or(String::new(), |at| format!(", again_at = \"{at}\""));
            format!("node = {}, disk = \"{}\"{again}", toml(node), disk.name())
        }
        FaultAction::ClockSkew {
            node,
            wall_step,
            drift_ppm,
        } => format!(
            "node = {}, wall_step = \"{wall_step}\", drift_ppm = {drift_ppm}",
            toml(node)
        ),
        FaultAction::ClockStep { node, by } => format!("node = {}, by = \"{by}\"", toml(node)),
    }
}

fn way_fields(way: &Way) -> String {
    let both = if way.both_ways {
        ", both_ways = true"
    } else {
        ""
    };
    format!("from = {}, to = {}{both}", toml(&way.from), toml(&way.to))
}

fn link_fields(link: &LinkSpec) -> String {
    let mut out = String::new();
    let mut field = |text: String| out.push_str(&format!(", {text}"));
    if let Some(delay) = &link.delay {
        field(format!("delay = {delay}"));
    }
    for (key, ratio) in [
        ("loss", link.loss),
        ("duplicate", link.duplicate),
        ("reorder", link.reorder),
        ("corrupt", link.corrupt),
    ] {
        if ratio.get() > 0.0 {
            field(format!("{key} = {:?}", ratio.get()));
        }
    }
    if let Some(by) = link.reorder_by {
        field(format!("reorder_by = \"{by}\""));
    }
    if let Some(bandwidth) = link.bandwidth {
        field(format!("bandwidth = \"{bandwidth}\""));
    }
    if let Some(queue) = link.queue {
        field(format!("queue = \"{queue}\""));
    }
    out
}

fn partition_fields(partition: &Partition) -> String {
    let cut = match &partition.cut {
        Cut::OneWay { from, to } => format!("from = {}, to = {}", toml(from), toml(to)),
        Cut::Isolate(selector) => format!("isolate = {}", toml(selector)),
        Cut::Halves => "halves = true".to_owned(),
        Cut::Split(one, other) => format!("split = [{}, {}]", toml(one), toml(other)),
        Cut::Bridge(selector) => format!("bridge = {}", toml(selector)),
        Cut::Ring => "ring = true".to_owned(),
        Cut::Partial(share) => format!("partial = {:?}", share.get()),
    };
    match partition.flap {
        Some(flap) => format!("{cut}, flap = \"{flap}\""),
        None => cut,
    }
}
