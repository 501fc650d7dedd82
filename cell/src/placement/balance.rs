//! Which tenants to move so that no cell of a region has much more to write than the others. A pure function of what was measured.
//!
//! Greedy, as balancers of other stores are: from the hottest cell to the coolest one goes the tenant that brings the two nearest to each
//! other, until the hottest is near the mean, or nothing helps. What is proposed always lowers the load of the hottest cell, so that two
//! proposals in a row do not undo each other.

/// A cell that takes fewer writes a second than this is not hot, whatever the others take.
const HOT: f64 = 50.0;
/// How much more than the mean a cell may take. Lowered: more moves for less.
const ABOVE: f64 = 1.3;
/// Most moves that are proposed at once: the load is measured anew after them.
const MOVES: usize = 20;

/// What a cell takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// The number of the cell.
    pub(crate) cell: u64,
    /// Writes a second, those of tenants that are not listed among them.
    pub(crate) writes: f64,
    /// Tenants by their numbers, and writes a second of each.
    pub(crate) tenants: Vec<(u64, f64)>,
}

/// A tenant that is to go from one cell to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Proposed {
    /// The number of the tenant.
    pub(crate) tenant: u64,
    /// The cell that it leaves.
    pub(crate) from: u64,
    /// The cell that it goes to; none: it is so much of its cell that only one of its own would help.
    pub(crate) to: Option<u64>,
    /// Its writes a second.
    pub(crate) writes: f64,
}

/// What to move, in this order.
pub(crate) fn propose(mut cells: Vec<Measured>) -> Vec<Proposed> {
    let mut proposed: Vec<Proposed> = Vec::new();
    while cells.len() > 1 && proposed.len() < MOVES {
        cells.sort_by(|one, other| other.writes.total_cmp(&one.writes).then(one.cell.cmp(&other.cell)));
        let mean = cells.iter().map(|cell| cell.writes).sum::<f64>() / cells.len() as f64;
        let [hottest, .., coolest] = cells.as_mut_slice() else { break };
        if hottest.writes < HOT || hottest.writes <= ABOVE * mean {
            break;
        }
        let gap = hottest.writes - coolest.writes;
        let distance = |writes: f64| (writes - gap / 2.0).abs();
        let best = (0..hottest.tenants.len())
            .filter(|at| hottest.tenants[*at].1 > 0.0 && hottest.tenants[*at].1 < gap)
            .min_by(|one, other| distance(hottest.tenants[*one].1).total_cmp(&distance(hottest.tenants[*other].1)));
        let Some(best) = best else {
            proposed.extend(alone(hottest));
            break;
        };
        let (tenant, writes) = hottest.tenants.remove(best);
        // Nothing comes of shifting what is hardly there.
        if writes < gap / 20.0 {
            hottest.tenants.push((tenant, writes));
            proposed.extend(alone(hottest));
            break;
        }
        hottest.writes -= writes;
        coolest.writes += writes;
        proposed.push(Proposed {
            tenant,
            from: hottest.cell,
            to: Some(coolest.cell),
            writes,
        });
    }
    proposed
}

/// The tenant that makes a cell hot by itself.
fn alone(cell: &Measured) -> Option<Proposed> {
    let largest = cell.tenants.iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
    (largest.1 > cell.writes / 2.0).then_some(Proposed {
        tenant: largest.0,
        from: cell.cell,
        to: None,
        writes: largest.1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(cell: u64, tenants: &[(u64, f64)]) -> Measured {
        Measured {
            cell,
            writes: tenants.iter().map(|(_, writes)| writes).sum(),
            tenants: tenants.to_vec(),
        }
    }

    fn after(mut cells: Vec<Measured>, proposed: &[Proposed]) -> Vec<f64> {
        for one in proposed {
            for cell in &mut cells {
                if cell.cell == one.from {
                    cell.writes -= one.writes;
                } else if Some(cell.cell) == one.to {
                    cell.writes += one.writes;
                }
            }
        }
        cells.into_iter().map(|cell| cell.writes).collect()
    }

    #[test]
    fn the_tenant_that_evens_two_cells_best_goes() {
        let cells = vec![cell(2, &[(1, 400.0), (2, 190.0), (3, 10.0)]), cell(3, &[(4, 200.0)])];
        let proposed = propose(cells.clone());
        let expected = Proposed {
            tenant: 2,
            from: 2,
            to: Some(3),
            writes: 190.0,
        };
        assert_eq!(proposed, [expected]);
        assert_eq!(after(cells, &proposed), [410.0, 390.0]);
    }

    #[test]
    fn what_is_quiet_or_even_stays() {
        for cells in [
            vec![],
            vec![cell(2, &[(1, 900.0)])],
            vec![cell(2, &[(1, 40.0)]), cell(3, &[])],
            vec![cell(2, &[(1, 100.0), (2, 20.0)]), cell(3, &[(3, 100.0)])],
        ] {
            assert_eq!(propose(cells), []);
        }
    }

    #[test]
    fn a_tenant_that_is_the_heat_itself_gets_a_cell_of_its_own() {
        let proposed = propose(vec![cell(2, &[(1, 900.0), (2, 5.0)]), cell(3, &[(3, 2.0)])]);
        assert_eq!(proposed.last().map(|one| (one.tenant, one.to)), Some((1, None)));
    }

    #[test]
    fn no_proposal_makes_the_hottest_cell_hotter() {
        // A generator of Lehmer's, for loads of any shape.
        let mut seed: u64 = 7;
        let mut draw = |below: u64| {
            seed = seed * 48_271 % 2_147_483_647;
            seed % below
        };
        for _ in 0..500 {
            let mut number = 0;
            let cells: Vec<Measured> = (0..2 + draw(4))
                .map(|place| {
                    let tenants: Vec<_> = (0..draw(12))
                        .map(|_| {
                            number += 1;
                            (number, draw(1_000) as f64 / (1 + draw(9)) as f64)
                        })
                        .collect();
                    cell(place + 2, &tenants)
                })
                .collect();
            let hottest = |loads: Vec<f64>| loads.into_iter().fold(0.0, f64::max);
            let proposed = propose(cells.clone());
            let (before, then) = (hottest(after(cells.clone(), &[])), hottest(after(cells, &proposed)));
            assert!(then <= before + 1e-9, "{before} {then}");
            let mut moved: Vec<_> = proposed.iter().map(|one| (one.tenant, one.from)).collect();
            moved.dedup();
            assert_eq!(moved.len(), proposed.len());
        }
    }
}
