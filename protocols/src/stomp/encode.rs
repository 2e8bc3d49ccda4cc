//! Encoding frames: one allocation each, escaped as the version in force wants.
