//! Draws are keyed: what one entity does leaves all others as they were.

use rand_chacha::rand_core::Rng;
use squall_sim::{Draw, Streams};

fn words(mut draw: Draw) -> [u64; 8] {
    std::array::from_fn(|_| draw.range(0..=u64::MAX))
}

#[test]
fn the_nth_draw_does_not_depend_on_what_was_taken_from_those_before() {
    let streams = Streams::new(1);
    let (mut greedy, mut modest) = (streams.keyed("net", 3), streams.keyed("net", 3));
    for n in 0..100u128 {
        let all = words(greedy.next());
        let mut draw = modest.next();
        assert_eq!(draw.range(0..=u64::MAX), all[0]);
        let mut block = streams.rng("net", 3);
        block.set_word_pos(16 * n);
        assert_eq!(
            all,
            std::array::from_fn(|_| block.next_u64()),
            "draw {n} is block {n}"
        );
    }
}

#[test]
fn seed_stream_and_entity_each_make_another_stream() {
    let first = |seed, stream, entity| words(Streams::new(seed).keyed(stream, entity).next());
    let all = [
        first(1, "net", 1),
        first(2, "net", 1),
        first(1, "disk", 1),
        first(1, "net", 2),
        first(!1, "net", 1),
    ];
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            assert!(a.iter().all(|word| !b.contains(word)));
        }
    }
    assert_eq!(all[0], first(1, "net", 1));
}

#[test]
fn draws_are_what_they_were_in_earlier_builds() {
    // A seed that someone wrote down must mean the same run tomorrow.
    let mut draw = Streams::new(42).keyed("net/link", 1 << 32 | 2).next();
    let drawn = (
        draw.range(0..=u64::MAX),
        draw.below(1_000_000),
        draw.chance(0.5),
    );
    assert_eq!(drawn, (13_186_691_567_619_181_473, 354_257, true));
}

#[test]
fn answers_stay_in_their_ranges_and_fill_them() {
    let mut keyed = Streams::new(9).keyed("test", 1);
    let mut seen = [0u32; 10];
    let mut hits = 0;
    for _ in 0..10_000 {
        let mut draw = keyed.next();
        assert!(!draw.chance(0.0));
        assert!(draw.chance(1.0));
        hits += u32::from(draw.chance(0.25));
        seen[draw.below(10) as usize] += 1;
        assert!((3..=5).contains(&draw.range(3..=5)));
        assert_eq!(draw.range(8..=8), 8);
        assert!((0.0..1.0).contains(&draw.unit()));
    }
    assert!((2_300..2_700).contains(&hits), "{hits} of 10,000 at 0.25");
    assert!(seen.iter().all(|n| (850..1_150).contains(n)), "{seen:?}");
}

#[test]
#[should_panic(expected = "one event asked for more than 8 words")]
fn a_ninth_word_is_an_error_and_not_another_event_s() {
    let mut draw = Streams::new(1).keyed("test", 1).next();
    for _ in 0..9 {
        draw.unit();
    }
}
