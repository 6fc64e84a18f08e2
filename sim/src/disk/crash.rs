//! What a crash leaves of a disk.

use super::inode::Inode;
use super::loss::{self, AllBut, Drawn, Only};
use super::names::Ino;
use super::state::{State, Tag};
use super::{CrashReport, PowerLoss};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// What of the pending changes had reached the disk when power was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    Nothing,
    Everything,
    /// Everything but one change of a file; what rests on it is lost as well.
    AllBut(Ino, usize),
    /// One change of a file, the length that it needs, and all names.
    Only(Ino, usize),
    /// Everything but the names of a directory from this change on.
    NamesUpTo(usize, usize),
    /// Nothing but the first so many changes of a directory's names.
    OnlyNames(usize, usize),
    /// Drawn, as in a torn power loss.
    Drawn(u32),
}

/// Unsynced sectors by file, of files that have a name.
type Unsynced = BTreeMap<Ino, u64>;

impl State {
    pub(super) fn crash(&mut self, at: u64, how: PowerLoss) -> CrashReport {
        self.cut(at);
        self.crashes += 1;
        // A file without a name has nothing to lose.
        let named = self.names.named();
        let unsynced = named
            .iter()
            .map(|ino| (*ino, loss::unsynced_sectors(self.file(*ino))));
        let unsynced: Unsynced = unsynced.collect();
        let unsynced_sectors = unsynced.values().sum();
        if how != PowerLoss::Kept {
            let lied = self.files.iter().flatten().filter(|file| file.is_belied());
            let lied = lied.count() as u64;
            self.faults.met.count(super::DiskFaultKind::FsyncLie, lied);
        }
        let lost_sectors = match how {
            PowerLoss::Kept => 0,
            PowerLoss::Lost => self.leave(Image::Nothing, &unsynced),
            PowerLoss::Torn => self.tear(&unsynced),
            PowerLoss::Image(number) => {
                let image = self.image(number);
                self.leave(image, &unsynced)
            }
        };
        if how != PowerLoss::Kept && !self.faults.is_empty() {
            self.lose_names();
        }
        self.collect();
        let how = how.code();
        self.log(Tag::Crash, [at, how, unsynced_sectors, lost_sectors], &[]);
        CrashReport {
            unsynced_sectors,
            lost_sectors,
        }
    }

    /// Ends the process at `at`: later operations never happened.
    pub(super) fn cut(&mut self, at: u64) {
        assert!(
            at >= self.step,
            "n{} crashed at {at}, before its last step began at {}",
            self.node,
            self.step
        );
        self.step = at;
        self.spent = 0;
        self.names.cut(at);
        for file in self.files.iter_mut().flatten() {
            file.cut(at);
        }
        self.unmount();
    }

    /// After [`State::cut`]: how many images [`PowerLoss::Image`] counts before
    /// it draws.
    pub(super) fn images(&self) -> u32 {
        self.counted_images().len() as u32
    }

    /// After [`State::cut`]: an image in words.
    pub(super) fn describe_image(&self, number: u32) -> String {
        let change = |ino: Ino, place: usize| {
            let path = self.names.path_of(ino);
            format!("unsynced change {} of {}", place + 1, path.display())
        };
        let names = |dir: usize| match super::names::Names::home(dir) {
            "" => "the root directory".to_owned(),
            home => format!("the directory {home}"),
        };
        match self.image(number) {
            Image::Nothing => "nothing unsynced kept".to_owned(),
            Image::Everything => "everything unsynced kept".to_owned(),
            Image::AllBut(ino, place) => format!("all kept but {}", change(ino, place)),
            Image::Only(ino, place) => format!("nothing kept but {}", change(ino, place)),
            Image::NamesUpTo(dir, count) => format!(
                "all kept but the changes of {} from unsynced change {} on",
                names(dir),
                count + 1
            ),
            Image::OnlyNames(dir, count) => format!(
                "nothing kept but the first {count} unsynced changes of {}",
                names(dir)
            ),
            Image::Drawn(draw) => format!("drawn sector by sector, draw {draw}"),
        }
    }

    fn image(&self, number: u32) -> Image {
        let counted = self.counted_images();
        match counted.get(number as usize) {
            Some(image) => *image,
            None => Image::Drawn(number - counted.len() as u32),
        }
    }

    /// The images that differ from all kept or all lost by one change, names
    /// first: they are few, and decide most.
    fn counted_images(&self) -> Vec<Image> {
        let names = self.names.pending();
        let files: Vec<(Ino, usize)> = self
            .files
            .iter()
            .enumerate()
            .filter_map(|(ino, file)| Some((ino, file.as_ref()?.pending.len())))
            .collect();
        let pending =
            names.iter().sum::<usize>() + files.iter().map(|(_, count)| count).sum::<usize>();
        let mut images = vec![Image::Nothing];
        if pending > 0 {
            images.push(Image::Everything);
        }
        if pending < 2 {
            return images;
        }
        for (dir, count) in names.into_iter().enumerate() {
            images.extend((0..count).map(|n| Image::NamesUpTo(dir, n)));
            images.extend((1..=count).map(|n| Image::OnlyNames(dir, n)));
        }
        for (ino, count) in files {
            for place in 0..count {
                images.extend([Image::AllBut(ino, place), Image::Only(ino, place)]);
            }
        }
        images
    }

    /// What an image says had reached the disk. Returns how many of the
    /// unsynced sectors were lost.
    fn leave(&mut self, image: Image, unsynced: &Unsynced) -> u64 {
        let pending = self.names.pending();
        let mut names = match image {
            Image::Nothing | Image::OnlyNames(..) => pending.map(|_| 0),
            _ => pending,
        };
        match image {
            Image::NamesUpTo(dir, count) | Image::OnlyNames(dir, count) => names[dir] = count,
            Image::Drawn(draw) => {
                let entity = self.entity([self.node, u64::from(draw)]);
                self.names
                    .tear(&mut self.streams.keyed("disk/image_names", entity));
                return self.meet(unsynced, |state, _, file| {
                    let entity = state.entity([file.key, u64::from(draw)]);
                    let mut draws = state.streams.keyed("disk/image_file", entity);
                    loss::meet(file, &mut Drawn::new(&mut draws))
                });
            }
            _ => {}
        }
        self.names.lose_but(names);
        self.meet(unsynced, |_, ino, file| match image {
            Image::AllBut(hit, place) if hit == ino => loss::meet(file, &mut AllBut(Some(place))),
            Image::Only(hit, place) if hit == ino => loss::meet(file, &mut Only(place)),
            Image::Everything | Image::AllBut(..) | Image::NamesUpTo(..) => {
                loss::meet(file, &mut AllBut(None))
            }
            _ => {
                loss::lose(file);
                u64::MAX
            }
        })
    }

    /// Any legal part of what is pending had reached the disk. Returns how many
    /// of the unsynced sectors, given by file, were lost.
    fn tear(&mut self, unsynced: &Unsynced) -> u64 {
        let mut draws = self
            .streams
            .keyed("disk/crash_names", self.node << 32 | self.crashes);
        self.names.tear(&mut draws);
        // By file: what is pending in one does not decide another's fate.
        self.meet(unsynced, |state, _, file| {
            let entity = state.entity([file.key]);
            let mut draws = state.streams.keyed("disk/crash_file", entity);
            loss::meet(file, &mut Drawn::new(&mut draws))
        })
    }

    /// Lets every file meet a fate, which returns how many sectors were lost.
    fn meet(
        &mut self,
        unsynced: &Unsynced,
        mut fate: impl FnMut(&State, Ino, &mut Inode) -> u64,
    ) -> u64 {
        let named = self.names.named();
        let mut files = std::mem::take(&mut self.files);
        let mut lost_sectors = 0;
        for (ino, file) in files.iter_mut().enumerate() {
            let Some(file) = file else { continue };
            let lost = fate(self, ino, file);
            let unsynced = unsynced.get(&ino).copied().unwrap_or(0);
            lost_sectors += if named.contains(&ino) {
                lost.min(unsynced)
            } else {
                unsynced
            };
        }
        self.files = files;
        lost_sectors
    }

    /// What draws of this crash are known by.
    fn entity<const N: usize>(&self, parts: [u64; N]) -> u64 {
        let mut bytes: Vec<u8> = parts.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend(self.crashes.to_le_bytes());
        xxh3_64(&bytes)
    }
}
