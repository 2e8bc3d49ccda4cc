//! What every message says about itself, and the books that are kept about it.
//!
//! A body begins with 16 hexadecimal digits: four for the publisher, twelve for the number of its
//! message, from 0. The rest of the body is the same in every message.

use crate::fault::Fault;
use crate::stomp;
use crate::websocket::{self, Kind};

/// Digits of a message's name.
pub(crate) const DIGITS: usize = 16;

/// The shortest body: it has to hold a message's name.
pub(crate) const SHORTEST_BODY: usize = DIGITS;

/// The SEND frames of one publisher, all of the same length and encoded but for the digits.
#[derive(Debug)]
pub(crate) struct Pattern {
    publisher: u16,
    /// A whole WebSocket message, masked.
    bytes: Vec<u8>,
    /// Where the payload begins in `bytes`.
    payload_at: usize,
    /// Where the digits are in the payload: in the body, and in the receipt header if there is one.
    places: Vec<usize>,
}

impl Pattern {
    /// The frames that this publisher sends to `destination`. With `receipt`, each asks for a
    /// receipt of its own name, and says that it is to be kept (`persistent:true`).
    pub(crate) fn new(
        publisher: u16,
        destination: &str,
        body: usize,
        receipt: bool,
        kind: Kind,
    ) -> Self {
        let mut head = format!("SEND\ndestination:{destination}\ncontent-length:{body}");
        let mut places = Vec::new();
        if receipt {
            head.push_str("\npersistent:true\nreceipt:");
            places.push(head.len());
            head.push_str(&"0".repeat(DIGITS));
        }
        places.push(head.len() + 2);
        let payload = stomp::frame(&head, &filling(body));
        let bytes = websocket::message(kind, &payload);
        Self { publisher, payload_at: bytes.len() - payload.len(), bytes, places }
    }

    /// Appends the message with this number.
    pub(crate) fn write(&self, number: u64, output: &mut Vec<u8>) {
        let start = output.len();
        output.extend_from_slice(&self.bytes);
        let digits = digits(name(self.publisher, number));
        for place in &self.places {
            websocket::overwrite(&mut output[start..], self.payload_at, *place, &digits);
        }
    }
}

/// A body without a name.
pub(crate) fn filling(length: usize) -> Vec<u8> {
    vec![b'0'; length]
}

/// The name of a publisher's message.
pub(crate) const fn name(publisher: u16, number: u64) -> u64 {
    (publisher as u64) << 48 | number
}

/// A name as it is written.
pub(crate) fn digits(name: u64) -> [u8; DIGITS] {
    let bytes = name.to_be_bytes();
    std::array::from_fn(|index| {
        let half = if index % 2 == 0 { bytes[index / 2] >> 4 } else { bytes[index / 2] & 0xF };
        b"0123456789abcdef"[usize::from(half)]
    })
}

/// The name that these digits are; `None` if they are none.
fn parse(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; DIGITS] = digits.try_into().ok()?;
    digits
        .iter()
        .try_fold(0, |name, digit| Some(name << 4 | u64::from(char::from(*digit).to_digit(16)?)))
}

/// What one subscription should get: every message of one publisher, once and in order.
#[derive(Debug)]
pub(crate) struct Order {
    publisher: u16,
    filling: Vec<u8>,
    /// The number that must come next.
    next: u64,
    /// Messages that came as they should.
    arrived: u64,
    /// Numbers that were passed over.
    lost: u64,
    /// Messages that came twice or too late, or are not what was sent.
    wrong: u64,
}

impl Order {
    /// Nothing has come yet from this publisher, whose bodies have this length.
    pub(crate) fn new(publisher: u16, body: usize) -> Self {
        Self { publisher, filling: filling(body), next: 0, arrived: 0, lost: 0, wrong: 0 }
    }

    /// Books a message; returns its number, unless something is wrong with it.
    pub(crate) fn take(&mut self, body: &[u8]) -> Option<u64> {
        let rest = body.get(DIGITS..).filter(|rest| *rest == &self.filling[DIGITS..]);
        let name = rest.and_then(|_| parse(&body[..DIGITS]));
        match name.and_then(|name| name.checked_sub(self::name(self.publisher, 0))) {
            Some(number) if number >= self.next && number < 1 << 48 => {
                self.arrived += 1;
                self.lost += number - self.next;
                self.next = number + 1;
                Some(number)
            }
            _ => {
                self.wrong += 1;
                None
            }
        }
    }

    /// How many messages are settled: here, or given up.
    pub(crate) const fn position(&self) -> u64 {
        self.next
    }

    /// Messages that came as they should.
    pub(crate) const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Messages that did not come, given that `sent` have been sent.
    pub(crate) const fn lost(&self, sent: u64) -> u64 {
        self.lost + sent.saturating_sub(self.next)
    }

    /// Messages that came twice or too late, or are not what was sent.
    pub(crate) const fn wrong(&self) -> u64 {
        self.wrong
    }
}

/// The receipts of one publisher: one for each message, in any order.
#[derive(Debug)]
pub(crate) struct Receipts {
    publisher: u16,
    /// By the number of the message.
    seen: Vec<bool>,
    count: u64,
}

impl Receipts {
    /// None has come yet for the `messages` that this publisher will send.
    pub(crate) fn new(publisher: u16, messages: u64) -> Self {
        let messages = usize::try_from(messages).expect("a run that is counted fits into memory");
        Self { publisher, seen: vec![false; messages], count: 0 }
    }

    /// Books a receipt; returns the number of its message.
    ///
    /// *Errors.* One that was not asked for, or came before.
    pub(crate) fn take(&mut self, id: &[u8]) -> Result<u64, Fault> {
        let number = parse(id).and_then(|id| id.checked_sub(name(self.publisher, 0)));
        let place = number
            .and_then(|number| Some((number, self.seen.get_mut(usize::try_from(number).ok()?)?)));
        match place {
            Some((number, seen)) if !*seen => {
                *seen = true;
                self.count += 1;
                Ok(number)
            }
            _ => Err(Fault::Violation("a receipt was not asked for, or came twice")),
        }
    }

    /// How many have come.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::message;

    #[test]
    fn a_pattern_writes_what_would_be_encoded_at_length() {
        let pattern = Pattern::new(0x12, "/topic/a", 20, true, Kind::Text);
        let mut output = b"before".to_vec();
        pattern.write(0xABC, &mut output);
        let head = "SEND\ndestination:/topic/a\ncontent-length:20\npersistent:true\n\
                    receipt:0012000000000abc";
        let payload = stomp::frame(head, b"0012000000000abc0000");
        assert_eq!(output, [b"before", &message(Kind::Text, &payload)[..]].concat());
    }

    fn body(publisher: u16, number: u64) -> Vec<u8> {
        [&digits(name(publisher, number))[..], b"00"].concat()
    }

    #[test]
    fn what_is_missing_doubled_or_changed_is_counted() {
        let mut order = Order::new(3, 18);
        for number in [0, 1, 4, 4, 2] {
            order.take(&body(3, number));
        }
        assert_eq!((order.position(), order.arrived()), (5, 3));
        assert_eq!((order.lost(5), order.wrong()), (2, 2));
        assert_eq!(order.lost(7), 4);

        let mut changed = body(3, 5);
        changed[17] = b'1';
        for stranger in [body(2, 5), body(4, 5), changed, b"short".to_vec()] {
            order.take(&stranger);
        }
        assert_eq!((order.position(), order.wrong()), (5, 6));
    }

    #[test]
    fn a_receipt_comes_once() {
        let mut receipts = Receipts::new(3, 2);
        for number in [1, 0] {
            receipts.take(&digits(name(3, number))).unwrap();
        }
        assert_eq!(receipts.count(), 2);
        for id in [&digits(name(3, 0))[..], &digits(name(3, 2)), &digits(name(2, 0)), b"bye"] {
            assert!(receipts.take(id).is_err(), "{id:?}");
        }
    }
}
