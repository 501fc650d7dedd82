//! Why a register's history is not linearizable, in two sentences that contradict each other.
//!
//! Gibbons and Korach, "Testing Shared Memories" (SIAM J. Comput. 26, 1997), section 4: when it is known which write each read
//! follows, a write and its reads are one cluster that takes effect as one block. Cluster A comes before B if one of A's
//! operations ended before one of B's began. The history is linearizable if and only if no two clusters come before each other:
//! of a longer circle, the cluster whose operations began last contradicts another one directly. With `first_end` and `last_call`
//! of each cluster, a cluster with `first_end < last_call` is a forward zone, any other a backward one; two clusters contradict
//! each other if two forward zones overlap, or a backward zone lies inside a forward one. O(n log n).

use super::register::{ABSENT, Op, Register};
use crate::invariants::support::when;

/// A write and its reads.
struct Cluster<'a> {
    value: usize,
    first_end: i64,
    last_call: i64,
    /// The operation that ended first; none: the state before any write.
    ender: Option<Op<'a>>,
    /// The operation that began last.
    caller: Option<Op<'a>>,
}

impl Cluster<'_> {
    fn comes_before(&self, other: &Self) -> bool {
        self.first_end < other.last_call
    }

    fn is_forward(&self) -> bool {
        self.first_end < self.last_call
    }
}

/// Two values of which each must come before the other; none: it is linearizable.
pub(super) fn contradiction(register: &Register<'_>) -> Option<String> {
    let clusters = clusters(register);
    let (mut forward, backward): (Vec<_>, Vec<_>) = clusters.into_iter().partition(Cluster::is_forward);
    forward.sort_by_key(|cluster| (cluster.first_end, cluster.last_call));
    for pair in forward.windows(2) {
        if pair[1].comes_before(&pair[0]) {
            return Some(explain(register, &pair[0], &pair[1]));
        }
    }
    // The forward zones do not overlap now: only the last that began before a backward zone can hold it.
    for inner in &backward {
        let after = forward.partition_point(|outer| outer.comes_before(inner));
        let outer = after.checked_sub(1).and_then(|last| forward.get(last));
        if let Some(outer) = outer.filter(|outer| inner.comes_before(outer)) {
            return Some(explain(register, outer, inner));
        }
    }
    None
}

/// The clusters that there are.
fn clusters<'a>(register: &Register<'a>) -> Vec<Cluster<'a>> {
    let new = |value| Cluster {
        value,
        first_end: i64::MAX,
        last_call: i64::MIN,
        ender: None,
        caller: None,
    };
    let mut clusters: Vec<_> = (0..register.values.len()).map(new).collect();
    // Before any write there is none, and that began and ended before everything.
    (clusters[ABSENT].first_end, clusters[ABSENT].last_call) = (-1, -1);
    for op in &register.ops {
        let cluster = &mut clusters[op.value];
        let (call, end) = (time(op.call), time(op.end));
        if end < cluster.first_end {
            (cluster.first_end, cluster.ender) = (end, Some(*op));
        }
        if call > cluster.last_call {
            (cluster.last_call, cluster.caller) = (call, Some(*op));
        }
    }
    clusters.retain(|cluster| cluster.last_call != i64::MIN);
    clusters
}

fn time(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn explain(register: &Register<'_>, a: &Cluster<'_>, b: &Cluster<'_>) -> String {
    let name = |cluster: &Cluster<'_>| register.values[cluster.value].to_owned();
    let order = |a: &Cluster<'_>, b: &Cluster<'_>| {
        let (ender, caller) = (told(a.ender), told(b.caller));
        format!(
            "{:?} before {:?}, because {ender} ended before {caller} began",
            name(a),
            name(b)
        )
    };
    format!("{}; but {}", order(a, b), order(b, a))
}

fn told(op: Option<Op<'_>>) -> String {
    match op {
        None => "the state before any write".to_owned(),
        Some(op) => {
            let what = if op.writes { "its write" } else { "its read" };
            format!("{what} ({})", when(op.source))
        }
    }
}
