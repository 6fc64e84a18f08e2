//! Damage to right histories.

use super::story::*;
use squall_api::AuthRequest;
use squall_api::Code;
use squall_api::pb::authpb::permission::Type;
use squall_record::{Call, Op, Outcome, Why, seconds};

/// Right histories, and what is wrong once one answer in them is turned round.
#[test]
fn every_damage_to_a_right_history_is_seen() {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};
    type Damage = (&'static str, fn(&mut Op) -> bool);
    let damages: [Damage; 8] = [
        ("auth.permitted", |op| {
            let hit = matches!(&op.outcome, Outcome::Refused(s) if s.code == DENIED.0);
            if hit {
                op.outcome = done(&op.call);
            }
            hit
        }),
        ("auth.refused", |op| {
            let hit = op.token == "u.2" && matches!(op.outcome, Outcome::Ok(_));
            if hit {
                op.outcome = refused(DENIED);
            }
            hit
        }),
        ("auth.tokens", |op| {
            let hit = op.token == "u.2" && matches!(op.outcome, Outcome::Ok(_));
            if hit {
                op.outcome = refused(NO_TOKEN);
            }
            hit
        }),
        ("auth.logins", |op| match &mut op.call {
            Call::Auth(AuthRequest::Authenticate(asked)) => {
                asked.password.push('!');
                true
            }
            _ => false,
        }),
        // What breaks nothing is nobody's.
        ("", |op| {
            let hit = op.token == "u.2" && matches!(op.outcome, Outcome::Ok(_));
            if hit {
                op.outcome = Outcome::Unknown(Why::Timeout);
            }
            hit
        }),
        ("", |op| {
            let hit = matches!(&op.outcome, Outcome::Refused(s) if s.code == DENIED.0);
            if hit {
                op.outcome = refused((Code::Unavailable, "etcdserver: no leader"));
            }
            hit
        }),
        ("", |op| {
            let hit = op.token == "u.2" && matches!(op.outcome, Outcome::Ok(_));
            op.member = if hit { 2 } else { op.member };
            hit
        }),
        ("", |op| {
            op.ret = op.ret.map(|ret| ret + MS);
            true
        }),
    ];
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: u32| rng.next_u32() % n;
        let keys = ["a", "b", "c", "d", "e"];
        let mut may = [true, true, false, false, false];
        let mut story = as_user();
        for _ in 0..60 {
            let n = below(5) as usize;
            let key = keys[n];
            // The first two come with the span that the user has from the start.
            story = match below(4) {
                0 if n > 1 => {
                    may[n] = !may[n];
                    let call = match may[n] {
                        true => grant("role", Type::Readwrite, key, ""),
                        false => revoke("role", key, ""),
                    };
                    story.shows("root.1").ok(call)
                }
                1 => {
                    let call = get(key, "");
                    let story = story.shows("u.2");
                    match may[n] {
                        true => story.ok(call),
                        false => story.no(call, DENIED),
                    }
                }
                _ => {
                    let story = story.shows("u.2");
                    match may[n] {
                        true => story.ok(put(key)),
                        false => story.no(put(key), DENIED),
                    }
                }
            };
        }
        // Long pauses are no part of this.
        let story = Story {
            events: Vec::new(),
            ..story
        };
        let found = story.failures();
        let expired = |found: &[String]| found.iter().all(|f| f.starts_with("auth.tokens/expired"));
        assert!(expired(&found), "seed {seed}: {found:?}");
        for (check, damage) in damages {
            let mut broken = story.clone();
            let hit = broken
                .history
                .iter_mut()
                .rev()
                .find_map(|op| damage(op).then_some(op.id));
            let Some(id) = hit else { continue };
            let found = broken.failures();
            if check.is_empty() {
                let new = found.iter().any(|f| !f.starts_with("auth.tokens/expired"));
                assert!(!new, "seed {seed}: op {id} breaks nothing: {found:?}");
                continue;
            }
            let t = seconds(broken.history[id as usize].invoke);
            assert!(
                found.iter().any(|f| f.starts_with(check)),
                "seed {seed}: op {id} at {t} was damaged, and {check} says nothing: {found:?}"
            );
        }
    }
}
