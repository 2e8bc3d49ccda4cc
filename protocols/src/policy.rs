//! Every bound and setting a session works under. Values only: the gateway parses configuration
//! into a [`Policy`], shares it between the sessions of a route, and never changes it.

use std::time::Duration;

use crate::{stomp, wamp};

/// What holds for the sessions of one route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Bounds common to all protocols.
    pub limits: Limits,
    /// Settings of STOMP sessions.
    pub stomp: stomp::Settings,
    /// Settings of WAMP sessions.
    pub wamp: wamp::Settings,
}

/// Bounds on what one peer may use. Each is a named setting of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one frame: verb, headers and body together. Default 4 MiB.
    pub frame_size: usize,
    /// Bytes a peer may send, in all, before its login has succeeded. Default 64 KiB.
    pub frame_size_before_login: usize,
    /// Headers of one frame. Default 100.
    pub header_count: usize,
    /// Bytes of one header line, name and value together. Default 64 KiB.
    pub header_size: usize,
    /// Time from the opened connection to a successful login. Default 10 s.
    pub login_timeout: Duration,
    /// Time that receipts on their way may take to come before a session says goodbye: after
    /// DISCONNECT, before an ERROR, at a shutdown; and the answer to its GOODBYE. Default 8 s.
    pub leave_timeout: Duration,
    /// Subscriptions held at a time. Default 1,000.
    pub subscriptions: usize,
    /// Transactions open at a time. Default 16.
    pub transactions: usize,
    /// Frames held by one transaction. Default 1,024.
    pub transaction_frames: usize,
    /// Bytes of memory held by all open transactions together: their frames, and what it takes to
    /// keep each frame and each header. Default 16 MiB.
    pub transaction_bytes: usize,
    /// Receipts that may wait for the broker's confirm at a time. Default 10,000.
    pub pending_receipts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_size: 4 << 20,
            frame_size_before_login: 64 << 10,
            header_count: 100,
            header_size: 64 << 10,
            login_timeout: Duration::from_secs(10),
            leave_timeout: Duration::from_secs(8),
            subscriptions: 1_000,
            transactions: 16,
            transaction_frames: 1_024,
            transaction_bytes: 16 << 20,
            pending_receipts: 10_000,
        }
    }
}
