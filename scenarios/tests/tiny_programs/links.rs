//! Links between members, and between clients and members.

use crate::made::*;
use squall_record::{DropReason, Outcome, Why};

/// Something on the link from n1 to n2, for half a second.
fn link(kind: &str, what: &str) -> Made {
    let link = format!("link = {{ from = \"n1\", to = \"n2\", {what} }}");
    lasting(kind, &link)
}

fn lasting(kind: &str, what: &str) -> Made {
    make(
        kind,
        &format!("[[fault]]\nat = \"500ms\"\nfor = \"500ms\"\n{what}\n"),
    )
}

/// What each message took that arrived once.
fn times(made: &Made) -> Vec<u64> {
    let took = made.took().into_iter();
    took.map(|times| {
        assert_eq!(times.len(), 1);
        times[0]
    })
    .collect()
}

shown! {
    a_uniform_delay_is_added = "link delay uniform", |kind| {
        let times = times(&link(kind, r#"delay = "20ms..30ms""#));
        assert_eq!(times.len(), 50);
        assert!(times.iter().all(|took| (LATENCY + 20 * MS..=LATENCY + 30 * MS).contains(took)));
    }

    an_exponential_delay_has_a_mean_and_a_tail = "link delay exponential", |kind| {
        let times = times(&link(kind, r#"delay = { min = "1ms", mean = "3ms" }"#));
        assert!(times.iter().all(|took| *took >= LATENCY + MS));
        let mean = times.iter().sum::<u64>() / times.len() as u64;
        assert!((LATENCY + 3 * MS..LATENCY + 6 * MS).contains(&mean), "{mean}");
        assert!(times.iter().any(|took| *took > LATENCY + 7 * MS));
    }

    a_bimodal_delay_has_a_body_and_a_tail = "link delay bimodal", |kind| {
        let delay = r#"delay = { body = "0ms..1ms", tail = "5ms..6ms", share = 0.3 }"#;
        let times = times(&link(kind, delay));
        let body = times.iter().filter(|took| **took <= LATENCY + MS).count();
        let tail = times.iter().filter(|took| **took >= LATENCY + 5 * MS).count();
        assert_eq!(body + tail, times.len());
        assert!((5..25).contains(&tail), "{tail} of 50 at 0.3");
    }

    a_share_is_lost = "link loss", |kind| {
        let made = link(kind, "loss = 0.5");
        let lost = made.dropped(DropReason::Loss);
        assert!((10..40).contains(&lost), "{lost} of 50 at 0.5");
        assert_eq!(made.took().iter().filter(|times| times.is_empty()).count(), lost);
    }

    a_share_arrives_twice = "link duplicate", |kind| {
        let took = link(kind, "duplicate = 0.5").took();
        let twice = took.iter().filter(|times| times.len() == 2).count();
        assert!((10..40).contains(&twice), "{twice} of 50 at 0.5");
        assert!(took.iter().all(|times| !times.is_empty()));
    }

    a_share_is_overtaken = "link reorder", |kind| {
        let took = link(kind, r#"reorder = 0.5, reorder_by = "25ms""#).took();
        let behind = took.iter().filter(|times| times[0] == LATENCY + 25 * MS).count();
        let before = took.iter().filter(|times| times[0] == LATENCY).count();
        assert_eq!(behind + before, took.len());
        assert!((10..40).contains(&behind), "{behind} of 50 at 0.5");
    }

    damage_is_noticed = "link corrupt", |kind| {
        let made = link(kind, "corrupt = 1");
        assert_eq!(made.dropped(DropReason::Corrupt), 50);
        assert!(made.took().iter().all(Vec::is_empty));
    }

    a_narrow_link_queues_and_drops = "link bandwidth", |kind| {
        // A heartbeat's frame has less than 60 bytes.
        let made = link(kind, r#"bandwidth = "1KiB", queue = "200B""#);
        let queued = made.took().into_iter().flatten().max().unwrap();
        assert!(queued > LATENCY + 100 * MS, "{queued}");
        assert!(made.dropped(DropReason::Queue) > 5);
    }

    what_is_clogged_goes_on_afterwards = "clog", |kind| {
        let made = lasting(kind, r#"clog = { from = "n1", to = "n2" }"#);
        let heard = made.heard(1, 2);
        assert!(!heard.iter().any(|t| made.during.contains(t)));
        let at_once = heard.iter().filter(|t| **t == made.during.end + LATENCY).count();
        assert!(at_once >= 49, "{at_once} made their way when they could");
    }

    what_is_held_arrives_at_the_end = "hold", |kind| {
        let made = lasting(kind, r#"hold = { from = "n1", to = "n2" }"#);
        let heard = made.heard(1, 2);
        assert!(!heard.iter().any(|t| made.during.contains(t)));
        let at_once = heard.iter().filter(|t| **t == made.during.end).count();
        assert!(at_once >= 49, "{at_once} were there already");
    }

    clients_are_heard_late = "client_link", |kind| {
        let made = lasting(kind, r#"client_link = { node = "n1", way = "calls", delay = "30ms" }"#);
        let puts = made.puts();
        assert!(puts.len() > 5 && puts.iter().all(|took| *took == PUT + 30 * MS), "{puts:?}");
    }

    what_clients_said_arrives_afterwards = "client_cut", |kind| {
        let made = lasting(kind, r#"client_cut = { node = "n1", way = "both" }"#);
        let waited = made.at_n1().find(|op| op.ret >= Some(made.during.end)).unwrap();
        assert!(matches!(waited.outcome, Outcome::Ok(_)));
        let arrived_before = waited.invoke + LATENCY < made.during.start;
        let rest = if arrived_before { 0 } else { PUT - LATENCY };
        assert_eq!(waited.ret, Some(made.during.end + rest), "it waited at a door");
    }

    connections_break = "client_reset", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\nclient_reset = { node = \"all\" }\n");
        let reset: Vec<_> = (made.history.iter())
            .filter(|op| op.outcome == Outcome::Unknown(Why::Reset))
            .collect();
        assert!(!reset.is_empty());
        for op in reset {
            assert!(op.invoke <= made.during.start);
            assert_eq!(op.ret, Some(made.during.start + LATENCY), "the reset travels, too");
        }
    }
}
