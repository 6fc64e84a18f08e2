//! The disk against a slow and honest model: a list of everything that was
//! done. Every crash image must be one that the list allows.

use proptest::prelude::*;
use squall_api::{Disk, File, Open, SyncId};
use squall_sim::{DiskParams, Mount, NodeDisk, PowerLoss, Streams};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR: usize = 512;
const DIRS: [&str; 3] = ["", "wal", "db"];

// --- the model ---

/// Names with their contents: what is found after a crash.
type Image = BTreeMap<PathBuf, Vec<u8>>;
type Names = BTreeMap<String, usize>;

#[derive(Default)]
struct Model {
    files: Vec<ModelFile>,
    dirs: [ModelDir; 3],
    renames: u64,
}

#[derive(Default)]
struct ModelFile {
    base: Vec<u8>,
    /// (stamp, change), ever since `base`.
    changes: Vec<(u64, FileChange)>,
    /// (end, changes covered). One that has not ended has no end.
    syncs: Vec<(Option<u64>, usize, Option<SyncId>)>,
}

struct NameChange {
    stamp: u64,
    /// Names, and what they mean then.
    sets: Vec<(String, Option<usize>)>,
    /// Which rename between directories it is half of.
    rename: Option<u64>,
}

enum FileChange {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Default)]
struct ModelDir {
    base: Names,
    changes: Vec<NameChange>,
    /// (end, begin).
    syncs: Vec<(u64, u64)>,
}

impl Model {
    /// Forgets what was done after `at`, in the order of stamps.
    fn cut(&mut self, at: u64) {
        for file in &mut self.files {
            file.changes.retain(|(stamp, _)| *stamp <= at);
            file.syncs
                .retain(|(end, ..)| end.is_some_and(|end| end <= at));
        }
        for dir in &mut self.dirs {
            dir.changes.retain(|change| change.stamp <= at);
            dir.changes.sort_by_key(|change| change.stamp);
            dir.syncs.retain(|(end, _)| *end <= at);
        }
    }

    /// After [`Model::cut`]: every way in which prefixes of the directories'
    /// changes may have happened. Renames happen as a whole.
    fn legal_names(&self) -> Vec<[Names; 3]> {
        let choices = [0, 1, 2].map(|dir| {
            let dir = &self.dirs[dir];
            let durable = dir.syncs.iter().map(|(_, begin)| {
                dir.changes
                    .iter()
                    .filter(|change| change.stamp <= *begin)
                    .count()
            });
            durable.max().unwrap_or(0)..=dir.changes.len()
        });
        let mut legal = Vec::new();
        for root in choices[0].clone() {
            for wal in choices[1].clone() {
                for db in choices[2].clone() {
                    let counts = [root, wal, db];
                    let mut halves: BTreeMap<u64, usize> = BTreeMap::new();
                    for (dir, count) in self.dirs.iter().zip(counts) {
                        for rename in dir.changes[..count]
                            .iter()
                            .filter_map(|change| change.rename)
                        {
                            *halves.entry(rename).or_default() += 1;
                        }
                    }
                    if halves.values().all(|halves| *halves == 2) {
                        legal.push([0, 1, 2].map(|dir| self.dirs[dir].names(counts[dir])));
                    }
                }
            }
        }
        legal
    }

    fn image(&self, names: &[Names; 3], content: impl Fn(&ModelFile) -> Vec<u8>) -> Image {
        let paths = names.iter().zip(DIRS).flat_map(|(names, dir)| {
            names
                .iter()
                .map(move |(name, file)| (Path::new(dir).join(name), *file))
        });
        paths
            .map(|(path, file)| (path, content(&self.files[file])))
            .collect()
    }

    fn kept(&self) -> Image {
        self.image(&self.visible(), |file| file.content(file.changes.len()))
    }

    fn visible(&self) -> [Names; 3] {
        [0, 1, 2].map(|dir| self.dirs[dir].names(self.dirs[dir].changes.len()))
    }

    fn lost(&self) -> Image {
        // The first legal choice is the least one.
        self.image(&self.legal_names()[0], |file| file.content(file.durable()))
    }

    fn is_legal_after_power_loss(&self, image: &Image) -> bool {
        self.legal_names().iter().any(|names| {
            let files: Vec<(PathBuf, usize)> = names
                .iter()
                .zip(DIRS)
                .flat_map(|(names, dir)| {
                    names
                        .iter()
                        .map(move |(name, file)| (Path::new(dir).join(name), *file))
                })
                .collect();
            files.len() == image.len()
                && files.iter().all(|(path, file)| {
                    image
                        .get(path)
                        .is_some_and(|bytes| self.files[*file].may_be(bytes))
                })
        })
    }

    fn unsynced_sectors(&self) -> u64 {
        let named: BTreeSet<usize> = self
            .visible()
            .iter()
            .flat_map(|names| names.values().copied())
            .collect();
        let sectors = named.into_iter().map(|file| {
            let file = &self.files[file];
            let mut sectors = BTreeSet::new();
            for (_, change) in &file.changes[file.durable()..] {
                if let FileChange::Write(offset, data) = change {
                    sectors.extend(offset / SECTOR..(offset + data.len()).div_ceil(SECTOR));
                }
            }
            sectors.len() as u64
        });
        sectors.sum()
    }

    /// The disk is what was found; nothing is pending.
    fn restart_from(image: &Image) -> Model {
        let mut model = Model::default();
        for (path, bytes) in image {
            let (dir, name) = split(path);
            model.dirs[dir].base.insert(name, model.files.len());
            model.files.push(ModelFile {
                base: bytes.clone(),
                ..ModelFile::default()
            });
        }
        model
    }
}

impl ModelDir {
    fn names(&self, count: usize) -> Names {
        let mut names = self.base.clone();
        for change in &self.changes[..count] {
            for (name, file) in &change.sets {
                match file {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        names
    }
}

impl ModelFile {
    /// The content after the first `count` changes.
    fn content(&self, count: usize) -> Vec<u8> {
        let mut bytes = self.base.clone();
        for (_, change) in &self.changes[..count] {
            match change {
                FileChange::Write(offset, data) => {
                    let end = offset + data.len();
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[*offset..end].copy_from_slice(data);
                }
                FileChange::SetLen(len) => bytes.resize(*len, 0),
            }
        }
        bytes
    }

    /// How many changes are durable for certain.
    fn durable(&self) -> usize {
        self.syncs
            .iter()
            .filter(|(end, ..)| end.is_some())
            .map(|sync| sync.1)
            .max()
            .unwrap_or(0)
    }

    /// Whether a power loss may leave `image`: its length is that after some
    /// prefix of the changes, and each sector is made of legal versions.
    fn may_be(&self, image: &[u8]) -> bool {
        (self.durable()..=self.changes.len()).any(|prefix| {
            self.content(prefix).len() == image.len()
                && image.chunks(SECTOR).enumerate().all(|(sector, bytes)| {
                    let versions = self.versions(sector, prefix);
                    let head = versions
                        .iter()
                        .map(|v| common(v.iter(), bytes.iter()))
                        .max();
                    let tail = versions
                        .iter()
                        .map(|v| common(v[..bytes.len()].iter().rev(), bytes.iter().rev()))
                        .max();
                    head.unwrap() + tail.unwrap() >= bytes.len()
                })
        })
    }

    /// What a sector may hold whole, if changes of length happened up to
    /// `prefix`.
    fn versions(&self, sector: usize, prefix: usize) -> Vec<Vec<u8>> {
        let start = sector * SECTOR;
        let sector_of = |count: usize| {
            let mut content = self.content(count);
            content.resize(content.len().max(start + SECTOR), 0);
            content[start..start + SECTOR].to_vec()
        };
        let durable = self.durable();
        let mut versions = vec![sector_of(durable)];
        for (i, (_, change)) in self.changes.iter().enumerate().skip(durable) {
            match change {
                FileChange::Write(offset, data) => {
                    if *offset < start + SECTOR && start < offset + data.len() {
                        versions.push(sector_of(i + 1));
                    }
                }
                FileChange::SetLen(len) => {
                    let keep = len.saturating_sub(start);
                    let cuts = *len < self.content(i).len() && keep < SECTOR;
                    if cuts && i >= prefix {
                        break;
                    }
                    if cuts {
                        versions
                            .iter_mut()
                            .for_each(|version| version[keep..].fill(0));
                    }
                }
            }
        }
        versions
    }
}

fn common<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

fn split(path: &Path) -> (usize, String) {
    let dir = path.parent().unwrap().to_str().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    (DIRS.iter().position(|known| *known == dir).unwrap(), name)
}

// --- programs ---

#[derive(Debug, Clone)]
enum Act {
    Create(usize),
    Write {
        slot: usize,
        offset: usize,
        len: usize,
    },
    SetLen {
        slot: usize,
        len: usize,
    },
    Sync(usize),
    StartSync(usize),
    Rename(usize, usize),
    Remove(usize),
    SyncDir(usize),
    /// A lane begins a step, so long after it may.
    Step {
        lane: usize,
        wait: u64,
    },
    /// A crash, at so many thousandths of the time that the step has spent.
    Crash {
        permille: u64,
        how: PowerLoss,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let slot = 0..3usize;
    let how = prop_oneof![
        Just(PowerLoss::Kept),
        Just(PowerLoss::Lost),
        Just(PowerLoss::Torn),
        Just(PowerLoss::Torn),
        (0..40u32).prop_map(PowerLoss::Image)
    ];
    prop_oneof![
        3 => slot.clone().prop_map(Act::Create),
        9 => (slot.clone(), 0..2_000usize, 1..1_200usize)
            .prop_map(|(slot, offset, len)| Act::Write { slot, offset, len }),
        4 => (slot.clone(), 0..2_500usize).prop_map(|(slot, len)| Act::SetLen { slot, len }),
        2 => slot.clone().prop_map(Act::Sync),
        2 => slot.clone().prop_map(Act::StartSync),
        2 => (slot.clone(), slot.clone()).prop_map(|(from, to)| Act::Rename(from, to)),
        1 => slot.prop_map(Act::Remove),
        2 => (0..2usize).prop_map(Act::SyncDir),
        3 => (0..2usize, 0..300u64).prop_map(|(lane, wait)| Act::Step { lane, wait }),
        1 => (0..1_200u64, how).prop_map(|(permille, how)| Act::Crash { permille, how }),
    ]
}

/// The disk, the model, and the two lanes that use them.
struct Run {
    disk: Arc<NodeDisk>,
    mount: Arc<Mount>,
    model: Model,
    /// Open files by path, with their place in the model.
    open: BTreeMap<PathBuf, (Arc<dyn File>, usize)>,
    lane: usize,
    /// When each lane's last step ends.
    free: [u64; 2],
    step: u64,
    running: Vec<(u64, SyncId)>,
    syncs: u64,
    fill: u8,
}

impl Run {
    fn new(seed: u64) -> Run {
        let params = DiskParams {
            read: 1..=20,
            write: 1..=20,
            fsync: 50..=200,
        };
        let disk = NodeDisk::new(1, params, &Streams::new(seed));
        Run {
            mount: disk.mount(),
            disk,
            model: Model::default(),
            open: BTreeMap::new(),
            lane: 0,
            free: [0; 2],
            step: 0,
            running: Vec::new(),
            syncs: 0,
            fill: 0,
        }
    }

    fn now(&self) -> u64 {
        self.step + self.disk.spent()
    }

    /// A lane's files: two in its directory, one in the root.
    fn path(&self, slot: usize) -> PathBuf {
        let dir = DIRS[1 + self.lane];
        match slot {
            0 => Path::new(dir).join("a"),
            1 => Path::new(dir).join("b"),
            _ => PathBuf::from(format!("{dir}-c")),
        }
    }

    fn change_names(
        &mut self,
        dir: usize,
        sets: Vec<(String, Option<usize>)>,
        rename: Option<u64>,
    ) {
        let stamp = self.now();
        let change = NameChange {
            stamp,
            sets,
            rename,
        };
        self.model.dirs[dir].changes.push(change);
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Create(slot) => {
                let path = self.path(slot);
                let created = self.mount.open(&path, Open::New);
                assert_eq!(created.is_ok(), !self.open.contains_key(&path));
                if let Ok(file) = created {
                    let (dir, name) = split(&path);
                    let number = self.model.files.len();
                    self.model.files.push(ModelFile::default());
                    self.change_names(dir, vec![(name, Some(number))], None);
                    self.open.insert(path, (file, number));
                }
            }
            Act::Write { slot, offset, len } => {
                if let Some((file, number)) = self.open.get(&self.path(slot)).cloned() {
                    self.fill = self.fill % 250 + 1;
                    let data = vec![self.fill; len];
                    file.write_at(offset as u64, &data).unwrap();
                    let change = (self.now(), FileChange::Write(offset, data));
                    self.model.files[number].changes.push(change);
                }
            }
            Act::SetLen { slot, len } => {
                if let Some((file, number)) = self.open.get(&self.path(slot)).cloned() {
                    file.set_len(len as u64).unwrap();
                    let change = (self.now(), FileChange::SetLen(len));
                    self.model.files[number].changes.push(change);
                }
            }
            Act::Sync(slot) => {
                if let Some((file, number)) = self.open.get(&self.path(slot)).cloned() {
                    let covered = self.model.files[number].changes.len();
                    file.sync().unwrap();
                    let end = Some(self.now());
                    self.model.files[number].syncs.push((end, covered, None));
                }
            }
            Act::StartSync(slot) => {
                if let Some((file, number)) = self.open.get(&self.path(slot)).cloned() {
                    self.syncs += 1;
                    let id = SyncId(self.syncs);
                    file.start_sync(id);
                    let covered = self.model.files[number].changes.len();
                    self.model.files[number]
                        .syncs
                        .push((None, covered, Some(id)));
                    let started = self.disk.take_started();
                    assert_eq!((started.len(), started[0].begun), (1, self.now()));
                    self.running.push((started[0].due, id));
                }
            }
            Act::Rename(from, to) => {
                let (from, to) = (self.path(from), self.path(to));
                let renamed = self.mount.rename(&from, &to);
                assert_eq!(renamed.is_ok(), self.open.contains_key(&from));
                if renamed.is_err() || from == to {
                    return;
                }
                let open = self.open.remove(&from).unwrap();
                let ((from_dir, from), (to_dir, name)) = (split(&from), split(&to));
                let (gone, come) = ((from, None), (name, Some(open.1)));
                if from_dir == to_dir {
                    self.change_names(from_dir, vec![gone, come], None);
                } else {
                    self.model.renames += 1;
                    let rename = Some(self.model.renames);
                    self.change_names(from_dir, vec![gone], rename);
                    self.change_names(to_dir, vec![come], rename);
                }
                self.open.insert(to, open);
            }
            Act::Remove(slot) => {
                let path = self.path(slot);
                let removed = self.mount.remove(&path);
                assert_eq!(removed.is_ok(), self.open.remove(&path).is_some());
                if removed.is_ok() {
                    let (dir, name) = split(&path);
                    self.change_names(dir, vec![(name, None)], None);
                }
            }
            Act::SyncDir(which) => {
                let dir = [0, 1 + self.lane][which];
                let begin = self.now();
                self.mount.sync_dir(Path::new(DIRS[dir])).unwrap();
                let end = self.now();
                self.model.dirs[dir].syncs.push((end, begin));
            }
            Act::Step { lane, wait } => {
                self.free[self.lane] = self.now();
                self.lane = lane;
                self.advance(self.step.max(self.free[lane]) + wait);
                self.disk.begin_step(self.step);
            }
            Act::Crash { permille, how } => {
                let at = self.step + self.disk.spent() * permille / 1_000;
                self.crash(at, how);
            }
        }
    }

    /// Moves time on, past the ends of asynchronous syncs.
    fn advance(&mut self, t: u64) {
        self.running.sort();
        while self.running.first().is_some_and(|(due, _)| *due <= t) {
            let (due, id) = self.running.remove(0);
            self.disk.finish_sync(id).unwrap();
            let mut syncs = self.model.files.iter_mut().flat_map(|file| &mut file.syncs);
            syncs.find(|sync| sync.2 == Some(id)).unwrap().0 = Some(due);
        }
        self.step = t;
    }

    fn crash(&mut self, at: u64, how: PowerLoss) {
        self.advance(at);
        let report = self.disk.crash(at, how);
        self.model.cut(at);
        self.mount = self.disk.mount();
        self.running.clear();
        self.free = [at; 2];
        let image = self.image();
        let unsynced = self.model.unsynced_sectors();
        assert_eq!(report.unsynced_sectors, unsynced);
        match how {
            PowerLoss::Kept => {
                assert_eq!(report.lost_sectors, 0);
                assert_eq!(image, self.model.kept());
            }
            PowerLoss::Lost => {
                assert_eq!(report.lost_sectors, unsynced);
                assert_eq!(image, self.model.lost());
            }
            PowerLoss::Torn | PowerLoss::Image(_) => {
                assert!(report.lost_sectors <= unsynced);
                assert!(
                    self.model.is_legal_after_power_loss(&image),
                    "an illegal image"
                );
            }
        }
        if how != PowerLoss::Kept {
            self.model = Model::restart_from(&image);
        }
        // The new process opens every file that it finds.
        let names = self.model.visible();
        self.open = image
            .keys()
            .map(|path| {
                let (dir, name) = split(path);
                let file = self.mount.open(path, Open::Existing).unwrap();
                (path.clone(), (file, names[dir][&name]))
            })
            .collect();
        self.disk.begin_step(at);
    }

    /// Everything that a process finds.
    fn image(&self) -> Image {
        let files = DIRS
            .iter()
            .flat_map(|dir| self.mount.list(Path::new(dir)).unwrap());
        files
            .map(|path| {
                let file = self.mount.open(&path, Open::Existing).unwrap();
                let mut bytes = vec![0; file.len().unwrap() as usize];
                file.read_at(0, &mut bytes).unwrap();
                (path, bytes)
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_crash_image_is_a_legal_one(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..60),
        last in prop_oneof![
            Just(PowerLoss::Kept),
            Just(PowerLoss::Lost),
            Just(PowerLoss::Torn),
            (0..60u32).prop_map(PowerLoss::Image),
        ],
    ) {
        let mut run = Run::new(seed);
        for act in &acts {
            run.act(act);
        }
        let end = run.now();
        run.crash(end, last);
    }
}
