//! The named points that a node passes, as they stand in
//! [`Output::marks`](crate::Output::marks).

/// The node stands for election.
pub const CAMPAIGNED: &str = "raft.campaigned";
/// An election timeout passed and the node asks whether it could win an election.
pub const POLLED: &str = "raft.polled";
/// So many would not vote for the node that it stands for no election.
pub const LOST_POLL: &str = "raft.lost_poll";
/// Somebody asked whether it could win in a term that the node has left behind.
pub const REFUSED_OLD_POLL: &str = "raft.refused_old_poll";
/// A (pre-)vote was asked of a node that hears its leader, or leads: ignored.
pub const KEPT_TO_LEADER: &str = "raft.kept_to_leader";
/// A leader has not heard a quorum for an election timeout.
pub const STEPPED_DOWN_ON_LOST_QUORUM: &str = "leader.stepped_down_on_lost_quorum";
/// A quorum voted for the node.
pub const BECAME_LEADER: &str = "raft.became_leader";
/// A leader saw a higher term.
pub const STEPPED_DOWN: &str = "raft.stepped_down";
/// A candidate was refused by so many that it cannot win.
pub const LOST_ELECTION: &str = "raft.lost_election";
/// A vote was granted.
pub const GRANTED_VOTE: &str = "raft.granted_vote";
/// A vote was refused because the candidate's log is behind.
pub const REFUSED_SHORTER_LOG: &str = "raft.refused_shorter_log";
/// The last term there is has been used up.
pub const TERM_EXHAUSTED: &str = "raft.term_exhausted";
/// A leader has entries in its log that it did not fsync yet, and sends them.
pub const APPENDED_BEFORE_FSYNC: &str = "leader.appended_before_fsync";
/// A leader's commit index passed its own fsync: a quorum of others was faster.
pub const COMMITTED_BEFORE_OWN_FSYNC: &str = "leader.committed_before_own_fsync";
/// A quorum has an entry of an older term, which does not commit it (Figure 8).
pub const OLD_TERM_NOT_COUNTED: &str = "raft.old_term_not_counted";
/// A leader answered a read because its clock says that nobody else leads.
pub const READ_UNDER_LEASE: &str = "leader.read_under_lease";
/// A follower dropped entries that its leader does not have.
pub const TRUNCATED_CONFLICT: &str = "raft.truncated_conflict";
/// A follower has no entry where the leader's append starts.
pub const REJECTED_APPEND: &str = "raft.rejected_append";
/// A message of an earlier term than the node's arrived.
pub const IGNORED_OLD_TERM: &str = "raft.ignored_old_term";
/// A message for somebody else arrived.
pub const IGNORED_MISADDRESSED: &str = "raft.ignored_misaddressed";
/// A message from somebody who is no member arrived.
pub const IGNORED_STRANGER: &str = "raft.ignored_stranger";
/// A message of a type that members do not send each other arrived.
pub const IGNORED_TYPE: &str = "raft.ignored_type";
/// A message contradicts itself.
pub const IGNORED_MALFORMED: &str = "raft.ignored_malformed";
/// Somebody else claims to lead in the node's own term as leader.
pub const IGNORED_SECOND_LEADER: &str = "raft.ignored_second_leader";
/// A follower acknowledges more than its leader has.
pub const IGNORED_ACK_BEYOND_LOG: &str = "raft.ignored_ack_beyond_log";
/// A leader's entries contradict what the node knows to be committed.
pub const IGNORED_CONFLICT_BELOW_COMMIT: &str = "raft.ignored_conflict_below_commit";
/// A commit index beyond the node's log arrived.
pub const CLAMPED_COMMIT: &str = "raft.clamped_commit";
/// A forwarded proposal or read reached a node that does not lead.
pub const DROPPED_FORWARD: &str = "raft.dropped_forward";
/// A proposal was forwarded to a leader twice: the network repeated it.
pub const REPEATED_FORWARD: &str = "raft.repeated_forward";
/// The answer to a forwarded read is not to a read that waits.
pub const IGNORED_STALE_READ: &str = "raft.ignored_stale_read";
/// A forwarded read was asked again: no answer came in time.
pub const REPEATED_READ: &str = "raft.repeated_read";
/// A read waits for the first commit of its leader's term.
pub const READ_BEFORE_FIRST_COMMIT: &str = "raft.read_before_first_commit";
/// A follower needs entries that its leader's log no longer has.
pub const NEEDS_SNAPSHOT: &str = "raft.needs_snapshot";
/// A snapshot left for a follower.
pub const SENT_SNAPSHOT: &str = "raft.sent_snapshot";
/// A snapshot was made too long ago: the log starts after it.
pub const SNAPSHOT_TOO_OLD: &str = "raft.snapshot_too_old";
/// A snapshot was not acknowledged in time.
pub const SNAPSHOT_TIMED_OUT: &str = "raft.snapshot_timed_out";
/// A snapshot holds nothing that is not committed here already.
pub const IGNORED_OLD_SNAPSHOT: &str = "raft.ignored_old_snapshot";
/// A snapshot's last entry is in the log: no need to install it.
pub const SNAPSHOT_IN_LOG: &str = "raft.snapshot_in_log";
/// A snapshot is being installed.
pub const INSTALLING_SNAPSHOT: &str = "raft.installing_snapshot";
/// A snapshot is installed: the log restarts after it.
pub const INSTALLED_SNAPSHOT: &str = "raft.installed_snapshot";
/// A follower is reported unreachable: it is probed until it answers.
pub const UNREACHABLE: &str = "raft.unreachable";
/// A leader was asked to hand over leadership.
pub const TRANSFERRING: &str = "raft.transferring";
/// A leader told its successor, which has all that it has, to stand for election.
pub const HANDED_OVER: &str = "leader.handed_over";
/// A transfer of leadership took too long, or was ended: the leader goes on.
pub const ABORTED_TRANSFER: &str = "leader.aborted_transfer";
/// A leader refused a proposal while it hands over leadership.
pub const REFUSED_IN_TRANSFER: &str = "leader.refused_in_transfer";
/// A leader refused a proposal: too much waits to be committed.
pub const REFUSED_UNCOMMITTED_TAIL: &str = "leader.refused_uncommitted_tail";
/// A node was told to stand for election by somebody whom it does not follow, or cannot.
pub const IGNORED_TIMEOUT_NOW: &str = "raft.ignored_timeout_now";
/// A change of membership took effect.
pub const APPLIED_CONF_CHANGE: &str = "raft.applied_conf_change";
/// A change of membership was asked of a leader that has committed nothing in its term.
pub const REFUSED_EARLY_CONF_CHANGE: &str = "leader.refused_early_conf_change";
/// A change of membership was asked of a leader while another one is under way.
pub const REFUSED_SECOND_CONF_CHANGE: &str = "leader.refused_second_conf_change";
/// A leader ends a joint change of membership by itself.
pub const LEFT_JOINT: &str = "leader.left_joint";
/// A leader is no voter any more.
pub const STEPPED_DOWN_ON_REMOVAL: &str = "leader.stepped_down_on_removal";
/// A node stands for no election before it has applied a committed change of membership.
pub const WAITED_FOR_CONF_CHANGE: &str = "raft.waited_for_conf_change";
/// A node that knows no configuration asks its leader for a snapshot.
pub const ASKED_FOR_SNAPSHOT: &str = "raft.asked_for_snapshot";

/// All of them, in the order in which they stand here.
pub const ALL: [&str; 54] = [
    CAMPAIGNED,
    POLLED,
    LOST_POLL,
    REFUSED_OLD_POLL,
    KEPT_TO_LEADER,
    STEPPED_DOWN_ON_LOST_QUORUM,
    BECAME_LEADER,
    STEPPED_DOWN,
    LOST_ELECTION,
    GRANTED_VOTE,
    REFUSED_SHORTER_LOG,
    TERM_EXHAUSTED,
    APPENDED_BEFORE_FSYNC,
    COMMITTED_BEFORE_OWN_FSYNC,
    OLD_TERM_NOT_COUNTED,
    READ_UNDER_LEASE,
    TRUNCATED_CONFLICT,
    REJECTED_APPEND,
    IGNORED_OLD_TERM,
    IGNORED_MISADDRESSED,
    IGNORED_STRANGER,
    IGNORED_TYPE,
    IGNORED_MALFORMED,
    IGNORED_SECOND_LEADER,
    IGNORED_ACK_BEYOND_LOG,
    IGNORED_CONFLICT_BELOW_COMMIT,
    CLAMPED_COMMIT,
    DROPPED_FORWARD,
    REPEATED_FORWARD,
    IGNORED_STALE_READ,
    REPEATED_READ,
    READ_BEFORE_FIRST_COMMIT,
    NEEDS_SNAPSHOT,
    SENT_SNAPSHOT,
    SNAPSHOT_TOO_OLD,
    SNAPSHOT_TIMED_OUT,
    IGNORED_OLD_SNAPSHOT,
    SNAPSHOT_IN_LOG,
    INSTALLING_SNAPSHOT,
    INSTALLED_SNAPSHOT,
    UNREACHABLE,
    TRANSFERRING,
    HANDED_OVER,
    ABORTED_TRANSFER,
    REFUSED_IN_TRANSFER,
    REFUSED_UNCOMMITTED_TAIL,
    IGNORED_TIMEOUT_NOW,
    APPLIED_CONF_CHANGE,
    REFUSED_EARLY_CONF_CHANGE,
    REFUSED_SECOND_CONF_CHANGE,
    LEFT_JOINT,
    STEPPED_DOWN_ON_REMOVAL,
    WAITED_FOR_CONF_CHANGE,
    ASKED_FOR_SNAPSHOT,
];
