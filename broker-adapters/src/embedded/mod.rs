//! The embedded broker: in this process, in memory, the default.
