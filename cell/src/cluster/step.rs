//! The next step from one topology to another.

use super::difference::set;
use crate::config::{CellState, Topology};
use crate::directory::GROUP;

/// A step. What is done first has to succeed; then the topology is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// What is done, in words.
    pub(crate) what: String,
    /// What has to be done before the topology is told.
    pub(crate) act: Act,
    /// The topology after it.
    pub(crate) then: Topology,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing: it is enough that the topology says so.
    Nothing,
    /// The cell gets its first members.
    Form(u64),
    /// The group has exactly these nodes for voters.
    Voters(u64, Vec<String>),
}

/// The next step; none: `current` is what is wanted.
pub(crate) fn next(current: &Topology, wanted: &Topology) -> Option<Step> {
    describe(current, wanted)
        .or_else(|| form(current, wanted))
        .or_else(|| cells(current, wanted))
        .or_else(|| voters(current, wanted))
        .or_else(|| remove(current, wanted))
}

/// Regions, nodes, addresses and plans: what is only told. Nothing goes yet.
fn describe(current: &Topology, wanted: &Topology) -> Option<Step> {
    let mut then = current.clone();
    for region in &wanted.regions {
        if !then.regions.contains(region) {
            then.regions.push(region.clone());
        }
    }
    for node in &wanted.nodes {
        match then.nodes.iter_mut().find(|known| known.name == node.name) {
            Some(known) => *known = node.clone(),
            None => then.nodes.push(node.clone()),
        }
    }
    then.plans.clone_from(&wanted.plans);
    (then != *current).then(|| Step {
        what: "tell every node of new regions, nodes, addresses and plans".to_owned(),
        act: Act::Nothing,
        then,
    })
}

fn form(current: &Topology, wanted: &Topology) -> Option<Step> {
    if let Some(new) = wanted.cells.iter().find(|cell| current.cell(cell.number).is_none()) {
        let mut then = current.clone();
        let mut cell = new.clone();
        cell.state = CellState::Forming;
        then.cells.push(cell);
        let what = format!("give the nodes of {} a place for it", new.name);
        let act = Act::Nothing;
        return Some(Step { what, act, then });
    }
    let forming = current.cells.iter().position(|cell| cell.state == CellState::Forming)?;
    let mut then = current.clone();
    then.cells[forming].state = CellState::Serving;
    let cell = &current.cells[forming];
    Some(Step {
        what: format!("give {} its first members", cell.name),
        act: Act::Form(cell.number),
        then,
    })
}

fn cells(current: &Topology, wanted: &Topology) -> Option<Step> {
    for cell in &wanted.cells {
        let Some(at) = current.cells.iter().position(|known| known.number == cell.number) else {
            continue;
        };
        let mut then = current.clone();
        let known = &mut then.cells[at];
        let mut changing = known.state == CellState::Changing;
        let Some((what, act)) = change(&cell.name, cell.number, &mut known.nodes, &cell.nodes, &mut changing) else {
            continue;
        };
        known.state = if changing { CellState::Changing } else { CellState::Serving };
        return Some(Step { what, act, then });
    }
    None
}

fn voters(current: &Topology, wanted: &Topology) -> Option<Step> {
    let mut then = current.clone();
    let (known, changing) = (&mut then.directory_voters, &mut then.directory_changing);
    let (what, act) = change("the directory", GROUP, known, &wanted.directory_voters, changing)?;
    Some(Step { what, act, then })
}

/// The next step of a group from some nodes to others: those that come get a place first, those that leave lose theirs last.
fn change(name: &str, group: u64, known: &mut Vec<String>, wanted: &[String], changing: &mut bool) -> Option<(String, Act)> {
    let new: Vec<String> = wanted.iter().filter(|node| !known.contains(node)).cloned().collect();
    if !new.is_empty() {
        let what = format!("give {} a place for {name}", new.join(", "));
        known.extend(new);
        *changing = true;
        return Some((what, Act::Nothing));
    }
    if set(known) == set(wanted) && !*changing {
        return None;
    }
    *known = wanted.to_vec();
    *changing = false;
    let what = format!("make {} the replicas of {name}", wanted.join(", "));
    Some((what, Act::Voters(group, wanted.to_vec())))
}

/// What is no longer wanted, and the order of the file.
fn remove(current: &Topology, wanted: &Topology) -> Option<Step> {
    (current != wanted).then(|| Step {
        what: "let go of what is no longer wanted".to_owned(),
        act: Act::Nothing,
        then: wanted.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn example() -> Topology {
        let text = include_str!("../../../cluster.toml");
        Config::parse(text, Path::new("cluster.toml")).expect("the example").topology
    }

    /// All steps from one to the other, in words, and what is done at each.
    fn steps(from: &Topology, to: &Topology) -> Vec<(String, Act)> {
        let (mut now, mut out) = (from.clone(), Vec::new());
        while let Some(step) = next(&now, to) {
            assert_ne!(
                step.then, now,
                "a step that changes nothing would be done for ever: {}",
                step.what
            );
            out.push((step.what, step.act));
            now = step.then;
            assert!(out.len() < 50, "{out:?}");
        }
        assert_eq!(now, *to);
        out
    }

    #[test]
    fn what_is_wanted_is_reached_from_everywhere_and_then_nothing_is_left() {
        let all = example();
        let mut small = all.clone();
        small.regions.truncate(1);
        small.nodes.truncate(3);
        small.cells.truncate(1);
        small.directory_voters.truncate(1);
        small.plans.truncate(2);
        assert!(steps(&all, &all).is_empty());
        assert!(!steps(&small, &all).is_empty());
        assert!(!steps(&all, &small).is_empty());
    }

    #[test]
    fn a_cell_grows_by_places_first_and_shrinks_by_votes_first() {
        let three = example();
        let mut one = three.clone();
        one.cells[0].nodes.truncate(1);
        let number = three.cells[0].number;
        let grown: Vec<Act> = steps(&one, &three).into_iter().map(|(_, act)| act).collect();
        assert_eq!(grown, [Act::Nothing, Act::Voters(number, three.cells[0].nodes.clone())]);
        let shrunk: Vec<Act> = steps(&three, &one).into_iter().map(|(_, act)| act).collect();
        assert_eq!(shrunk, [Act::Voters(number, one.cells[0].nodes.clone())]);
    }

    #[test]
    fn a_new_cell_is_formed_before_tenants_come_to_it() {
        let all = example();
        let mut less = all.clone();
        let new = less.cells.pop().expect("a cell");
        let step = next(&less, &all).expect("a step");
        assert_eq!(step.then.cell(new.number).map(|cell| cell.state), Some(CellState::Forming));
        let step = next(&step.then, &all).expect("a step");
        assert_eq!(step.act, Act::Form(new.number));
        assert_eq!(step.then.cell(new.number).map(|cell| cell.state), Some(CellState::Serving));
    }
}
