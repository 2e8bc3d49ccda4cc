//! Where RabbitMQ's plugin does otherwise, and an application may have come to rely on it: each is a
//! [`Switch`] that a route can set. None is set unless the operator says so.
//!
//! | switch | STOMP here | with the switch, as the plugin |
//! |---|---|---|
//! | `open-after-error` | an ERROR ends the connection (STOMP 1.2 §ERROR) | it stays open where nothing but one frame was wrong |
//! | `connection-acks` | `client` acknowledges within a subscription (§ACK) | over all subscriptions of the connection |
//! | `restarted-transactions` | BEGIN of an open transaction is an ERROR (§BEGIN) | it is begun anew |
//! | `ignored-bodies` | a body where none belongs is an ERROR (§Body) | passed over |
//! | `escapes` | CONNECT, CONNECTED and 1.0 are not escaped (§Value Encoding) | all frames are, as in 1.2 |
//! | `slash-escapes` | `%HH` in a destination is any byte | `%2F` is a slash, another `%` is itself |
//! | `prefetch` | outstanding messages are bounded by `stomp.prefetch` and `stomp.max_prefetch` | 65,535 for a client that acknowledges and asks for no less |
//! | `durable-names` | the queue of a durable subscription belongs to the user and the exchange | to key and `id` alone, by the plugin's name |
//! | `persistent-queues` | `persistent` on SEND is about the message | about its queue, too |
//! | `fewer-arguments` | every queue argument that RabbitMQ knows is taken | eight of them |
//! | `nack-in-1.0` | STOMP 1.0 has no NACK | as in 1.1 |
//! | `own-queues` | plain subscriptions to topics share a queue at the broker | each has one of its own |
//! | `any-subprotocol` | an unknown sub-protocol is refused (RFC 6455 §4.2.2) | taken for STOMP, without an answer |

/// One thing that the plugin does otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Switch {
    /// An ERROR about one frame, or one subscription, leaves the connection open.
    OpenAfterError,
    /// ACK and NACK of a `client` subscription mean every earlier message of the connection.
    ConnectionAcks,
    /// BEGIN of an open transaction begins it anew.
    RestartedTransactions,
    /// A body is passed over where none belongs.
    IgnoredBodies,
    /// All frames of all versions are escaped as in 1.2.
    Escapes,
    /// Only `%2F` is decoded in a destination.
    SlashEscapes,
    /// A client that acknowledges may have [`UNBOUNDED_PREFETCH`] messages outstanding.
    Prefetch,
    /// The queue of a durable subscription has the plugin's name.
    DurableNames,
    /// `persistent` on SEND is `durable` for the queue.
    PersistentQueues,
    /// The plugin's queue arguments only.
    FewerArguments,
    /// NACK in 1.0 is that of 1.1.
    NackIn10,
    /// Every subscription to a topic has a queue of its own.
    OwnQueues,
    /// A client that offers unknown sub-protocols only is taken for a STOMP client.
    AnySubprotocol,
}

impl Switch {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::OpenAfterError,
        Self::ConnectionAcks,
        Self::RestartedTransactions,
        Self::IgnoredBodies,
        Self::Escapes,
        Self::SlashEscapes,
        Self::Prefetch,
        Self::DurableNames,
        Self::PersistentQueues,
        Self::FewerArguments,
        Self::NackIn10,
        Self::OwnQueues,
        Self::AnySubprotocol,
    ];

    /// As an operator writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAfterError => "open-after-error",
            Self::ConnectionAcks => "connection-acks",
            Self::RestartedTransactions => "restarted-transactions",
            Self::IgnoredBodies => "ignored-bodies",
            Self::Escapes => "escapes",
            Self::SlashEscapes => "slash-escapes",
            Self::Prefetch => "prefetch",
            Self::DurableNames => "durable-names",
            Self::PersistentQueues => "persistent-queues",
            Self::FewerArguments => "fewer-arguments",
            Self::NackIn10 => "nack-in-1.0",
            Self::OwnQueues => "own-queues",
            Self::AnySubprotocol => "any-subprotocol",
        }
    }
}

/// What stands for "no bound" with [`Switch::Prefetch`]: the most that AMQP 0-9-1 can name.
pub const UNBOUNDED_PREFETCH: u16 = u16::MAX;

/// The switches that are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compat(u16);

impl Compat {
    /// None: the specifications' ways.
    pub const NONE: Self = Self(0);

    /// All: as RabbitMQ's plugin.
    pub const RABBITMQ: Self = {
        let mut all = Self::NONE;
        let mut at = 0;
        while at < Switch::ALL.len() {
            all = all.with(Switch::ALL[at]);
            at += 1;
        }
        all
    };

    /// These, and this one too.
    #[must_use]
    pub const fn with(self, switch: Switch) -> Self {
        Self(self.0 | 1 << switch as u8)
    }

    /// Whether it is set.
    pub const fn has(self, switch: Switch) -> bool {
        self.0 & 1 << switch as u8 != 0
    }

    /// Those that are set.
    pub fn switches(self) -> impl Iterator<Item = Switch> {
        Switch::ALL.into_iter().filter(move |switch| self.has(*switch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_is_set_alone_and_by_all() {
        for (at, switch) in Switch::ALL.into_iter().enumerate() {
            let one = Compat::NONE.with(switch);
            assert!(one.switches().eq([switch]), "{one:?}");
            assert!(Compat::RABBITMQ.has(switch));
            assert!(Switch::ALL[..at].iter().all(|other| other.name() != switch.name()));
        }
    }
}
