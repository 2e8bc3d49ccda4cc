//! The RawSocket transport: its handshake, and the frames on it. No sockets: bytes in, bytes out.
//!
//! *Spec.* WAMP §RawSocket Transport.
//!
//! ```text
//! handshake   0x7f, LLLL SSSS, 0, 0          L: 2^(9 + L) bytes may be sent here; S: serializer
//! refusal     0x7f, EEEE 0000, 0, 0          E: why
//! frame       0000 XTTT, length (24 bits)    T: type; X: 2^24 bytes, and the length says 0
//! ```
//!
//! # Which fault is found
//! A stream has the same outcome however it is cut into units. A first byte that is not 0x7f is
//! found at once, for then the stream is of another protocol; all else of a handshake is judged
//! when its four bytes are there.

mod decoder;

use super::serializer::Serializer;
pub use decoder::FrameDecoder;

/// The first byte of a handshake. No HTTP request starts with it.
pub const MAGIC: u8 = 0x7f;

/// Bytes of a handshake, and before each payload.
const PREFIX: usize = 4;

/// How long the payloads may be that an end takes: a power of two from 2^9 to 2^24 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxLength(u8);

impl MaxLength {
    /// 512 bytes.
    pub const MIN: Self = Self(0);
    /// 16 MiB.
    pub const MAX: Self = Self(15);

    /// The longest that is not above `bytes`; [`MIN`](Self::MIN) if all are.
    pub const fn at_most(bytes: usize) -> Self {
        let mut code = Self::MAX;
        while code.0 > 0 && code.bytes() > bytes {
            code.0 -= 1;
        }
        code
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        1 << (9 + self.0)
    }
}

/// What a handshake says: that of a client, or the answer of a router that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// What may be sent to who says this.
    pub max_length: MaxLength,
    /// What both speak.
    pub serializer: Serializer,
}

impl Handshake {
    /// What the client asks for, if all of it is there.
    ///
    /// *Errors.* The stream is of another protocol, or the answer is a [`Refusal`].
    pub fn parse(input: &[u8]) -> Result<Option<Self>, HandshakeError> {
        let Some((second, reserved)) = octets(input)? else {
            return Ok(None);
        };
        let serializer = serializer_of(second & 0x0f)
            .ok_or(HandshakeError::Serializer { got: second & 0x0f })?;
        if reserved != [0, 0] {
            return Err(HandshakeError::Reserved { got: reserved });
        }
        Ok(Some(Self { max_length: MaxLength(second >> 4), serializer }))
    }

    /// What the router answers, if all of it is there.
    ///
    /// *Errors.* The stream is of another protocol, or the answer is none to what was asked.
    pub fn parse_answer(
        input: &[u8],
        asked: Serializer,
    ) -> Result<Option<Result<Self, Refusal>>, HandshakeError> {
        let Some((second, reserved)) = octets(input)? else {
            return Ok(None);
        };
        if reserved != [0, 0] {
            return Err(HandshakeError::Reserved { got: reserved });
        }
        if second & 0x0f == 0 {
            let refusal = Refusal::ALL.into_iter().find(|refusal| *refusal as u8 == second >> 4);
            let refusal = refusal.ok_or(HandshakeError::Refusal { got: second >> 4 })?;
            return Ok(Some(Err(refusal)));
        }
        match serializer_of(second & 0x0f) {
            Some(serializer) if serializer == asked => {
                Ok(Some(Ok(Self { max_length: MaxLength(second >> 4), serializer })))
            }
            _ => Err(HandshakeError::Serializer { got: second & 0x0f }),
        }
    }

    /// As it is written.
    pub const fn encode(self) -> [u8; PREFIX] {
        [MAGIC, self.max_length.0 << 4 | code_of(self.serializer), 0, 0]
    }
}

/// Why a router does not take a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not speak the serializer.
    SerializerUnsupported = 1,
    /// It does not agree with the longest payload.
    LengthUnacceptable = 2,
    /// It does not know what the reserved bits ask for.
    ReservedBits = 3,
    /// It has no room.
    TooManyConnections = 4,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::SerializerUnsupported,
        Self::LengthUnacceptable,
        Self::ReservedBits,
        Self::TooManyConnections,
    ];

    /// As it is written.
    pub const fn encode(self) -> [u8; PREFIX] {
        [MAGIC, (self as u8) << 4, 0, 0]
    }
}

/// What is wrong with a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The stream is of another protocol.
    #[error("a RawSocket handshake starts with the byte 0x7f, not 0x{got:02x}")]
    NotRawSocket {
        /// The first byte.
        got: u8,
    },
    /// The serializer is none that is spoken here, or not the one that was asked for.
    #[error("the serializer must be 1 (JSON), 2 (MessagePack) or 3 (CBOR), as agreed, not {got}")]
    Serializer {
        /// Its number.
        got: u8,
    },
    /// Bits that must be 0 are not.
    #[error("the last two bytes of a handshake must be 0, not 0x{:02x}{:02x}", got[0], got[1])]
    Reserved {
        /// The bytes.
        got: [u8; 2],
    },
    /// A router refuses for no reason that there is.
    #[error("a refusal has a number from 1 to 4, not {got}")]
    Refusal {
        /// Its number.
        got: u8,
    },
}

impl HandshakeError {
    /// What a router answers to a client; `None` if it closes without an answer.
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::NotRawSocket { .. } | Self::Refusal { .. } => None,
            Self::Serializer { .. } => Some(Refusal::SerializerUnsupported),
            Self::Reserved { .. } => Some(Refusal::ReservedBits),
        }
    }
}

/// The second byte of a handshake, and the reserved ones.
fn octets(input: &[u8]) -> Result<Option<(u8, [u8; 2])>, HandshakeError> {
    match input {
        [first, ..] if *first != MAGIC => Err(HandshakeError::NotRawSocket { got: *first }),
        [_, second, third, fourth, ..] => Ok(Some((*second, [*third, *fourth]))),
        _ => Ok(None),
    }
}

const fn code_of(serializer: Serializer) -> u8 {
    match serializer {
        Serializer::Json => 1,
        Serializer::MsgPack => 2,
        Serializer::Cbor => 3,
    }
}

fn serializer_of(code: u8) -> Option<Serializer> {
    Serializer::ALL.into_iter().find(|serializer| code_of(*serializer) == code)
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    /// A WAMP message.
    Message = 0,
    /// To be answered by a PONG with the same payload.
    Ping = 1,
    /// The answer to a PING.
    Pong = 2,
}

/// What comes before the payload of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub frame_type: FrameType,
    /// Bytes of the payload, at most 2^24.
    pub length: usize,
}

impl FrameHeader {
    /// `None` if the payload is longer than any may be.
    pub const fn new(frame_type: FrameType, length: usize) -> Option<Self> {
        if length > MaxLength::MAX.bytes() {
            return None;
        }
        Some(Self { frame_type, length })
    }

    /// As it is written.
    pub const fn encode(self) -> [u8; PREFIX] {
        let is_longest = (self.length >> 24) as u8;
        let [.., first, second, third] = self.length.to_be_bytes();
        [is_longest << 3 | self.frame_type as u8, first, second, third]
    }

    /// The header, if all of it is there.
    ///
    /// *Errors.* It is none, or the payload is longer than `limit`.
    pub fn parse(input: &[u8], limit: MaxLength) -> Result<Option<Self>, FrameError> {
        let [first, high, middle, low, ..] = *input else {
            return Ok(None);
        };
        if first & 0xf0 != 0 {
            return Err(FrameError::Reserved { got: first });
        }
        let frame_type = match first & 0x07 {
            0 => FrameType::Message,
            1 => FrameType::Ping,
            2 => FrameType::Pong,
            got => return Err(FrameError::UnknownType { got }),
        };
        let [high, middle, low] = [high, middle, low].map(usize::from);
        let length = high << 16 | middle << 8 | low;
        let length = match (first & 0x08 != 0, length) {
            (false, length) => length,
            (true, 0) => MaxLength::MAX.bytes(),
            (true, got) => return Err(FrameError::LengthTwice { got }),
        };
        if length > limit.bytes() {
            return Err(FrameError::TooLong { limit: limit.bytes(), got: length });
        }
        Ok(Some(Self { frame_type, length }))
    }
}

/// What is wrong with a frame. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Bits that must be 0 are not.
    #[error("the upper four bits of a frame must be 0, but it starts with 0x{got:02x}")]
    Reserved {
        /// The first byte.
        got: u8,
    },
    /// A type that there is not.
    #[error("a frame has the type 0 (message), 1 (ping) or 2 (pong), not {got}")]
    UnknownType {
        /// Its number.
        got: u8,
    },
    /// The bit for 2^24 bytes is set, and a length is there too.
    #[error("a frame of 16 MiB must have the length 0 beside the bit that says so, not {got}")]
    LengthTwice {
        /// The length.
        got: usize,
    },
    /// The payload is longer than the handshake allows.
    #[error("the payload of a frame may have {limit} bytes, this one has {got}")]
    TooLong {
        /// Allowed bytes.
        limit: usize,
        /// Declared bytes.
        got: usize,
    },
    /// More than the decoder was given a budget for.
    #[error("frames of {limit} bytes are allowed together, these have {got}")]
    OverBudget {
        /// Allowed bytes.
        limit: usize,
        /// Declared bytes.
        got: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_answered_in_kind_or_refused() {
        let asked = Handshake::parse(&[0x7f, 0xf1, 0, 0]).unwrap().unwrap();
        assert_eq!(asked, Handshake { max_length: MaxLength::MAX, serializer: Serializer::Json });
        let answer = Handshake { max_length: MaxLength::at_most(1 << 20), ..asked };
        assert_eq!(answer.encode(), [0x7f, 0xb1, 0, 0]);
        assert_eq!(
            Handshake::parse_answer(&answer.encode(), Serializer::Json),
            Ok(Some(Ok(answer)))
        );
        for refusal in Refusal::ALL {
            let parsed = Handshake::parse_answer(&refusal.encode(), Serializer::Cbor);
            assert_eq!(parsed, Ok(Some(Err(refusal))));
        }
        assert_eq!(Refusal::TooManyConnections.encode(), [0x7f, 0x40, 0, 0]);
    }

    #[test]
    fn what_is_no_handshake_is_told() {
        let fault = |input: &[u8]| Handshake::parse(input).unwrap_err();
        assert_eq!(fault(b"G"), HandshakeError::NotRawSocket { got: b'G' });
        assert_eq!(Handshake::parse(&[0x7f, 0xff, 1]), Ok(None));
        let unsupported = fault(&[0x7f, 0xf4, 1, 0]);
        assert_eq!(unsupported, HandshakeError::Serializer { got: 4 });
        assert_eq!(unsupported.refusal(), Some(Refusal::SerializerUnsupported));
        assert_eq!(fault(&[0x7f, 0xf0, 0, 0]), HandshakeError::Serializer { got: 0 });
        assert_eq!(fault(&[0x7f, 0xf1, 0, 1]).refusal(), Some(Refusal::ReservedBits));
        let answer = |input| Handshake::parse_answer(input, Serializer::Cbor).unwrap_err();
        assert_eq!(answer(&[0x7f, 0x00, 0, 0]), HandshakeError::Refusal { got: 0 });
        assert_eq!(answer(&[0x7f, 0xf1, 0, 0]), HandshakeError::Serializer { got: 1 });
    }

    #[test]
    fn the_longest_payload_is_a_power_of_two() {
        assert_eq!(MaxLength::MIN.bytes(), 512);
        assert_eq!(MaxLength::MAX.bytes(), 16 << 20);
        assert_eq!(MaxLength::at_most(100), MaxLength::MIN);
        assert_eq!(MaxLength::at_most(1023), MaxLength::MIN);
        assert_eq!(MaxLength::at_most(1024).bytes(), 1024);
        assert_eq!(MaxLength::at_most(usize::MAX), MaxLength::MAX);
    }

    #[test]
    fn a_header_has_a_bit_for_the_longest_payload() {
        let header = |length| FrameHeader::new(FrameType::Ping, length).unwrap();
        assert_eq!(header(0x01_02_03).encode(), [1, 1, 2, 3]);
        assert_eq!(header((16 << 20) - 1).encode(), [1, 0xff, 0xff, 0xff]);
        assert_eq!(header(16 << 20).encode(), [9, 0, 0, 0]);
        assert_eq!(FrameHeader::new(FrameType::Ping, (16 << 20) + 1), None);
        for length in [0, 1, 0xffff, (16 << 20) - 1, 16 << 20] {
            let header = header(length);
            assert_eq!(FrameHeader::parse(&header.encode(), MaxLength::MAX), Ok(Some(header)));
        }
    }

    #[test]
    fn what_is_no_header_is_told() {
        let fault = |input: [u8; 4]| FrameHeader::parse(&input, MaxLength::MIN).unwrap_err();
        assert_eq!(fault([0x10, 0, 0, 0]), FrameError::Reserved { got: 0x10 });
        assert_eq!(fault([3, 0, 0, 0]), FrameError::UnknownType { got: 3 });
        assert_eq!(fault([8, 0, 0, 1]), FrameError::LengthTwice { got: 1 });
        assert_eq!(fault([0, 0, 2, 1]), FrameError::TooLong { limit: 512, got: 513 });
        assert_eq!(fault([8, 0, 0, 0]), FrameError::TooLong { limit: 512, got: 16 << 20 });
        assert_eq!(FrameHeader::parse(&[8, 0, 0], MaxLength::MIN), Ok(None));
    }
}
