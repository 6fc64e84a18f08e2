//! Directories: the names that a process sees, and those that are durable.

use super::fault::Region;
use super::loss::biased_prefix;
use crate::rng::{Draw, Keyed, Streams};
use squall_api::Open;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Component, Path, PathBuf};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A file's number, never used again.
pub(super) type Ino = usize;

/// The directories of every disk; the first is the root.
const DIRS: [&str; 3] = ["", "wal", "db"];

/// The whole tree.
#[derive(Clone)]
pub(super) struct Names {
    dirs: [Dir; DIRS.len()],
    /// How many changes were ever made.
    changes: u64,
}

/// A name's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    dir: usize,
    name: String,
}

/// One directory.
///
/// Lanes overlap in time, so a change may come after one with a later stamp;
/// `pending` is kept in the order of stamps.
#[derive(Clone)]
struct Dir {
    visible: BTreeMap<String, Ino>,
    durable: BTreeMap<String, Ino>,
    pending: Vec<Change>,
    /// Syncs whose end may be yet to come: (end, begin).
    syncs: VecDeque<(u64, u64)>,
    sync_draws: Keyed,
    /// How often it was synced.
    synced: u64,
    /// How often each name was created.
    created: BTreeMap<String, u64>,
}

/// One atomic change of one directory.
#[derive(Clone)]
struct Change {
    stamp: u64,
    /// Unique in the tree.
    number: u64,
    /// Names, and the files that they mean from now on.
    sets: Vec<(String, Option<Ino>)>,
    /// The other half of a rename: its directory and number.
    other_half: Option<(usize, u64)>,
}

impl Names {
    /// The empty directories of a node's disk.
    pub(super) fn new(node: u64, streams: &Streams) -> Names {
        Names {
            dirs: DIRS.map(|path| Dir {
                visible: BTreeMap::new(),
                durable: BTreeMap::new(),
                pending: Vec::new(),
                syncs: VecDeque::new(),
                sync_draws: streams
                    .keyed("disk/sync_dir", xxh3_64_with_seed(path.as_bytes(), node)),
                synced: 0,
                created: BTreeMap::new(),
            }),
            changes: 0,
        }
    }

    /// The file of that name.
    pub(super) fn find(&self, place: &Place) -> io::Result<Ino> {
        if place.is_dir() {
            return Err(place.is_a_directory());
        }
        let found = self.dirs[place.dir].visible.get(&place.name);
        found.copied().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{}: no such file", place.path().display()),
            )
        })
    }

    /// Whether [`Disk::open`](squall_api::Disk::open) has to create the file,
    /// or which it is.
    pub(super) fn open(&self, place: &Place, how: Open) -> io::Result<Option<Ino>> {
        match (how, self.find(place)) {
            (Open::Existing, found) => found.map(Some),
            (Open::New, Err(e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            (Open::New, _) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{}: exists already", place.path().display()),
            )),
        }
    }

    /// A number for the file about to be created: its node, its name and how
    /// often that name was created, so that files do not shift each other.
    pub(super) fn new_key(&mut self, node: u64, place: &Place) -> u64 {
        let times = self.dirs[place.dir]
            .created
            .entry(place.name.clone())
            .or_default();
        *times += 1;
        let name = xxh3_64(place.path().as_os_str().as_encoded_bytes());
        let parts = [node, name, *times].map(u64::to_le_bytes);
        xxh3_64(parts.as_flattened())
    }

    /// Gives a new file its name.
    pub(super) fn link(&mut self, stamp: u64, place: &Place, ino: Ino) {
        self.change(
            stamp,
            place.dir,
            vec![(place.name.clone(), Some(ino))],
            None,
        );
    }

    /// Takes a name away.
    pub(super) fn unlink(&mut self, stamp: u64, place: &Place) {
        self.change(stamp, place.dir, vec![(place.name.clone(), None)], None);
    }

    /// Moves a file to another name, whatever that meant.
    pub(super) fn rename(&mut self, stamp: u64, from: &Place, to: &Place, ino: Ino) {
        let gone = (from.name.clone(), None);
        let come = (to.name.clone(), Some(ino));
        if from.dir == to.dir {
            self.change(stamp, from.dir, vec![gone, come], None);
        } else {
            let number = self.change(stamp, from.dir, vec![gone], None);
            self.change(stamp, to.dir, vec![come], Some((from.dir, number)));
        }
    }

    /// The files of a directory that is known by its path.
    pub(super) fn files_in(&self, dir: &str) -> impl Iterator<Item = Ino> {
        let place = DIRS.iter().position(|path| *path == dir);
        let dirs = place.map(|place| &self.dirs[place]);
        dirs.into_iter()
            .flat_map(|dir| dir.visible.values().copied())
    }

    /// The files of a directory, by name.
    pub(super) fn list(&self, dir: usize) -> Vec<PathBuf> {
        let names = self.dirs[dir].visible.keys();
        names.map(|name| Path::new(DIRS[dir]).join(name)).collect()
    }

    /// The draws of a directory's syncs.
    pub(super) fn sync_draws(&mut self, dir: usize) -> &mut Keyed {
        &mut self.dirs[dir].sync_draws
    }

    /// Counts a sync of a directory. Returns what the directory is known as to
    /// draws, and how many syncs it had.
    pub(super) fn count_sync(&mut self, dir: usize, node: u64) -> (u64, u64) {
        self.dirs[dir].synced += 1;
        let key = xxh3_64_with_seed(DIRS[dir].as_bytes(), node);
        (key, self.dirs[dir].synced)
    }

    /// The path of a directory: "", "wal" or "db".
    pub(super) fn home(dir: usize) -> &'static str {
        DIRS[dir]
    }

    /// A name of a file, if it has one; else the empty path.
    pub(super) fn path_of(&self, ino: Ino) -> PathBuf {
        let dirs = DIRS.iter().zip(&self.dirs);
        let mut names = dirs.flat_map(|(path, dir)| {
            let names = dir.visible.iter().filter(|(_, found)| **found == ino);
            names.map(move |(name, _)| Path::new(path).join(name))
        });
        names.next().unwrap_or_default()
    }

    /// A sync of a directory, from `begin` to `end`.
    pub(super) fn sync(&mut self, dir: usize, begin: u64, end: u64) {
        self.dirs[dir].syncs.push_back((end, begin));
    }

    /// Takes over the syncs that have ended by `t`. Returns whether names are
    /// durable that were not.
    pub(super) fn settle(&mut self, t: u64) -> bool {
        if self.dirs.iter().all(|dir| dir.syncs.is_empty()) {
            return false;
        }
        let mut counts = [0; DIRS.len()];
        for (dir, count) in self.dirs.iter_mut().zip(&mut counts) {
            let Dir { syncs, pending, .. } = dir;
            // Syncs of overlapping lanes need not end in the order of their begins.
            syncs.retain(|(end, begin)| {
                if *end <= t {
                    *count = (*count).max(pending.partition_point(|change| change.stamp <= *begin));
                }
                *end > t
            });
        }
        if counts == [0; DIRS.len()] {
            return false;
        }
        self.make_durable(counts);
        true
    }

    /// Forgets what was done after `at`, and the syncs that had not ended.
    pub(super) fn cut(&mut self, at: u64) {
        self.settle(at);
        for dir in &mut self.dirs {
            dir.syncs.clear();
            dir.pending.retain(|change| change.stamp <= at);
        }
        self.show_pending();
    }

    /// Power was lost, and no pending change had reached the disk.
    pub(super) fn lose(&mut self) {
        for dir in &mut self.dirs {
            dir.pending.clear();
        }
        self.show_pending();
    }

    /// How many changes of each directory are pending.
    pub(super) fn pending(&self) -> [usize; DIRS.len()] {
        std::array::from_fn(|dir| self.dirs[dir].pending.len())
    }

    /// Power was lost, and so many of the pending changes of each directory had
    /// reached the disk.
    pub(super) fn lose_but(&mut self, counts: [usize; DIRS.len()]) {
        self.make_durable(counts);
        self.lose();
    }

    /// After a power loss: one of the names in a region is lost, drawn from
    /// them all. Returns which, if there was one.
    pub(super) fn drop_name(&mut self, region: Region, draw: &mut Draw) -> Option<PathBuf> {
        let dirs = (0..DIRS.len()).filter(|dir| region.has(DIRS[*dir]));
        let mut names: Vec<(usize, String)> = dirs
            .flat_map(|dir| {
                let names = self.dirs[dir].durable.keys();
                names.map(move |name| (dir, name.clone()))
            })
            .collect();
        if names.is_empty() {
            return None;
        }
        let at = draw.below(names.len() as u64) as usize;
        let (dir, name) = names.swap_remove(at);
        self.dirs[dir].durable.remove(&name);
        self.dirs[dir].visible.remove(&name);
        Some(Path::new(DIRS[dir]).join(name))
    }

    /// Power was lost, and in each directory a prefix of the pending changes
    /// had reached the disk. A rename between directories is journaled as one:
    /// it happened in both or in neither.
    pub(super) fn tear(&mut self, draws: &mut Keyed) {
        let counts = std::array::from_fn(|dir| {
            biased_prefix(&mut draws.next(), self.dirs[dir].pending.len())
        });
        self.lose_but(counts);
    }

    /// Every file that has a name, or would have after a crash.
    pub(super) fn referenced(&self) -> BTreeSet<Ino> {
        let mut files = self.named();
        for dir in &self.dirs {
            files.extend(dir.durable.values());
            let sets = dir.pending.iter().flat_map(|change| &change.sets);
            files.extend(sets.filter_map(|(_, ino)| *ino));
        }
        files
    }

    /// Every file that a process can open.
    pub(super) fn named(&self) -> BTreeSet<Ino> {
        self.dirs
            .iter()
            .flat_map(|dir| dir.visible.values().copied())
            .collect()
    }

    /// Makes a change, and binds it to its other half, if it has one. Returns
    /// its number.
    fn change(
        &mut self,
        stamp: u64,
        dir: usize,
        sets: Vec<(String, Option<Ino>)>,
        other_half: Option<(usize, u64)>,
    ) -> u64 {
        self.changes += 1;
        let number = self.changes;
        if let Some((other, its_number)) = other_half {
            let mut others = self.dirs[other].pending.iter_mut();
            let half = others.find(|half| half.number == its_number);
            half.expect("the first half was just made").other_half = Some((dir, number));
        }
        let change = Change {
            stamp,
            number,
            sets,
            other_half,
        };
        let dir = &mut self.dirs[dir];
        change.apply(&mut dir.visible);
        let place = dir
            .pending
            .partition_point(|earlier| earlier.stamp <= stamp);
        dir.pending.insert(place, change);
        number
    }

    /// So many pending changes of each directory are durable, and those that a
    /// rename between directories binds to them.
    fn make_durable(&mut self, mut counts: [usize; DIRS.len()]) {
        loop {
            let before = counts;
            for dir in 0..DIRS.len() {
                for change in &self.dirs[dir].pending[..counts[dir]] {
                    let Some((other, number)) = change.other_half else {
                        continue;
                    };
                    let mut others = self.dirs[other].pending.iter();
                    if let Some(at) = others.position(|half| half.number == number) {
                        counts[other] = counts[other].max(at + 1);
                    }
                }
            }
            if counts == before {
                break;
            }
        }
        for (dir, count) in self.dirs.iter_mut().zip(counts) {
            for change in dir.pending.drain(..count) {
                change.apply(&mut dir.durable);
            }
        }
    }

    fn show_pending(&mut self) {
        for dir in &mut self.dirs {
            dir.visible = dir.durable.clone();
            for change in &dir.pending {
                change.apply(&mut dir.visible);
            }
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Ino>) {
        for (name, ino) in &self.sets {
            match ino {
                Some(ino) => names.insert(name.clone(), *ino),
                None => names.remove(name),
            };
        }
    }
}

impl Place {
    /// Where a path leads.
    pub(super) fn of(path: &Path) -> io::Result<Place> {
        let parts = parts(path);
        let place = match parts.as_deref() {
            Some([name]) => Some((0, name)),
            Some([dir, name]) => directory(dir).map(|dir| (dir, name)),
            _ => None,
        };
        match place {
            Some((dir, name)) => Ok(Place {
                dir,
                name: (*name).to_owned(),
            }),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "{}: not in a directory of this disk, which are the root, wal and db",
                    path.display()
                ),
            )),
        }
    }

    /// The directory's path.
    pub(super) fn home(&self) -> &'static str {
        DIRS[self.dir]
    }

    /// Whether a directory is there, and no file can be.
    pub(super) fn is_dir(&self) -> bool {
        self.dir == 0 && directory(&self.name).is_some()
    }

    /// The error for whoever took it for a file.
    pub(super) fn is_a_directory(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::IsADirectory,
            format!("{}: is a directory", self.path().display()),
        )
    }

    /// The path that leads here.
    fn path(&self) -> PathBuf {
        Path::new(DIRS[self.dir]).join(&self.name)
    }
}

/// Which directory a path names.
pub(super) fn dir_of(path: &Path) -> io::Result<usize> {
    let dir = match parts(path).as_deref() {
        Some([]) => Some(0),
        Some([name]) => directory(name),
        _ => None,
    };
    dir.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "{}: not a directory of this disk, which are the root, wal and db",
                path.display()
            ),
        )
    })
}

fn directory(name: &str) -> Option<usize> {
    (1..DIRS.len()).find(|dir| DIRS[*dir] == name)
}

/// The names in a relative path; `None` if it leads out, or is no UTF-8.
fn parts(path: &Path) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    Some(parts)
}
