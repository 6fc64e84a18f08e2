//! Lists by key, all in one piece of memory: histories have many keys of which
//! little is known.

use std::ops::Index;

/// A list for each key.
#[derive(Debug)]
pub(crate) struct ByKey<T> {
    /// Where each key's list begins, and where the last one ends.
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy> ByKey<T> {
    /// Sorts items by key, and leaves those of one key in their order.
    pub(crate) fn new(keys: usize, items: &[(u32, T)]) -> ByKey<T> {
        let mut starts = vec![0; keys + 1];
        for (key, _) in items {
            starts[*key as usize + 1] += 1;
        }
        for i in 0..keys {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut sorted: Vec<T> = items.iter().map(|(_, item)| *item).collect();
        for (key, item) in items {
            let at = &mut next[*key as usize];
            sorted[*at as usize] = *item;
            *at += 1;
        }
        ByKey {
            starts,
            items: sorted,
        }
    }
}

impl<T> Default for ByKey<T> {
    fn default() -> ByKey<T> {
        ByKey {
            starts: vec![0],
            items: Vec::new(),
        }
    }
}

impl<T> Index<u32> for ByKey<T> {
    type Output = [T];

    fn index(&self, key: u32) -> &[T] {
        let key = key as usize;
        &self.items[self.starts[key] as usize..self.starts[key + 1] as usize]
    }
}
