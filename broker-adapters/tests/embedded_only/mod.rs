//! What is particular to the embedded broker: its bounds, its memory, its threads, its clock.

mod declared;
mod gone;
mod limits;
mod model;
mod stress;
mod time;
