//! The named points that a node passes, as they stand in
//! [`Output::marks`](crate::Output::marks).
