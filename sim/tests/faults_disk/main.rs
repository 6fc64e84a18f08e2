//! Every fault of the disk on tiny programs: what it does while it lasts, what
//! it leaves, that it heals, and that it is counted.

mod crash_points;
mod damage;
mod failing;
mod fsync;
mod page_cache;
mod slowness;
mod support;
mod together;
