//! A directed graph whose edges say why, its strongly connected parts, and shortest cycles in them.
//!
//! Parts are found with Tarjan, "Depth-first search and linear graph algorithms" (SIAM J. Comput. 1, 1972), with a stack of its own
//! instead of recursion; cycles with breadth-first search inside one part.

use std::collections::{HashMap, HashSet, VecDeque};

/// Why one transaction comes before another. Each is a bit, so that a set of them is a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Why {
    /// The second appended right behind what the first appended.
    WriteWrite = 1,
    /// The second read what the first appended.
    WriteRead = 2,
    /// The first read a list before the second appended to it.
    ReadWrite = 4,
    /// The first was acknowledged before the second began.
    RealTime = 8,
}

/// A node of a cycle and why it comes before the next.
pub(super) type Step = (usize, Why);

/// The graph.
#[derive(Default)]
pub(super) struct Graph {
    edges: Vec<Vec<Step>>,
}

impl Graph {
    /// One more node; its number.
    pub(super) fn add_node(&mut self) -> usize {
        self.edges.push(Vec::new());
        self.edges.len() - 1
    }

    /// One more edge, if it does not lead back to where it starts.
    pub(super) fn add_edge(&mut self, from: usize, to: usize, why: Why) {
        if from != to {
            self.edges[from].push((to, why));
        }
    }

    fn followers(&self, node: usize, mask: u8) -> impl Iterator<Item = Step> + '_ {
        self.edges[node]
            .iter()
            .copied()
            .filter(move |(_, why)| *why as u8 & mask != 0)
    }

    /// The strongly connected parts of more than one node, by edges of `mask` alone.
    pub(super) fn parts(&self, mask: u8) -> Vec<Vec<usize>> {
        let mut tarjan = Tarjan {
            index: vec![UNSEEN; self.edges.len()],
            low: vec![0; self.edges.len()],
            is_open: vec![false; self.edges.len()],
            open: Vec::new(),
            next: 0,
            parts: Vec::new(),
        };
        for root in 0..self.edges.len() {
            if tarjan.index[root] == UNSEEN {
                tarjan.walk(self, root, mask);
            }
        }
        tarjan.parts
    }

    /// A shortest cycle through the edge, on by edges of `mask` inside the part.
    pub(super) fn cycle_through(&self, from: usize, (to, why): Step, mask: u8, part: &HashSet<usize>) -> Option<Vec<Step>> {
        let mut reached: HashMap<usize, Step> = HashMap::new();
        let mut queue = VecDeque::from([to]);
        while let Some(node) = queue.pop_front() {
            if node == from {
                let mut cycle = Vec::new();
                let mut at = from;
                while at != to {
                    let (before, why) = reached[&at];
                    cycle.push((before, why));
                    at = before;
                }
                cycle.push((from, why));
                cycle.reverse();
                return Some(cycle);
            }
            for (next, why) in self.followers(node, mask) {
                if next != to && part.contains(&next) && !reached.contains_key(&next) {
                    reached.insert(next, (node, why));
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// The edges inside a part.
    pub(super) fn edges_of<'a>(&'a self, part: &'a HashSet<usize>, mask: u8) -> impl Iterator<Item = (usize, Step)> + 'a {
        let mut nodes: Vec<_> = part.iter().copied().collect();
        nodes.sort_unstable();
        nodes.into_iter().flat_map(move |node| {
            let inside = self.followers(node, mask).filter(|(to, _)| part.contains(to));
            inside.map(move |step| (node, step))
        })
    }
}

const UNSEEN: usize = usize::MAX;

struct Tarjan {
    index: Vec<usize>,
    low: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    next: usize,
    parts: Vec<Vec<usize>>,
}

impl Tarjan {
    fn walk(&mut self, graph: &Graph, root: usize, mask: u8) {
        let mut path = vec![(root, 0)];
        self.enter(root);
        while let Some((node, at)) = path.last_mut() {
            let node = *node;
            let Some((next, why)) = graph.edges[node].get(*at).copied() else {
                path.pop();
                self.leave(node);
                if let Some((parent, _)) = path.last() {
                    self.low[*parent] = self.low[*parent].min(self.low[node]);
                }
                continue;
            };
            *at += 1;
            if why as u8 & mask == 0 {
                continue;
            }
            if self.index[next] == UNSEEN {
                self.enter(next);
                path.push((next, 0));
            } else if self.is_open[next] {
                self.low[node] = self.low[node].min(self.index[next]);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.index[node] = self.next;
        self.low[node] = self.next;
        self.next += 1;
        self.open.push(node);
        self.is_open[node] = true;
    }

    /// Takes the part off the stack if the node is its first.
    fn leave(&mut self, node: usize) {
        if self.low[node] != self.index[node] {
            return;
        }
        let from = self.open.iter().rposition(|open| *open == node).unwrap_or(0);
        let part = self.open.split_off(from);
        for node in &part {
            self.is_open[*node] = false;
        }
        if part.len() > 1 {
            self.parts.push(part);
        }
    }
}
