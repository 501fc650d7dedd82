//! What tenants have had lately: who has had far more than the others is the first to wait where there is not enough.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a span is. Raised: a flood is noticed later. Lowered: chance makes a tenant look like a flood.
const SPAN: Duration = Duration::from_millis(500);
/// A tenant that has had so many times what others had on average, by weight, has had far more. Raised: a flood is taken for a busy tenant. Lowered:
/// a busy one for a flood.
const FAR_MORE: u128 = 2;

/// What was had in this span and in the one before.
#[derive(Debug, Default)]
pub(super) struct Lately {
    began: Option<Instant>,
    now: Span,
    before: Span,
}

#[derive(Debug, Default)]
struct Span {
    tenants: HashMap<u64, Had>,
    cost: u64,
    weights: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Had {
    cost: u64,
    weight: u64,
}

impl Lately {
    /// A tenant asks for something of this cost. Says whether it had far more than the others in the last span.
    pub(super) fn asks(&mut self, tenant: u64, weight: u64, cost: u64, now: Instant) -> bool {
        let age = self.began.map(|began| now.saturating_duration_since(began));
        if age.is_none_or(|age| age >= SPAN) {
            let last = std::mem::take(&mut self.now);
            self.before = if age.is_some_and(|age| age < 2 * SPAN) {
                last
            } else {
                Span::default()
            };
            self.began = Some(now);
        }
        self.now.add(tenant, weight, cost);
        self.before.is_far_more(tenant)
    }
}

impl Span {
    fn add(&mut self, tenant: u64, weight: u64, cost: u64) {
        let had = self.tenants.entry(tenant).or_default();
        self.weights = self.weights - had.weight + weight;
        self.cost += cost;
        had.weight = weight;
        had.cost += cost;
    }

    fn is_far_more(&self, tenant: u64) -> bool {
        let Some(had) = self.tenants.get(&tenant) else {
            return false;
        };
        let (weights, cost) = (u128::from(self.weights - had.weight), u128::from(self.cost - had.cost));
        // cost / weight of this one against the same of all others together; alone nobody has more.
        u128::from(had.cost) * weights > FAR_MORE * cost * u128::from(had.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_from_a_tenant_that_is_alone_or_weighs_more() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        for tenant in 1..=5 {
            lately.asks(tenant, 1, 10, start);
        }
        lately.asks(6, 1, 21, start);
        lately.asks(7, 10, 200, start);
        // The others of 6 had 250 for 15 of weight, those of 7 had 71 for 6.
        let after = start + SPAN;
        assert!(!lately.asks(1, 1, 1, after) && !lately.asks(6, 1, 1, after) && !lately.asks(7, 10, 1, after));
        lately.asks(6, 1, 100, after);
        let later = after + SPAN;
        assert!(lately.asks(6, 1, 1, later), "it had far more in the last span");
        assert!(
            !lately.asks(1, 1, 1, later) && !lately.asks(8, 1, 1, later),
            "others not, or were not there"
        );
        lately.asks(6, 1, 1_000, later);
        assert!(!lately.asks(6, 1, 1, later + 3 * SPAN), "what was long ago does not count");
        assert!(!lately.asks(6, 1, 1, later + 4 * SPAN), "alone nobody has more");
    }
}
