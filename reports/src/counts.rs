//! What was counted in a sweep, and how the clusters served in it.

use crate::service::Service;
use crate::style::{count, plural, printable};
use crate::table::wrap;
use crate::totals::Totals;
use squall_record::{Resources, Stats, seconds};

pub(crate) fn counts(out: &mut String, totals: &Totals, width: usize) {
    let Stats {
        simulated_ns: _,
        events,
        ops_ok,
        ops_refused,
        ops_unknown,
        messages_heard,
        unknown_applied,
        unknown_not_applied,
        txns_ok,
        keys: _,
        faults_planned,
        faults_fired,
        restarts,
        elections,
        snapshots_installed,
        messages,
        syncs,
        marks: _,
        faults: _,
        stops,
        suspended: _,
        unsafe_holds,
    } = totals.all().stats;
    let line = |out: &mut String, name: &str, text: String| {
        wrap(out, &format!("  {name:<9} "), &text, width);
    };
    let fate = if ops_unknown == 0 {
        String::new()
    } else {
        format!(
            "; of the unknown writes {} took effect, {} never did",
            count(unknown_applied),
            count(unknown_not_applied)
        )
    };
    line(
        out,
        "clients",
        format!(
            "{}: {} ok ({}), {} refused, {} unknown{fate}",
            plural(ops_ok + ops_refused + ops_unknown, "operation"),
            count(ops_ok),
            plural(txns_ok, "transaction"),
            count(ops_refused),
            count(ops_unknown),
        ),
    );
    if unsafe_holds > 0 {
        let text = format!(
            "{} given while another client still believed to hold it: unsafe without fencing",
            plural(unsafe_holds, "lock")
        );
        line(out, "locks", text);
    }
    if messages_heard > 0 {
        let text = format!("{} heard by clients", plural(messages_heard, "message"));
        line(out, "streams", text);
    }
    line(
        out,
        "cluster",
        format!(
            "{}, {}, {} installed by followers{}",
            plural(elections, "election"),
            plural(restarts, "restart"),
            plural(snapshots_installed, "snapshot"),
            match stops {
                0 => String::new(),
                stops => format!(
                    "; members stopped {} for a reason that a fault gave them",
                    plural(stops, "time")
                ),
            },
        ),
    );
    served(&totals.service, &mut |name, text| line(out, name, text));
    line(
        out,
        "faults",
        format!(
            "{} of {} planned set in",
            count(faults_fired),
            count(faults_planned)
        ),
    );
    line(
        out,
        "world",
        format!(
            "{}, {}, {}",
            plural(events, "event"),
            plural(messages, "message"),
            plural(syncs, "sync")
        ),
    );
    cost(&totals.resources, &mut |text| line(out, "cost", text));
    if totals.reproduced > 0 {
        let differ = match totals.nondeterministic.len() {
            0 => "no difference".to_owned(),
            n => format!("{} DIFFERED", plural(n as u64, "run")),
        };
        line(
            out,
            "twice",
            format!("{} made again: {differ}", plural(totals.reproduced, "run")),
        );
    }
}

/// What commits cost, and how large things grew.
fn cost(resources: &Resources, line: &mut impl FnMut(String)) {
    if resources.commits == 0 {
        return;
    }
    let each = |total| resources.per_commit(total);
    let mut text = format!(
        "for each of {}: {:.1} messages of {} bytes in all, {:.1} syncs, {} bytes written; \
         logs of {} KiB at most",
        plural(resources.commits, "commit"),
        each(resources.messages),
        count(each(resources.sent_bytes).round() as u64),
        each(resources.syncs),
        count(each(resources.written_bytes).round() as u64),
        count(resources.log_bytes.div_ceil(1024)),
    );
    if resources.snapshot_bytes > 0 {
        let kib = resources.snapshot_bytes.div_ceil(1024);
        text.push_str(&format!(", snapshots of {} KiB", count(kib)));
    }
    if resources.unread > 0 {
        let unread = plural(resources.unread, "message");
        text.push_str(&format!(", {unread} unread on a stream"));
    }
    line(text);
}

/// How writes got through: outages with the reason of the longest, and recovery.
fn served(service: &Service, line: &mut impl FnMut(&str, String)) {
    let Service {
        asked_ns,
        outages,
        out_ns,
        longest,
        faults_ended,
        not_recovered,
        slowest,
    } = service;
    if *asked_ns == 0 {
        return;
    }
    // Rounded down: 100% means all of it.
    let tenths = (asked_ns - out_ns) as u128 * 1_000 / u128::from(*asked_ns);
    let share = format!(
        "writes got through for {}.{}% of {} s",
        tenths / 10,
        tenths % 10,
        count(asked_ns / 1_000_000_000)
    );
    let text = match longest {
        None => share,
        Some(longest) => format!(
            "{share}; {}, the longest of {} in {} from {}: {}",
            plural(*outages, "outage"),
            seconds(longest.what.lasted()),
            printable(&longest.run),
            seconds(longest.what.from),
            printable(&longest.what.why.join("; "))
        ),
    };
    line("service", text);
    if *faults_ended == 0 {
        return;
    }
    let mut text = match faults_ended {
        1 => "1 fault ended".to_owned(),
        n => format!("{} faults ended", count(*n)),
    };
    if let Some(slowest) = slowest {
        text.push_str(&format!(
            ", writes got through again within {} (the slowest: {} in {} at {})",
            seconds(slowest.what.took.unwrap_or_default()),
            printable(&slowest.what.fault),
            printable(&slowest.run),
            seconds(slowest.what.ended)
        ));
    }
    if *not_recovered > 0 {
        text.push_str(&format!(
            "; after {} of them not before the load ended",
            count(*not_recovered)
        ));
    }
    line("recovery", text);
}
