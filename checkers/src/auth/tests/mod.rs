//! Each rule's cases, one line a case: what happened, and what is to be said.

mod damage;
mod story;

use super::Took;
use squall_api::pb::authpb::UserAddOptions;
use squall_api::pb::authpb::permission::Type;
use squall_api::{AuthRequest, Code, pb};
use squall_record::{Call, Op};
use story::*;

#[test]
fn each_rule_says_what_it_should() {
    let machine = auth(AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: "m".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..pb::AuthUserAddRequest::default()
    }));
    let later = |story: Story, call: Call| {
        // While u's token stays what it is, root does something.
        story.shows("root.1").ok(call).shows("u.2")
    };
    let table: Vec<(&str, Story, &[&str])> = vec![
        (
            "what may be done is done",
            as_user().ok(put("b")).ok(get("a", "c")),
            &[],
        ),
        (
            "what may not is not",
            as_user().no(put("d"), DENIED).no(get("a", "d"), DENIED),
            &[],
        ),
        (
            "a put without permission",
            as_user().ok(put("d")),
            &["auth.permitted/served"],
        ),
        (
            "a read across a gap",
            as_user().ok(get("a", "y")),
            &["auth.permitted/served"],
        ),
        (
            "a needless refusal",
            as_user().no(put("b"), DENIED),
            &["auth.refused/needless"],
        ),
        (
            "a needless refusal of a read",
            as_user().no(get("x", ""), DENIED),
            &["auth.refused/needless"],
        ),
        (
            "root may everything",
            ready()
                .ok(put("q"))
                .ok(Call::HashKv(pb::HashKvRequest::default())),
            &[],
        ),
        (
            "root is refused",
            ready().no(put("q"), DENIED),
            &["auth.refused/needless"],
        ),
        (
            "root's alone",
            as_user().ok(Call::HashKv(pb::HashKvRequest::default())),
            &["auth.permitted/served"],
        ),
        (
            "nobody is served",
            ready().shows("").ok(put("a")),
            &["auth.permitted/anonymous"],
        ),
        (
            "a token that nobody was given",
            ready().shows("?.9").ok(put("a")),
            &["auth.permitted/made-up-token"],
        ),
        ("before it is enabled", Story::default().ok(put("a")), &[]),
        (
            "a user manages",
            as_user().ok(grant("role", Type::Read, "d", "")),
            &["auth.permitted/served"],
        ),
        (
            "a user looks at itself",
            as_user().ok(auth(AuthRequest::UserGet(pb::AuthUserGetRequest {
                name: "u".into(),
            }))),
            &[],
        ),
        (
            "a user looks at another",
            as_user().ok(auth(AuthRequest::UserGet(pb::AuthUserGetRequest {
                name: "root".into(),
            }))),
            &["auth.permitted/served"],
        ),
        (
            "the branch that is not taken",
            as_user().ok(branches("d")),
            &["auth.permitted/served"],
        ),
        (
            "a branch that may be taken",
            as_user().ok(branches("b")),
            &[],
        ),
        (
            "a revocation is honoured",
            later(as_user(), revoke("role", "a", "c")).no(put("b"), DENIED),
            &[],
        ),
        (
            "a revocation is not",
            later(as_user(), revoke("role", "a", "c")).ok(put("b")),
            &["auth.permitted/served"],
        ),
        (
            "a role that was taken",
            later(as_user(), take("u", "role")).ok(put("b")),
            &["auth.permitted/served"],
        ),
        (
            "a lost revocation may be",
            later(as_user(), put("z"))
                .shows("root.1")
                .lost(revoke("role", "a", "c"))
                .shows("u.2")
                .ok(put("b"))
                .no(put("b"), DENIED),
            &[],
        ),
        (
            "a stale read may be local",
            later(as_user(), revoke("role", "a", "c")).ok(serializable("b")),
            &[],
        ),
        (
            "nobody ever granted it",
            as_user().ok(serializable("d")),
            &["auth.permitted/served"],
        ),
        (
            "a downgrade to reading",
            later(as_user(), grant("role", Type::Read, "x", ""))
                .ok(get("x", ""))
                .ok(put("x")),
            &["auth.permitted/served"],
        ),
        (
            "it is disabled",
            later(as_user(), disable()).ok(put("d")),
            &[],
        ),
        (
            "somebody else's lease",
            later(watched().log_in("u", "pw", "u.2"), leased("d")).ok(lease_revoke()),
            &["auth.permitted/served"],
        ),
        (
            "one's own lease",
            watched()
                .log_in("u", "pw", "u.2")
                .ok(leased("b"))
                .ok(lease_revoke()),
            &[],
        ),
        (
            "a lease whose key moved on",
            later(
                later(watched().log_in("u", "pw", "u.2"), leased("d")),
                put("d"),
            )
            .ok(lease_revoke()),
            &[],
        ),
        (
            "anybody ends a lease without keys",
            watched().shows("").ok(lease_revoke()),
            &[],
        ),
        (
            "nobody ends one with keys",
            watched().ok(leased("d")).shows("").ok(lease_revoke()),
            &["auth.permitted/anonymous"],
        ),
        (
            "a wrong password",
            ready().log_in("u", "pq", "u.2"),
            &["auth.logins/wrong-password"],
        ),
        (
            "no password at all",
            ready().ok(machine.clone()).log_in("m", "", "m.2"),
            &["auth.logins/wrong-password"],
        ),
        (
            "a right password",
            ready().log_in_refused("u", "pw"),
            &["auth.logins/right-password"],
        ),
        (
            "a wrong one is refused",
            ready().log_in_refused("u", "pq").log_in_refused("v", ""),
            &[],
        ),
        (
            "an old password",
            ready().ok(password("u", "new")).log_in("u", "pw", "u.2"),
            &["auth.logins/wrong-password"],
        ),
        (
            "enabled without root",
            Story::default().ok(enable()),
            &["auth.root/no-root"],
        ),
        (
            "not enabled without root",
            Story::default().no(
                enable(),
                (
                    Code::FailedPrecondition,
                    "etcdserver: root user does not exist",
                ),
            ),
            &[],
        ),
        (
            "a good token is refused",
            as_user().op_at(2, get("x", ""), refused(NO_TOKEN)),
            &["auth.tokens/good"],
        ),
        (
            "by a member that started since",
            as_user()
                .started(2)
                .op_at(2, get("x", ""), refused(NO_TOKEN)),
            &[],
        ),
        (
            "by another that did not",
            as_user()
                .started(1)
                .op_at(2, get("x", ""), refused(NO_TOKEN)),
            &["auth.tokens/good"],
        ),
        (
            "after its time",
            as_user().wait(2_000).no(get("x", ""), NO_TOKEN),
            &[],
        ),
        (
            "used in time",
            as_user()
                .wait(1_500)
                .ok(get("x", ""))
                .wait(1_500)
                .ok(get("x", "")),
            &[],
        ),
        (
            "taken after its time",
            as_user().ok(get("x", "")).wait(2_000).ok(get("x", "")),
            &["auth.tokens/expired"],
        ),
        (
            "perhaps used in between",
            as_user()
                .ok(get("x", ""))
                .wait(1_500)
                .lost(get("x", ""))
                .wait(1_500)
                .ok(get("x", "")),
            &[],
        ),
        (
            "of a deleted user",
            later(
                later(later(as_user(), user_delete("u")), user_add("u", "2")),
                give("u", "role"),
            )
            .ok(put("b")),
            &["auth.tokens/void"],
        ),
        (
            "of one with another password",
            later(as_user(), password("u", "2")).ok(put("b")),
            &["auth.tokens/void"],
        ),
        (
            "of a deleted user, refused",
            later(as_user(), user_delete("u")).no(put("b"), NO_TOKEN),
            &[],
        ),
        (
            "a watch is told",
            watched()
                .log_in("u", "pw", "u.2")
                .ok(put("b"))
                .watch("b", true),
            &[],
        ),
        (
            "a watch is told too much",
            {
                let story = watched().log_in("u", "pw", "u.2");
                later(story, put("d")).watch("d", true)
            },
            &["auth.watches/told"],
        ),
        (
            "a watch outlives",
            {
                let story = watched().log_in("u", "pw", "u.2");
                later(later(story, revoke("role", "a", "c")), put("b")).watch("b", true)
            },
            &["auth.watches/told"],
        ),
        (
            "a watch is ended",
            {
                let story = watched().log_in("u", "pw", "u.2");
                later(story, revoke("role", "a", "c")).watch("b", false)
            },
            &[],
        ),
        (
            "a watch is ended for nothing",
            watched()
                .log_in("u", "pw", "u.2")
                .ok(put("b"))
                .watch("b", false),
            &["auth.watches/ended"],
        ),
    ];
    for (name, story, expected) in table {
        assert_eq!(story.failures(), expected, "{name}");
    }
}

#[test]
fn the_order_of_the_log_decides_what_times_leave_open() {
    // Both calls are under way at once, and the put was applied second.
    let story = |took: Option<Vec<Took>>| {
        let mut story = as_user()
            .ok(put("b"))
            .shows("root.1")
            .ok(revoke("role", "a", "c"));
        let last = story.history.len() - 1;
        let ret = story.history[last].ret;
        story.history[last - 1].ret = ret;
        story.took = took.map(|mut took| {
            let place = |op: &Op| Took {
                op: Some(op.id),
                lease: None,
                t: op.invoke + 5 * MS,
                revision: 1,
            };
            took.extend(story.history[..last - 1].iter().map(place));
            let t = story.history[last].invoke + 5 * MS;
            for op in [last, last - 1] {
                took.push(Took {
                    op: Some(op as u64),
                    lease: None,
                    t,
                    revision: 1,
                });
            }
            took
        });
        story
    };
    assert_eq!(story(None).failures(), [""; 0]);
    assert_eq!(
        story(Some(Vec::new())).failures(),
        ["auth.permitted/served"]
    );
}
