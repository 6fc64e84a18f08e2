//! The network: what is FIFO, what is cut, and what stays where it was.

use squall_record::DropReason;
use squall_sim::{Fate, LatencyModel, LinkFault, LinkParams, Net, Streams};

fn link(loss: f64, duplicate: f64, reorder: bool) -> LinkParams {
    LinkParams {
        latency: (1_000..=9_000).into(),
        loss,
        duplicate,
        reorder,
    }
}

fn net(seed: u64, members: LinkParams) -> Net {
    Net::new(3, members, link(1.0, 1.0, true), &Streams::new(seed))
}

/// The fates of 200 messages, one each 100 ns.
fn fates(net: &mut Net, from: u64, to: u64) -> Vec<Fate> {
    (0..200).map(|i| net.send(100 * i, from, to, 10)).collect()
}

fn arrivals(fates: &[Fate]) -> Vec<u64> {
    let times = fates.iter().flat_map(|fate| match *fate {
        Fate::Deliver(at) | Fate::Damaged { at, .. } => vec![at],
        Fate::DeliverTwice(first, second) => vec![first, second],
        Fate::Drop(_) => vec![],
    });
    times.collect()
}

#[test]
fn a_direction_is_fifo_unless_it_may_reorder() {
    let times = arrivals(&fates(&mut net(1, link(0.1, 0.3, false)), 1, 2));
    assert!(times.is_sorted());
    let times = arrivals(&fates(&mut net(1, link(0.1, 0.3, true)), 1, 2));
    assert!(!times.is_sorted());
}

#[test]
fn messages_arrive_within_the_latency() {
    for (i, fate) in fates(&mut net(1, link(0.0, 0.0, true)), 1, 2)
        .into_iter()
        .enumerate()
    {
        let Fate::Deliver(at) = fate else {
            panic!("{fate:?}")
        };
        let sent = 100 * i as u64;
        assert!((sent + 1_000..=sent + 9_000).contains(&at));
    }
}

#[test]
fn loss_and_duplication_come_as_often_as_they_should() {
    let mut net = net(5, link(0.2, 0.5, true));
    let fates: Vec<Fate> = (0..10).flat_map(|_| fates(&mut net, 2, 3)).collect();
    let lost = fates
        .iter()
        .filter(|fate| **fate == Fate::Drop(DropReason::Loss))
        .count();
    let twice = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::DeliverTwice(..)))
        .count();
    assert!((350..450).contains(&lost), "{lost} of 2,000 at 0.2");
    assert!((720..880).contains(&twice), "{twice} of 1,600 at 0.5");
    for fate in fates {
        if let Fate::DeliverTwice(first, second) = fate {
            assert!(first <= second);
        }
    }
}

#[test]
fn a_direction_is_cut_while_any_fault_cuts_it() {
    let mut net = net(1, link(0.0, 0.0, true));
    net.cut(1, 1, 2);
    net.cut(1, 1, 2);
    net.cut(2, 1, 2);
    net.cut(2, 2, 3);
    assert!(!net.connected(1, 2) && net.connected(2, 1));
    assert_eq!(net.send(0, 1, 2, 10), Fate::Drop(DropReason::Partition));
    net.heal(1);
    assert!(!net.connected(1, 2) && !net.connected(2, 3));
    net.heal(1);
    net.heal(2);
    net.heal(3);
    assert!(net.connected(1, 2) && net.connected(2, 3));
    assert!(matches!(net.send(0, 1, 2, 10), Fate::Deliver(_)));
}

#[test]
fn what_one_link_does_leaves_every_other_as_it_was() {
    let (mut busy, mut quiet) = (net(1, link(0.3, 0.3, false)), net(1, link(0.3, 0.3, false)));
    let first = fates(&mut busy, 1, 2);
    assert_ne!(first, fates(&mut busy, 2, 1));
    busy.to_member(0, 1, 1, 2);
    assert_eq!(fates(&mut busy, 1, 3), fates(&mut quiet, 1, 3));
}

#[test]
fn a_cut_that_is_removed_leaves_the_messages_after_it_as_they_were() {
    let run = |cut: bool| {
        let mut net = net(1, link(0.3, 0.3, true));
        if cut {
            net.cut(1, 1, 2);
        }
        fates(&mut net, 1, 2);
        net.heal(1);
        fates(&mut net, 1, 2)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_client_connection_is_fifo_and_loses_nothing() {
    let mut net = net(1, link(1.0, 1.0, true));
    let there: Vec<u64> = (0..200).map(|i| net.to_member(10 * i, 4, 1, 2)).collect();
    let back: Vec<u64> = (0..200).map(|i| net.to_client(10 * i, 4, 1, 2)).collect();
    assert!(there.is_sorted() && back.is_sorted());
    assert_ne!(there, back);
    assert!(there.iter().zip(0..).all(|(at, i)| *at >= 10 * i + 1_000));
    // A new connection does not wait for what the old one has under way.
    let first_of: Vec<u64> = (2..50).map(|conn| net.to_member(0, 4, conn, 2)).collect();
    assert!(first_of.iter().any(|at| *at < 3_000) && first_of.iter().any(|at| *at > 7_000));
}

#[test]
#[should_panic(expected = "no link from 1 to 4: members are 1 to 3")]
fn an_unknown_member_is_an_error() {
    net(1, link(0.0, 0.0, true)).connected(1, 4);
}

/// The latencies of 4,000 messages on a link of that model.
fn latencies(latency: LatencyModel) -> Vec<u64> {
    let params = LinkParams {
        latency,
        ..link(0.0, 0.0, true)
    };
    let mut net = net(3, params);
    let sent = (0..4_000).map(|i| match net.send(100 * i, 1, 2, 10) {
        Fate::Deliver(at) => at - 100 * i,
        other => panic!("{other:?}"),
    });
    sent.collect()
}

#[test]
fn exponential_latency_has_its_mean_and_its_tail() {
    let times = latencies(LatencyModel::Exponential {
        min: 5_000,
        mean: 1_000_000,
    });
    assert!(times.iter().all(|at| *at >= 5_000));
    let mean = times.iter().sum::<u64>() / 4_000;
    assert!((950_000..1_060_000).contains(&mean), "{mean}");
    // e^-1, e^-3: 1,471 and 199 of 4,000.
    let above = |mean: u64| {
        let above = times.iter().filter(|at| **at > 5_000 + mean * 1_000_000);
        above.count()
    };
    assert!((1_380..1_560).contains(&above(1)), "{}", above(1));
    assert!((150..250).contains(&above(3)), "{}", above(3));
}

#[test]
fn bimodal_latency_has_a_body_and_a_tail() {
    let times = latencies(LatencyModel::Bimodal {
        body: 1_000..=2_000,
        tail: 50_000..=90_000,
        tail_probability: 0.05,
    });
    let tail: Vec<&u64> = times.iter().filter(|at| **at > 2_000).collect();
    assert!((150..250).contains(&tail.len()), "{}", tail.len());
    assert!(tail.iter().all(|at| (50_000..=90_000).contains(*at)));
}

#[test]
fn damage_comes_as_often_as_it_should() {
    let mut net = net(5, link(0.0, 0.5, true));
    let corrupt = LinkFault {
        corrupt: 0.25,
        ..LinkFault::NONE
    };
    net.degrade(1, 1, 2, corrupt);
    let fates: Vec<Fate> = (0..10).flat_map(|_| fates(&mut net, 1, 2)).collect();
    let damaged = fates
        .iter()
        .filter(|fate| matches!(fate, Fate::Damaged { .. }))
        .count();
    assert!((440..560).contains(&damaged), "{damaged} of 2,000 at 0.25");
}

#[test]
fn link_time_stands_still_while_the_link_is_clogged() {
    let mut net = net(1, link(0.0, 0.0, true));
    net.clog(100, 1, 1, 2);
    net.clog(150, 2, 1, 2);
    assert!(!net.moves(1, 2) && net.moves(2, 1));
    assert_eq!(net.link_time(170, 1, 2), 100);
    assert_eq!(net.relieve(200, 1), [(1, 2)]);
    assert!(!net.moves(1, 2));
    assert_eq!(net.relieve(300, 2), [(1, 2)]);
    assert!(net.moves(1, 2));
    assert_eq!(
        (net.link_time(310, 1, 2), net.link_time(310, 2, 1)),
        (110, 310)
    );
    assert!(net.relieve(400, 2).is_empty(), "it has ended");
}
