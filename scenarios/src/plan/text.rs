//! How actions read: amounts, nodes and links.

use std::fmt;

/// Nanoseconds as people say them, to a tenth of the unit: `250.1ms`. The
/// schedule's own fields are exact.
pub(super) struct About(pub(super) u64);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1_000 => return write!(f, "{}ns", self.0),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        match (self.0 / unit, self.0 % unit * 10 / unit) {
            (whole, 0) => write!(f, "{whole}{name}"),
            (whole, tenth) => write!(f, "{whole}.{tenth}{name}"),
        }
    }
}

/// `n1 n2`.
pub(super) struct Names<'a>(pub(super) &'a [u64]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.0.iter().enumerate() {
            write!(f, "{}n{node}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// The links that a partition cuts.
pub(super) fn write_cut(f: &mut fmt::Formatter<'_>, cut: &[(u64, u64)]) -> fmt::Result {
    f.write_str("partition ")?;
    write_links(f, cut)
}

/// Two groups where the links are all those between two groups, else each link.
pub(super) fn write_links(f: &mut fmt::Formatter<'_>, links: &[(u64, u64)]) -> fmt::Result {
    let to_of = |node: u64| -> Vec<u64> {
        let links = links.iter().filter(|(from, _)| *from == node);
        links.map(|(_, to)| *to).collect()
    };
    let Some(&(first, _)) = links.first() else {
        return f.write_str("nothing");
    };
    let right = to_of(first);
    let left: Vec<u64> = {
        let mut from: Vec<u64> = links.iter().map(|(from, _)| *from).collect();
        from.dedup();
        from.retain(|node| to_of(*node) == right);
        from
    };
    let one_way = left.len() * right.len();
    let both_ways = right.iter().all(|node| to_of(*node) == left);
    if links.len() == one_way {
        return write!(f, "{} -> {}", Names(&left), Names(&right));
    }
    if links.len() == 2 * one_way && both_ways {
        return write!(f, "{} | {}", Names(&left), Names(&right));
    }
    for (i, (from, to)) in links.iter().enumerate() {
        write!(f, "{}n{from}->n{to}", if i == 0 { "" } else { " " })?;
    }
    Ok(())
}
