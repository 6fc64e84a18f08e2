//! Every version of every key, in one piece of memory in the order in which they
//! were written, so that the last ones can be taken back.

/// One version of a key; 0 is a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub(crate) mod_revision: i64,
    pub(crate) create_revision: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
    pub(crate) value: &'a [u8],
}

const NONE: u32 = u32::MAX;

/// A version, and where the earlier ones of its key are.
#[derive(Debug)]
struct Link<'a> {
    version: Version<'a>,
    key: u32,
    /// The one before.
    before: u32,
    /// One further back: by taking it whenever it is not too far, any earlier one
    /// is found in logarithmic time.
    jump: u32,
    /// How many come before.
    depth: u32,
}

/// Versions by key.
#[derive(Debug)]
pub(crate) struct Versions<'a> {
    links: Vec<Link<'a>>,
    /// By key: its newest version.
    newest: Vec<u32>,
}

impl<'a> Versions<'a> {
    /// None of so many keys.
    pub(crate) fn new(keys: usize) -> Versions<'a> {
        Versions {
            links: Vec::new(),
            newest: vec![NONE; keys],
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Adds a version, newer than all others.
    pub(crate) fn push(&mut self, key: u32, version: Version<'a>) {
        let before = self.newest[key as usize];
        let (mut jump, mut depth) = (before, 0);
        if let Some(b) = self.links.get(before as usize) {
            depth = b.depth + 1;
            if let Some(c) = self.links.get(b.jump as usize)
                && let Some(d) = self.links.get(c.jump as usize)
                && b.depth - c.depth == c.depth - d.depth
            {
                jump = c.jump;
            }
        }
        self.newest[key as usize] = self.links.len() as u32;
        self.links.push(Link {
            version,
            key,
            before,
            jump,
            depth,
        });
    }

    /// Takes back all but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        for link in self.links.drain(len..).rev() {
            self.newest[link.key as usize] = link.before;
        }
    }

    /// All but the first `len`, each as the newest of its key.
    pub(crate) fn since(&self, len: usize) -> impl Iterator<Item = (u32, Version<'a>)> {
        self.links[len..].iter().map(|link| {
            let newest = self.newest[link.key as usize];
            (link.key, self.links[newest as usize].version)
        })
    }

    /// A key's newest version.
    pub(crate) fn last(&self, key: u32) -> Option<&Version<'a>> {
        let newest = self.newest[key as usize];
        self.links.get(newest as usize).map(|link| &link.version)
    }

    /// A key's newest version at a revision.
    pub(crate) fn at(&self, key: u32, revision: i64) -> Option<&Version<'a>> {
        let mut link = self.links.get(self.newest[key as usize] as usize)?;
        while link.version.mod_revision > revision {
            let jump = self.links.get(link.jump as usize);
            link = match jump.filter(|j| j.version.mod_revision > revision) {
                Some(jump) => jump,
                None => self.links.get(link.before as usize)?,
            };
        }
        Some(&link.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_earlier_version_is_found_and_the_last_ones_can_be_taken_back() {
        let version = |revision| Version {
            mod_revision: revision,
            create_revision: 1,
            version: 1,
            lease: 0,
            value: &[],
        };
        let mut versions = Versions::new(3);
        for revision in 1..=1_000 {
            versions.push((revision % 3) as u32, version(revision));
        }
        for len in [1_000, 500, 3, 1] {
            versions.truncate(len);
            for key in 0..3 {
                let written = |at: i64| (1..=at.min(len as i64)).rev().find(|r| r % 3 == key);
                for at in 0..=len as i64 + 1 {
                    let found = versions.at(key as u32, at).map(|v| v.mod_revision);
                    assert_eq!(found, written(at), "key {key} at {at} of {len}");
                }
                let last = versions.last(key as u32).map(|v| v.mod_revision);
                assert_eq!(last, written(len as i64));
            }
        }
    }
}
