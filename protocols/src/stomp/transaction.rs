//! Transactions: frames that are held from BEGIN until COMMIT or ABORT.
//!
//! *Spec.* STOMP 1.2 §BEGIN, §COMMIT, §ABORT. A frame is checked when it arrives, so that its ERROR
//! names its own receipt, and carried out at COMMIT, in order. Transactions that are open when the
//! connection ends were aborted.

use crate::broker::{Address, DeliveryTag, Message, QueueOptions, SubscriptionId, Value, Verdict};
use crate::policy::Limits;
use crate::stomp::acks::Holder;
use crate::text::Text;
use crate::violation::{Violation, shown};

/// A frame of a transaction: what COMMIT does.
#[allow(
    clippy::large_enum_variant,
    reason = "most are SENDs: a box would cost each of them an allocation"
)]
#[derive(Debug)]
pub(super) enum Held {
    /// A SEND.
    Publish {
        /// What it asks for.
        send: Send,
        /// The receipt that it asked for; due after COMMIT.
        receipt: Option<Text>,
    },
    /// An ACK or NACK. Its receipt was due when it was noted.
    Settle(Settlement),
}

/// What a SEND asks for.
#[derive(Debug)]
pub(super) struct Send {
    /// Where to.
    pub(super) to: Address,
    /// What.
    pub(super) message: Message,
    /// How its queue is declared; `None` for the defaults.
    pub(super) queue: Option<Box<QueueOptions>>,
    /// Whether the client wants to hear of it if it reaches no queue.
    pub(super) mandatory: bool,
    /// It calls the procedure with this key.
    pub(super) calls: Option<Text>,
}

impl Held {
    /// Bytes of memory that it takes: its own, those of its list of headers, of its body, and of
    /// every text.
    fn size(&self) -> usize {
        let apart = match self {
            Self::Publish { send: Send { to, message, queue, calls, .. }, receipt } => {
                let headers = message.properties.headers.len() * size_of::<(Text, Value)>();
                let queue = queue.as_deref().map_or(0, QueueOptions::size);
                let receipt = receipt.as_deref().map_or(0, str::len);
                let calls = calls.as_deref().map_or(0, str::len);
                address_size(to) + calls + headers + message.size() + queue + receipt
            }
            Self::Settle(_) => 0,
        };
        size_of::<Self>() + apart
    }

    /// As it is kept: without the input that it came in.
    fn detached(mut self) -> Self {
        if let Self::Publish { send, .. } = &mut self {
            send.message = send.message.detached();
        }
        self
    }
}

fn address_size(address: &Address) -> usize {
    match address {
        Address::Topic(name)
        | Address::Queue(name)
        | Address::ExistingQueue(name)
        | Address::Private(name) => name.len(),
        Address::Exchange { name, key } => name.len() + key.len(),
    }
}

/// What an ACK or NACK asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settlement {
    pub(super) subscription: SubscriptionId,
    pub(super) up_to: DeliveryTag,
    pub(super) verdict: Verdict,
    pub(super) cumulative: bool,
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    id: Text,
    /// The name under which it holds deliveries.
    pub(super) holder: Holder,
    /// What came since BEGIN, in order.
    pub(super) frames: Vec<Held>,
    bytes: usize,
    /// A frame of it was refused.
    pub(super) is_broken: bool,
}

/// The open transactions of a session.
///
/// *Shape.* At most `limits.transactions`, each of at most `limits.transaction_frames`; together
/// they hold at most `limits.transaction_bytes`, the overhead of each frame and each header included.
#[derive(Debug)]
pub(super) struct Transactions {
    open: Vec<Transaction>,
    bytes: usize,
    last_holder: u64,
    max_open: usize,
    max_frames: usize,
    max_bytes: usize,
}

impl Transactions {
    /// None, and never more than these limits allow.
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            open: Vec::new(),
            bytes: 0,
            last_holder: 0,
            max_open: limits.transactions,
            max_frames: limits.transaction_frames,
            max_bytes: limits.transaction_bytes,
        }
    }

    /// Opens a transaction.
    ///
    /// *Errors.* [`Violation::TransactionInUse`], [`Violation::TooManyTransactions`].
    pub(super) fn begin(&mut self, id: &str) -> Result<(), Violation> {
        if self.place(id).is_ok() {
            return Err(Violation::TransactionInUse { id: shown(id) });
        }
        if self.open.len() >= self.max_open {
            return Err(Violation::TooManyTransactions { limit: self.max_open });
        }
        self.last_holder += 1;
        let holder = Holder(self.last_holder);
        self.open.push(Transaction {
            id: Text::from(id),
            holder,
            frames: Vec::new(),
            bytes: 0,
            is_broken: false,
        });
        Ok(())
    }

    /// Keeps a frame of the transaction `id`, apart from the input; the name under which that
    /// transaction holds deliveries.
    ///
    /// *Errors.* [`Violation::UnknownTransaction`]; [`Violation::TransactionTooLong`] or
    /// [`Violation::TransactionTooLarge`] if there is no room.
    pub(super) fn hold(&mut self, id: &str, held: Held) -> Result<Holder, Violation> {
        let place = self.place(id)?;
        let transaction = &mut self.open[place];
        if transaction.frames.len() >= self.max_frames {
            return Err(Violation::TransactionTooLong { limit: self.max_frames });
        }
        let size = held.size();
        let got = self.bytes.saturating_add(size);
        if got > self.max_bytes {
            return Err(Violation::TransactionTooLarge { limit: self.max_bytes, got });
        }
        self.bytes = got;
        transaction.bytes += size;
        transaction.frames.push(held.detached());
        Ok(transaction.holder)
    }

    /// The open transaction `id`. *Errors.* [`Violation::UnknownTransaction`].
    pub(super) fn get(&self, id: &str) -> Result<&Transaction, Violation> {
        Ok(&self.open[self.place(id)?])
    }

    /// A frame of a transaction was refused: it can be committed no more.
    pub(super) fn break_off(&mut self, id: &str) {
        if let Ok(place) = self.place(id) {
            self.open[place].is_broken = true;
        }
    }

    /// Closes a transaction and hands over what it held.
    ///
    /// *Errors.* [`Violation::UnknownTransaction`].
    pub(super) fn end(&mut self, id: &str) -> Result<Transaction, Violation> {
        let transaction = self.open.swap_remove(self.place(id)?);
        self.bytes -= transaction.bytes;
        Ok(transaction)
    }

    fn place(&self, id: &str) -> Result<usize, Violation> {
        self.open
            .iter()
            .position(|transaction| transaction.id == *id)
            .ok_or_else(|| Violation::UnknownTransaction { id: shown(id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Properties;

    fn transactions(max_bytes: usize) -> Transactions {
        let mut transactions = Transactions::new(&Limits {
            transactions: 2,
            transaction_frames: 1_000,
            transaction_bytes: max_bytes,
            ..Limits::default()
        });
        transactions.begin("a").unwrap();
        transactions.begin("b").unwrap();
        transactions
    }

    fn send(headers: &[(&str, &str)], body: usize, receipt: Option<&str>) -> Held {
        let header = |(name, value): &(&str, &str)| ((*name).into(), Value::Text((*value).into()));
        let headers = headers.iter().map(header).collect();
        let properties = Properties { headers, ..Properties::default() };
        let message = Message { body: vec![0; body].into(), properties };
        let to = Address::Exchange { name: "exchange".into(), key: "key".into() };
        let send = Send { to, message, queue: None, mandatory: false, calls: None };
        Held::Publish { send, receipt: receipt.map(Text::from) }
    }

    fn ack() -> Held {
        let settlement = Settlement {
            subscription: SubscriptionId(1),
            up_to: DeliveryTag(1),
            verdict: Verdict::Accept,
            cumulative: true,
        };
        Held::Settle(settlement)
    }

    #[test]
    fn the_size_of_a_frame_is_the_memory_it_takes() {
        let frame = size_of::<Held>();
        let header = size_of::<(Text, Value)>();
        assert_eq!(ack().size(), frame);
        assert_eq!(send(&[], 0, None).size(), frame + "exchangekey".len());
        let full = send(&[("a", "1"), ("b", "")], 50, Some("r"));
        assert_eq!(full.size(), frame + "exchangekey".len() + 2 * header + 3 + 50 + 1);
        assert_eq!(full.size(), full.detached().size());
    }

    #[test]
    fn bytes_are_counted_over_all_transactions_and_given_back_at_the_end() {
        let size = send(&[], 60, None).size();
        let mut transactions = transactions(2 * size);
        transactions.hold("a", send(&[], 60, None)).unwrap();
        let too_large = Violation::TransactionTooLarge { limit: 2 * size, got: 2 * size + 1 };
        assert_eq!(transactions.hold("b", send(&[], 61, None)), Err(too_large));
        transactions.end("a").unwrap();
        transactions.hold("b", send(&[], 60 + size, None)).unwrap();
        assert!(transactions.hold("b", ack()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_frames_are_like_their_memory_is_bounded(
            frames in proptest::collection::vec((0..100_usize, 0..300_usize), 1..400),
            max_bytes in 1_000..200_000_usize,
        ) {
            let mut transactions = transactions(max_bytes);
            for (headers, body) in frames {
                let held = if headers == 0 { ack() } else { send(&vec![("", "x"); headers], body, None) };
                if transactions.hold("a", held).is_err() {
                    break;
                }
            }
            let memory = |held: &Held| match held {
                Held::Publish { send: Send { message, .. }, .. } => {
                    let headers = &message.properties.headers;
                    size_of_val(held) + headers.capacity() * size_of_val(&headers[0]) + message.body.len()
                }
                Held::Settle(_) => size_of_val(held),
            };
            let kept: usize = transactions.end("a").unwrap().frames.iter().map(memory).sum();
            proptest::prop_assert!(kept <= max_bytes, "{kept}");
        }
    }
}
