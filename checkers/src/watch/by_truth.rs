//! What a watch was told, against what was changed.

use super::by_watch::{describe, passed_at, told_through};
use super::told::{Watch, bookmark, kv_of};
use super::{Broken, Case};
use crate::replicas::show;
use crate::store::model::within;
use squall_api::pb::{Event, KeyValue, event};
use squall_record::{Op, seconds};
use std::collections::BTreeSet;

/// A change that a watch should have been told of, and was not.
struct Missing<'a> {
    event: &'a Event,
    op: &'a Op,
    revision: i64,
}

/// What a watch was not told of the revisions from one to another: of each the
/// first change.
fn missing<'c>(
    case: &'c Case<'_>,
    watch: &'c Watch<'_>,
    from: i64,
    to: i64,
) -> impl Iterator<Item = Missing<'c>> {
    let told: BTreeSet<(i64, &bytes::Bytes)> = watch
        .events()
        .map(|(_, event)| {
            let (key, revision) = kv_of(event);
            (revision, key)
        })
        .collect();
    let between = case.truth.between(from, to);
    between.filter_map(move |(revision, op, events)| {
        let event = events.iter().find(|event| {
            let key = kv_of(event).0;
            watch.covers(key) && watch.passes(event) && !told.contains(&(revision, key))
        })?;
        Some(Missing {
            event,
            op,
            revision,
        })
    })
}

fn first_and_last(watch: &Watch<'_>) -> Option<(i64, i64)> {
    let revisions = || watch.events().map(|(_, event)| kv_of(event).1);
    Some((revisions().min()?, revisions().max()?))
}

fn gap(watch: &Watch<'_>, missing: Missing<'_>, class: &'static str, what: &str) -> Broken {
    let t = passed_at(watch, missing.revision);
    let text = format!(
        "{} had been told {what} revision {}, but never of {}",
        watch.name(),
        told_through(watch),
        describe(missing.event)
    );
    Broken::on(watch, t, class, text).by(Some(missing.op))
}

pub(super) fn resumable(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        let old = watch
            .events()
            .find(|(_, event)| kv_of(event).1 < watch.start);
        if let Some((t, event)) = old {
            let text = format!(
                "{} was told of {}, which is before its start",
                watch.name(),
                describe(event)
            );
            return Some(Broken::on(watch, t, "before-start", text));
        }
        let (first, _) = first_and_last(watch)?;
        let lost = missing(case, watch, watch.start, first - 1).next()?;
        Some(gap(watch, lost, "start-missed", "of"))
    })
}

pub(super) fn reliable(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        let (first, last) = first_and_last(watch)?;
        // A part of a revision is a matter of atomicity.
        let whole: BTreeSet<i64> = watch.events().map(|(_, e)| kv_of(e).1).collect();
        let mut lost = missing(case, watch, first.max(watch.start), last);
        let lost = lost.find(|lost| !whole.contains(&lost.revision))?;
        Some(gap(watch, lost, "gap", "up to"))
    })
}

pub(super) fn bookmarkable(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        // What came in the same moment still came in some order.
        let (mut last, mut last_at) = (0, 0);
        for (t, response) in &watch.heard {
            let t = *t;
            let late = |event: &&Event| kv_of(event).1 <= last;
            if let Some(event) = response.events.iter().find(late) {
                let text = format!(
                    "{} was told of {}, though it had been told at {} that it has come to \
                     revision {last}",
                    watch.name(),
                    describe(event),
                    seconds(last_at)
                );
                return Some(Broken::on(watch, t, "bookmark-too-early", text));
            }
            let Some(revision) = bookmark(response) else {
                continue;
            };
            if revision < last {
                let text = format!(
                    "{} was told that it has come to revision {revision}, and before that to {last}",
                    watch.name()
                );
                return Some(Broken::on(watch, t, "bookmark-went-back", text));
            }
            (last, last_at) = (revision, t);
            if revision + 1 < watch.start {
                let text = format!(
                    "{} was told that it has come to revision {revision}, from where it would \
                     resume before its start",
                    watch.name()
                );
                return Some(Broken::on(watch, t, "bookmark-before-start", text));
            }
        }
        let from = first_and_last(watch).map_or(watch.start, |(_, last)| last + 1);
        let lost = missing(case, watch, from.max(watch.start), last).next()?;
        Some(gap(watch, lost, "bookmark-gap", "by a bookmark that it has come to"))
    })
}

pub(super) fn honest(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        watch.events().find_map(|(t, event)| {
            let (key, revision) = kv_of(event);
            let op = case.truth.op_at(revision);
            if let Some(op) = op
                && t < op.invoke
            {
                let text = format!(
                    "{} was told of {} before anybody asked for it, at {}",
                    watch.name(),
                    describe(event),
                    seconds(op.invoke)
                );
                return Some(Broken::on(watch, t, "before-its-time", text).by(Some(op)));
            }
            let true_event = case.truth.event(revision, key)?;
            let matches = |truth: &Event| truth.r#type == event.r#type && truth.kv == event.kv;
            if true_event.is_some_and(matches) {
                return None;
            }
            let text = format!(
                "{} was told of {}, which is not what was changed",
                watch.name(),
                describe(event)
            );
            let what = |kv: &Option<KeyValue>| {
                let kv = kv.clone().unwrap_or_default();
                format!(
                    "value {}, created at {}, version {}, lease {:x}",
                    show(&kv.value),
                    kv.create_revision,
                    kv.version,
                    kv.lease
                )
            };
            let truth = match true_event {
                Some(truth) => format!("{}: {}", describe(truth), what(&truth.kv)),
                None => "nothing happened to that key".into(),
            };
            let broken = Broken::on(watch, t, "untrue", text).by(op);
            let broken = broken.fact("the event", what(&event.kv));
            Some(broken.fact(format!("revision {revision}"), truth))
        })
    })
}

pub(super) fn create(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        watch.events().find_map(|(t, event)| {
            let kv = event.kv.as_ref()?;
            let true_event = case.truth.event(kv.mod_revision, &kv.key)??;
            if event.r#type() != event::EventType::Put || true_event.r#type != event.r#type {
                return None;
            }
            let says = kv.create_revision == kv.mod_revision;
            let is = true_event.prev_kv.is_none();
            (says != is).then(|| {
                let text = format!(
                    "{} was told of {} {} a creation, though the key was {}there before",
                    watch.name(),
                    describe(event),
                    if says { "as" } else { "not as" },
                    if is { "not " } else { "" }
                );
                let op = case.truth.op_at(kv.mod_revision);
                Broken::on(watch, t, "create-flag", text).by(op)
            })
        })
    })
}

pub(super) fn prev_kv(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        watch.events().find_map(|(t, event)| {
            let (key, revision) = kv_of(event);
            if !watch.create.prev_kv {
                return event.prev_kv.as_ref().map(|_| {
                    let text = format!(
                        "{} was told what was there before {}, without having asked for it",
                        watch.name(),
                        describe(event)
                    );
                    Broken::on(watch, t, "prev-unasked", text)
                });
            }
            let truth = case.truth.event(revision, key)??;
            // It may be compacted; then nobody can say what was there.
            let may_be_gone = revision - 1 < case.truth.compacted();
            if event.prev_kv == truth.prev_kv || (event.prev_kv.is_none() && may_be_gone) {
                return None;
            }
            let shown = |kv: &Option<KeyValue>| match kv {
                Some(kv) => format!("{} of revision {}", show(&kv.value), kv.mod_revision),
                None => "nothing".into(),
            };
            let text = format!(
                "{} was told that {} was there before {}, and it was {}",
                watch.name(),
                shown(&event.prev_kv),
                describe(event),
                shown(&truth.prev_kv)
            );
            let op = case.truth.op_at(revision);
            Some(Broken::on(watch, t, "prev-wrong", text).by(op))
        })
    })
}

pub(super) fn compaction(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        let (t, response) = watch.canceled()?;
        let at = response.compact_revision;
        if at == 0 && watch.cancel_said.is_some_and(|said| said <= t) {
            return None;
        }
        // Whether its client may watch is judged with the permissions.
        if at == 0 && crate::auth::is_denial(&response.cancel_reason) {
            return None;
        }
        let (class, text) = match at {
            0 => (
                "canceled-unasked",
                "was canceled, without its client's wish or a compacted revision",
            ),
            at if at > case.truth.compacted() => (
                "never-compacted",
                "was canceled because of a compaction that nobody asked for",
            ),
            at if at <= told_through(watch) => (
                "canceled-needlessly",
                "was canceled because of a compaction of what it had been told",
            ),
            at if at <= watch.start => (
                "canceled-needlessly",
                "was canceled because of a compaction up to where it began",
            ),
            _ => return None,
        };
        let broken = Broken::on(watch, t, class, format!("{} {text}", watch.name()));
        Some(broken.fact("compact revision", at.to_string()))
    })
}

pub(super) fn cache(case: &Case<'_>) -> Option<Broken> {
    case.caches.iter().find_map(|cache| {
        let mut state = case.truth.state_at(cache.revision)?;
        state.retain(|key, _| within(&cache.key, &cache.range_end, key));
        if state == cache.kvs {
            return None;
        }
        let differs = |key: &&bytes::Bytes| state.get(*key) != cache.kvs.get(*key);
        let key = state.keys().chain(cache.kvs.keys()).find(differs)?;
        let shown = |kv: Option<&KeyValue>| match kv {
            Some(kv) => format!("{} of revision {}", show(&kv.value), kv.mod_revision),
            None => "nothing".into(),
        };
        Some(Broken {
            sentence: format!(
                "c{}'s cache at revision {} has {} as {}, and the store had {}",
                cache.client,
                cache.revision,
                shown(cache.kvs.get(key)),
                show(key),
                shown(state.get(key))
            ),
            t: cache.t,
            node: None,
            ops: Vec::new(),
            facts: Vec::new(),
            class: "cache-differs",
        })
    })
}
