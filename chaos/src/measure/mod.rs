//! Figures on what clients notice of a fault: the longest time without an acknowledgement, what still gets done under too much
//! load, how often somebody else becomes leader for no reason, and whether flipped bits are found and mended.

pub mod elections;
pub mod failover;
pub mod flips;
pub mod overload;

/// The middle of some numbers; 0 of none.
pub(crate) fn median(numbers: &[u64]) -> u64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}
