//! Several scripts as one.

use crate::load::Script;
use crate::random::Random;

/// Requests of several scripts in random order, each as often as its share. The class is the place of the script.
pub struct Mix {
    parts: Vec<(u64, Box<dyn Script>)>,
    random: Random,
    /// The place of the script that has asked last.
    asked: usize,
}

impl Mix {
    /// Each script with its share; one of them is above zero.
    pub fn new(parts: Vec<(u64, Box<dyn Script>)>, seed: u64) -> Self {
        Self {
            parts,
            random: Random::new(seed),
            asked: 0,
        }
    }
}

impl Script for Mix {
    fn request(&mut self, out: &mut Vec<u8>) -> usize {
        let mut drawn = self.random.below(self.parts.iter().map(|(share, _)| share).sum());
        self.asked = 0;
        while drawn >= self.parts[self.asked].0 {
            drawn -= self.parts[self.asked].0;
            self.asked += 1;
        }
        self.parts[self.asked].1.request(out);
        self.asked
    }

    fn check(&mut self, status: u16, body: &[u8]) -> Result<(), String> {
        self.parts[self.asked].1.check(status, body)
    }
}
