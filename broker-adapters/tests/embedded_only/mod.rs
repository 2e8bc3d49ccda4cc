//! What is particular to the embedded broker: its bounds, its memory, its threads.

mod limits;
mod model;
mod stress;
