//! RawSocket: whatever the bytes, however they are cut.

use bytes::Bytes;
use protocols::wamp::rawsocket::{
    FrameDecoder, FrameError, FrameHeader, FrameType, Handshake, HandshakeError, MaxLength,
};

/// Reads a stream as a handshake and as frames, whole and cut everywhere, and checks that the
/// outcome is the same, and that what was read is written as it was.
///
/// *Shape.* All of `data` is the stream.
pub fn wamp_rawsocket(data: &[u8]) {
    let handshake = Handshake::parse(data);
    for end in 0..data.len().min(4) {
        let early = Handshake::parse(&data[..end]);
        let is_same = matches!(early, Ok(None)) || early == handshake;
        assert!(is_same, "a fault that is found early is the one");
    }
    match handshake {
        Ok(Some(handshake)) => assert_eq!(handshake.encode(), data[..4]),
        Ok(None) => assert!(data.len() < 4),
        Err(HandshakeError::NotRawSocket { got }) => assert_eq!(got, data[0]),
        Err(error) => assert!(error.refusal().is_some()),
    }

    let whole = decode([data]);
    assert_eq!(decode(data.chunks(1)), whole, "cut everywhere");
    assert_eq!(decode(data.chunks(3)), whole, "cut in some places");
    let (frames, error) = whole;
    let mut written = Vec::new();
    for (frame_type, payload) in &frames {
        let header = FrameHeader::new(*frame_type, payload.len()).expect("it was read");
        written.extend_from_slice(&header.encode());
        written.extend_from_slice(payload);
    }
    assert!(data.starts_with(&written), "frames are written as they were");
    assert!(error.is_some() || data.len() - written.len() < 4 + MaxLength::MIN.bytes());
}

fn decode<'a>(
    units: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<(FrameType, Bytes)>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(MaxLength::MIN).with_budget(4 << 10);
    let mut frames = Vec::new();
    for unit in units {
        decoder.push(Bytes::copy_from_slice(unit));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_frame(), Ok(None), "there is no frame after a fault");
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}
