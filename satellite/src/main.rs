//! The Docker satellite.
fn main() {}
