//! What is particular to the embedded broker: its bounds, its memory, its threads, its clock.

mod declared;
mod gone;
mod limits;
mod losses;
mod model;
mod resume;
mod stress;
mod time;
