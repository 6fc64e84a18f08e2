//! Tests of the apply lane as a whole, through its inputs and effects.

mod bench;
mod crash;
mod crash_disk;
mod golden;
mod lane;
mod members;
mod model;
