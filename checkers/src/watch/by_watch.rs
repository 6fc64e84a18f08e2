//! What a watch shows of itself, whatever was changed.

use super::told::{Watch, kv_of, revision};
use super::{Broken, Case};
use crate::replicas::show;
use bytes::Bytes;
use squall_api::pb::{Event, event};
use squall_record::seconds;
use std::collections::{BTreeMap, BTreeSet};

/// An event in few words: `the put of "k1" at revision 7`.
pub(super) fn describe(event: &Event) -> String {
    let (key, revision) = kv_of(event);
    let what = match event.r#type() {
        event::EventType::Put => "put",
        event::EventType::Delete => "delete",
    };
    format!("the {what} of {} at revision {revision}", show(key))
}

pub(super) fn protocol(case: &Case<'_>) -> Option<Broken> {
    if let Some(stray) = case.strays.first() {
        return Some(Broken {
            sentence: format!(
                "at {} c{} was told {} by n{}",
                seconds(stray.t),
                stray.stream.client,
                stray.text,
                stray.stream.member
            ),
            t: stray.t,
            node: Some(stray.stream.member),
            ops: Vec::new(),
            facts: Vec::new(),
            class: stray.class,
        });
    }
    case.watches.iter().find_map(unanswered)
}

/// A cancellation that was passed over: something that was asked for later was
/// answered.
fn unanswered(watch: &Watch<'_>) -> Option<Broken> {
    let said = watch.cancel_said?;
    if watch.canceled().is_some() {
        return None;
    }
    let messages = &watch.stream.said;
    let creates = |before: bool| {
        let is = |said_at: u64| (said_at < said) == before;
        messages
            .iter()
            .filter(move |m| is(m.t) && is_create(&m.message))
            .count()
    };
    let mut answered = watch
        .stream
        .heard
        .iter()
        .filter(|heard| is_created(&heard.message));
    let later = answered.nth(creates(true))?;
    (creates(false) > 0).then(|| {
        let text = format!(
            "{} was still open, and its cancellation of {} passed over",
            watch.name(),
            seconds(said)
        );
        Broken::on(watch, later.t, "cancel-ignored", text)
    })
}

fn is_create(call: &squall_record::Call) -> bool {
    use squall_api::pb::watch_request::RequestUnion;
    let squall_record::Call::Watch(request) = call else {
        return false;
    };
    matches!(request.request_union, Some(RequestUnion::CreateRequest(_)))
}

fn is_created(ret: &squall_record::Ret) -> bool {
    matches!(ret, squall_record::Ret::Watch(response) if response.created)
}

pub(super) fn ordered(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        let mut last: Option<&Event> = None;
        for (t, event) in watch.events() {
            if let Some(last) = last
                && kv_of(event).1 < kv_of(last).1
            {
                let text = format!(
                    "{} was told of {} after {}",
                    watch.name(),
                    describe(event),
                    describe(last)
                );
                return Some(Broken::on(watch, t, "out-of-order", text));
            }
            last = Some(event);
        }
        None
    })
}

pub(super) fn unique(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        let mut seen: BTreeMap<(i64, &Bytes, i32), u64> = BTreeMap::new();
        for (t, event) in watch.events() {
            let (key, revision) = kv_of(event);
            if let Some(before) = seen.insert((revision, key, event.r#type), t) {
                let text = format!(
                    "{} was told of {} a second time, after {}",
                    watch.name(),
                    describe(event),
                    seconds(before)
                );
                return Some(Broken::on(watch, t, "told-twice", text));
            }
        }
        None
    })
}

pub(super) fn atomic(case: &Case<'_>) -> Option<Broken> {
    let split = |watch: &Watch<'_>| {
        let mut told: BTreeMap<i64, bool> = BTreeMap::new();
        for (t, response) in &watch.heard {
            let revisions: BTreeSet<i64> = response.events.iter().map(|e| kv_of(e).1).collect();
            for revision in revisions {
                let goes_on = told.get(&revision).copied();
                if goes_on == Some(false) {
                    let text = format!(
                        "{} was told of revision {revision} in a second response",
                        watch.name()
                    );
                    return Some(Broken::on(watch, *t, "revision-split", text));
                }
                told.insert(revision, response.fragment);
            }
        }
        None
    };
    // Only of revisions that are behind it: the rest of the last one may have
    // been on its way in further fragments.
    let partial = |watch: &Watch<'_>| {
        let mut told: BTreeMap<i64, (u64, BTreeSet<&Bytes>)> = BTreeMap::new();
        let mut open = BTreeSet::new();
        for (t, response) in &watch.heard {
            for event in &response.events {
                let (key, revision) = kv_of(event);
                told.entry(revision)
                    .or_insert_with(|| (*t, BTreeSet::new()))
                    .1
                    .insert(key);
                match response.fragment {
                    true => drop(open.insert(revision)),
                    false => drop(open.remove(&revision)),
                }
            }
        }
        told.iter().find_map(|(revision, (t, keys))| {
            let (_, op, events) = case.truth.between(*revision, *revision).next()?;
            let missing = events.iter().find(|event| {
                let key = kv_of(event).0;
                watch.covers(key) && watch.passes(event) && !keys.contains(key)
            })?;
            if open.contains(revision) {
                return None;
            }
            let text = format!(
                "{} was told of a part of revision {revision}, without {}",
                watch.name(),
                describe(missing)
            );
            Some(Broken::on(watch, *t, "revision-cut", text).by(Some(op)))
        })
    };
    case.watches
        .iter()
        .find_map(|watch| split(watch).or_else(|| partial(watch)))
}

pub(super) fn filters(case: &Case<'_>) -> Option<Broken> {
    case.watches.iter().find_map(|watch| {
        watch.events().find_map(|(t, event)| {
            let (key, _) = kv_of(event);
            let (class, what) = match () {
                () if !watch.covers(key) => ("other-key", "which is none of its keys"),
                () if !watch.passes(event) => ("filtered", "which its filters take away"),
                () => return None,
            };
            let text = format!("{} was told of {}, {what}", watch.name(), describe(event));
            Some(Broken::on(watch, t, class, text))
        })
    })
}

pub(super) fn agree(case: &Case<'_>) -> Option<Broken> {
    let mut seen: BTreeMap<(i64, &Bytes, i32), (&Watch<'_>, &Event)> = BTreeMap::new();
    for watch in &case.watches {
        for (t, event) in watch.events() {
            let (key, revision) = kv_of(event);
            let (other, before) = *seen
                .entry((revision, key, event.r#type))
                .or_insert((watch, event));
            if before.kv != event.kv {
                let text = format!(
                    "{} was told of {} otherwise than {}",
                    watch.name(),
                    describe(event),
                    other.name()
                );
                let told = |e: &Event| {
                    let kv = e.kv.clone().unwrap_or_default();
                    format!(
                        "value {}, created at {}, version {}",
                        show(&kv.value),
                        kv.create_revision,
                        kv.version
                    )
                };
                let broken = Broken::on(watch, t, "watchers-differ", text);
                let broken = broken.fact(watch.name(), told(event));
                return Some(broken.fact(other.name(), told(before)));
            }
        }
    }
    None
}

/// How far a watch was told, by events or by bookmarks.
pub(super) fn told_through(watch: &Watch<'_>) -> i64 {
    let events = watch.events().map(|(_, event)| kv_of(event).1).max();
    let bookmarks = watch.bookmarks().map(|(_, revision)| revision).max();
    events.unwrap_or(0).max(bookmarks.unwrap_or(0))
}

/// When it first heard something of a later revision than this.
pub(super) fn passed_at(watch: &Watch<'_>, revision_: i64) -> u64 {
    let later = watch.heard.iter().find(|(_, response)| {
        response.events.iter().any(|e| kv_of(e).1 > revision_)
            || (response.events.is_empty() && !response.created && revision(response) >= revision_)
    });
    later.map_or(watch.heard[0].0, |(t, _)| *t)
}
