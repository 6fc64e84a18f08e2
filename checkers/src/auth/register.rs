//! Something that writes change, of which it is known roughly when they took
//! effect: what it may have been during a while.

/// A moment: true nanoseconds, and the place in the log among what happened then.
pub(super) type At = (u64, u64);

/// From one moment to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: At,
    pub(super) to: At,
}

impl Window {
    /// From one time to another, whatever the log says.
    pub(super) fn between(from: u64, to: u64) -> Window {
        Window {
            from: (from, 0),
            to: (to, u64::MAX),
        }
    }
}

impl Window {
    /// What an entry of the log does, right after it was decided over.
    pub(super) fn after(self) -> Window {
        let next = |(t, place): At| (t, place.saturating_add(1));
        Window {
            from: next(self.from),
            to: next(self.to),
        }
    }
}

#[derive(Debug)]
struct Write<V> {
    /// It took effect at some moment of this.
    window: Window,
    value: V,
    /// Whether it did so at all.
    sure: bool,
}

/// Nothing until it is written.
#[derive(Debug)]
pub(super) struct Register<V> {
    /// In order of when they had surely taken effect, once sealed.
    writes: Vec<Write<V>>,
    /// For each write, the latest beginning of it and of the sure ones before.
    latest_sure: Vec<At>,
    /// For each write, the earliest beginning of it and of those behind.
    earliest: Vec<At>,
}

impl<V> Default for Register<V> {
    fn default() -> Register<V> {
        Register {
            writes: Vec::new(),
            latest_sure: Vec::new(),
            earliest: Vec::new(),
        }
    }
}

impl<V> Register<V> {
    pub(super) fn write(&mut self, window: Window, value: V, sure: bool) {
        self.writes.push(Write {
            window,
            value,
            sure,
        });
    }

    /// Whether anything such was written so far.
    pub(super) fn was_written(&self, such: impl Fn(&V) -> bool) -> bool {
        self.writes.iter().any(|write| such(&write.value))
    }

    /// All writes are there. Sorts them.
    pub(super) fn seal(&mut self) {
        self.writes.sort_by_key(|write| write.window.to);
        let mut latest = (0, 0);
        self.latest_sure = self
            .writes
            .iter()
            .map(|write| {
                if write.sure {
                    latest = latest.max(write.window.from);
                }
                latest
            })
            .collect();
        let mut earliest = (u64::MAX, u64::MAX);
        let backwards = self.writes.iter().rev().map(|write| {
            earliest = earliest.min(write.window.from);
            earliest
        });
        self.earliest = backwards.collect();
        self.earliest.reverse();
    }

    /// The beginning of the last sure write that was over before `at`.
    pub(super) fn last_before(&self, at: At) -> Option<At> {
        let over = self.writes.partition_point(|write| write.window.to < at);
        let latest = *self.latest_sure.get(over.checked_sub(1)?)?;
        self.writes[..over]
            .iter()
            .any(|write| write.sure)
            .then_some(latest)
    }

    /// Whether any write may have taken effect in the window.
    pub(super) fn may_change_in(&self, window: Window) -> bool {
        self.overlapping(window.from, window.to).next().is_some()
    }

    /// Whether all values that it may have had in the window are such; `None` is
    /// the value before the first write.
    pub(super) fn surely(&self, window: Window, such: impl Fn(Option<&V>) -> bool) -> bool {
        !self.possibly(window, |value| !such(value))
    }

    /// Whether one of the values that it may have had in the window is such.
    pub(super) fn possibly(&self, window: Window, such: impl Fn(Option<&V>) -> bool) -> bool {
        match self.last_before(window.from) {
            None => {
                such(None)
                    || self
                        .overlapping((0, 0), window.to)
                        .any(|write| such(Some(&write.value)))
            }
            Some(last) => self
                .overlapping(last, window.to)
                .any(|write| such(Some(&write.value))),
        }
    }

    /// The writes that may have taken effect between the two.
    fn overlapping(&self, from: At, to: At) -> impl Iterator<Item = &Write<V>> {
        let first = self.writes.partition_point(|write| write.window.to < from);
        let rest = self.writes[first..].iter().zip(&self.earliest[first..]);
        rest.take_while(move |(_, earliest)| **earliest <= to)
            .map(|(write, _)| write)
            .filter(move |write| write.window.from <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(writes: &[(u64, u64, char, bool)]) -> Register<char> {
        let mut register = Register::default();
        for &(from, to, value, sure) in writes {
            register.write(Window::between(from, to), value, sure);
        }
        register.seal();
        register
    }

    fn values(register: &Register<char>, from: u64, to: u64) -> String {
        let window = Window::between(from, to);
        let all = "-abc".chars();
        all.filter(|c| register.possibly(window, |v| v.copied().unwrap_or('-') == *c))
            .collect()
    }

    #[test]
    fn what_it_may_have_been() {
        let one = [(10, 20, 'a', true)];
        let two = [(10, 20, 'a', true), (30, 40, 'b', true)];
        let unsure = [(10, 20, 'a', true), (30, 40, 'b', false)];
        let open = [(10, u64::MAX, 'a', false), (30, 40, 'b', true)];
        let both = [(10, 35, 'a', true), (30, 40, 'b', true)];
        for (writes, from, to, expected) in [
            (&one[..], 0, 9, "-"),
            (&one, 0, 10, "-a"),
            (&one, 15, 16, "-a"),
            (&one, 21, 22, "a"),
            (&two, 15, 35, "-ab"),
            (&two, 21, 29, "a"),
            (&two, 21, 30, "ab"),
            (&two, 41, 50, "b"),
            (&unsure, 50, 60, "ab"),
            (&open, 50, 60, "ab"),
            (&open, 5, 6, "-"),
            // Either may have been the last one.
            (&both, 50, 60, "ab"),
        ] {
            let register = register(writes);
            assert_eq!(values(&register, from, to), expected, "{writes:?} {from}");
        }
    }

    #[test]
    fn writes_at_exact_moments_leave_no_doubt() {
        let mut register = Register::default();
        for (place, value) in (1..).zip(['a', 'b', 'c']) {
            let at = (7, place);
            register.write(Window { from: at, to: at }, value, true);
        }
        register.seal();
        let at = |place| Window {
            from: (7, place),
            to: (7, place),
        };
        // A write and a look at one place are the same entry of the log.
        assert!(register.surely(at(2), |v| v.is_some_and(|v| "ab".contains(*v))));
        assert!(register.surely(Window::between(8, 9), |v| v == Some(&'c')));
        assert!(register.surely(Window::between(3, 4), |v| v.is_none()));
        assert_eq!(register.last_before((7, 3)), Some((7, 2)));
        assert!(register.may_change_in(at(2)) && !register.may_change_in(at(4)));
    }
}
