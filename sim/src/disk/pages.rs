//! Sparse bytes.

use std::sync::Arc;

/// Bytes in a page: what the page cache keeps, or does not have, as a whole.
pub(super) const PAGE: u64 = 4096;

/// A page's bytes.
pub(super) type Page = [u8; PAGE as usize];

/// Bytes that are zero until written. A page that was never written takes no
/// memory, and clones share what they do not change.
#[derive(Clone, Default)]
pub(super) struct Pages(Vec<Option<Arc<Page>>>);

impl Pages {
    /// Fills `buf` with the bytes from `offset` on.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) {
        let mut done = 0;
        for (page, at, n) in spans(offset, buf.len() as u64) {
            let part = &mut buf[done..done + n];
            match self.0.get(page).and_then(Option::as_ref) {
                Some(bytes) => part.copy_from_slice(&bytes[at..at + n]),
                None => part.fill(0),
            }
            done += n;
        }
    }

    /// Appends `len` bytes from `offset` on to `out`.
    pub(super) fn append_to(&self, out: &mut Vec<u8>, offset: u64, len: u64) {
        let start = out.len();
        out.resize(start + len as usize, 0);
        self.read(offset, &mut out[start..]);
    }

    /// Puts `data` at `offset`.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let mut done = 0;
        for (page, at, n) in spans(offset, data.len() as u64) {
            if page >= self.0.len() {
                self.0.resize(page + 1, None);
            }
            let slot = self.0[page].get_or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(slot)[at..at + n].copy_from_slice(&data[done..done + n]);
            done += n;
        }
    }

    /// Puts `len` zeros at `offset`.
    pub(super) fn zero(&mut self, offset: u64, len: u64) {
        for (page, at, n) in spans(offset, len) {
            if let Some(Some(bytes)) = self.0.get_mut(page) {
                Arc::make_mut(bytes)[at..at + n].fill(0);
            }
        }
    }

    /// Makes every byte from `len` on zero. Returns the pages that this
    /// changed, as they were before.
    pub(super) fn truncate(&mut self, len: u64) -> Vec<(usize, Arc<Page>)> {
        let (first, tail) = ((len / PAGE) as usize, (len % PAGE) as usize);
        let mut before = Vec::new();
        for page in first..self.0.len() {
            if let Some(bytes) = &mut self.0[page] {
                before.push((page, bytes.clone()));
                if page == first && tail > 0 {
                    Arc::make_mut(bytes)[tail..].fill(0);
                }
            }
        }
        self.0.truncate(first + usize::from(tail > 0));
        before
    }

    /// Puts back what [`Pages::truncate`] returned.
    pub(super) fn restore(&mut self, before: Vec<(usize, Arc<Page>)>) {
        for (page, bytes) in before {
            if page >= self.0.len() {
                self.0.resize(page + 1, None);
            }
            self.0[page] = Some(bytes);
        }
    }

    /// Whether a page takes room.
    pub(super) fn has(&self, page: u64) -> bool {
        matches!(self.0.get(page as usize), Some(Some(_)))
    }

    /// How many bytes its pages take on the disk.
    pub(super) fn allocated(&self) -> u64 {
        self.present().count() as u64 * PAGE
    }

    /// The pages that are kept in memory, by number.
    pub(super) fn present(&self) -> impl Iterator<Item = u64> + '_ {
        (0u64..)
            .zip(&self.0)
            .filter_map(|(page, bytes)| bytes.as_ref().map(|_| page))
    }
}

/// `len` bytes from `offset` on, page by page: (page, start within it, bytes).
fn spans(offset: u64, len: u64) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = offset + len;
    let mut at = offset;
    std::iter::from_fn(move || {
        if at == end {
            return None;
        }
        let (page, start) = (at / PAGE, at % PAGE);
        let n = (PAGE - start).min(end - at);
        at += n;
        Some((page as usize, start as usize, n as usize))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pages: &Pages, offset: u64, len: usize) -> Vec<u8> {
        let mut buf = vec![7; len];
        pages.read(offset, &mut buf);
        buf
    }

    #[test]
    fn bytes_come_back_over_page_boundaries_and_holes_are_zero() {
        let mut pages = Pages::default();
        let data: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8 + 1).collect();
        pages.write(3 * PAGE - 100, &data);
        assert_eq!(read(&pages, 3 * PAGE - 100, data.len()), data);
        assert_eq!(read(&pages, 0, 3), [0; 3]);
        assert_eq!(read(&pages, 3 * PAGE - 101, 2), [0, 1]);
        assert_eq!(read(&pages, 1 << 40, 2), [0; 2]);
        assert_eq!(pages.present().collect::<Vec<_>>(), [2, 3, 4, 5]);
    }

    #[test]
    fn what_was_cut_off_is_zero_and_can_be_put_back() {
        let mut pages = Pages::default();
        pages.write(0, &[9; 3 * PAGE as usize]);
        let clone = pages.clone();
        let before = pages.truncate(PAGE + 10);
        assert_eq!(before.len(), 2);
        assert_eq!(read(&pages, PAGE + 9, 3), [9, 0, 0]);
        assert_eq!(read(&pages, 2 * PAGE, 1), [0]);
        assert_eq!(read(&clone, 2 * PAGE, 1), [9], "a clone is not disturbed");
        pages.restore(before);
        assert_eq!(
            read(&pages, 0, 3 * PAGE as usize),
            vec![9; 3 * PAGE as usize]
        );
    }
}
